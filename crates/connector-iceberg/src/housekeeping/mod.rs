//! Keeps a table in order: what it holds, small files and deletes written anew, snapshots and files that nobody needs.
//!
//! ```text
//! describe   reads what the table says of itself
//! compact    plan: groups of files of one partition -> rows without what is deleted -> larger files -> one swap
//! expire     snapshots that nobody holds -> one swap -> the files that they alone named
//! orphans    files below the table's location -> less what is named, prepared or young -> deleted
//! ```
//!
//! Nothing is deleted of which it is not known that nothing names it. A swap names its base, so that whatever others
//! have committed meanwhile is looked at before it is tried again.

mod content;
mod holds;
mod listing;
mod named_files;
mod plan;
mod replace_summary;
mod snapshot_writer;
mod sorted_rows;

mod replace;
mod rewrite;

mod compact;
mod describe;
mod expire;
mod orphans;

pub use compact::{CompactOptions, CompactPlan, CompactProgress, CompactSummary};
pub use describe::{ColumnDescription, FileCounts, ReferenceDescription, SnapshotDescription, TableDescription};
pub use expire::{ExpireOptions, ExpirePlan, ExpireSummary};
pub use holds::TableHolds;
pub use orphans::{OrphanOptions, OrphanPlan, OrphanSummary};
