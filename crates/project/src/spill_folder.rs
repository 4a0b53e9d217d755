//! Where the rows of a job go that do not fit in memory.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder of a warehouse for rows that do not fit in memory.
const SPILL: &str = "_riverrun/spill";

/// A folder for rows that do not fit in memory, in the warehouse, since a temporary folder may itself be memory.
/// Removed when the job is.
pub struct SpillFolder(PathBuf);

impl SpillFolder {
    /// A folder of this process's own; it is made when the first row is spilled. Empty ones that killed runs have left are
    /// removed.
    pub(crate) fn new(warehouse: &Path) -> SpillFolder {
        static JOBS: AtomicU64 = AtomicU64::new(0);
        let job = JOBS.fetch_add(1, Ordering::Relaxed);
        remove_left_behind(&warehouse.join(SPILL));
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

/// Removes the folders of processes that are no more. Their files had no names, so that the folders are empty; one that is
/// not is left alone, and so is that of a run on another machine, which makes it anew should it go.
fn remove_left_behind(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.split_once('-')).and_then(|(process, _)| process.parse().ok());
        if process.is_some_and(|process: u32| !is_running(process)) {
            // Whoever has something in it keeps it.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

/// Whether a process may still run; always where the system does not say.
fn is_running(process: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join(std::process::id().to_string()).exists() || processes.join(process.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_runs_that_died_go_and_those_of_others_stay() {
        let warehouse = tempfile::tempdir().unwrap();
        let spill = warehouse.path().join(SPILL);
        // No process has a number as great as this.
        let folder = |process: u32, job: u32| spill.join(format!("{process}-{job}"));
        let (dead, full, own) = (folder(u32::MAX, 0), folder(u32::MAX, 1), folder(std::process::id(), 1 << 30));
        for folder in [&dead, &full, &own] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(full.join("file"), "of somebody").unwrap();
        let other = spill.join("of a person");
        std::fs::create_dir(&other).unwrap();
        drop(SpillFolder::new(warehouse.path()));
        assert!(!dead.exists() || !Path::new("/proc/self").exists());
        assert!(full.exists() && own.exists() && other.exists());
    }
}
