//! Plays jobs in a simulated world: one seed draws the job, its data, what runs when, and what goes wrong; what comes out
//! has to be what a loop over all rows gives.
//!
//! Planner, streams, operators, engine and checkpoints are the real ones. What is simulated keeps the contracts of the
//! real ones: topics, archives, tables and the store of checkpoints (`world.rs`, `stores.rs`, `input.rs`).
//!
//! `SIM_SEEDS=A..B` plays other seeds, `SIM_SEED=N` shows one, and `SIM_BUG=NAME` leaves a rule out (`bugs.rs`).

mod breaks;
mod bugs;
mod chance;
mod compare;
mod input;
mod naive;
mod play;
mod run;
mod saved;
mod savepoints;
mod scene;
mod stores;
mod switch;
mod verdict;
mod world;

use bugs::{BUGS, Bug};
use play::{Played, play};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How many seeds are played where nothing else is said, and how many at most to find one that notices a bug.
const SEEDS: u64 = 2_000;
const SEEDS_OF_BUG: u64 = 5_000;
/// Seeds beyond those of every day that found what has been mended since: rows of a run that had ends lost by one that had
/// none, stops before they had come again, a reader that followed one which waited for it, a savepoint that was begun
/// from without an answer, and a partition that held up the rows which it waited for.
const FOUND: [u64; 9] = [6151, 8911, 9042, 9671, 19541, 21857, 37042, 37749, 128_484];
/// How many failures are shown.
const SHOWN_MAX: usize = 10;

/// What came of many seeds.
#[derive(Default)]
struct Hunt {
    played: u64,
    failures: Vec<(u64, String)>,
    counts: BTreeMap<&'static str, u64>,
}

/// Plays seeds on all processors; ends at the first failure, if told so.
fn hunt(seeds: Range<u64>, bug: Option<Bug>, ends_at_first: bool) -> Hunt {
    let (next, ends, all) = (AtomicU64::new(seeds.start), AtomicBool::new(false), Mutex::new(Hunt::default()));
    let play_some = || {
        while !ends.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                return;
            }
            let Played { failure, counts, .. } = play(seed, bug, false);
            let mut all = all.lock().unwrap();
            all.played += 1;
            counts.into_iter().for_each(|(what, count)| *all.counts.entry(what).or_default() += count);
            if let Some(failure) = failure {
                all.failures.push((seed, failure));
                ends.store(ends_at_first, Relaxed);
            }
            show_progress(&all, seeds.end - seeds.start);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(play_some))));
    let mut hunt = all.into_inner().unwrap();
    hunt.failures.sort();
    hunt
}

/// A bar on the terminal of whoever hunts.
fn show_progress(hunt: &Hunt, seeds: u64) {
    let (played, width) = (hunt.played, 40);
    if !played.is_multiple_of(50) && played < seeds || std::env::var_os("SIM_PROGRESS").is_none() {
        return;
    }
    let done = (played * width / seeds.max(1)) as usize;
    let (bar, rest) = ("#".repeat(done), ".".repeat(width as usize - done));
    eprint!("\r[{bar}{rest}] {played} of {seeds} seeds, {} failed ", hunt.failures.len());
    if played == seeds {
        eprintln!();
    }
}

/// The seeds that are played, `A..B`.
fn seeds(of_bug: bool) -> Range<u64> {
    let Ok(text) = std::env::var("SIM_SEEDS") else { return 0..if of_bug { SEEDS_OF_BUG } else { SEEDS } };
    let seeds = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    seeds.unwrap_or_else(|| panic!("SIM_SEEDS is \"{text}\", expected A..B"))
}

/// The rule that is left out.
fn bug() -> Option<Bug> {
    let name = std::env::var("SIM_BUG").ok()?;
    let bug = BUGS.iter().find(|(of, _, _)| *of == name).map(|(_, bug, _)| *bug);
    let names: Vec<&str> = BUGS.iter().map(|(name, _, _)| *name).collect();
    Some(bug.unwrap_or_else(|| panic!("there is no bug \"{name}\"; there are {}", names.join(", "))))
}

fn all_of(counts: &BTreeMap<&'static str, u64>) -> String {
    counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

fn told(hunt: &Hunt) -> String {
    let shown = hunt.failures.iter().take(SHOWN_MAX);
    let shown: Vec<String> = shown.map(|(seed, failure)| format!("seed {seed}: {failure}")).collect();
    let failed = hunt.failures.len();
    format!(
        "{failed} of {} seeds failed; `cargo run --bin xtask sim --seed N` shows one:\n{}",
        hunt.played,
        shown.join("\n")
    )
}

#[test]
fn what_comes_out_is_what_a_loop_over_all_rows_gives() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let played = play(seed.parse().unwrap(), bug(), true);
        println!("seed {seed}: trace {:016x}; {}", played.trace.0, all_of(&played.counts));
        assert_eq!(played.failure, None, "seed {seed}");
        return;
    }
    let bug = bug();
    let hunt = hunt(seeds(bug.is_some()), bug, bug.is_some());
    println!("{} seeds: {}", hunt.played, all_of(&hunt.counts));
    if bug.is_some() {
        println!("{}", told(&hunt));
        assert!(!hunt.failures.is_empty(), "nothing notices");
        return;
    }
    assert!(hunt.failures.is_empty(), "{}", told(&hunt));
    let all = ["zombie", "kill at a request", "request that came late", "request to what was away", "stop", "commit"];
    let rare = all.into_iter().filter(|what| hunt.counts.get(what).copied().unwrap_or(0) * 20 < hunt.played);
    assert_eq!(rare.collect::<Vec<_>>(), Vec::<&str>::new(), "hardly happen");
}

#[test]
fn what_has_been_mended_stays_so() {
    let failed = FOUND.iter().filter_map(|&seed| Some(format!("seed {seed}: {}", play(seed, None, false).failure?)));
    assert_eq!(failed.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn every_rule_that_is_left_out_is_noticed() {
    let missed = BUGS.iter().filter(|(_, bug, seed)| play(*seed, Some(*bug), false).failure.is_none());
    let missed: Vec<String> = missed.map(|(name, _, seed)| format!("{name} by seed {seed}")).collect();
    assert!(
        missed.is_empty(),
        "`cargo run --bin xtask sim --bug NAME` looks for another seed; not noticed: {}",
        missed.join(", ")
    );
    // What is noticed is the rule, not the seed.
    let wrong = BUGS.iter().filter(|(_, _, seed)| play(*seed, None, false).failure.is_some());
    assert_eq!(wrong.count(), 0);
}

#[test]
fn the_same_seed_leads_to_the_same_trace() {
    for seed in 0..30 {
        let [first, again] = [play(seed, None, false), play(seed, None, false)];
        assert_eq!((first.trace, first.counts), (again.trace, again.counts), "seed {seed}");
    }
}
