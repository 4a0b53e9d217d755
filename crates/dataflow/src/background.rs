//! Work that need not run on the caller's thread: decoding ahead, for one.

/// Runs work off the caller's thread, or at once: a host on threads does the first, a seeded driver the second, so
/// that the same seed makes the same choices.
pub trait Background: Send + Sync {
    /// Runs the work, soon. It leaves its result where the caller looks, and calls the caller's waker itself.
    fn run(&self, work: Box<dyn FnOnce() + Send>);
}

/// Runs work at once, on the caller's thread.
///
/// ```
/// use dataflow::{AtOnce, Background};
/// use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
/// static DONE: AtomicBool = AtomicBool::new(false);
/// AtOnce.run(Box::new(|| DONE.store(true, SeqCst)));
/// assert!(DONE.load(SeqCst));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AtOnce;

impl Background for AtOnce {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }
}
