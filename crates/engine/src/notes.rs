//! What people should know of the outputs while a job runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What people should know of the outputs while the job runs, by output: that a commit has to wait, and for what.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<BTreeMap<String, String>>>);

impl Notes {
    pub(crate) fn set(&self, of: &str, note: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of.to_owned(), note);
    }

    pub(crate) fn clear(&self, of: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }

    /// All notes.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
