//! Models that no run has used yet: each is tried out before it is loaded.

use dataflow::Result;
use model::ModelFile;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Loads and scores a model where it can do no harm.
type Attempt = Box<dyn Fn(&ModelFile) -> Result<()> + Send + Sync>;

/// How models are tried out, and which have passed.
pub(crate) struct ModelTrial {
    attempt: Attempt,
    passed: Mutex<BTreeSet<String>>,
}

impl ModelTrial {
    pub fn new(attempt: Attempt) -> ModelTrial {
        ModelTrial { attempt, passed: Mutex::default() }
    }

    /// Tries a model out, once for each content of its file.
    pub fn pass(&self, file: &ModelFile) -> Result<()> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if !passed.contains(file.version()) {
            (self.attempt)(file)?;
            passed.insert(file.version().to_owned());
        }
        Ok(())
    }
}
