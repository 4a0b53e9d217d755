//! Runs a job on threads, one per worker.

use crate::commit::Commits;
use crate::event::Barrier;
use crate::job::Job;
use crate::status::Status;
use crate::worker::{Built, Downstream, Stepped, Worker, build};
use dataflow::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the host looks after a running job.
const TICK: Duration = Duration::from_millis(50);

/// How long a worker with nothing to do waits before it polls its sources again.
const POLL_PAUSE: Duration = Duration::from_millis(1);

/// Moves a running job from outside: commits and the end.
#[derive(Debug, Default)]
pub struct Control {
    barriers: Mutex<Barriers>,
    failed: AtomicBool,
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
        let mut barriers = self.barriers();
        if barriers.last.is_none() {
            barriers.requested += 1;
        }
    }

    /// Asks for the last barrier: what was read is finished and committed, then the job ends.
    pub fn finish(&self) {
        let mut barriers = self.barriers();
        if barriers.last.is_none() {
            barriers.requested += 1;
            barriers.last = Some(barriers.requested);
        }
    }

    /// The barrier after the one numbered, if it was asked for.
    pub(crate) fn barrier_behind(&self, number: u64) -> Option<Barrier> {
        let barriers = self.barriers();
        let next = number + 1;
        (next <= barriers.requested).then(|| Barrier { number: next, last: barriers.last == Some(next) })
    }

    fn barriers(&self) -> MutexGuard<'_, Barriers> {
        self.barriers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct Ended {
    /// What it showed last.
    pub status: Arc<Status>,
    /// How many commits its sinks made.
    pub commits: u64,
}

/// Runs a job to its end. `tick` is called about twenty times a second with what the job shows of itself; it may ask
/// for commits and for the end. The first error of a worker or a commit ends the job and is returned; what was
/// prepared and not committed stays invisible.
pub fn run(job: Job, control: &Arc<Control>, tick: &mut dyn FnMut(&Status)) -> Result<Ended> {
    let Built { workers, mut commits, prepared, status } = build(job, control)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers.into_iter().map(|worker| scope.spawn(move || drive(worker, control))).collect();
        let committed = attend(&prepared, &mut commits, &threads, &status, tick);
        if committed.is_err() {
            control.failed.store(true, Ordering::Relaxed);
        }
        let mut result = committed;
        for thread in threads {
            let worker = thread.join().unwrap_or_else(|_| Err(Error::internal("a worker ended without a word")));
            result = result.and(worker);
        }
        result
    })?;
    while let Ok(of_writer) = prepared.try_recv() {
        commits.take(of_writer)?;
    }
    tick(&status);
    Ok(Ended { status, commits: commits.commits() })
}

type Thread<'scope> = std::thread::ScopedJoinHandle<'scope, Result<()>>;

/// Commits what workers prepare until all of them have ended.
fn attend(
    prepared: &crossbeam_channel::Receiver<crate::commit::Prepared>,
    commits: &mut Commits,
    threads: &[Thread<'_>],
    status: &Status,
    tick: &mut dyn FnMut(&Status),
) -> Result<()> {
    while !threads.iter().all(Thread::is_finished) {
        if let Ok(of_writer) = prepared.recv_timeout(TICK) {
            commits.take(of_writer)?;
        }
        tick(status);
    }
    Ok(())
}

/// Steps a worker until it has finished, or another one has failed.
fn drive(mut worker: Worker, control: &Control) -> Result<()> {
    let mut schedule = Downstream::new();
    let result = loop {
        if control.failed.load(Ordering::Relaxed) {
            break Ok(());
        }
        // The state of a worker that panicked is not looked at again.
        match catch_unwind(AssertUnwindSafe(|| worker.step(&mut schedule))) {
            Ok(Ok(Stepped::Moved)) => {}
            Ok(Ok(Stepped::Idle)) => worker.wait(POLL_PAUSE),
            Ok(Ok(Stepped::Finished)) => break Ok(()),
            Ok(Err(error)) => break Err(error),
            Err(panic) => break Err(Error::internal(panic_text(panic.as_ref()))),
        }
    };
    if result.is_err() {
        control.failed.store(true, Ordering::Relaxed);
    }
    result
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("a bug in riverrun, please report it: {}", text.unwrap_or("a panic without a message"))
}
