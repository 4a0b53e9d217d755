//! A crash at every step of the switch from history to live, and before and after every request to the outside, in a small
//! job: the rows are those of a job without a crash.

use super::chance::Chance;
use super::input::{Recipe, START, logs};
use super::play::{Play, quietly, step, world};
use super::run::{RunOptions, Setup, begin, clock_at};
use super::scene::{SECOND, Scene};
use super::world::{Faults, Shared};
use crate::driver::Step;
use crate::seeded::{self, Bounds};
use dataflow::Span;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// After how many steps the first run is asked for a checkpoint, and how often, so that crashes come before, in and after
/// some, and it comes to its end all the same.
const ASKED_EVERY: usize = 15;
const ASKED_MAX: usize = 10;

#[derive(Clone, Copy, Debug)]
enum Crash {
    Never,
    /// After so many steps.
    AtStep(usize),
    /// At a request, before it arrives or after.
    AtRequest(u64, bool),
}

/// How far the first run came: to where it waits for messages that are still to come, if nothing ended it.
struct Reached {
    steps: usize,
    requests: u64,
}

/// A job of which half the messages have arrived, and half of these are archived.
fn play() -> Play {
    let mut chance = Chance(11);
    let scene = Scene {
        dedup: 0,
        delay: 2,
        drops_late: false,
        has_big: true,
        has_counted: true,
        labels: Some(true),
        archives_reports: true,
        joins: false,
    };
    let end = START + 60 * SECOND;
    let recipe = |partitions, messages| Recipe { partitions, messages, end, joins: false };
    let logs = BTreeMap::from([
        ("messages", Arc::new(logs(&mut chance, &recipe(2, 24)))),
        ("reports", Arc::new(logs(&mut chance, &recipe(2, 10)))),
    ]);
    let archives = logs.keys().copied().map(|stream| (stream, vec![])).collect();
    let mut setup = Setup { scene, clock: clock_at(START), logs, archives, kept: 2 };
    setup.clock.advance(Span(15 * SECOND));
    // Each archive has some more of what is there.
    (0..4).for_each(|_| setup.archive(&mut chance));
    setup.clock.advance(Span(15 * SECOND));
    let mut world = world(&mut chance, None, false);
    world.faults = Faults::default();
    let shared = Arc::new(Shared { world: Mutex::new(world), zombies: Mutex::default() });
    Play::of(chance, shared, setup, end)
}

/// Runs the job until it crashes, or has nothing more to read.
fn run(play: &mut Play, workers: usize, crash: Crash) -> Result<Reached, String> {
    if let Crash::AtRequest(request, is_done) = crash {
        play.shared.world().killed_at = Some((request, is_done));
    }
    let access = play.access();
    let options = RunOptions { workers, way: 0, lead_rows: 5, seed: 1, ..RunOptions::draw(&mut play.chance) };
    let (mut steps, mut asked) = (0, 0);
    if let Some(mut run) = play.begun(begin(&play.setup, &access, options), &access)? {
        loop {
            if matches!(crash, Crash::AtStep(at) if at == steps) {
                access.kill();
                break;
            }
            if steps.is_multiple_of(ASKED_EVERY) && asked < ASKED_MAX {
                asked += 1;
                match usize::is_multiple_of(asked, 2) {
                    true => run.driver.control().checkpoint(),
                    false => run.driver.control().commit(),
                }
            }
            match step(&mut run) {
                Ok(Step::Moved) => steps += 1,
                Ok(Step::Idle | Step::Finished) => break,
                Err(error) if access.is_dead() => {
                    play.shared.world().show(|| error.chain());
                    break;
                }
                Err(error) => return Err(format!("the first run ends: {}", error.chain())),
            }
        }
        access.kill();
    }
    let mut world = play.shared.world();
    world.killed_at = None;
    Ok(Reached { steps, requests: world.requests })
}

fn trial(workers: usize, crash: Crash) -> Reached {
    seeded::seed(None, Some(Bounds { budget_rows: 8, lane_rows: 8 }));
    let mut play = play();
    let ended = quietly(|| {
        let reached = run(&mut play, workers, crash)?;
        play.finish()?;
        play.compare().map(|()| reached)
    });
    seeded::seed(None, None);
    ended.unwrap_or_else(|wrong| panic!("{workers} workers, {crash:?}: {wrong}"))
}

#[test]
fn a_crash_at_every_step_of_the_switch_changes_no_row() {
    for workers in [1, 2] {
        let Reached { steps, requests } = trial(workers, Crash::Never);
        assert!(steps > 100 && requests > 20, "{steps} steps and {requests} requests");
        (0..steps).for_each(|at| drop(trial(workers, Crash::AtStep(at))));
        for at in 1..=requests {
            [false, true].into_iter().for_each(|is_done| drop(trial(workers, Crash::AtRequest(at, is_done))));
        }
    }
}

#[test]
fn the_switch_has_rows_of_both_sides() {
    let play = play();
    for (stream, archives) in &play.setup.archives {
        let archived: usize = archives.last().map_or(0, |last| last.rows().iter().map(|rows| rows.num_rows()).sum());
        let now = play.setup.now();
        let there = play.setup.logs[stream].iter().flatten().filter(|message| message.arrival.0 <= now).count();
        assert!(archived > 1 && there > archived, "{stream}: {archived} of {there} are archived");
    }
}
