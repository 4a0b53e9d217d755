//! What happens, and when: all of it drawn from a seed.

use super::life::{Begin, live};
use super::turn::{Report, Turn};
use super::world::{StoreKind, World};
use crate::seeded::{self, Bug};
use dataflow::ErrorKind;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// How many steps a job may take to come to its end once nothing goes wrong.
const CLOSING_STEPS_MAX: usize = 60_000;
/// How many runs there may be at a time.
const RUNS_MAX: usize = 4;

/// What came of a seed.
pub struct Played {
    pub wrong: Option<String>,
    pub seen: BTreeMap<&'static str, usize>,
    pub steps: usize,
}

/// A run as the scheduler sees it.
struct Run {
    name: usize,
    reports: Receiver<Report>,
    turns: Sender<bool>,
    thread: JoinHandle<()>,
    is_paused: bool,
    // Taken for dead although it may work on.
    is_lapsed: bool,
    // Some runs are slow beside others.
    pace: usize,
}

struct Play {
    world: Arc<Mutex<World>>,
    bug: Option<Bug>,
    runs: Vec<Run>,
    started: usize,
    steps: usize,
    is_local: bool,
    crashes: usize,
    pauses: usize,
    fresh: usize,
    resumes: usize,
}

/// Plays a seed.
pub fn play(seed: u64, bug: Option<Bug>, kind: StoreKind, is_tracing: bool) -> Played {
    let mut world = World::new(seed, kind, is_tracing);
    let is_local = world.chance.hits(2500) || kind == StoreKind::Unsynced;
    let (crashes, pauses) = (world.chance.of(&[0, 20, 100]), world.chance.of(&[0, 30, 100, 200]));
    let fresh = world.chance.of(&[0, 0, 1000, 4000]);
    let resumes = world.chance.of(&[0, 2000, 6000]);
    let steps = world.chance.of(&[100, 400, 1200]);
    let world = Arc::new(Mutex::new(world));
    let runs = Vec::new();
    let mut play = Play { world, bug, runs, started: 0, steps: 0, is_local, crashes, pauses, fresh, resumes };
    for _ in 0..steps {
        play.misfortune();
        if play.world().wrong.is_some() {
            break;
        }
    }
    play.close();
    while !play.runs.is_empty() {
        play.kill(0);
    }
    let mut world = play.world();
    Played { wrong: world.wrong.take(), seen: std::mem::take(&mut world.seen), steps: play.steps }
}

impl Play {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Nothing goes wrong any more; what is alive works on, and the job ends twice: the second time nothing has to be
    /// taken up.
    fn close(&mut self) {
        {
            let mut world = self.world();
            (world.closing, world.unreliable) = (true, 0);
            world.end = world.job.rows.len();
        }
        (self.fresh, self.resumes) = (0, 0);
        for run in &mut self.runs {
            (run.is_paused, run.is_lapsed) = (false, true);
        }
        let mut ended = 0;
        for _ in 0..CLOSING_STEPS_MAX {
            if self.world().wrong.is_some() {
                return;
            }
            let is_quiet = self.runs.is_empty() && self.world().flights.is_empty();
            if !is_quiet {
                self.go_on();
            } else if ended == 2 {
                return self.world().check_end();
            } else {
                let rows = self.world().job.rows.len();
                let newest = self.world().newest();
                let is_last = newest.is_some_and(|newest| super::job::position_of(&newest.coordinator) == rows);
                ended += usize::from(is_last);
                self.start();
            }
        }
        self.world().check(false, "does not come to rest");
    }

    fn misfortune(&mut self) {
        let draw = self.world().chance.below(10_000);
        let is_alive = self.runs.iter().any(|run| !run.is_lapsed);
        if draw < 300 {
            let mut world = self.world();
            world.end = world.job.rows.len().min(world.end + 1);
            return;
        }
        let (crashes, pauses) = (self.crashes, self.pauses);
        let hits = |times: usize| self.world.lock().unwrap().chance.hits(times);
        if !self.runs.is_empty() && hits(crashes) {
            self.crash();
        } else if !self.runs.is_empty() && hits(pauses) {
            self.pause();
        } else if self.runs.len() < RUNS_MAX && hits(if is_alive { 20 } else { 1000 }) {
            // A live holder of the lock refuses a second run.
            if !is_alive {
                self.start();
            }
        } else {
            self.go_on();
        }
    }

    fn crash(&mut self) {
        if self.is_local && self.world().chance.hits(5000) {
            while !self.runs.is_empty() {
                self.kill(0);
            }
            let mut world = self.world();
            world.trace(|| "the power goes".to_owned());
            world.count("power cut");
            world.power_cut();
            return;
        }
        let run = self.world().chance.below(self.runs.len());
        self.world().count("crash");
        self.kill(run);
    }

    fn pause(&mut self) {
        let run = self.world().chance.below(self.runs.len());
        let pauses = self.world().chance.hits(7000);
        let lapses = self.world().chance.hits(7000);
        let run = &mut self.runs[run];
        run.is_paused = !run.is_paused && pauses;
        run.is_lapsed |= !self.is_local && lapses;
    }

    /// A request that was under way arrives, or a run has its turn.
    fn go_on(&mut self) {
        self.steps += 1;
        {
            let mut world = self.world();
            if !world.flights.is_empty() && world.chance.hits(500) {
                let count = world.flights.len();
                let at = world.chance.below(count);
                let change = world.flights.remove(at);
                if world.chance.hits(7000) {
                    world.change(&change);
                }
            }
        }
        let ready: Vec<usize> = (0..self.runs.len()).filter(|&run| !self.runs[run].is_paused).collect();
        let weights: usize = ready.iter().map(|&run| self.runs[run].pace).sum();
        if weights == 0 {
            return;
        }
        let mut draw = self.world().chance.below(weights);
        for run in ready {
            match draw.checked_sub(self.runs[run].pace) {
                Some(left) => draw = left,
                None => return self.step(run),
            }
        }
    }

    fn step(&mut self, at: usize) {
        let run = &self.runs[at];
        let _ = run.turns.send(true);
        if let Ok(Report::Over(epoch, ended)) = run.reports.recv() {
            self.over(at, epoch, ended);
        }
    }

    fn kill(&mut self, at: usize) {
        let run = &self.runs[at];
        self.world().trace(|| format!("run {} is killed", run.name));
        let _ = run.turns.send(false);
        while matches!(run.reports.recv(), Ok(Report::Waits)) {}
        let _ = self.runs.remove(at).thread.join();
    }

    fn over(&mut self, at: usize, epoch: u64, ended: dataflow::Result<()>) {
        let run = self.runs.remove(at);
        let _ = run.thread.join();
        let mut world = self.world();
        world.trace(|| format!("run {}: {ended:?}", run.name));
        let Err(e) = ended else { return };
        let is_succeeded = world.newest().is_some_and(|newest| newest.epoch > epoch);
        world.check(
            e.kind() == ErrorKind::Invalid && is_succeeded,
            &format!("a run stopped without cause: {}", e.chain()),
        );
        world.count("succeeded");
    }

    fn start(&mut self) {
        self.started += 1;
        let (name, bug, fresh) = (self.started, self.bug, self.fresh);
        let (reports, heard) = channel();
        let (turns, told) = channel();
        let resumes = self.resumes;
        let (workers, begin, pace) = {
            let mut world = self.world();
            let (is_fresh, resumes) = (world.chance.hits(fresh), world.chance.hits(resumes));
            let saved = world.savepoints.len();
            let begin = match (is_fresh, resumes && saved > 0) {
                (true, _) => Begin::Anew,
                (_, true) => Begin::From(world.chance.below(saved)),
                _ => Begin::GoOn,
            };
            (1 + world.chance.below(4), begin, world.chance.of(&[10, 10, 1]))
        };
        self.world().trace(|| format!("run {name} starts with {workers} workers: {begin:?}"));
        let (world, turns_of, is_killed) = (self.world.clone(), Mutex::new(told), AtomicBool::new(false));
        let turn = Arc::new(Turn { world, reports, turns: turns_of, is_killed });
        let thread = std::thread::spawn(move || {
            seeded::seed(bug);
            let mut epoch = 0;
            let ended = catch_unwind(AssertUnwindSafe(|| live(&turn, workers, begin, &mut epoch)));
            let panicked = |panic: Box<dyn std::any::Any + Send>| {
                Err(dataflow::Error::internal(format!("panic: {}", dataflow::panic_text(panic.as_ref()))))
            };
            let _ = turn.reports.send(Report::Over(epoch, ended.unwrap_or_else(panicked)));
        });
        let run = Run { name, reports: heard, turns, thread, is_paused: false, is_lapsed: false, pace };
        // It runs up to its first request.
        let first = run.reports.recv();
        self.runs.push(run);
        if let Ok(Report::Over(epoch, ended)) = first {
            self.over(self.runs.len() - 1, epoch, ended);
        }
    }
}
