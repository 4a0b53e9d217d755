//! Savepoints of a job: asked for while it runs, or made of what a run has left.

use crate::checkpoint_places::NamedPlaces;
use crate::open::Project;
use checkpoint::{Checkpoints, LeaseHolder, Manifest, Place, Savepoint};
use connector_iceberg::TableClaim;
use dataflow::{Checkpoint, CheckpointStore, Error, OutputState, ProcessingTime, Result};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A savepoint, as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedJob {
    /// Where it lies.
    pub folder: PathBuf,
    /// The checkpoint that it is a copy of.
    pub checkpoint: u64,
    /// When that was written.
    pub written_at: ProcessingTime,
    /// The bytes of its state.
    pub bytes: u64,
}

impl SavedJob {
    pub(crate) fn of(saved: &Savepoint) -> SavedJob {
        let Manifest { coordinator, written_at, .. } = &saved.manifest;
        SavedJob {
            folder: saved.path().to_owned(),
            checkpoint: coordinator.number,
            written_at: *written_at,
            bytes: saved.manifest.state_bytes(),
        }
    }
}

/// What a running job is asked to copy.
#[derive(Clone, Default)]
pub struct SavepointRequests(Arc<Mutex<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: Vec<Request>,
    // What has become of those that were answered, for whoever watches the job.
    answered: Vec<std::result::Result<SavedJob, String>>,
    is_closed: bool,
}

struct Request {
    to: Option<PathBuf>,
    // Whether only the last checkpoint of the run will do.
    of_end: bool,
    answer: Sender<Result<SavedJob>>,
}

impl SavepointRequests {
    /// Asks for a savepoint of the next checkpoint, or of the last one that the run will make; in a folder named after the
    /// checkpoint if none is given. The answer is an error, or its sender is gone, when the job ends before that.
    pub fn ask(&self, to: Option<PathBuf>, of_end: bool) -> Receiver<Result<SavedJob>> {
        let (answer, answers) = channel();
        let mut queue = self.queue();
        if !queue.is_closed {
            queue.waiting.push(Request { to, of_end, answer });
        }
        answers
    }

    /// What has become of requests since this was last asked.
    pub fn take_answered(&self) -> Vec<std::result::Result<SavedJob, String>> {
        std::mem::take(&mut self.queue().answered)
    }

    fn take(&self, is_end: bool) -> Vec<Request> {
        let mut queue = self.queue();
        let (due, later) = std::mem::take(&mut queue.waiting).into_iter().partition(|ask| is_end || !ask.of_end);
        queue.waiting = later;
        due
    }

    fn close(&self) {
        let mut queue = self.queue();
        (queue.is_closed, queue.waiting) = (true, Vec::new());
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checkpoints of a running job, copied where somebody has asked for it.
pub(crate) struct SavedCheckpoints {
    pub held: Checkpoints,
    pub requests: SavepointRequests,
    /// Where savepoints lie that are given no place.
    pub beside: Place,
    /// What people name a place for one by.
    pub places: NamedPlaces,
}

impl SavedCheckpoints {
    /// Copies the checkpoint that was put last.
    fn save(&self, to: Option<PathBuf>, checkpoint: u64) -> Result<SavedJob> {
        let to = match to {
            Some(to) => self.places.at(&to)?,
            None => named_after(&self.beside, checkpoint)?,
        };
        self.held.save(&to, &pending_files).map(|saved| SavedJob::of(&saved))
    }
}

impl CheckpointStore for SavedCheckpoints {
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.held.put(checkpoint)?;
        // Nothing is collected before the next checkpoint, which waits for this.
        for Request { to, answer, .. } in self.requests.take(checkpoint.last) {
            // That it fails is no reason for the job to end.
            let saved = self.save(to, checkpoint.coordinator.number);
            let told = saved.as_ref().map(SavedJob::clone).map_err(Error::chain);
            self.requests.queue().answered.push(told);
            // Whoever has asked may have gone.
            let _ = answer.send(saved);
        }
        Ok(())
    }
}

impl Drop for SavedCheckpoints {
    fn drop(&mut self) {
        self.requests.close();
    }
}

/// How many savepoints of one checkpoint are looked for.
const SAVED_MAX: u64 = 10_000;

/// The place of a savepoint that is given none; a second one of the same checkpoint has another.
fn named_after(beside: &Place, checkpoint: u64) -> Result<Place> {
    let first = beside.inner(&format!("{checkpoint:010}"));
    let others = (2..SAVED_MAX).map(|again| beside.inner(&format!("{checkpoint:010}-{again}")));
    for place in std::iter::once(first).chain(others) {
        if !place.is_taken()? {
            return Ok(place);
        }
    }
    Err(Error::invalid(format!("\"{beside}\" has too many savepoints of checkpoint {checkpoint}, remove some")))
}

/// The data files of what an output has pending. Nodes of outputs are called `into NAME`, and only tables leave anything.
fn pending_files(output: &OutputState) -> Result<Vec<PathBuf>> {
    TableClaim::pending_files(output.output.strip_prefix("into ").unwrap_or(&output.output), &output.pending)
}

impl Project {
    /// Whether a run of a job has left something, here or in a store.
    pub fn has_run(&self, job: Option<&str>) -> Result<bool> {
        Ok(self.checkpoints_path(job).is_dir() || checkpoint::count(&self.checkpoints_place(job)?)? > 0)
    }

    /// Whether a run of a job is there on this machine, even if it does not answer: it may be starting, or ending.
    pub fn is_held(&self, job: Option<&str>) -> Result<bool> {
        checkpoint::is_held(&self.checkpoints_path(job))
    }

    /// The run of a job on another machine, where checkpoints lie in a store and nobody runs the job here. It is looked for up
    /// to eight seconds where a run has ended without giving them back.
    pub fn run_elsewhere(&self, job: Option<&str>) -> Result<Option<LeaseHolder>> {
        if self.is_held(job)? {
            return Ok(None);
        }
        checkpoint::holder_elsewhere(&self.checkpoints_place(job)?)
    }

    /// Makes a savepoint of the newest checkpoint of a job that nobody runs.
    pub fn save(&self, job: Option<&str>, to: Option<&Path>) -> Result<SavedJob> {
        let (checkpoints, beside) = (self.checkpoints_place(job)?, self.savepoints_place(job)?);
        let to = to.map(|to| self.named_places(job).at(to)).transpose()?;
        let to = |newest: &Manifest| match &to {
            Some(to) => Ok(to.clone()),
            None => named_after(&beside, newest.coordinator.number),
        };
        let saved = checkpoint::save_newest(&checkpoints, &to, &*self.clock, &pending_files)?;
        Ok(SavedJob::of(&saved))
    }
}
