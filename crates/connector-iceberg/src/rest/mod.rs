//! Iceberg's REST catalogs: requests that are sent once, and tables whose commits name the state that they change.

mod client;
mod held_name;
mod loaded_table;

mod catalog;

pub use catalog::RestCatalog;
pub use held_name::{new_name, old_name};
