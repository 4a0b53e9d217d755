//! Partitions that get their first row after the stream's watermark has started.
//!
//! The one inexact case of a local topic: a row of theirs that lies behind a watermark already given is moved to the
//! microsecond after it and counted, while a replay from history gives it its own time.

use crate::log::START;
use dataflow::{EventTime, Span};
use project::{Begin, JobOptions, Project};
use sql::Target;
use std::collections::BTreeMap;
use tests::{Place, Running, table_rows, told};

const SECOND: i64 = 1_000_000;
const DELAY: i64 = 2 * SECOND;
const QUIET: i64 = SECOND;

const SQL: &str = "
CREATE STREAM events (id TEXT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '1' SECOND
) HISTORY raw.events LIVE events;
ARCHIVE events;
INSERT INTO lake.rows SELECT id, sent_at, _time AS row_time, _late AS late FROM events;
";

fn put(place: &Place, partition: u32, id: &str, event: i64) {
    place.put("events", partition, &format!(r#"{{"id":"{id}","sent_at":"{}"}}"#, EventTime(event)));
}

fn line(id: &str, event: i64, time: i64, late: bool) -> String {
    format!("{id}|{event}|{time}|{late}")
}

fn options(until_caught_up: bool) -> JobOptions {
    JobOptions { until_caught_up, begin: Begin::Fresh, from: None, ..JobOptions::default() }
}

fn rows(project: &Project) -> Vec<String> {
    table_rows(&project.warehouse().unwrap(), "lake.rows")
}

/// Two partitions have rows when the job starts, a third gets its first ones at or before the watermark, a fourth ahead.
fn join(workers: usize, seed: u64) {
    let place = Place::new("joined", SQL, &["dev".to_owned()], START);
    place.topics().create("events", 4).unwrap();
    put(&place, 0, "a", START - SECOND);
    put(&place, 1, "b", START - DELAY);
    let project = place.project("dev");
    let mut running = Running::new(project.job(&Target::All, &options(false)).map_err(told).unwrap(), workers, seed);
    assert!(!running.settle().unwrap());
    place.advance(Span(30 * SECOND));
    assert!(!running.settle().unwrap());
    // Silence has carried both partitions on: the second one, which lies furthest back, holds the others. They are
    // known to be drained up to the microsecond before now.
    let given = START - DELAY + (30 * SECOND - 1) - QUIET - DELAY - 1;
    assert_eq!(running.counts("events").watermark, EventTime(given));

    let now = place.now();
    put(&place, 2, "far behind", given - 20 * SECOND);
    put(&place, 2, "behind", given);
    put(&place, 2, "ahead", now - SECOND);
    put(&place, 2, "late", now - 10 * SECOND);
    put(&place, 3, "ahead too", given + 1);
    assert!(!running.settle().unwrap());
    place.advance(Span(60 * SECOND));
    assert!(!running.settle().unwrap());
    running.driver.control().finish();
    let counts = running.run_to_end().unwrap().counts("events");
    assert_eq!((counts.joined, counts.late_moved, counts.live_rows), (2, 1, 7), "{counts:?}");
    let open = now - SECOND - DELAY;
    let known = [
        line("a", START - SECOND, START - SECOND, false),
        line("b", START - DELAY, START - DELAY, false),
        line("ahead", now - SECOND, now - SECOND, false),
        line("late", now - 10 * SECOND, open, true),
        line("ahead too", given + 1, given + 1, false),
    ];
    let far = given - 20 * SECOND;
    // A partition joins where its reader stands: with two workers that of the first one, which is a second further; else
    // that reader has both, or none, and then it joins where the stream stands.
    let level = if workers == 2 { given + SECOND } else { given };
    let moved = [line("far behind", far, level + 1, true), line("behind", given, level + 1, true)];
    let mut expected: Vec<String> = known.iter().chain(&moved).cloned().collect();
    expected.sort_unstable();
    assert_eq!(rows(&project), expected, "{workers} workers, seed {seed}");

    tests::archive(&project, BTreeMap::new()).unwrap();
    let wired = project.job(&Target::All, &options(true)).map_err(told).unwrap();
    let replayed = Running::new(wired, workers, seed).run_to_end().unwrap();
    assert_eq!(replayed.counts("events").joined, 0);
    let own = [line("far behind", far, far, false), line("behind", given, given, false)];
    let mut expected: Vec<String> = known.iter().chain(&own).cloned().collect();
    expected.sort_unstable();
    assert_eq!(rows(&project), expected, "replayed, {workers} workers, seed {seed}");
}

#[test]
fn rows_of_partitions_that_join_behind_the_watermark_are_moved_and_counted() {
    for (workers, seed) in [(1, 0), (1, 1), (2, 2), (2, 3), (4, 4), (4, 5)] {
        join(workers, seed);
    }
}

#[test]
fn a_partition_with_rows_at_the_start_has_not_joined() {
    for seed in 0..4 {
        let place = Place::new("not_joined", SQL, &["dev".to_owned()], START);
        place.topics().create("events", 2).unwrap();
        put(&place, 0, "archived", START);
        let project = place.project("dev");
        tests::archive(&project, BTreeMap::new()).unwrap();
        put(&place, 1, "far behind", START - 60 * SECOND);
        place.advance(Span(30 * SECOND));
        let mut running = Running::new(project.job(&Target::All, &options(false)).map_err(told).unwrap(), 2, seed);
        assert!(!running.settle().unwrap());
        place.advance(Span(60 * SECOND));
        assert!(!running.settle().unwrap());
        running.driver.control().finish();
        let ended = running.run_to_end().unwrap();
        assert_eq!(ended.counts("events").joined, 0);
        let (first, far) = (line("archived", START, START, false), START - 60 * SECOND);
        assert_eq!(rows(&project), [first, line("far behind", far, far, false)], "seed {seed}");
    }
}

/// A partition has shown a bad message alone when the job starts; then history of another is read. Gives the rows, the
/// dead letters on their topic, how many joined, and the watermark that history goes up to.
fn after_a_bad_message(policy: &str, late: Option<i64>, seed: u64) -> (Vec<String>, usize, u64, i64) {
    let sql = SQL.replacen("LIVE events;", &format!("LIVE events ON BAD ROW {policy};"), 1);
    let place = Place::new("bad_first", &sql, &["dev".to_owned()], START);
    place.topics().create("events", 2).unwrap();
    let project = place.project("dev");
    place.put("events", 1, "{");
    for n in 0..40 {
        put(&place, 0, &format!("archived {n}"), START + n * SECOND);
        place.advance(Span(SECOND));
    }
    let last = place.messages("events")[0].last().map(|message| message.position).unwrap();
    let ends = BTreeMap::from([("events".to_owned(), BTreeMap::from([(0, last)]))]);
    tests::archive(&project, ends).unwrap();
    place.advance(Span(30 * SECOND));
    let wired = project.job(&Target::All, &options(false)).map_err(told).unwrap();
    let given = place.now() - 1 - QUIET - DELAY - 1;
    if let Some(event) = late {
        put(&place, 1, "late", event);
    }
    let mut running = Running::new(wired, 1, seed);
    assert!(!running.settle().unwrap());
    place.advance(Span(60 * SECOND));
    assert!(!running.settle().unwrap());
    running.driver.control().finish();
    let counts = running.run_to_end().unwrap().counts("events");
    let letters = if policy == "SKIP" { 0 } else { place.messages("bad").iter().map(Vec::len).sum() };
    assert_eq!(counts.bad + counts.dead_lettered, 1);
    (rows(&project), letters, counts.joined, given)
}

#[test]
fn a_row_of_a_partition_that_has_shown_bad_messages_alone_does_not_come_behind_history() {
    for seed in 0..8 {
        let (rows, _, joined, given) = after_a_bad_message("SKIP", Some(START - SECOND), seed);
        assert_eq!((rows.len(), joined), (41, 1), "seed {seed}");
        assert!(rows.contains(&line("late", START - SECOND, given + 1, true)), "seed {seed}: {rows:?}");
    }
}

#[test]
fn a_dead_letter_of_a_partition_that_has_shown_no_time_comes_out_after_history() {
    for seed in 0..8 {
        let (rows, letters, joined, _) = after_a_bad_message("DEAD LETTER TO TOPIC bad", None, seed);
        assert_eq!((rows.len(), letters, joined), (40, 1, 0), "seed {seed}");
    }
}
