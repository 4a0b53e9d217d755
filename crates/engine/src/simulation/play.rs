//! Plays one seed: runs that are killed, stopped, taken for dead and followed by others, then one that nothing disturbs.

use super::bugs::Bug;
use super::chance::{Chance, Trace};
use super::input::{Recipe, START, logs};
use super::run::{Run, RunOptions, Setup, begin, clock_at};
use super::saved::is_outrun;
use super::scene::{MILLI, SECOND, Scene};
use super::world::{Access, Faults, Flight, Shared, World};
use crate::driver::Step;
use crate::pace::CheckpointPace;
use crate::seeded::{self, Bounds};
use dataflow::{Error, ErrorKind, Span};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once};

/// How many steps the last run may take, and how often in a row nothing may move before the clock has moved on by more
/// than anything waits for.
const STEPS_MAX: usize = 100_000;
const IDLE_MAX: usize = 400;
/// How often a start may fail that nothing disturbs.
const STARTS_MAX: usize = 3;

/// Of so many seeds one has runs that come to the ends of their topics, and are killed there.
const ENDS_EVERY: u64 = 4;

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Played {
    pub failure: Option<String>,
    pub trace: Trace,
    pub counts: BTreeMap<&'static str, u64>,
}

/// Plays a seed, with a rule left out if one is named. `is_shown` prints what happens.
pub fn play(seed: u64, bug: Option<Bug>, is_shown: bool) -> Played {
    let mut chance = Chance(seed);
    let bounds = Bounds { budget_rows: chance.of(&[1, 3, 20, 8192]), lane_rows: chance.of(&[1, 8, 100, 32_768]) };
    let rule = if let Some(Bug::Engine(rule)) = bug { Some(rule) } else { None };
    seeded::seed(rule, Some(bounds));
    let shared = Arc::new(Shared { world: Mutex::new(world(&mut chance, bug, is_shown)), zombies: Mutex::default() });
    shared.world().faults.at_end = if seed % ENDS_EVERY == 0 { 3333 } else { 0 };
    let ended = quietly(|| catch_unwind(AssertUnwindSafe(|| Play::new(chance, shared.clone()).run())));
    shared.zombies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
    seeded::seed(None, None);
    let failure = match ended {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(panic) => Some(format!("panic: {}", dataflow::panic_text(&*panic))),
    };
    let world = shared.world();
    let failure = world.wrong.clone().or(failure);
    Played { failure, trace: world.trace, counts: world.counts.clone() }
}

thread_local! {
    static IS_PLAYING: Cell<bool> = const { Cell::new(false) };
}

/// Does something whose panics are no news on the terminal: they are failures of a seed.
pub fn quietly<T>(play: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !IS_PLAYING.get() {
                told(panic)
            }
        }));
    });
    IS_PLAYING.set(true);
    let played = play();
    IS_PLAYING.set(false);
    played
}

pub fn world(chance: &mut Chance, bug: Option<Bug>, is_shown: bool) -> World {
    World {
        faults: Faults::draw(chance),
        chance: Chance(chance.number()),
        bug,
        trace: Trace::default(),
        objects: BTreeMap::new(),
        tables: BTreeMap::new(),
        files: BTreeMap::new(),
        topics: BTreeMap::new(),
        flights: vec![],
        savepoints: vec![],
        requests: 0,
        killed_at: None,
        began_anew: false,
        away: BTreeMap::new(),
        generation: 0,
        number: 0,
        watermarks: vec![],
        rows: dataflow::JobRows::default(),
        saved_epochs: BTreeSet::new(),
        counts: BTreeMap::new(),
        wrong: None,
        is_shown,
    }
}

/// How a run ended.
enum Ended {
    /// It is dead, or has come to its end.
    Over,
    /// Others take it for dead.
    Left(Run),
}

pub struct Play {
    pub chance: Chance,
    /// What is drawn of savepoints, so that a seed without any plays as it did before there were some.
    saves: Chance,
    pub shared: Arc<Shared>,
    pub setup: Setup,
    pub end: i64,
    runs: u64,
    // Runs that were taken for dead lived as the last one began.
    had_zombies: bool,
}

impl Play {
    fn new(mut chance: Chance, shared: Arc<Shared>) -> Play {
        let saves = Chance(!chance.clone().number());
        let mut scene = Scene::draw(&mut chance);
        // Only such a job may be told to end.
        if shared.world().faults.at_end > 0 {
            scene = scene.with_joins();
        }
        let end = START + chance.of(&[60, 120]) * SECOND;
        // A few jobs are large, so that logs of windows have pages that are full.
        let larger = if chance.hits(150) { 20 } else { 1 };
        let mut recipe = |partitions: &[usize], messages: &[usize]| Recipe {
            partitions: chance.of(partitions),
            messages: chance.of(messages) * larger,
            end,
            joins: scene.joins,
        };
        let (messages, reports) = (recipe(&[1, 2, 3, 4], &[30, 80, 150, 250]), recipe(&[1, 2, 3], &[10, 40, 80]));
        let logs = BTreeMap::from([
            ("messages", Arc::new(logs(&mut chance, &messages))),
            ("reports", Arc::new(logs(&mut chance, &reports))),
        ]);
        let has_archive = |stream: &&str| *stream == "messages" || scene.archives_reports;
        let archives = logs.keys().copied().filter(has_archive).map(|stream| (stream, vec![])).collect();
        let setup = Setup { scene, clock: clock_at(START), logs, archives, kept: chance.of(&[1, 1, 2, 3]) };
        Play { saves, ..Play::of(chance, shared, setup, end) }
    }

    /// A play of what is set up.
    pub fn of(chance: Chance, shared: Arc<Shared>, setup: Setup, end: i64) -> Play {
        Play { saves: chance.clone(), chance, shared, setup, end, runs: 0, had_zombies: false }
    }

    fn run(&mut self) -> Result<(), String> {
        if self.chance.hits(5000) {
            let span = self.end - 20 * SECOND - START;
            self.setup.clock.advance(Span(self.chance.below(span as usize) as i64));
        }
        if self.chance.hits(7000) {
            self.setup.archive(&mut self.chance);
        }
        let has_savepoints = self.saves.hits(4000);
        let has_ends = self.shared.world().faults.at_end > 0;
        for _ in 0..1 + self.chance.below(5) {
            if self.chance.hits(3000) {
                self.setup.archive(&mut self.chance);
            }
            let mut options = RunOptions::draw(&mut self.chance);
            options.until_caught_up = self.setup.scene.joins && self.chance.hits(3000);
            options.pace = self.draw_pace();
            self.shared.world().show(|| format!("the next run ends where topics end: {}", options.until_caught_up));
            let begun = self.begin(options, has_savepoints)?;
            if let Some(run) = begun
                && let Ended::Left(run) = self.live(run, has_savepoints)?
            {
                self.leave(run);
            }
            if has_ends {
                self.pass_time();
            }
            self.checked()?;
        }
        self.finish()?;
        self.compare()
    }

    /// Begins a run, from a savepoint sometimes. Where outputs have gone on after that, the run is refused.
    fn begin(&mut self, mut options: RunOptions, has_savepoints: bool) -> Result<Option<Run>, String> {
        let (savepoints, mut is_fresh) = (self.shared.world().savepoints.clone(), false);
        if has_savepoints && !savepoints.is_empty() && self.saves.hits(5000) {
            let at = if self.saves.hits(7000) { savepoints.len() - 1 } else { self.saves.below(savepoints.len()) };
            is_fresh = savepoints[at].is_of_end_of(self.runs) && !self.has_zombies();
            // Rows that the log alone does not place may lie elsewhere when they come again.
            if is_fresh || !self.setup.scene.joins {
                options.savepoint = Some(savepoints[at].clone());
                options.workers = self.saves.of(&[1, 2, 3, 5]);
            }
        }
        let (is_saved, access) = (options.savepoint.is_some(), self.access());
        self.had_zombies = self.has_zombies();
        match begin(&self.setup, &access, options) {
            Err(error) if is_saved && !is_fresh && is_outrun(&error) => {
                self.shared.world().count("savepoint that outputs have outrun");
                Ok(None)
            }
            begun => self.begun(begun, &access),
        }
    }

    pub fn access(&mut self) -> Arc<Access> {
        self.runs += 1;
        let access = Access::new(&self.shared, self.runs);
        let (run, now) = (self.runs, self.setup.now() - START);
        self.shared.world().show(|| format!("run {run} begins at {} ms", now / MILLI));
        self.shared.world().count("run");
        access
    }

    /// What is wrong so far.
    pub fn checked(&self) -> Result<(), String> {
        self.shared.world().wrong.clone().map_or(Ok(()), Err)
    }

    /// A run that has begun, or none where something outside has kept it from that.
    pub fn begun(&self, begun: dataflow::Result<Run>, access: &Access) -> Result<Option<Run>, String> {
        match begun {
            Ok(run) => Ok(Some(run)),
            Err(error) => {
                self.failed(&error, access)?;
                Ok(None)
            }
        }
    }

    /// Stores that answer slowly, as all do here that are away, meet checkpoints that are given up.
    fn draw_pace(&mut self) -> CheckpointPace {
        let (pause, timeout) = ([0, 0, 100, 3_000], [200, 1_000, 5_000, 120_000]);
        let (pause, timeout) = (self.saves.of(&pause), self.saves.of(&timeout));
        CheckpointPace { pause: Span::millis(pause), timeout: Span::millis(timeout) }
    }

    fn has_zombies(&self) -> bool {
        !self.shared.zombies.lock().unwrap().is_empty()
    }

    /// Whether an error is one that something outside explains.
    fn failed(&self, error: &Error, access: &Access) -> Result<(), String> {
        let text = error.chain();
        self.shared.world().trace.text(&text);
        self.shared.world().show(|| format!("  run {} ends: {text}", access.run));
        let has_rivals = access.is_succeeded() || self.had_zombies || self.has_zombies();
        let is_explained = access.is_dead()
            || error.kind() == ErrorKind::Unavailable
            || has_rivals && error.kind() == ErrorKind::Invalid
            || access.is_succeeded() && error.kind() == ErrorKind::Corrupt;
        if is_explained { Ok(()) } else { Err(format!("run {} ends: {text}", access.run)) }
    }

    /// Steps a run while others may live, until it ends one way or another.
    fn live(&mut self, mut run: Run, has_savepoints: bool) -> Result<Ended, String> {
        let faults = self.shared.world().faults;
        let steps = self.chance.of(&[20, 100, 400, 1000, 4000]);
        let mut steps = 1 + self.chance.below(steps);
        // Most of them come to their ends, but for what goes wrong.
        if run.is_bounded && faults.at_end > 0 && self.saves.hits(7000) {
            steps += STEPS_MAX;
        }
        let asks = self.chance.of(&[50, 250, 800]);
        let mut slow = 0;
        for _ in 0..steps {
            self.shared.disturb(200);
            slow = match slow {
                0 if self.chance.hits(faults.slow) => 20 + self.chance.below(200),
                left => usize::saturating_sub(left, 1),
            };
            run.driver.writers_stand = slow > 0;
            if self.chance.hits(asks) {
                if has_savepoints && self.saves.hits(2000) {
                    run.access.savepoint.ask(false);
                }
                match self.chance.hits(5000) {
                    true => run.driver.control().commit(),
                    false => run.driver.control().checkpoint(),
                }
            }
            match step(&mut run) {
                Ok(Step::Moved) => {}
                Ok(Step::Finished) => return Ok(Ended::Over),
                Ok(Step::Idle) => self.turn_clock(),
                Err(error) => {
                    self.failed(&error, &run.access)?;
                    return Ok(Ended::Over);
                }
            }
            self.checked()?;
        }
        run.driver.writers_stand = false;
        if self.chance.hits(faults.stopped) {
            if has_savepoints && self.saves.hits(7000) {
                run.access.savepoint.ask(true);
            }
            return self.stop(run);
        }
        if self.chance.hits(faults.zombie) {
            return Ok(Ended::Left(run));
        }
        self.shared.world().count("kill");
        run.access.kill();
        Ok(Ended::Over)
    }

    /// Moves the clock on, but not to the last messages.
    fn turn_clock(&mut self) {
        let by = self.chance.of(&[MILLI, 100 * MILLI, SECOND, 3 * SECOND]);
        let left = self.end - 12 * SECOND - self.setup.now();
        self.setup.clock.advance(Span(by.min(left).max(0)));
    }

    /// Lets messages come after a run that was to end before them.
    fn pass_time(&mut self) {
        let left = self.end - 12 * SECOND - self.setup.now();
        let by = self.saves.of(&[0, SECOND, 5 * SECOND, 20 * SECOND]);
        self.setup.clock.advance(Span(by.min(left).max(0)));
    }

    /// Ends a run in good order.
    fn stop(&mut self, mut run: Run) -> Result<Ended, String> {
        self.shared.world().count("stop");
        run.driver.control().finish();
        let mut idle = 0;
        for _ in 0..STEPS_MAX {
            match step(&mut run) {
                Ok(Step::Moved) => idle = 0,
                Ok(Step::Finished) => return Ok(Ended::Over),
                Ok(Step::Idle) => {
                    idle += 1;
                    if idle > IDLE_MAX {
                        return Err(format!("run {} does not stop", run.access.run));
                    }
                    self.turn_clock();
                }
                Err(error) => {
                    self.failed(&error, &run.access)?;
                    return Ok(Ended::Over);
                }
            }
        }
        Err(format!("run {} does not stop within {STEPS_MAX} steps", run.access.run))
    }

    /// Takes a run for dead that goes on beside those after it.
    fn leave(&mut self, mut run: Run) {
        self.shared.world().count("zombie");
        run.access.succeed();
        let shared = self.shared.clone();
        let zombie = move |steps| {
            for _ in 0..steps {
                match step(&mut run) {
                    Ok(Step::Moved) => {}
                    Ok(Step::Idle) => return true,
                    Ok(Step::Finished) => return false,
                    Err(error) => {
                        let is_explained = run.access.is_dead() || error.kind() != ErrorKind::Internal;
                        let text = error.chain();
                        shared.world().show(|| format!("  zombie {} ends: {text}", run.access.run));
                        shared.world().check(is_explained, || format!("zombie {} ends: {text}", run.access.run));
                        return false;
                    }
                }
            }
            true
        };
        self.shared.zombies.lock().unwrap().push(Box::new(zombie));
    }

    /// Nothing goes wrong any more: a run begins that comes to the end of what there is.
    pub fn finish(&mut self) -> Result<(), String> {
        self.shared.world().faults = Faults::default();
        self.shared.world().away.clear();
        (0..20).for_each(|_| self.shared.disturb(9000));
        self.shared.zombies.lock().unwrap().clear();
        loop {
            let flight: Option<Flight> = self.shared.world().flights.pop();
            let Some(flight) = flight else { break };
            self.shared.world().arrive(&flight);
        }
        self.checked()?;
        let now = self.setup.now();
        self.setup.clock.advance(Span((self.end - now).max(0)));
        let options = RunOptions { until_caught_up: true, in_turn: true, ..RunOptions::draw(&mut self.chance) };
        if self.setup.scene.joins {
            // It may go on from a run that was to end where topics ended then, and ends there.
            self.run_to_end(&options)?;
        }
        self.run_to_end(&options)
    }

    fn run_to_end(&mut self, options: &RunOptions) -> Result<(), String> {
        for _ in 0..STARTS_MAX {
            let access = self.access();
            let begun = begin(&self.setup, &access, options.clone());
            if let Some(run) = self.begun(begun, &access)? {
                return self.to_end(run);
            }
        }
        Err("no run begins although nothing disturbs it".to_owned())
    }

    pub fn to_end(&mut self, mut run: Run) -> Result<(), String> {
        let mut idle = 0;
        for _ in 0..STEPS_MAX {
            match step(&mut run) {
                Ok(Step::Moved) => idle = 0,
                Ok(Step::Finished) => return self.checked(),
                Ok(Step::Idle) if idle > IDLE_MAX => {
                    let held = run.driver.status().held_by().map_or_else(|| "nobody".to_owned(), |(stream, _)| stream);
                    return Err(format!("the last run stands still, held by {held}"));
                }
                Ok(Step::Idle) => {
                    idle += 1;
                    self.setup.clock.advance(Span(100 * MILLI));
                }
                Err(error) => return Err(format!("the last run ends: {}", error.chain())),
            }
        }
        Err(format!("the last run does not come to its end within {STEPS_MAX} steps"))
    }
}

pub fn step(run: &mut Run) -> dataflow::Result<Step> {
    let stepped = run.driver.step();
    if run.access.is_dead() {
        return Err(Error::internal("killed"));
    }
    let mut world = run.access.shared.world();
    world.trace.add(run.access.run);
    world.trace.add(match &stepped {
        Ok(Step::Moved) => 1,
        Ok(Step::Idle) => 2,
        Ok(Step::Finished) => 3,
        Err(_) => 4,
    });
    stepped
}
