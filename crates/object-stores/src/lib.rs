//! Object stores: how a bucket of S3, Google Cloud Storage or Azure is opened, what its errors mean, and a folder in one
//! whose objects are made once.
//!
//! What opens a bucket has the names that Iceberg's catalogs give, so that settings and what a catalog says are one.
//! Everything that a [`ObjectFolder`] offers blocks; its asynchronous runtime stays inside.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says what went wrong by failing"))]

mod store_place;
mod store_properties;

mod azure_access;
mod gcs_access;
mod s3_access;
mod settings;
mod store_failure;

mod store_access;

mod attempts;

mod object_folder;
mod preflight;

pub use object_folder::{ObjectFolder, Version};
pub use preflight::{check_exclusive, is_left_probe};
pub use settings::{AzureSettings, GcsSettings, S3Settings, StoreSettings};
pub use store_access::StoreAccess;
pub use store_failure::store_failure;
pub use store_place::{Bucket, StoreKind};
pub use store_properties::Properties;

#[cfg(test)]
mod faulty_store;
