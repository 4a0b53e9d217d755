//! Gathers what the writers of a sink prepared at a barrier, and commits it when all have.

use dataflow::{Committable, Committer, Error, Result};
use std::collections::BTreeMap;

/// What one writer prepared at a barrier.
#[derive(Debug)]
pub struct Prepared {
    pub sink: usize,
    pub barrier: u64,
    pub committable: Option<Committable>,
}

/// The committers of a job and what waits for them.
pub struct Commits {
    committers: Vec<Box<dyn Committer>>,
    writers: Vec<usize>,
    // Per sink and barrier: how many writers have prepared, and what.
    waiting: BTreeMap<(usize, u64), (usize, Vec<Committable>)>,
    commits: u64,
}

impl Commits {
    /// Committers, and beside each how many writers its sink has.
    pub fn new(committers: Vec<Box<dyn Committer>>, writers: Vec<usize>) -> Self {
        Commits { committers, writers, waiting: BTreeMap::new(), commits: 0 }
    }

    /// Takes what one writer prepared; commits when it was the last of its barrier.
    pub fn take(&mut self, prepared: Prepared) -> Result<()> {
        let key = (prepared.sink, prepared.barrier);
        let (seen, committables) = self.waiting.entry(key).or_default();
        *seen += 1;
        committables.extend(prepared.committable);
        if *seen < self.writers[prepared.sink] {
            return Ok(());
        }
        let (_, committables) = self.waiting.remove(&key).ok_or_else(|| Error::internal("a barrier was lost"))?;
        if !committables.is_empty() {
            self.committers[prepared.sink].commit(committables)?;
            self.commits += 1;
        }
        Ok(())
    }

    /// How many commits were made.
    pub fn commits(&self) -> u64 {
        self.commits
    }
}
