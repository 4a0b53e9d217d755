//! Rows of files in a live job come out as time goes on, whoever moves it: a topic that meets them, or nobody.

use dataflow::{EventTime, Span};
use project::{Begin, JobOptions};
use sql::Target;
use std::fmt::Write;
use tests::{Place, Running, table_rows, told};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_767_225_600 * SECOND;
const ROWS: i64 = 40;
const BOUND: i64 = 10;

const LED: &str = "
CREATE STREAM looks (id BIGINT, k BIGINT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '0' SECOND QUIET AFTER INTERVAL '1' SECOND) LIVE looks;
CREATE STREAM flags (k BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '0' SECOND) LIVE flags;
CREATE STREAM files (id BIGINT, k BIGINT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '0' SECOND) HISTORY FILES 'files.csv';
CREATE VIEW labels AS SELECT f.id, f.k, f.ts, EXISTS (SELECT 1 FROM flags g WHERE g.k = f.k
  AND g.ts BETWEEN f.ts AND f.ts + INTERVAL '10' SECOND) AS flagged FROM files f;
INSERT INTO lake.seen SELECT l.id, (SELECT count(*) FROM labels b WHERE b.k = l.k
  AND b._time BETWEEN l.ts - INTERVAL '1' HOUR AND l.ts) AS n FROM looks l;
INSERT INTO lake.labels SELECT id, flagged FROM labels;
";

/// Files reach to the start, and the topic goes on from there for a while: what of the files waited for time comes out.
#[test]
fn labels_over_files_come_out_as_the_topic_goes_on() {
    for (workers, seed) in [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (5, 6), (5, 7)] {
        let place = Place::new("labels", LED, &["dev".to_owned()], START);
        let at = |second: i64| EventTime(START + second * SECOND);
        let mut text = "id,k,ts\n".to_owned();
        (0..ROWS).for_each(|row| writeln!(text, "{row},{},{}", row % 3, at(row - ROWS)).unwrap());
        std::fs::write(place.path().join("files.csv"), text).unwrap();
        place.topics().create("looks", 2).unwrap();
        place.topics().create("flags", 2).unwrap();
        let project = place.project("dev");
        let options = JobOptions { until_caught_up: false, begin: Begin::GoOn, from: None, ..JobOptions::default() };
        let wired = project.job(&Target::All, &options).map_err(told).unwrap();
        let mut running = Running::new(wired, workers, seed);
        assert!(!running.settle().unwrap());
        for second in 0..3 * BOUND {
            place.advance(Span(SECOND));
            let (partition, key) = ((second % 2) as u32, second % 3);
            place.put("looks", partition, &format!(r#"{{"id":{second},"k":{key},"ts":"{}"}}"#, at(second)));
            assert!(!running.settle().unwrap());
        }
        // A watermark that leaps waits for a moment where a stream that it meets has shown no row.
        for moment in [2 * BOUND * SECOND, SECOND] {
            place.advance(Span(moment));
            assert!(!running.settle().unwrap());
        }
        running.driver.control().finish();
        running.run_to_end().unwrap();
        let seen = table_rows(&project.warehouse().unwrap(), "lake.seen");
        assert_eq!(seen.len() as i64, 3 * BOUND, "{workers} workers, seed {seed}");
        let labels = table_rows(&project.warehouse().unwrap(), "lake.labels");
        assert_eq!(labels.len() as i64, ROWS, "{workers} workers, seed {seed}");
    }
}

/// Files of which nothing but other files and an empty topic is met, beside a topic that has nothing to do with them.
const ALONE: &str = "
CREATE STREAM looks (id BIGINT, k BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '0' SECOND) LIVE looks;
CREATE STREAM flags (k BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) LIVE flags;
CREATE STREAM files (id BIGINT, k BIGINT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '0' SECOND) HISTORY FILES 'month*.csv';
CREATE STREAM early (k BIGINT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '0' SECOND) HISTORY FILES 'early.csv';
INSERT INTO lake.looks SELECT id FROM looks;
INSERT INTO lake.counts SELECT id, count(*) OVER w AS n FROM files
  WINDOW w AS (PARTITION BY k ORDER BY ts RANGE INTERVAL '90' DAY PRECEDING);
INSERT INTO lake.joined SELECT f.id, e.ts AS since FROM files f ASOF LEFT JOIN early e ON e.k = f.k AND e.ts <= f.ts;
INSERT INTO lake.flagged SELECT f.id, EXISTS (SELECT 1 FROM flags g WHERE g.k = f.k
  AND g.ts BETWEEN f.ts AND f.ts + INTERVAL '40' DAY) AS flagged FROM files f;
";

/// The last file reaches into the future: its rows come out when their time has passed, and labels with their bound.
#[test]
fn rows_of_files_alone_come_out_when_their_time_has_passed() {
    const DAY: i64 = 86_400;
    const MONTHS: i64 = 12;
    for (workers, seed) in [(1, 1), (2, 2), (3, 3), (5, 4), (5, 5)] {
        let place = Place::new("alone", ALONE, &["dev".to_owned()], START);
        let at = |day: i64| EventTime(START + day * DAY * SECOND);
        for month in 0..MONTHS {
            let mut text = "id,k,ts\n".to_owned();
            let row = |row: i64| (month * 10 + row, at((month - MONTHS + 1) * 30 + row * 3 + 1));
            (0..10).map(row).for_each(|(id, at)| writeln!(text, "{id},{},{at}", id % 3).unwrap());
            std::fs::write(place.path().join(format!("month{month:02}.csv")), text).unwrap();
        }
        std::fs::write(place.path().join("early.csv"), format!("k,ts\n1,{}\n", at(-500))).unwrap();
        place.topics().create("looks", 2).unwrap();
        place.topics().create("flags", 1).unwrap();
        let project = place.project("dev");
        let options = JobOptions { until_caught_up: false, begin: Begin::GoOn, from: None, ..JobOptions::default() };
        let wired = project.job(&Target::All, &options).map_err(told).unwrap();
        let mut running = Running::new(wired, workers, seed);
        assert!(!running.settle().unwrap());
        place.put("looks", 0, &format!(r#"{{"id":1,"k":1,"ts":"{}"}}"#, at(0)));
        let mut rows = Vec::new();
        for days in [0, 11, 30, 45] {
            place.advance(Span(days * DAY * SECOND));
            assert!(!running.settle().unwrap());
            running.driver.control().commit();
            assert!(!running.settle().unwrap());
            let warehouse = project.warehouse().unwrap();
            let count = |table: &str| table_rows(&warehouse, table).len() as i64;
            rows.push((count("lake.counts"), count("lake.joined"), count("lake.flagged")));
        }
        // Rows lie at days 1, 4, .. 28 of the last month, which begins now. Labels come 40 days after.
        let last = MONTHS * 10;
        let flagged =
            |day: i64| (0..MONTHS * 10).filter(|id| (id / 10 - MONTHS + 1) * 30 + id % 10 * 3 + 1 + 40 < day).count();
        let expected = [(0, 110), (11, 114), (41, last), (86, last)].map(|(day, n)| (n, n, flagged(day) as i64));
        assert_eq!(rows, expected, "{workers} workers, seed {seed}");
        drop(running);
    }
}
