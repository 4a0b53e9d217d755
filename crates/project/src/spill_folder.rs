//! Where the rows of a job go that do not fit in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of a warehouse for rows that do not fit in memory.
const SPILL: &str = "_riverrun/spill";

/// A folder for rows that do not fit in memory, in the warehouse, since a temporary folder may itself be memory.
/// Removed when the job is.
pub struct SpillFolder(PathBuf);

impl SpillFolder {
    /// A folder of this process's own; it is made when the first row is spilled.
    pub(crate) fn new(warehouse: &Path) -> SpillFolder {
        static JOBS: AtomicU64 = AtomicU64::new(0);
        let job = JOBS.fetch_add(1, Ordering::Relaxed);
        SpillFolder(warehouse.join(SPILL).join(format!("{}-{job}", std::process::id())))
    }

    /// Where it is, or will be.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed holds nothing that anyone reads again.
        let _ = std::fs::remove_dir_all(&self.0);
        // Other jobs may still have theirs beside it.
        for folder in self.0.ancestors().skip(1).take(Path::new(SPILL).components().count()) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
