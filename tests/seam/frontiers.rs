//! The same rows for any frontier between history and live, any number of workers, and any schedule.

use crate::log::{PARTITIONS, START, truth, write};
use dataflow::Position;
use project::{ArchiveEnd, Begin, JobOptions, Project};
use sql::Target;
use std::collections::BTreeMap;
use tests::{Chance, Place, Running, table_rows, told};

const MESSAGES: usize = 320;
const VECTORS: usize = 200;
/// So many vectors run under every number of workers and every seed.
const THOROUGH: usize = 5;
const WORKERS: [usize; 3] = [1, 2, 4];
const SEEDS: u64 = 20;

const SQL: &str = "
CREATE STREAM events (id TEXT, device BIGINT, value BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '1' SECOND
) HISTORY raw.events LIVE events ON BAD ROW SKIP;

CREATE STREAM distinct_events (id TEXT, device BIGINT, value BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '1' SECOND LATE DROP,
  DEDUP ON (id) WITHIN INTERVAL '30' SECOND
) HISTORY raw.events LIVE events ON BAD ROW SKIP;

ARCHIVE events;

INSERT INTO lake.moved
SELECT id, device, value, sent_at, _time AS row_time, _late AS late, count(*) OVER w AS n, sum(value) OVER w AS total
FROM events WINDOW w AS (PARTITION BY device ORDER BY sent_at RANGE INTERVAL '20' SECOND PRECEDING);

INSERT INTO lake.once
SELECT id, device, value, sent_at, _time AS row_time, _late AS late, count(*) OVER w AS n, sum(value) OVER w AS total
FROM distinct_events WINDOW w AS (PARTITION BY device ORDER BY sent_at RANGE INTERVAL '20' SECOND PRECEDING);
";

/// Archives the messages of each partition up to a position, where there is one.
fn archive(project: &Project, to: &ArchiveEnd) {
    let ends = BTreeMap::from([("events".to_owned(), to.clone())]);
    tests::archive(project, ends).unwrap();
}

/// Checks a job's tables and counts against the truth.
fn check(project: &Project, workers: usize, seed: u64, logs: &Logs, archived: u64, run: &str) {
    let options = JobOptions { until_caught_up: true, begin: Begin::Fresh, from: None, ..JobOptions::default() };
    let wired = project.job(&Target::All, &options).map_err(told).unwrap();
    let ended =
        Running::new(wired, workers, seed).run_to_end().unwrap_or_else(|error| panic!("{run}: {}", error.chain()));
    for stream in ["events", "distinct_events"] {
        let counts = ended.counts(stream);
        assert_eq!(counts.joined, 0, "{run}: {counts:?}");
        let read = counts.history_rows + counts.live_rows + counts.late_dropped + counts.quarantined + counts.bad;
        assert_eq!(read, MESSAGES as u64, "{run}: {counts:?}");
        assert!(counts.history_rows <= archived, "{run}: {counts:?}");
    }
    let warehouse = project.warehouse().unwrap();
    for (output, expected) in &logs.truth {
        let found = table_rows(&warehouse, &format!("lake.{output}"));
        if let Some(row) = found.iter().zip(expected).position(|(found, expected)| found != expected) {
            panic!("{run}: {output} has {} as its row {row}, expected {}", found[row], expected[row]);
        }
        assert_eq!(found.len(), expected.len(), "{run}: rows of {output}");
    }
}

/// A topic's log, and what its outputs should hold.
struct Logs {
    place: Place,
    positions: Vec<Vec<Position>>,
    truth: BTreeMap<String, Vec<String>>,
}

impl Logs {
    fn new(name: &str, seed: u64, environments: &[String]) -> Logs {
        let place = Place::new(name, SQL, environments, START);
        write(&place, MESSAGES, seed);
        let positions =
            place.messages("events").iter().map(|log| log.iter().map(|message| message.position).collect()).collect();
        let truth = truth(&place);
        Logs { place, positions, truth }
    }

    /// The end positions after so many messages of each partition.
    fn ends(&self, counts: &[usize]) -> ArchiveEnd {
        let last = |(partition, &count): (usize, &usize)| {
            Some((partition as u32, *self.positions[partition][..count].last()?))
        };
        counts.iter().enumerate().filter_map(last).collect()
    }

    /// A random vector; zeros and ends are more frequent than others.
    fn vector(&self, chance: &mut Chance) -> Vec<usize> {
        let count = |log: &Vec<Position>| match chance.below(8) {
            0 => 0,
            1 => log.len(),
            _ => chance.below(log.len() as u64 + 1) as usize,
        };
        self.positions.iter().map(count).collect()
    }
}

fn names() -> Vec<String> {
    (0..VECTORS).map(|vector| format!("w{vector}")).chain(["live".to_owned(), "history".to_owned()]).collect()
}

/// Runs a share of the vectors, so that two tests use two cores.
fn run_vectors(name: &str, share: usize) {
    let logs = Logs::new(name, 7 + share as u64, &names());
    assert_eq!(logs.positions.len(), PARTITIONS as usize);
    let mut chance = Chance::new(1 + share as u64);
    for vector in (0..VECTORS).filter(|vector| vector % 2 == share) {
        let counts = logs.vector(&mut chance);
        let project = logs.place.project(&format!("w{vector}"));
        archive(&project, &logs.ends(&counts));
        let archived = counts.iter().sum::<usize>() as u64;
        assert_eq!(project.warehouse().unwrap().rows("raw.events").unwrap(), archived);
        let thorough = vector / 2 < (THOROUGH + 1 - share) / 2;
        let all = WORKERS.iter().flat_map(|&workers| (0..SEEDS).map(move |seed| (workers, seed)));
        let one = [(chance.of(&WORKERS), chance.below(SEEDS))];
        let runs: Vec<_> = if thorough { all.collect() } else { one.to_vec() };
        for (workers, seed) in runs {
            let run = format!("frontier {counts:?}, {workers} workers, seed {seed}");
            check(&project, workers, seed, &logs, archived, &run);
        }
    }
}

#[test]
fn rows_are_the_same_at_any_frontier() {
    run_vectors("frontiers_a", 0);
}

#[test]
fn rows_are_the_same_at_any_frontier_of_another_log() {
    run_vectors("frontiers_b", 1);
}

#[test]
fn rows_are_the_same_all_live_and_all_history() {
    let logs = Logs::new("one_side", 11, &names());
    let (live, history) = (logs.place.project("live"), logs.place.project("history"));
    archive(&history, &logs.ends(&logs.positions.iter().map(Vec::len).collect::<Vec<_>>()));
    for (workers, seed) in [(1, 0), (2, 1), (4, 2)] {
        check(&live, workers, seed, &logs, 0, &format!("all live, {workers} workers, seed {seed}"));
        check(&history, workers, seed, &logs, MESSAGES as u64, &format!("all history, {workers} workers, seed {seed}"));
    }
}
