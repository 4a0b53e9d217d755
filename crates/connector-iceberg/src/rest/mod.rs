//! Iceberg's REST catalogs: requests that are sent once, and tables whose commits name the state that they change.

mod client;

mod catalog;

pub use catalog::RestCatalog;
