//! Streams of files that are over, in a job that goes on: all their rows come out, however many workers read them.

use crate::log::START;
use project::{Begin, JobOptions};
use sql::Target;
use tests::{Place, Running, table_rows, told};

const SQL: &str = "
CREATE STREAM plays (id TEXT, played_at TIMESTAMP, WATERMARK FOR played_at AS played_at - INTERVAL '1' SECOND)
  HISTORY FILES 'plays/*.csv';
CREATE STREAM songs (id TEXT, changed_at TIMESTAMP, WATERMARK FOR changed_at AS changed_at - INTERVAL '1' SECOND)
  HISTORY FILES 'songs/*.csv';
CREATE STREAM others (id TEXT, sent_at TIMESTAMP, WATERMARK FOR sent_at AS sent_at - INTERVAL '1' SECOND) LIVE others;
INSERT INTO lake.joined SELECT p.id, p.played_at, s.changed_at FROM plays p
  ASOF LEFT JOIN songs s ON p.id = s.id AND s.changed_at <= p.played_at;
INSERT INTO lake.counted SELECT id, played_at,
  count(*) OVER (PARTITION BY id ORDER BY played_at RANGE INTERVAL '1' MINUTE PRECEDING) AS plays FROM plays;
INSERT INTO lake.others SELECT id, sent_at FROM others;
";

/// A file of a row per second.
fn put(place: &Place, path: &str, column: &str, seconds: std::ops::Range<i64>) {
    let rows = seconds.map(|second| format!("k{},2024-01-01 00:{:02}:{:02}\n", second % 3, second / 60, second % 60));
    let path = place.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("id,{column}\n{}", rows.collect::<String>())).unwrap();
}

#[test]
fn all_rows_of_files_come_out_beside_a_stream_that_goes_on() {
    for (workers, seed) in [(1, 0), (1, 1), (2, 2), (2, 3), (3, 4), (5, 5)] {
        let place = Place::new("ended", SQL, &["dev".to_owned()], START);
        place.topics().create("others", 1).unwrap();
        put(&place, "plays/early.csv", "played_at", 0..50);
        put(&place, "plays/all.csv", "played_at", 20..100);
        put(&place, "songs/early.csv", "changed_at", 0..10);
        put(&place, "songs/all.csv", "changed_at", 5..30);
        let project = place.project("dev");
        let options = JobOptions { until_caught_up: false, begin: Begin::Fresh, from: None, ..JobOptions::default() };
        let mut running = Running::new(project.job(&Target::All, &options).map_err(told).unwrap(), workers, seed);
        assert!(!running.settle().unwrap());
        running.driver.control().finish();
        running.run_to_end().unwrap();
        let warehouse = project.warehouse().unwrap();
        let counts = ["lake.joined", "lake.counted"].map(|table| table_rows(&warehouse, table).len());
        assert_eq!(counts, [130, 130], "{workers} workers, seed {seed}");
    }
}
