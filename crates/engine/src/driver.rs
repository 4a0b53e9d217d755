//! Runs a job in one thread, choosing by a seed among everything that could happen next.

use crate::job::Job;
use crate::run::{Control, Ended};
use crate::status::Status;
use crate::worker::{Built, Schedule, Stepped, build};
use crate::{BATCH_ROWS, worker::Worker};
use dataflow::{Error, Result};
use std::sync::Arc;

/// A job that is stepped by a seed: the same seed over the same inputs makes the same choices.
///
/// The same workers run here and on threads; only who chooses differs.
pub struct Driver {
    built: Built,
    control: Arc<Control>,
    chance: Chance,
    finished: Vec<bool>,
}

/// What one step of the driver gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something moved.
    Moved,
    /// No worker can move before its sources have more: time to turn the virtual clock.
    Idle,
    /// All workers have ended.
    Finished,
}

impl Driver {
    /// Takes a job and a seed.
    pub fn new(job: Job, seed: u64) -> Result<Driver> {
        let control = Arc::new(Control::default());
        let built = build(job, &control)?;
        let finished = vec![false; built.workers.len()];
        Ok(Driver { built, control, chance: Chance(seed), finished })
    }

    /// Commits and the end, from outside.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What the job shows of itself.
    pub fn status(&self) -> &Status {
        &self.built.status
    }

    /// Makes one call in one worker.
    pub fn step(&mut self) -> Result<Step> {
        let workers = self.built.workers.len();
        let first = self.chance.below(workers);
        let mut all_finished = true;
        for worker in (0..workers).map(|n| (first + n) % workers) {
            if self.finished[worker] {
                continue;
            }
            let stepped = step(&mut self.built.workers[worker], &mut self.chance)?;
            self.finished[worker] = stepped == Stepped::Finished;
            all_finished &= self.finished[worker];
            if stepped == Stepped::Moved {
                self.commit()?;
                return Ok(Step::Moved);
            }
        }
        self.commit()?;
        Ok(if all_finished && self.finished.iter().all(|&finished| finished) { Step::Finished } else { Step::Idle })
    }

    /// Steps until all workers have ended; `idle` turns the clock, or brings more, when nothing can move.
    pub fn run(mut self, idle: &mut dyn FnMut() -> Result<()>) -> Result<Ended> {
        let mut still = 0;
        loop {
            match self.step()? {
                Step::Moved => still = 0,
                Step::Finished => {
                    return Ok(Ended { status: self.built.status, commits: self.built.commits.commits() });
                }
                Step::Idle if still > IDLE_MAX => {
                    return Err(Error::internal("the job stands still: no stage can run"));
                }
                Step::Idle => {
                    still += 1;
                    idle()?;
                }
            }
        }
    }

    fn commit(&mut self) -> Result<()> {
        while let Ok(prepared) = self.built.prepared.try_recv() {
            self.built.commits.take(prepared)?;
        }
        Ok(())
    }
}

/// How often in a row nothing may move before the driver says that the job stands still.
const IDLE_MAX: usize = 100_000;

fn step(worker: &mut Worker, chance: &mut Chance) -> Result<Stepped> {
    worker.step(chance)
}

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
    fn node(&mut self, nodes: usize) -> usize {
        self.below(nodes)
    }

    fn lane(&mut self, lanes: usize) -> usize {
        self.below(lanes)
    }

    fn rows_max(&mut self) -> usize {
        let most = [1, 3, 17, 256, BATCH_ROWS];
        most[self.below(most.len())]
    }
}
