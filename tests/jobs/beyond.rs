//! Rows of files that lie beyond the greatest clock of the topics have not happened yet, whatever they are joined with.

use project::{Begin, JobOptions};
use sql::Target;
use std::fmt::Write;
use tests::{Place, Running, table_rows, told};

const START: i64 = 1_767_225_600_000_000;
const ROWS: i64 = 200;
/// The second at which the one row of a topic lies.
const HAPPENED: i64 = 9;

const SQL: &str = "
CREATE STREAM one (k BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '0' SECOND QUIET NEVER) LIVE one;
CREATE STREAM empty (k BIGINT, ts TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL '0' SECOND QUIET NEVER) LIVE empty;
CREATE STREAM files (id BIGINT, k BIGINT, ts TIMESTAMP,
  WATERMARK FOR ts AS ts - INTERVAL '0' SECOND) HISTORY FILES 'files.csv';
INSERT INTO lake.joined SELECT f.id, (SELECT count(*) FROM empty e WHERE e.k = f.k
  AND e.ts BETWEEN f.ts - INTERVAL '1' SECOND AND f.ts) AS n FROM files f;
INSERT INTO lake.ones SELECT k FROM one;
";

#[test]
fn rows_of_files_beyond_the_topics_are_held_also_beside_an_empty_topic() {
    for (workers, seed) in [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (5, 6), (5, 7)] {
        let place = Place::new("beyond", SQL, &["dev".to_owned()], START);
        let at = |second: i64| dataflow::EventTime(START + second * 1_000_000);
        let mut text = "id,k,ts\n".to_owned();
        (0..ROWS).for_each(|row| writeln!(text, "{row},{},{}", row % 3, at(row)).unwrap());
        std::fs::write(place.path().join("files.csv"), text).unwrap();
        place.topics().create("one", 1).unwrap();
        place.topics().create("empty", 2).unwrap();
        place.advance(dataflow::Span(HAPPENED * 1_000_000));
        place.put("one", 0, &format!(r#"{{"k":1,"ts":"{}"}}"#, at(HAPPENED)));
        let project = place.project("dev");
        let options = JobOptions { until_caught_up: true, begin: Begin::GoOn, from: None, ..JobOptions::default() };
        let wired = project.job(&Target::All, &options).map_err(told).unwrap();
        Running::new(wired, workers, seed).run_to_end().unwrap();
        let rows = table_rows(&project.warehouse().unwrap(), "lake.joined");
        assert_eq!(rows.len() as i64, HAPPENED + 1, "{workers} workers, seed {seed}");
    }
}
