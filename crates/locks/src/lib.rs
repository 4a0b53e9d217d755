//! The lock that a run holds: on what it writes, for as long as its process lives.
#![forbid(missing_docs)]

mod file_lock;

pub use file_lock::lock_file;
