//! Plays one seed: runs that are killed, stopped, taken for dead and followed by others, then one that nothing disturbs.

use super::bugs::Bug;
use super::chance::{Chance, Trace};
use super::compare::{self, rows_of};
use super::input::{Recipe, START, logs};
use super::naive;
use super::run::{Run, RunOptions, Setup, begin, clock_at};
use super::scene::{MILLI, SECOND, Scene};
use super::world::{Access, Faults, Flight, Shared, World};
use crate::driver::Step;
use crate::seeded::{self, Bounds};
use dataflow::{Error, ErrorKind, EventTime, Fate, Span};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once};

/// How many steps the last run may take, and how often in a row nothing may move before the clock has moved on by more
/// than anything waits for.
const STEPS_MAX: usize = 100_000;
const IDLE_MAX: usize = 400;
/// How often a start may fail that nothing disturbs.
const STARTS_MAX: usize = 3;

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
fn quietly<T>(play: impl FnOnce() -> T) -> T {
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

fn world(chance: &mut Chance, bug: Option<Bug>, is_shown: bool) -> World {
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
        away: BTreeMap::new(),
        generation: 0,
        watermarks: vec![],
        rows: dataflow::JobRows::default(),
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

struct Play {
    chance: Chance,
    shared: Arc<Shared>,
    setup: Setup,
    end: i64,
    runs: u64,
}

impl Play {
    fn new(mut chance: Chance, shared: Arc<Shared>) -> Play {
        let scene = Scene::draw(&mut chance, std::env::var_os("SIM_JOINS").is_some());
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
        Play { chance, shared, setup, end, runs: 0 }
    }

    fn run(&mut self) -> Result<(), String> {
        if self.chance.hits(5000) {
            let span = self.end - 20 * SECOND - START;
            self.setup.clock.advance(Span(self.chance.below(span as usize) as i64));
        }
        if self.chance.hits(7000) {
            self.setup.archive(&mut self.chance);
        }
        for _ in 0..1 + self.chance.below(5) {
            if self.chance.hits(3000) {
                self.setup.archive(&mut self.chance);
            }
            let mut options = RunOptions::draw(&mut self.chance);
            options.until_caught_up = self.setup.scene.joins && self.chance.hits(3000);
            self.shared.world().show(|| format!("the next run ends where topics end: {}", options.until_caught_up));
            let access = self.access();
            let begun = begin(&self.setup, &access, options);
            if let Some(run) = self.begun(begun, &access)?
                && let Ended::Left(run) = self.live(run)?
            {
                self.leave(run);
            }
            self.checked()?;
        }
        self.finish()?;
        self.compare()
    }

    fn access(&mut self) -> Arc<Access> {
        self.runs += 1;
        let access = Access::new(&self.shared, self.runs);
        let (run, now) = (self.runs, self.setup.now() - START);
        self.shared.world().show(|| format!("run {run} begins at {} ms", now / MILLI));
        self.shared.world().count("run");
        access
    }

    /// What is wrong so far.
    fn checked(&self) -> Result<(), String> {
        self.shared.world().wrong.clone().map_or(Ok(()), Err)
    }

    /// A run that has begun, or none where something outside has kept it from that.
    fn begun(&self, begun: dataflow::Result<Run>, access: &Access) -> Result<Option<Run>, String> {
        match begun {
            Ok(run) => Ok(Some(run)),
            Err(error) => {
                self.failed(&error, access)?;
                Ok(None)
            }
        }
    }

    /// Whether an error is one that something outside explains.
    fn failed(&self, error: &Error, access: &Access) -> Result<(), String> {
        let text = error.chain();
        self.shared.world().trace.text(&text);
        self.shared.world().show(|| format!("  run {} ends: {text}", access.run));
        let has_rivals = access.is_succeeded() || !self.shared.zombies.lock().unwrap().is_empty();
        let is_explained = access.is_dead()
            || error.kind() == ErrorKind::Unavailable
            || has_rivals && error.kind() == ErrorKind::Invalid
            || access.is_succeeded() && error.kind() == ErrorKind::Corrupt;
        if is_explained { Ok(()) } else { Err(format!("run {} ends: {text}", access.run)) }
    }

    /// Steps a run while others may live, until it ends one way or another.
    fn live(&mut self, mut run: Run) -> Result<Ended, String> {
        let faults = self.shared.world().faults;
        let steps = self.chance.of(&[20, 100, 400, 1000, 4000]);
        let steps = 1 + self.chance.below(steps);
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
    fn finish(&mut self) -> Result<(), String> {
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
            self.run_to_end(options)?;
        }
        self.run_to_end(options)
    }

    fn run_to_end(&mut self, options: RunOptions) -> Result<(), String> {
        for _ in 0..STARTS_MAX {
            let access = self.access();
            let begun = begin(&self.setup, &access, options);
            if let Some(run) = self.begun(begun, &access)? {
                return self.to_end(run);
            }
        }
        Err("no run begins although nothing disturbs it".to_owned())
    }

    fn to_end(&mut self, mut run: Run) -> Result<(), String> {
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

    /// What came out is what a loop over all rows gives, and rows add up.
    fn compare(&self) -> Result<(), String> {
        let start = self.start()?;
        let world = self.shared.world();
        let logs = &self.setup.logs;
        if world.is_shown {
            println!("topics begin after {} us", start.0 - START);
            self.show_rows();
        }
        let of = |start| naive::outputs(&self.setup.scene, &logs["messages"], &logs["reports"], start);
        for (output, expected) in of(start) {
            let found = rows_of(&world, output)?;
            let written = fate(&world.rows.steps, &format!("into {output}"), &[Fate::Out]);
            if written != found.len() as i64 {
                return Err(format!("{output}: {written} rows are counted, and it has {}", found.len()));
            }
            match self.setup.scene.joins {
                true => compare::each_once(output, &found, &expected, &of(EventTime::MIN)[output])?,
                false => compare::same(output, found, expected)?,
            }
        }
        for (stream, log) in logs {
            let there: usize = log.iter().map(Vec::len).sum();
            let came = fate(&world.rows.streams, stream, &[Fate::In]);
            let gone = [Fate::Out, Fate::LateDropped, Fate::Quarantined, Fate::Bad, Fate::DeadLettered];
            let gone = fate(&world.rows.streams, stream, &gone);
            // What no output reads is not read.
            let is_read = world.rows.streams.iter().any(|(name, _)| name == stream);
            if is_read && (came != there as i64 || gone != came) {
                return Err(format!(
                    "{stream}: {there} messages, {came} are counted, and {gone} of them went somewhere"
                ));
            }
        }
        orphans(&world, self.setup.kept)
    }

    /// Prints the rows as the rule of row time places them.
    fn show_rows(&self) {
        for (stream, log) in &self.setup.logs {
            let delay = self.setup.scene.delay_of(stream).0;
            for row in naive::rows_of(log, delay, false) {
                let (partition, position) = row.order.position();
                let arrival = log[partition as usize].iter().find(|message| message.position == position);
                let arrival = arrival.map_or(0, |message| message.arrival.0 - START);
                let (time, id) = (row.time - START, row.id);
                println!("  {stream} {id}: at {time} us, in partition {partition}, there after {arrival} us");
            }
        }
    }

    /// W, as the newest manifest has it.
    fn start(&self) -> Result<EventTime, String> {
        let store = Arc::new(super::stores::Objects(Access::new(&self.shared, 0)));
        let opened = checkpoint::Checkpoints::unlocked(store, 1, self.setup.clock.clone(), Box::new(|_| {}));
        let newest = opened.and_then(|checkpoints| checkpoints.newest()).map_err(|error| error.chain())?;
        newest.map(|newest| newest.facts.start).ok_or_else(|| "there is no checkpoint at the end".to_owned())
    }
}

fn step(run: &mut Run) -> dataflow::Result<Step> {
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

fn fate(of: &[(String, dataflow::Fates)], name: &str, fates: &[Fate]) -> i64 {
    let of_name = of.iter().filter(|(of, _)| of == name);
    of_name.map(|(_, counts)| fates.iter().map(|&fate| counts.of(fate)).sum::<i64>()).sum()
}

/// Nothing is left that nobody names: of data files those of tables alone, of checkpoints those that are kept.
fn orphans(world: &World, kept: usize) -> Result<(), String> {
    let is_live =
        |(table, token): &&(String, String)| world.tables.get(table).is_some_and(|table| table.files.contains(token));
    if let Some((table, token)) = world.files.keys().find(|file| !is_live(file)) {
        return Err(format!("a data file of {table} is left that nobody will commit: {token}"));
    }
    let manifests = world.objects.keys().filter(|name| name.starts_with("manifest")).count();
    if manifests > kept {
        return Err(format!("{manifests} manifests are left, {kept} are kept"));
    }
    Ok(())
}
