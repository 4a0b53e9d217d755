//! What a run of a job does with its checkpoints.
//!
//! ```text
//! start        lock; epoch; newest manifest; the same again under the next number: no older run can put one any more;
//!              only then its state is read
//! savepoint    the same start, with copies of the savepoint's state instead of the newest manifest's
//! checkpoint   state; manifest, made if absent; list: a newer one means that this run has a successor; collect
//! ```

use crate::changed_job::ChangedJob;
use crate::collection::Collection;
use crate::facts::JobFacts;
use crate::hold::Hold;
use crate::manifest::Manifest;
use crate::names;
use crate::place::Place;
use crate::reading;
use crate::savepoint::{self, PendingFiles, Savepoint};
use crate::seeded::{self, Bug};
use crate::state_file::StateFiles;
use crate::store::{Created, Store};
use dataflow::{Checkpoint, CheckpointStore, Clock, Error, ErrorKind, RestoredJob, Result, StepState};
use std::sync::Arc;

/// How many others may take an epoch or a number at the same time as this run.
const RIVALS_MAX: u64 = 100;

/// The checkpoints of a job, held by one run of it.
pub struct Checkpoints {
    store: Arc<dyn Store>,
    // As long as this is; none for a store that the caller holds.
    hold: Option<Hold>,
    epoch: u64,
    kept: usize,
    clock: Arc<dyn Clock>,
    warn: Box<dyn Fn(&Error) + Send>,
    // Counts the files of state that this run has begun.
    serial: u64,
    generation: Option<Generation>,
}

/// A generation of the job, as this run puts it.
struct Generation {
    facts: JobFacts,
    // The first manifest that belongs to it, as far as this run knows.
    first: u64,
    // The last number that was seen taken.
    number: u64,
    // The last manifest that this run has put or restored: what it names need not be written again.
    last: Option<Manifest>,
    // A manifest whose put has not been heard of.
    unheard: Option<Manifest>,
}

/// What became of a manifest.
enum Put {
    /// It is there, and the newest.
    Newest,
    /// A run with no greater epoch was first; this is its number.
    Taken(u64),
}

impl Checkpoints {
    /// Takes the lock of a folder, which is made if it is not there, or the lease of a store, and an epoch that no other run
    /// has. So many checkpoints are kept, at least one. `warn` is told when old ones could not be deleted, which is tried
    /// again.
    pub fn open(
        place: impl Into<Place>,
        kept: usize,
        clock: Arc<dyn Clock>,
        warn: Box<dyn Fn(&Error) + Send>,
    ) -> Result<Checkpoints> {
        let place = place.into();
        let hold = Hold::take(&place, &*clock)?;
        let gone = || Error::unavailable(format!("\"{place}\" is gone"));
        let run = Checkpoints::unlocked(place.opened()?.ok_or_else(gone)?, kept, clock, warn)?;
        Ok(Checkpoints { hold: Some(hold), ..run })
    }

    /// Takes an epoch in a store that has no lock, or whose lock the caller holds.
    pub fn unlocked(
        store: Arc<dyn Store>,
        kept: usize,
        clock: Arc<dyn Clock>,
        warn: Box<dyn Fn(&Error) + Send>,
    ) -> Result<Checkpoints> {
        let epoch = take_epoch(&*store)?;
        let (kept, serial) = (kept.max(1), 0);
        Ok(Checkpoints { store, hold: None, epoch, kept, clock, warn, serial, generation: None })
    }

    /// The epoch of this run: greater than that of any run before.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The newest checkpoint, without its state.
    pub fn newest(&self) -> Result<Option<Manifest>> {
        reading::newest(&*self.store)
    }

    /// Goes on from the newest checkpoint: puts it again with this run's epoch, so that no older run can put another,
    /// and reads its state. An error of kind `Unavailable` means that the newest is to be looked at again.
    pub fn go_on(&mut self, newest: &Manifest, facts: &JobFacts) -> Result<RestoredJob> {
        if newest.epoch > self.epoch {
            return Err(self.succeeded(newest));
        }
        if seeded::has(Bug::CollectAnyRun) {
            self.collect_as(newest.number, 0);
        }
        let early = match seeded::has(Bug::ReadBeforeFence) {
            true => Some(reading::restore(&*self.store, newest)?),
            false => None,
        };
        self.take_up(newest.number, newest, facts, early)
    }

    /// Makes of the newest checkpoint one of a job that computes something else from there on: state that is kept is named
    /// again, the rest is written. Nothing has changed before it is put.
    pub fn changed(&mut self, newest: &Manifest, facts: &JobFacts, job: &ChangedJob) -> Result<Manifest> {
        if newest.epoch > self.epoch {
            return Err(self.succeeded(newest));
        }
        let inputs = job.inputs(newest)?;
        let mut files = StateFiles::of_changed_job(&*self.store, self.epoch, &mut self.serial, newest);
        let steps = match job.write_steps(&self.store, newest, &mut files) {
            Ok(steps) => steps,
            Err(e) => return Err(files.abandon(e)),
        };
        Ok(Manifest {
            number: newest.number + 1,
            epoch: self.epoch,
            written_at: self.clock.now(),
            facts: facts.clone(),
            coordinator: job.coordinator.clone(),
            outputs: job.outputs.clone(),
            rows: job.rows.clone(),
            last: newest.last,
            replays: newest.replays,
            inputs,
            files: files.finish()?,
            steps,
        })
    }

    /// Puts the checkpoint of a job that computes something else; from then on every run goes on from it. After an error of
    /// kind `Unavailable` the same may be put again. What is not named any more goes, as does what a run has written that
    /// was killed before it came to this.
    pub fn put_changed(&mut self, changed: &Manifest) -> Result<()> {
        match self.put_manifest(changed)? {
            Put::Newest => {
                self.collect_as(changed.number, 0);
                Ok(())
            }
            Put::Taken(number) => Err(Error::unavailable(format!(
                "checkpoint {} was put by an older run while state was built again",
                self.store.place(&names::manifest(number)),
            ))),
        }
    }

    /// Goes on from a savepoint: copies its state under names of this run, and puts it after the newest checkpoint, so that
    /// no older run can put another. The savepoint itself is not named, and may be deleted afterwards.
    pub fn resume(&mut self, savepoint: &Savepoint, as_read: &Manifest, facts: &JobFacts) -> Result<RestoredJob> {
        self.resume_copy(&*savepoint.store()?, as_read, facts)
    }

    /// Goes on from a copy in another store, as from a savepoint.
    pub fn resume_copy(&mut self, from: &dyn Store, saved: &Manifest, facts: &JobFacts) -> Result<RestoredJob> {
        let newest = self.newest()?;
        if let Some(newest) = newest.as_ref().filter(|newest| newest.epoch > self.epoch) {
            return Err(self.succeeded(newest));
        }
        if let Some(newest) = &newest {
            newest.check_same_generation(saved)?;
        }
        let after = newest.map_or(0, |newest| newest.number).max(saved.number);
        let mut copied = saved.clone();
        for file in &mut copied.files {
            if seeded::has(Bug::SavepointNamed) {
                continue;
            }
            let bytes = reading::read_file(from, file)?;
            self.serial += 1;
            file.name = names::state(self.epoch, self.serial);
            if self.store.upload(&file.name, &bytes)? == Created::Exists {
                return Err(Error::unavailable(format!("{} is there already", self.store.place(&file.name))));
            }
        }
        self.take_up(after, &copied, facts, None)
    }

    /// Puts what a run goes on from under the next number, then reads its state, unless that was read early.
    fn take_up(
        &mut self,
        after: u64,
        from: &Manifest,
        facts: &JobFacts,
        early: Option<RestoredJob>,
    ) -> Result<RestoredJob> {
        let (number, epoch) = (after + 1, self.epoch);
        // What comes after it is no longer nothing.
        let again = Manifest { number, epoch, facts: facts.clone(), last: false, ..from.clone() };
        if !seeded::has(Bug::NoFence)
            && let Put::Taken(number) = self.put_manifest(&again)?
        {
            return Err(Error::unavailable(format!(
                "checkpoint {} was put by an older run while this one began after checkpoint {after}",
                self.store.place(&names::manifest(number)),
            )));
        }
        let mut restored = match early {
            Some(early) => early,
            None => reading::restore_from(&self.store, &again, reading::AT_ONCE_BYTES)
                .map_err(|e| self.unless_succeeded(e))?,
        };
        restored.last = from.last;
        let facts = facts.clone();
        self.generation = Some(Generation { facts, first: 0, number, last: Some(again), unheard: None });
        Ok(restored)
    }

    /// Copies the checkpoint that this run has put last into a place where there is none yet.
    pub fn save(&self, to: impl Into<Place>, pending: &PendingFiles) -> Result<Savepoint> {
        match self.generation.as_ref().and_then(|generation| generation.last.clone()) {
            Some(last) => Savepoint::write(&*self.store, last, &to.into(), pending),
            None => Err(Error::internal("a savepoint is to be made of a job without a checkpoint")),
        }
    }

    /// Copies the checkpoint that this run has put last into another store, its manifest after its state, and gives that;
    /// nothing where it has put none. The data files that it has pending are not copied.
    pub fn save_copy(&self, into: &dyn Store) -> Result<Option<Manifest>> {
        let last = self.generation.as_ref().and_then(|generation| generation.last.as_ref());
        last.map(|last| savepoint::copy(&*self.store, last, into).map(|()| last.clone())).transpose()
    }

    /// Begins a generation: no state is read, and older checkpoints go once the first one is durable.
    pub fn begin(&mut self, facts: JobFacts) -> Result<()> {
        let number = match self.newest() {
            Ok(Some(newest)) if newest.epoch > self.epoch && !seeded::has(Bug::BeginAfterSuccessor) => {
                return Err(self.succeeded(&newest));
            }
            Ok(newest) => newest.map_or(0, |newest| newest.number),
            // The job need not go on from what is damaged.
            Err(e) if e.kind() == ErrorKind::Corrupt => names::manifests(&*self.store)?.last().copied().unwrap_or(0),
            Err(e) => return Err(e),
        };
        self.generation = Some(Generation { facts, first: number + 1, number, last: None, unheard: None });
        Ok(())
    }

    /// Makes a manifest durable; an error if this run has a successor.
    fn put_manifest(&self, manifest: &Manifest) -> Result<Put> {
        let (name, bytes) = (names::manifest(manifest.number), manifest.to_bytes());
        let exists = self.store.create(&name, &bytes)? == Created::Exists && !seeded::has(Bug::ExistsTrusted);
        if exists && self.store.read(&name)?.is_some_and(|other| other != bytes) {
            return self.taken(manifest.number);
        }
        // A number that was taken and collected is free again, hence the list.
        match names::manifests(&*self.store)?.last() {
            Some(&newest) if newest == manifest.number || seeded::has(Bug::PutTrusted) => Ok(Put::Newest),
            _ => self.taken(manifest.number),
        }
    }

    /// Someone else has put a manifest of this number or a greater one.
    fn taken(&self, number: u64) -> Result<Put> {
        match self.newest()? {
            Some(newest) if newest.epoch > self.epoch => Err(self.succeeded(&newest)),
            Some(newest) if newest.number >= number => Ok(Put::Taken(newest.number)),
            _ => Err(Error::unavailable(format!("checkpoint {} is gone", self.store.place(&names::manifest(number))))),
        }
    }

    /// This run has a successor.
    fn succeeded(&self, newest: &Manifest) -> Error {
        Error::invalid(format!(
            "job \"{}\": checkpoint {} was put by a run with epoch {}, which has taken over from this one with epoch {}: \
             only one run of a job may go on from its checkpoints, stop the other one first",
            newest.facts.job,
            self.store.place(&names::manifest(newest.number)),
            newest.epoch,
            self.epoch
        ))
    }

    /// State that cannot be had is damage only if no successor has collected it; while that is not known, it may pass.
    fn unless_succeeded(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Corrupt {
            return error;
        }
        match self.newest() {
            Ok(Some(newest)) if newest.epoch > self.epoch => self.succeeded(&newest),
            Err(unknown) if unknown.kind() == ErrorKind::Unavailable => unknown,
            _ => error,
        }
    }

    fn generation(&mut self) -> Result<&mut Generation> {
        self.generation.as_mut().ok_or_else(|| Error::internal("a checkpoint was put before the job was begun"))
    }

    /// Writes the state of a checkpoint, and makes its manifest.
    fn write_state(&mut self, checkpoint: &Checkpoint) -> Result<Manifest> {
        let written_at = self.clock.now();
        let Some(Generation { facts, number, last, .. }) = &self.generation else {
            return Err(Error::internal("a checkpoint was put before the job was begun"));
        };
        let mut files = StateFiles::new(&*self.store, self.epoch, &mut self.serial, last.as_ref());
        let mut steps = Vec::with_capacity(checkpoint.steps.len());
        for step in &checkpoint.steps {
            if let Err(e) = step.state.write(&mut files) {
                return Err(files.abandon(e));
            }
            let state = files.take_pieces();
            steps.push(StepState { step: step.step.clone(), watermark: step.watermark, state });
        }
        Ok(Manifest {
            number: number + 1,
            epoch: self.epoch,
            written_at,
            facts: facts.clone(),
            coordinator: checkpoint.coordinator.clone(),
            outputs: checkpoint.outputs.clone(),
            rows: checkpoint.rows.clone(),
            last: checkpoint.last,
            replays: checkpoint.replays,
            inputs: checkpoint.inputs.clone(),
            files: files.finish()?,
            steps,
        })
    }

    /// Puts the manifest that was written last, until it is heard that it is there.
    fn put_unheard(&mut self) -> Result<()> {
        for _ in 0..RIVALS_MAX {
            let Some(manifest) = self.generation()?.unheard.take() else { return Ok(()) };
            let put = self.put_manifest(&manifest);
            if put.is_err() && seeded::has(Bug::DeleteOnUnheard) {
                manifest.files.iter().try_for_each(|file| self.store.delete(&file.name))?;
            }
            let generation = self.generation()?;
            match put {
                Ok(Put::Newest) => {
                    generation.number = manifest.number;
                    if generation.last.is_none() || !seeded::has(Bug::NameUnwritten) {
                        generation.last = Some(manifest);
                    }
                    return Ok(());
                }
                // Before the first manifest of a generation an older run may still put one; it is of no use.
                Ok(Put::Taken(number)) if generation.last.is_none() => {
                    (generation.first, generation.number) = (number + 1, number);
                    generation.unheard = Some(Manifest { number: number + 1, ..manifest });
                }
                Ok(Put::Taken(number)) => {
                    return Err(Error::internal(format!("manifest {number} is not the one that this run has put")));
                }
                Err(e) => {
                    generation.unheard = Some(manifest).filter(|_| !seeded::has(Bug::UnheardForgotten));
                    return Err(e);
                }
            }
        }
        Err(Error::unavailable("other runs put checkpoints faster than this one"))
    }

    /// What cannot be deleted now is deleted after a later checkpoint; this one is durable.
    fn collect(&self) {
        if let Some(Generation { first, number, .. }) = self.generation {
            self.collect_as(number, first);
        }
    }

    fn collect_as(&self, own: u64, first: u64) {
        let (store, epoch, kept, now) = (&*self.store, self.epoch, self.kept, self.clock.now());
        if let Err(e) = (Collection { store, epoch, own, first, kept, now }).collect() {
            (self.warn)(&e.context("old checkpoints could not be deleted"));
        }
    }
}

impl CheckpointStore for Checkpoints {
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.hold.as_ref().map_or(Ok(()), Hold::check)?;
        let unheard = self.generation()?.unheard.as_ref().map(|manifest| manifest.coordinator.number);
        // One that was given up may be there all the same, and those that follow count on from it.
        self.put_unheard()?;
        if unheard != Some(checkpoint.coordinator.number) {
            let manifest = self.write_state(checkpoint)?;
            self.generation()?.unheard = Some(manifest);
            self.put_unheard()?;
        }
        self.collect();
        Ok(())
    }
}

/// Copies the newest checkpoint of a job that nobody runs into a place where there is none yet. Refused by name while a run
/// holds the checkpoints.
pub fn save_newest(
    place: impl Into<Place>,
    to: &dyn Fn(&Manifest) -> Result<Place>,
    clock: &dyn Clock,
    pending: &PendingFiles,
) -> Result<Savepoint> {
    let place = place.into();
    let none = || Error::invalid(format!("there is no checkpoint in \"{place}\": the job has not run"));
    let store = place.opened()?.ok_or_else(none)?;
    reading::newest(&*store)?.ok_or_else(none)?;
    let _hold = Hold::take(&place, clock)?;
    // A run may have put another before it let go.
    let newest = reading::newest(&*store)?.ok_or_else(none)?;
    let to = to(&newest)?;
    Savepoint::write(&*store, newest, &to, pending)
}

/// Takes an epoch that no other run has: greater than that of any run before.
fn take_epoch(store: &dyn Store) -> Result<u64> {
    let epochs = names::epochs(store)?;
    let states = store.list(names::STATE)?;
    let mut greatest = epochs.last().copied().max(states.iter().filter_map(|name| names::epoch_of_state(name)).max());
    for number in names::manifests(store)? {
        match reading::manifest(store, number) {
            Ok(manifest) => greatest = greatest.max(manifest.map(|manifest| manifest.epoch)),
            // It is refused by name when it is to be gone on from.
            Err(e) if e.kind() == ErrorKind::Corrupt => {}
            Err(e) => return Err(e),
        }
    }
    if seeded::has(Bug::EpochShared) && greatest.is_some() {
        return Ok(greatest.unwrap_or(0));
    }
    let mut taken = greatest.unwrap_or(0);
    for _ in 0..RIVALS_MAX {
        let epoch = taken.saturating_add(1);
        taken = epoch;
        // No two runs write the same: what is found after an answer was lost is known for one's own.
        let sign =
            if seeded::has(Bug::EpochUnsigned) { String::new() } else { uuid::Uuid::new_v4().simple().to_string() };
        if store.create(&names::epoch(epoch), sign.as_bytes())? == Created::Exists {
            continue;
        }
        // One that was taken is free again once a greater one is there.
        let epochs = names::epochs(store)?;
        match epochs.last() {
            Some(&greater) if greater > epoch && !seeded::has(Bug::EpochTrusted) => taken = greater,
            _ => {
                for older in epochs.into_iter().filter(|&older| older < epoch) {
                    store.delete(&names::epoch(older))?;
                }
                return Ok(epoch);
            }
        }
    }
    Err(Error::unavailable("other runs take epochs faster than this one"))
}
