//! Runs a job in one thread, choosing by a seed among everything that could happen next.

use crate::build::{JobReport, Parts, build};
use crate::checkpoint::CheckpointerStep;
use crate::commit::CommitterStep;
use crate::control::Control;
use crate::job::Job;
use crate::schedule::{Downstream, Next, Schedule};
use crate::sink::WriterStep;
use crate::status::Status;
use crate::worker::WorkerStep;
use dataflow::{BATCH_ROWS, Error, ProcessingTime, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A job that is stepped by a seed: the same seed over the same inputs makes the same choices.
///
/// The same workers, writers and committers run here and on threads; only who chooses differs.
pub struct Driver {
    built: Parts,
    control: Arc<Control>,
    chance: Chance,
    // The schedules of the workers, where they are those of threads.
    in_turn: Option<Vec<Downstream>>,
    // The part that is stepped next, where parts have turns.
    turn: usize,
    // Whether the writers of outputs stand still.
    #[cfg(test)]
    pub(crate) writers_stand: bool,
    // Of the workers, the writers, the checkpointer and the committers, in this sequence.
    finished: Vec<bool>,
}

/// What one step of the driver gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something moved.
    Moved,
    /// Nothing can move before its sources have more: time to turn the virtual clock.
    Idle,
    /// All have ended.
    Finished,
}

impl Driver {
    /// Takes a job and a seed.
    pub fn new(job: Job, seed: u64) -> Result<Driver> {
        let control = Arc::new(Control::default());
        let built = build(job, &control)?;
        let finished = vec![false; built.workers.len() + built.writers.len() + 1 + built.committers.len()];
        let (chance, turn) = (Chance(seed), 0);
        Ok(Driver {
            built,
            control,
            chance,
            in_turn: None,
            turn,
            #[cfg(test)]
            writers_stand: false,
            finished,
        })
    }

    /// Takes a job whose parts have turns, and whose workers choose as those on threads do: nothing is left to chance, and
    /// what this host would starve stands still.
    pub fn in_turn(job: Job) -> Result<Driver> {
        let mut driver = Driver::new(job, 0)?;
        driver.in_turn = Some(driver.built.workers.iter().map(|_| Downstream::new()).collect());
        Ok(driver)
    }

    /// Commits and the end, from outside.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What the job shows of itself.
    pub fn status(&self) -> &Status {
        &self.built.status
    }

    /// Makes one call in one worker, writer, checkpointer or committer. The first error of any of them, or of what was asked for from
    /// outside, ends the job; there is no step after it.
    pub fn step(&mut self) -> Result<Step> {
        if !self.control.has_failed() {
            match self.step_any() {
                Err(error) => self.control.fail(error),
                Ok(step) if !self.control.has_failed() => return Ok(step),
                Ok(_) => {}
            }
        }
        Err(self.control.take_error().unwrap_or_else(|| Error::internal("a job that has failed was stepped again")))
    }

    fn step_any(&mut self) -> Result<Step> {
        let parts = self.finished.len();
        let first = if self.in_turn.is_some() { self.turn } else { self.chance.below(parts) };
        self.turn = (first + 1) % parts;
        for part in (0..parts).map(|n| (first + n) % parts) {
            if !self.finished[part] && self.step_part(part)? == WorkerStep::Moved {
                return Ok(Step::Moved);
            }
        }
        if self.finished.iter().all(|&finished| finished) {
            return Ok(Step::Finished);
        }
        // Messages that come while nothing moves wake the readers from another thread, at a time that no seed chooses.
        self.built.workers.iter_mut().for_each(crate::worker::Worker::look_again);
        Ok(Step::Idle)
    }

    fn step_part(&mut self, part: usize) -> Result<WorkerStep> {
        let (workers, writers) = (self.built.workers.len(), self.built.writers.len());
        let stepped = if part < workers {
            match &mut self.in_turn {
                Some(schedules) => self.built.workers[part].step(&mut schedules[part])?,
                None => self.built.workers[part].step(&mut self.chance)?,
            }
        } else if part < workers + writers {
            #[cfg(test)]
            if self.writers_stand {
                return Ok(WorkerStep::Idle);
            }
            match self.built.writers[part - workers].step(false)? {
                WriterStep::Moved => WorkerStep::Moved,
                WriterStep::Idle => WorkerStep::Idle,
                WriterStep::Ended => WorkerStep::Finished,
            }
        } else if part == workers + writers {
            match self.built.checkpointer.as_mut().map(|checkpointer| checkpointer.step(false)).transpose()? {
                Some(CheckpointerStep::Moved) => WorkerStep::Moved,
                Some(CheckpointerStep::Idle) => WorkerStep::Idle,
                None | Some(CheckpointerStep::Ended) => WorkerStep::Finished,
            }
        } else {
            // Nothing more can come to a committer once the writers, and what stores checkpoints, have ended.
            let (writers_done, committers) =
                (self.finished[workers..=workers + writers].iter().all(|&done| done), &mut self.built.committers);
            let committer = &mut committers[part - workers - writers - 1];
            match committer.step(false)? {
                CommitterStep::Moved => WorkerStep::Moved,
                CommitterStep::Idle if writers_done && committer.is_done() => WorkerStep::Finished,
                CommitterStep::Idle => WorkerStep::Idle,
                CommitterStep::Ended => WorkerStep::Finished,
            }
        };
        self.finished[part] = stepped == WorkerStep::Finished;
        // What ends has moved: others may depend on it.
        Ok(if stepped == WorkerStep::Finished { WorkerStep::Moved } else { stepped })
    }

    /// Steps until all have ended; `idle` turns the clock, or brings more, when nothing can move.
    pub fn run(mut self, idle: &mut dyn FnMut() -> Result<()>) -> Result<JobReport> {
        let mut still = 0;
        loop {
            match self.step()? {
                Step::Moved => still = 0,
                Step::Finished => {
                    return Ok(JobReport { status: self.built.status, commits: self.built.commits.load(Relaxed) });
                }
                Step::Idle if still > IDLE_MAX => {
                    return Err(Error::internal("the job stands still: no stage can run"));
                }
                Step::Idle => {
                    still += 1;
                    idle()?;
                    if still > SPINS_MAX {
                        // What is read ahead comes from other threads, which a busy machine may leave waiting.
                        std::thread::park_timeout(PAUSE);
                    }
                }
            }
        }
    }
}

/// How often in a row nothing may move before the driver leaves the processor to other threads, and for how long.
const SPINS_MAX: usize = 1_000;
const PAUSE: Duration = Duration::from_micros(100);
/// How often in a row nothing may move before the driver says that the job stands still: after ten seconds at least.
const IDLE_MAX: usize = 101_000;

/// A splitmix64 sequence.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

impl Schedule for Chance {
    fn next(&mut self, steps: usize, sources: usize, _: ProcessingTime) -> Next {
        let chosen = self.below(steps + sources);
        if chosen < steps { Next::Stage(chosen) } else { Next::Source(chosen - steps) }
    }

    fn lane(&mut self, lanes: usize) -> usize {
        self.below(lanes)
    }

    fn rows_max(&mut self) -> usize {
        let most = [1, 3, 17, 256, BATCH_ROWS];
        most[self.below(most.len())]
    }
}
