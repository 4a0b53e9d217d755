//! Moves a running job from outside: commits, the end, and the first error.

use crate::event::Barrier;
use crate::mailbox::Caller;
use dataflow::Error;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Moves a running job from outside: commits and the end.
#[derive(Debug, Default)]
pub struct Control {
    barriers: Mutex<Barriers>,
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
    workers: Mutex<Vec<Arc<Caller>>>,
}

#[derive(Debug, Default)]
struct Barriers {
    requested: u64,
    // Invariant: once set, equal to `requested` for ever.
    last: Option<u64>,
}

impl Control {
    /// Asks for a barrier, at which tables are committed.
    pub fn commit(&self) {
        let mut barriers = lock(&self.barriers);
        if barriers.last.is_none() {
            barriers.requested += 1;
            drop(barriers);
            self.call_workers();
        }
    }

    /// Asks for the last barrier: what was read is finished and committed, then the job ends.
    pub fn finish(&self) {
        let mut barriers = lock(&self.barriers);
        if barriers.last.is_none() {
            barriers.requested += 1;
            barriers.last = Some(barriers.requested);
            drop(barriers);
            self.call_workers();
        }
    }

    /// The barrier after the one numbered, if it was asked for.
    pub(crate) fn barrier_after(&self, number: u64) -> Option<Barrier> {
        let barriers = lock(&self.barriers);
        let next = number + 1;
        (next <= barriers.requested).then(|| Barrier { number: next, last: barriers.last == Some(next) })
    }

    /// Ends the job with an error; the first one counts.
    pub(crate) fn fail(&self, error: Error) {
        lock(&self.error).get_or_insert(error);
        self.failed.store(true, SeqCst);
        self.call_workers();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(SeqCst)
    }

    /// The error that ended the job.
    pub(crate) fn take_error(&self) -> Option<Error> {
        lock(&self.error).take()
    }

    /// Whom to call when something is asked for.
    pub(crate) fn add_worker(&self, worker: Arc<Caller>) {
        lock(&self.workers).push(worker);
    }

    fn call_workers(&self) {
        lock(&self.workers).iter().for_each(|worker| worker.call());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
