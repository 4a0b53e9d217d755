//! What of a snapshot cannot hold a wanted row, so that it is not read: whole manifests by the partitions in their list,
//! and entries of manifests by their partition and the bounds of their columns.

mod column_values;
mod inverse;
mod known_values;
mod manifest_entries;
mod table_filter;
#[cfg(test)]
mod tests;

pub use manifest_entries::{Entry, wanted_entries};
pub use table_filter::TableFilter;
