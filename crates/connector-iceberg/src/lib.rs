//! Iceberg tables: in a folder with a SQLite catalog, or of a REST catalog with files on disk or in S3.
//!
//! ```text
//! claim: lock, then the sink's epoch
//!   +-> rows -> writer (one per worker) -> prepare: files closed and synced -> Committable
//!   |                                                                              |
//!   +-> readers <- new snapshot <- compare and swap in the catalog <- committer <-+
//! ```
//!
//! The catalog has the tables that other tools know: PyIceberg opens it with
//! `SqlCatalog("riverrun", uri="sqlite:////abs/warehouse/catalog.db", warehouse="file:///abs/warehouse")`.
//! This is the only crate that knows Iceberg, and none of Iceberg's types appear in what it offers. Everything it
//! offers blocks; the asynchronous runtime that the iceberg library asks for stays inside a [`Warehouse`].
//! Modules are listed from the bottom up: each group refers only to itself and to those above it.

mod avro;
mod bounds;
mod columns;
mod compression;
mod data_name;
mod deletion_vector;
mod failure;
mod frontier;
mod name;
mod partition_names;
mod plain_location;
mod required;
mod storage;
mod unknown_types;
mod update_time;
mod uuid_columns;
mod widened;
mod writer_position;

mod store;

mod settings;

mod object_files;

mod file_settings;
mod layout;
mod manifest_file;
mod partitions;
mod prepared_files;
mod stored_file;
mod table;
mod upkeep;

mod pinned_base;

mod catalog;
mod commit_record;
mod rest;

mod table_catalog;

mod output_fit;
mod prune;

mod live_files;
mod opened_file;
mod stored_column;

mod delete_index;
mod equality_deletes;
mod position_deletes;

mod deletes;

mod files;

mod commit;
mod encoding;
mod generations;
mod parquet_file;
mod waiting_rows;

mod write;

mod warehouse;

mod claim;
mod go_on;

mod housekeeping;

pub use claim::TableClaim;
pub use commit::CommitWait;
pub use files::SNAPSHOT;
pub use housekeeping::{
    ColumnDescription, CompactOptions, CompactPlan, CompactProgress, CompactSummary, ExpireOptions, ExpirePlan,
    ExpireSummary, FileCounts, OrphanOptions, OrphanPlan, OrphanSummary, ReferenceDescription, SnapshotDescription,
    TableDescription, TableHolds,
};
pub use settings::RestSettings;
pub use table::{TableOptions, check_layout, check_place, check_table};
pub use warehouse::Warehouse;
pub use write::TableWriter;
