//! Moves a running job from outside: commits, the end, and the first error.

use crate::coordination::Coordination;
use crate::mailbox::Caller;
use dataflow::{CoordinatorEvent, Error};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Moves a running job from outside: commits and the end.
#[derive(Default)]
pub struct Control {
    job: Mutex<Requests>,
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
}

#[derive(Default)]
struct Requests {
    coordination: Option<Arc<Coordination>>,
    workers: Vec<Arc<Caller>>,
    // What was asked for before the job was there.
    commit: bool,
    finish: bool,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("failed", &self.has_failed()).finish_non_exhaustive()
    }
}

impl Control {
    /// Asks for a checkpoint, at which tables are committed.
    pub fn commit(&self) {
        lock(&self.job).commit = true;
        self.pass_on();
    }

    /// Asks for the last checkpoint: what was read is finished and committed, then the job ends.
    pub fn finish(&self) {
        lock(&self.job).finish = true;
        self.pass_on();
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
        let requests = [(std::mem::take(&mut job.commit), false), (std::mem::take(&mut job.finish), true)];
        drop(job);
        for (_, last) in requests.into_iter().filter(|(wanted, _)| *wanted) {
            if let Err(error) = coordination.tell(CoordinatorEvent::CheckpointWanted { last }) {
                self.fail(error);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
