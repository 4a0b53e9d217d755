//! Rows of files that a forward bound holds come out as time goes on, though only a topic that meets them later moves it.

use dataflow::{EventTime, Span};
use project::{Begin, JobOptions};
use sql::Target;
use std::fmt::Write;
use tests::{Place, Running, table_rows, told};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_767_225_600 * SECOND;
const ROWS: i64 = 40;
const BOUND: i64 = 10;

const SQL: &str = "
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
        let place = Place::new("labels", SQL, &["dev".to_owned()], START);
        let at = |second: i64| EventTime(START + second * SECOND);
        let mut text = "id,k,ts\n".to_owned();
        (0..ROWS).for_each(|row| writeln!(text, "{row},{},{}", row % 3, at(row - ROWS)).unwrap());
        std::fs::write(place.path().join("files.csv"), text).unwrap();
        place.topics().create("looks", 2).unwrap();
        place.topics().create("flags", 2).unwrap();
        let project = place.project("dev");
        let options = JobOptions { until_caught_up: false, begin: Begin::Refuse, from: None };
        let wired = project.job(&Target::All, &options).map_err(told).unwrap();
        let mut running = Running::new(wired, workers, seed);
        assert!(!running.settle().unwrap());
        for second in 0..3 * BOUND {
            place.advance(Span(SECOND));
            let (partition, key) = ((second % 2) as u32, second % 3);
            place.put("looks", partition, &format!(r#"{{"id":{second},"k":{key},"ts":"{}"}}"#, at(second)));
            assert!(!running.settle().unwrap());
        }
        place.advance(Span(2 * BOUND * SECOND));
        assert!(!running.settle().unwrap());
        running.driver.control().finish();
        running.run_to_end().unwrap();
        let seen = table_rows(&project.warehouse().unwrap(), "lake.seen");
        assert_eq!(seen.len() as i64, 3 * BOUND, "{workers} workers, seed {seed}");
        let labels = table_rows(&project.warehouse().unwrap(), "lake.labels");
        assert_eq!(labels.len() as i64, ROWS, "{workers} workers, seed {seed}");
    }
}
