//! Moves a running job from outside: commits, the end, and the first error.

use crate::coordination::Coordination;
use crate::mailbox::Caller;
use dataflow::{CheckpointPurpose, Error};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Moves a running job from outside: commits and the end.
#[derive(Default)]
pub struct Control {
    job: Mutex<Requests>,
    failed: AtomicBool,
    ends: Arc<AtomicBool>,
    error: Mutex<Option<Error>>,
}

#[derive(Default)]
struct Requests {
    coordination: Option<Arc<Coordination>>,
    workers: Vec<Arc<Caller>>,
    // The checkpoint that was asked for before the job was there.
    wanted: Option<CheckpointPurpose>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}

impl Control {
    /// Asks for a checkpoint. What is prepared for tables up to there is committed with a later one.
    pub fn checkpoint(&self) {
        self.want(CheckpointPurpose::GoOn);
    }

    /// Asks for a checkpoint, at which tables are committed.
    pub fn commit(&self) {
        self.want(CheckpointPurpose::Commit);
    }

    /// Asks for the last checkpoint: what was read is finished and committed, then the job ends.
    pub fn finish(&self) {
        self.ends.store(true, Relaxed);
        self.want(CheckpointPurpose::End);
    }

    fn want(&self, purpose: CheckpointPurpose) {
        let mut job = lock(&self.job);
        job.wanted = job.wanted.max(Some(purpose));
        drop(job);
        self.pass_on();
    }

    /// Whether the end was asked for, as what tries again looks at it.
    pub(crate) fn ends(&self) -> Arc<AtomicBool> {
        self.ends.clone()
    }

    /// Ends the job with an error; the first one counts.
    pub(crate) fn fail(&self, error: Error) {
        lock(&self.error).get_or_insert(error);
        self.failed.store(true, SeqCst);
        lock(&self.job).workers.iter().for_each(|worker| worker.call());
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(SeqCst)
    }

    /// The error that ended the job.
    pub(crate) fn take_error(&self) -> Option<Error> {
        lock(&self.error).take()
    }

    /// The job that is moved, and whom to call when it has failed.
    pub(crate) fn attach(&self, coordination: Arc<Coordination>, workers: Vec<Arc<Caller>>) {
        let mut job = lock(&self.job);
        (job.coordination, job.workers) = (Some(coordination), workers);
        drop(job);
        self.pass_on();
    }

    /// Passes on what was asked for, once there is a job.
    fn pass_on(&self) {
        let mut job = lock(&self.job);
        let Some(coordination) = job.coordination.clone() else { return };
        let wanted = job.wanted.take();
        drop(job);
        let told = wanted.map(|purpose| coordination.ask(purpose));
        if let Some(Err(error)) = told {
            self.fail(error);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
