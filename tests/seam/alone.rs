//! A stream that is history alone and has no row: nothing comes later, so that nobody waits for its first row.

use crate::log::START;
use dataflow::{EventTime, Span};
use project::{Begin, JobOptions};
use sql::Target;
use tests::{Place, Running, told};

const SECOND: i64 = 1_000_000;

/// Users may come a day late, and none ever does.
const SQL: &str = "
CREATE STREAM events (id BIGINT, user_id BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND QUIET AFTER INTERVAL '1' SECOND
) LIVE events;
CREATE STREAM users (user_id BIGINT, level BIGINT, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '1' DAY
) HISTORY FILES 'users.csv';
CREATE VIEW known AS SELECT e.id, u.level FROM events e
  ASOF LEFT JOIN users u ON u.user_id = e.user_id AND u.changed_at <= e.sent_at;
";

#[test]
fn a_stream_without_a_topic_or_a_row_holds_nobody_back_for_its_delay() {
    for workers in [1, 2, 3] {
        let place = Place::new("alone", SQL, &["dev".to_owned()], START);
        std::fs::write(place.path().join("users.csv"), "user_id,level,changed_at\n").unwrap();
        place.topics().create("events", 1).unwrap();
        let project = place.project("dev");
        let target = Target::Collect(vec!["known".to_owned()]);
        let options = JobOptions { until_caught_up: false, begin: Begin::Collect, from: None, ..JobOptions::default() };
        let mut running = Running::new(project.job(&target, &options).map_err(told).unwrap(), workers, 7);
        place.put("events", 0, &format!(r#"{{"id":1,"user_id":1,"sent_at":"{}"}}"#, EventTime(START)));
        assert!(!running.settle().unwrap());
        // Two seconds of delay and one of silence after the message it is out.
        place.advance(Span(4 * SECOND));
        assert!(!running.settle().unwrap());
        let rows: usize = running.collected[0].take().iter().map(dataflow::Batch::rows).sum();
        assert_eq!(rows, 1, "{workers} workers");
    }
}
