//! Runs of a job over the real [`crate::Checkpoints`] and a simulated store, driven by one seed.
//!
//! Every request to the store is a step of its own. At each step a run may be killed, be paused and wake up long after
//! its successor began, or be taken for dead although it works on; the power may go. A request may never arrive, arrive
//! and lose its answer, or arrive much later, even from a run that is dead. Then nothing goes wrong any more, and the
//! job has to come to its end.
//!
//! ```text
//! SIMULATION_SEEDS=5000 cargo test --lib        plays so many seeds, and hunts every bug in so many
//! SIMULATION_SEED=7 cargo test --lib            plays one, and prints what happens
//! ```

mod chance;

mod job;
mod world;

mod turn;

mod life;
mod play;

use crate::seeded::Bug;
use play::play;
use world::StoreKind;

/// A bug, and a seed that notices it.
const BUGS: [(Bug, u64); 17] = [
    (Bug::PutTrusted, 210),
    (Bug::ExistsTrusted, 10),
    (Bug::NoFence, 0),
    (Bug::ReadBeforeFence, 56),
    (Bug::EpochShared, 0),
    (Bug::EpochTrusted, 1235),
    (Bug::BeginAfterSuccessor, 151),
    (Bug::CollectAnyRun, 9),
    (Bug::CollectAnyEpoch, 22),
    (Bug::NamedByNewest, 0),
    (Bug::NameUnwritten, 20),
    (Bug::NamesReused, 22),
    (Bug::UnheardForgotten, 1),
    (Bug::DeleteOnUnheard, 1),
    (Bug::PlaceNamedTwice, 0),
    (Bug::SavepointNamed, 11),
    (Bug::OlderGeneration, 94),
];

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn a_job_comes_to_its_end_whatever_happens() {
    comes_to_its_end(StoreKind::Syncing);
}

#[test]
fn a_job_comes_to_its_end_over_a_store_that_takes_what_it_finds_for_its_own() {
    comes_to_its_end(StoreKind::Finding);
}

fn comes_to_its_end(kind: StoreKind) {
    if let Some(seed) = number_in("SIMULATION_SEED") {
        let played = play(seed, None, kind, true);
        assert!(played.wrong.is_none(), "seed {seed}: {:?}", played.wrong);
    }
    let mut seen = std::collections::BTreeMap::new();
    for seed in 0..number_in("SIMULATION_SEEDS").unwrap_or(150) {
        let played = play(seed, None, kind, false);
        assert!(played.wrong.is_none(), "seed {seed}: {:?}", played.wrong);
        for (what, times) in played.seen {
            *seen.entry(what).or_insert(0) += times;
        }
    }
    println!("{seen:?}");
    for what in [
        "crash",
        "power cut",
        "late",
        "lost",
        "unheard",
        "succeeded",
        "generations",
        "restored",
        "given up",
        "saved",
        "resumed",
        "of an earlier generation",
    ] {
        assert!(seen.contains_key(what), "no seed has seen: {what}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..5 {
        let (once, again) = (play(seed, None, StoreKind::Syncing, false), play(seed, None, StoreKind::Syncing, false));
        assert_eq!((once.steps, once.seen), (again.steps, again.seen), "seed {seed}");
    }
}

#[test]
fn a_rule_that_is_left_out_is_noticed() {
    for (bug, seed) in BUGS {
        if let Some(seeds) = number_in("SIMULATION_SEEDS") {
            let noticed =
                (0..seeds).find_map(|seed| Some((seed, play(seed, Some(bug), StoreKind::Syncing, false).wrong?)));
            println!("{bug:?}: {noticed:?}");
            assert!(noticed.is_some(), "{bug:?} is not noticed within {seeds} seeds");
            continue;
        }
        assert!(
            play(seed, Some(bug), StoreKind::Syncing, false).wrong.is_some(),
            "{bug:?} is not noticed with seed {seed}"
        );
    }
}

#[test]
fn a_store_that_does_not_sync_is_noticed() {
    let noticed = (0..200).find_map(|seed| play(seed, None, StoreKind::Unsynced, false).wrong);
    assert!(noticed.is_some(), "no power cut has lost anything");
}
