//! The real coordinator and the real readers on a network with delays, under crashes of the whole job and losses of its
//! readers: what is published is what a naive run over all rows, sorted, gives.
//!
//! `COORDINATION_SEEDS=10000 cargo test -p seam --test coordination` plays that many seeds.

#![allow(clippy::unwrap_used)]

// Shared with the other tests of the seam, which use more of it.
#[allow(dead_code)]
#[path = "../seam/archiver.rs"]
mod archiver;
mod breaks;
mod expected;
mod job;
#[allow(dead_code)]
#[path = "../seam/memory.rs"]
mod memory;
mod network;
mod stage;
mod stream;
mod topic;

use breaks::{BREAKS, Break};
use job::Job;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many seeds are played where nothing else is said.
const SEEDS: u64 = 600;

/// Plays one seed.
fn play(seed: u64, broken: Option<Break>) -> Result<job::Figures, String> {
    let mut job = Job::new(seed, broken);
    job.run().and_then(|()| expected::compare(&job))
}

/// Plays seeds on all processors, and gives the failures and the sum of what was seen.
fn play_all(from: u64, to: u64) -> (Vec<String>, job::Figures) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let part = |thread: u64| {
        let (mut failures, mut figures) = (Vec::new(), job::Figures::default());
        for seed in (from + thread..to).step_by(threads as usize) {
            match play(seed, None) {
                Ok(seen) => figures.add(&seen),
                Err(failure) => failures.push(format!("seed {seed}: {failure}")),
            }
        }
        (failures, figures)
    };
    let (mut failures, mut figures) = (Vec::new(), job::Figures::default());
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        for thread in parts {
            let (failed, seen) = thread.join().unwrap();
            failures.extend(failed);
            figures.add(&seen);
        }
    });
    (failures, figures)
}

/// How many seeds are played.
fn seeds() -> u64 {
    std::env::var("COORDINATION_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap())
}

#[test]
fn what_is_published_is_what_a_naive_run_gives() {
    let seeds = seeds();
    let (mut failures, figures) = play_all(0, seeds);
    println!("{seeds} seeds: {figures:?}");
    failures.sort();
    assert!(
        failures.is_empty(),
        "{} of {seeds} seeds failed:\n{}",
        failures.len(),
        failures[..failures.len().min(20)].join("\n")
    );
    let least = |one_in: u64| (seeds / one_in) as usize;
    assert!(figures.joined > least(20) && figures.again > least(20) && figures.restarts > least(2), "{figures:?}");
}

#[test]
fn streams_that_begin_in_the_same_moment_do_not_move_each_other() {
    let moved = |seed: u64, broken: Option<Break>| {
        let mut job = Job::beginning(seed, broken);
        let ran = job.run().and_then(|()| expected::compare(&job));
        let joined = ran.unwrap_or_else(|failure| panic!("seed {seed}: {failure}")).joined;
        assert!(joined > 0, "nothing joins with seed {seed}");
        expected::moved(&job)
    };
    let seeds = 0..seeds() / 2;
    assert_eq!(seeds.clone().find(|&seed| moved(seed, None) > 0), None, "a seed that moves rows");
    let noticed = seeds.clone().filter(|&seed| moved(seed, Some(Break::LeapsAtOnce)) > 0).count();
    assert!(noticed as u64 > seeds.end / 5, "{noticed} seeds move rows where leaps do not wait");
}

#[test]
fn every_rule_that_is_left_out_is_noticed() {
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let search = || {
        while let Some(&broken) = BREAKS.get(next.fetch_add(1, Relaxed)) {
            match breaks::noticed(broken, 20_000) {
                Some((seed, failure)) => println!("{broken:?}, seed {seed}: {failure}"),
                None => missed.lock().unwrap().push(broken),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(search))));
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
