//! Iceberg's REST catalogs: requests that are sent once, and tables whose commits name the state that they change.

mod told;

mod token;

mod client;

mod catalog;

pub use catalog::RestCatalog;
