//! The floor: hand-written loops that do one workload and nothing else, on one thread, from Parquet to Parquet.
//!
//! They say how little work the workload is, so that the cost of being general can be seen as a ratio.

mod as_of;
mod index;
mod reorder;
mod windows;

pub use as_of::as_of;
pub use windows::windows;
