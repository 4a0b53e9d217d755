//! Threads for what need not run on a worker's: reading and decoding ahead.

use crate::limits::STACK_BYTES;
use crossbeam_channel::{Sender, unbounded};
use dataflow::{Background, Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A few threads that run what they are given, in turn. They end when the pool and what it was given are gone.
pub struct Pool {
    work: Sender<Box<dyn FnOnce() + Send>>,
}

impl Pool {
    /// A pool of so many threads.
    pub fn new(threads: usize) -> Result<Pool> {
        let (sender, work) = unbounded::<Box<dyn FnOnce() + Send>>();
        for thread in 0..threads.max(1) {
            let work = work.clone();
            let run = move || {
                for work in work {
                    // What panics leaves no result, and who waits for one says so.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                }
            };
            let named = std::thread::Builder::new().name(format!("read ahead {thread}"));
            named.stack_size(STACK_BYTES).spawn(run).map_err(|error| {
                Error::unavailable("a thread that reads ahead cannot be started").with_source(error)
            })?;
        }
        Ok(Pool { work: sender })
    }
}

impl Background for Pool {
    fn run(&self, work: Box<dyn FnOnce() + Send>) {
        // The threads end only after the pool.
        let _ = self.work.send(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_does_not_end_the_threads() {
        let pool = Pool::new(1).unwrap();
        let (sender, done) = unbounded();
        pool.run(Box::new(|| panic!("told to")));
        pool.run(Box::new(move || sender.send(7).unwrap()));
        assert_eq!(done.recv(), Ok(7));
    }
}
