//! Collects checkpoints that are not kept, and state that no checkpoint names.

use crate::names;
use crate::reading;
use crate::seeded::{self, Bug};
use crate::store::Store;
use dataflow::{ProcessingTime, Result};
use object_stores::is_left_probe;
use std::collections::HashSet;

/// What may be collected, and what is kept.
pub(crate) struct Collection<'a> {
    pub store: &'a dyn Store,
    /// The epoch of the run: state of younger runs is theirs.
    pub epoch: u64,
    /// The manifest that the run put last.
    pub own: u64,
    /// The first manifest of the job's generation: older ones are of no use to it.
    pub first: u64,
    /// How many manifests are kept.
    pub kept: usize,
    /// The time, by which what runs that begin try out in a store is left alone.
    pub now: ProcessingTime,
}

impl Collection<'_> {
    /// Deletes older manifests, then state that the kept ones do not name. A manifest that is kept and cannot be read
    /// may name anything: then nothing is deleted.
    pub fn collect(&self) -> Result<()> {
        let numbers = names::manifests(self.store)?;
        if numbers.last() != Some(&self.own) {
            // A successor collects.
            return Ok(());
        }
        let (older, kept) = numbers.split_at(numbers.len().saturating_sub(self.kept));
        let (earlier, kept) = kept.split_at(kept.partition_point(|&number| number < self.first));
        let mut named = HashSet::new();
        let kept = if seeded::has(Bug::NamedByNewest) { &kept[kept.len() - 1..] } else { kept };
        for &number in kept {
            let Some(manifest) = reading::manifest(self.store, number)? else { return Ok(()) };
            named.extend(manifest.files.into_iter().map(|file| file.name));
        }
        for &number in older.iter().chain(earlier) {
            self.store.delete(&names::manifest(number))?;
        }
        for name in self.store.list("")? {
            let is_own = |epoch| epoch <= self.epoch || seeded::has(Bug::CollectAnyEpoch);
            let is_left = names::epoch_of_state(&name).is_some_and(is_own) && !named.contains(&name);
            if is_left || is_left_probe(&name, self.now) {
                self.store.delete(&name)?;
            }
        }
        Ok(())
    }
}
