//! Savepoints of a job: asked for while it runs, or made of what a run has left.

use crate::open::Project;
use checkpoint::{Checkpoints, Manifest, Savepoint};
use connector_iceberg::TableClaim;
use dataflow::{Checkpoint, CheckpointStore, Error, OutputState, ProcessingTime, Result};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The folder beside those of the jobs' checkpoints.
const SAVEPOINTS: &str = "savepoints";

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
    /// Where savepoints lie that are given no folder.
    pub folder: PathBuf,
}

impl CheckpointStore for SavedCheckpoints {
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.held.put(checkpoint)?;
        // Nothing is collected before the next checkpoint, which waits for this.
        for Request { to, answer, .. } in self.requests.take(checkpoint.last) {
            let to = to.unwrap_or_else(|| named_after(&self.folder, checkpoint.coordinator.number));
            // That it fails is no reason for the job to end.
            let saved = self.held.save(&to, &pending_files).map(|saved| SavedJob::of(&saved));
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

/// The folder of a savepoint that is given none; a second one of the same checkpoint has another.
fn named_after(folder: &Path, checkpoint: u64) -> PathBuf {
    let first = folder.join(format!("{checkpoint:010}"));
    let others = (2u64..).map(|again| folder.join(format!("{checkpoint:010}-{again}")));
    std::iter::once(first).chain(others).find(|path| path.symlink_metadata().is_err()).unwrap_or_default()
}

/// The data files of what an output has pending. Nodes of outputs are called `into NAME`, and only tables leave anything.
fn pending_files(output: &OutputState) -> Result<Vec<PathBuf>> {
    TableClaim::pending_files(output.output.strip_prefix("into ").unwrap_or(&output.output), &output.pending)
}

impl Project {
    /// The folder of the savepoints of a job that are given no other.
    pub fn savepoints_path(&self, job: Option<&str>) -> PathBuf {
        let checkpoints = self.checkpoints_path(job);
        let name = checkpoints.file_name().unwrap_or_default().to_owned();
        checkpoints.parent().unwrap_or(Path::new("")).join(SAVEPOINTS).join(name)
    }

    /// Whether a run of a job is there, even if it does not answer: it may be starting, or ending.
    pub fn is_held(&self, job: Option<&str>) -> Result<bool> {
        checkpoint::is_held(&self.checkpoints_path(job))
    }

    /// Makes a savepoint of the newest checkpoint of a job that nobody runs.
    pub fn save(&self, job: Option<&str>, to: Option<&Path>) -> Result<SavedJob> {
        let (checkpoints, folder) = (self.checkpoints_path(job), self.savepoints_path(job));
        let to = |newest: &Manifest| to.map_or_else(|| named_after(&folder, newest.coordinator.number), Path::to_owned);
        let saved = checkpoint::save_newest(&checkpoints, &to, &*self.clock, &pending_files)?;
        Ok(SavedJob::of(&saved))
    }
}
