//! A savepoint: a copy of a checkpoint and of the data files that it has pending, which belongs to whoever asked for it.

use super::bugs::Bug;
use super::stores::range;
use checkpoint::{Created, Manifest, Store};
use dataflow::{Error, Result};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Objects in a folder of a user.
#[derive(Default)]
pub struct Copies(Mutex<BTreeMap<String, Vec<u8>>>);

impl Store for Copies {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created> {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if objects.contains_key(name) {
            return Ok(Created::Exists);
        }
        objects.insert(name.to_owned(), bytes.to_vec());
        Ok(Created::New)
    }
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned())
    }
    fn read_range(&self, name: &str, offset: u64, bytes: u64) -> Result<Option<Vec<u8>>> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(objects.get(name).map(|object| range(object, offset, bytes)))
    }
    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }
    fn delete(&self, name: &str) -> Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
    fn place(&self, name: &str) -> String {
        format!("savepoint {name}")
    }
}

/// A savepoint.
pub struct Saved {
    /// The state and the manifest.
    pub copies: Copies,
    pub manifest: Manifest,
    /// Data files, by table and token.
    pub files: BTreeMap<(String, String), Vec<String>>,
    /// The run that has made it.
    pub run: u64,
}

/// What a run was asked for, of 0 for nothing.
#[derive(Default)]
pub struct Asked(AtomicU8);

const NEXT: u8 = 1;
const LAST: u8 = 2;

impl Asked {
    /// Asks for a savepoint of the next checkpoint, or of the last one.
    pub fn ask(&self, of_end: bool) {
        self.0.store(if of_end { LAST } else { NEXT }, Relaxed);
    }

    /// Whether a checkpoint is one that was asked for.
    pub fn take(&self, is_last: bool) -> bool {
        let asked = self.0.load(Relaxed);
        let is_due = asked == NEXT || asked == LAST && is_last;
        if is_due {
            self.0.store(0, Relaxed);
        }
        is_due
    }
}

impl Saved {
    /// What the savepoint has, as a run goes on from it after the newest checkpoint.
    pub fn after(&self, newest: Option<&Manifest>, bug: Option<Bug>) -> Result<Manifest> {
        let mut saved = self.manifest.clone();
        if let Some(newest) = newest {
            newest.check_same_generation(&saved)?;
            if bug == Some(Bug::NumbersOfSavepoint) {
                return Ok(saved);
            }
            saved.coordinator.number = saved.coordinator.number.max(newest.coordinator.number);
        }
        Ok(saved)
    }

    /// Whether a run has made it that was stopped with it.
    pub fn is_of_end_of(&self, run: u64) -> bool {
        self.run == run && self.manifest.last
    }
}

/// Whether an error says that outputs have gone on after a savepoint, which then is of no use any more.
pub fn is_outrun(error: &Error) -> bool {
    let text = error.chain();
    error.kind() == dataflow::ErrorKind::Invalid
        && (text.contains("and the job's checkpoint knows") || text.contains("was begun anew after this savepoint"))
}
