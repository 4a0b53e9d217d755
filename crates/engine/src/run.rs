//! Runs a job on threads: one per worker, and one for each writer and each committer of its
//! outputs, and one that stores checkpoints.

use crate::build::{JobReport, Parts, build};
use crate::checkpoint::CheckpointerStep;
use crate::commit::CommitterStep;
use crate::control::Control;
use crate::job::Job;
use crate::limits::STACK_BYTES;
use crate::schedule::Downstream;
use crate::sink::WriterStep;
use crate::status::Status;
use crate::worker::{Worker, WorkerStep};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use dataflow::{Error, Result, panic_text};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often the host looks after a running job.
const TICK: Duration = Duration::from_millis(100);
/// For how long the threads of a job that has failed are waited for: one may stand in a call to the outside.
const GRACE_TICKS: usize = 10;

/// Runs a job to its end. `tick` is called about ten times a second with what the job shows of itself; it may ask
/// for commits and for the end. The first error of a worker, a writer or a commit ends the job and is returned; what
/// was prepared and not committed stays invisible.
pub fn run(job: Job, control: &Arc<Control>, tick: &mut dyn FnMut(&Status)) -> Result<JobReport> {
    let Parts { workers, writers, checkpointer, committers, queues, status, commits } = build(job, control)?;
    let mut threads = Threads::new(control.clone());
    for (index, worker) in workers.into_iter().enumerate() {
        let control = control.clone();
        threads.start(format!("worker {index}"), move || drive(worker, &control))?;
    }
    for mut writer in writers {
        threads.start(format!("writer {}", writer.name), move || {
            while writer.step(true)? != WriterStep::Ended {}
            Ok(())
        })?;
    }
    if let Some(mut checkpointer) = checkpointer {
        let control = control.clone();
        threads.start("checkpoints".to_owned(), move || {
            while !control.has_failed() && checkpointer.step(true)? != CheckpointerStep::Ended {}
            Ok(())
        })?;
    }
    for mut committer in committers {
        let control = control.clone();
        threads.start(format!("committer {}", committer.name), move || {
            while !control.has_failed() && committer.step(true)? != CommitterStep::Ended {}
            Ok(())
        })?;
    }
    threads.attend(&mut || tick(&status), &|| queues.iter().for_each(|queue| queue.abandon()));
    if let Some(error) = control.take_error() {
        return Err(error);
    }
    tick(&status);
    Ok(JobReport { status, commits: commits.load(Relaxed) })
}

/// The threads of a job. Each tells when it ends, also by a panic.
struct Threads {
    control: Arc<Control>,
    running: usize,
    ends: (Sender<()>, Receiver<()>),
}

impl Threads {
    fn new(control: Arc<Control>) -> Threads {
        Threads { control, running: 0, ends: unbounded() }
    }

    fn start(&mut self, name: String, body: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
        let (control, ends) = (self.control.clone(), self.ends.0.clone());
        let run = move || {
            // The state of what panicked is not looked at again.
            let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| Err(bug(panic.as_ref())));
            if let Err(error) = result {
                control.fail(error);
            }
            let _ = ends.send(());
        };
        let started = std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(run);
        if let Err(error) = started {
            let error = Error::unavailable("a thread of the job cannot be started").with_source(error);
            self.control.fail(error);
            return Err(self.control.take_error().unwrap_or_else(|| Error::internal("an error was lost")));
        }
        self.running += 1;
        Ok(())
    }

    /// Waits until all threads have ended; when the job has failed, until those have that do not stand outside.
    fn attend(mut self, tick: &mut dyn FnMut(), abandon: &dyn Fn()) {
        let mut grace = GRACE_TICKS;
        while self.running > 0 && grace > 0 {
            let failed = self.control.has_failed();
            if failed {
                abandon();
            }
            match self.ends.1.recv_timeout(TICK) {
                Ok(()) => self.running -= 1,
                Err(RecvTimeoutError::Timeout) => {
                    grace -= usize::from(failed);
                    tick();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// Steps a worker until it has finished, or the job has failed.
fn drive(mut worker: Worker, control: &Control) -> Result<()> {
    let mut schedule = Downstream::new();
    while !control.has_failed() {
        match worker.step(&mut schedule)? {
            WorkerStep::Moved => {}
            // The call that told of a failure may have been taken already.
            WorkerStep::Idle if control.has_failed() => break,
            WorkerStep::Idle => worker.wait()?,
            WorkerStep::Finished => break,
        }
    }
    Ok(())
}

fn bug(panic: &(dyn std::any::Any + Send)) -> Error {
    Error::internal(format!("a bug in riverrun, please report it: {}", panic_text(panic)))
}
