//! Mails of a topic and the same mails in files that say when each was received: the same rows are late.

use crate::log::START;
use dataflow::{EventTime, Span};
use project::{Begin, JobOptions, Project};
use serde_json::json;
use sql::Target;
use tests::{Chance, Place, Running, table_rows, told};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
const MAILS: usize = 400;

const SQL: &str = "
CREATE STREAM received (id TEXT, sender BIGINT, sent_at TIMESTAMP, received_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' DAY QUIET AFTER INTERVAL '5' SECOND
) LIVE mails ON BAD ROW SKIP;
CREATE STREAM removed (id TEXT, sender BIGINT, sent_at TIMESTAMP, received_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' DAY QUIET AFTER INTERVAL '5' SECOND LATE TO lake.late
) LIVE mails ON BAD ROW SKIP;
CREATE STREAM received_files (id TEXT, sender BIGINT, sent_at TIMESTAMP, received_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' DAY QUIET AFTER INTERVAL '5' SECOND ARRIVAL received_at
) HISTORY FILES 'mails/*.jsonl' ON BAD ROW SKIP;
CREATE STREAM removed_files (id TEXT, sender BIGINT, sent_at TIMESTAMP, received_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' DAY ARRIVAL received_at QUIET AFTER INTERVAL '5' SECOND
  LATE TO lake.late_files
) HISTORY FILES 'mails/*.jsonl' ON BAD ROW SKIP;

INSERT INTO lake.topic SELECT id, sent_at, _time AS row_time, _late AS late, count(*) OVER w AS n FROM received
WINDOW w AS (PARTITION BY sender ORDER BY sent_at RANGE INTERVAL '30' DAY PRECEDING);
INSERT INTO lake.files SELECT id, sent_at, _time AS row_time, _late AS late, count(*) OVER w AS n FROM received_files
WINDOW w AS (PARTITION BY sender ORDER BY sent_at RANGE INTERVAL '30' DAY PRECEDING);
INSERT INTO lake.on_time SELECT id, sent_at, _time AS row_time, _late AS late FROM removed;
INSERT INTO lake.on_time_files SELECT id, sent_at, _time AS row_time, _late AS late FROM removed_files;
";

/// Copies the files to a table.
const COPY: &str = "
CREATE STREAM plain (id TEXT, sender BIGINT, sent_at TIMESTAMP, received_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' DAY
) HISTORY FILES 'mails/*.jsonl' ON BAD ROW SKIP;
INSERT INTO lake.copy SELECT id, sender, sent_at, received_at FROM plain;
";

/// Reads that table as somebody else's.
const TABLE: &str = "
CREATE STREAM received_table (id TEXT, sender BIGINT, sent_at TIMESTAMP, received_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' DAY QUIET AFTER INTERVAL '5' SECOND ARRIVAL received_at
) HISTORY lake.copy ON BAD ROW SKIP;
INSERT INTO lake.table_rows SELECT id, sent_at, _time AS row_time, _late AS late, count(*) OVER w AS n
FROM received_table WINDOW w AS (PARTITION BY sender ORDER BY sent_at RANGE INTERVAL '30' DAY PRECEDING);
";

/// Years of mails that are sent again in a few minutes, about in the sequence in which they lay in their folders.
fn publish(place: &Place, chance: &mut Chance) -> Vec<String> {
    let mut sent = Vec::new();
    for number in 0..MAILS {
        place.advance(Span(chance.of(&[1, 20, 1_000, 300_000, 2 * SECOND, 12 * SECOND])));
        let folder = (number / 40) as i64;
        let sent_at = match chance.below(100) {
            0..3 => json!(null),
            3..5 => json!(EventTime(place.now() + 2 * DAY).to_string()),
            _ => {
                let of_folder = START - 900 * DAY + folder * 7 % 10 * 60 * DAY;
                json!(EventTime(of_folder + chance.between(0, 90 * DAY)).to_string())
            }
        };
        let sender = if chance.permille(20) { json!("nobody") } else { json!(chance.below(5)) };
        let received_at = EventTime(place.now()).to_string();
        let mail =
            json!({"id": format!("m{number}"), "sender": sender, "sent_at": sent_at, "received_at": received_at});
        place.put("mails", 0, &mail.to_string());
        sent.push(mail.to_string());
    }
    sent
}

/// Deals mails to files in no order.
fn write_files(place: &Place, chance: &mut Chance, mails: &[String]) {
    let folder = place.path().join("mails");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir(&folder).unwrap();
    let mut files = vec![String::new(); 1 + chance.below(6) as usize];
    let count = files.len() as u64;
    let in_order = chance.below(2) == 0;
    for (number, mail) in mails.iter().enumerate() {
        let file = if in_order { number * files.len() / mails.len() } else { chance.below(count) as usize };
        let line = format!("{mail}\n");
        files[file] = if chance.below(3) == 0 { line + &files[file] } else { files[file].clone() + &line };
    }
    for (number, text) in files.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.jsonl")), text).unwrap();
    }
}

/// Runs the job of an output to its end; gives its rows, and how many of the stream's came late.
fn run(project: &Project, output: &str, (stream, mails): (&str, usize), workers: usize) -> (Vec<String>, u64) {
    let options = JobOptions { until_caught_up: true, begin: Begin::Fresh, from: None, ..JobOptions::default() };
    let target = Target::Outputs(vec![output.to_owned()]);
    let wired = project.job(&target, &options).map_err(told).unwrap();
    let ended = Running::new(wired, workers, workers as u64).run_to_end().unwrap();
    let counts = ended.counts(stream);
    let read = counts.history_rows + counts.live_rows + counts.late_dropped + counts.quarantined + counts.bad;
    assert_eq!(read, mails as u64, "{counts:?}");
    (table_rows(&project.warehouse().unwrap(), output), counts.late_moved + counts.late_dropped)
}

#[test]
fn mails_in_files_are_late_as_on_the_topic() {
    let place = Place::new("arrivals", SQL, &["dev".to_owned()], START);
    place.topics().create("mails", 1).unwrap();
    let mut chance = Chance::new(5);
    let mails = publish(&place, &mut chance);
    let project = place.project("dev");
    write_files(&place, &mut chance, &mails);
    let (rows, late) = run(&project, "lake.topic", ("received", MAILS), 2);
    let (on_time, removed) = run(&project, "lake.on_time", ("removed", MAILS), 1);
    let late_rows = table_rows(&project.warehouse().unwrap(), "lake.late");
    assert!(late > MAILS as u64 / 2 && rows.len() > 300 && late == removed, "{late} late of {}", rows.len());
    assert_eq!((on_time.len() + late_rows.len(), late_rows.len() as u64), (rows.len(), late));
    for workers in 1..=4 {
        write_files(&place, &mut chance, &mails);
        let of_files = run(&project, "lake.files", ("received_files", MAILS), workers);
        assert_eq!(of_files, (rows.clone(), late), "{workers} workers");
        let of_files = run(&project, "lake.on_time_files", ("removed_files", MAILS), workers);
        assert_eq!(of_files, (on_time.clone(), late), "{workers} workers");
        assert_eq!(table_rows(&project.warehouse().unwrap(), "lake.late_files"), late_rows, "{workers} workers");
    }
}

#[test]
fn a_table_of_others_has_arrivals_as_files_have_them() {
    let place = Place::new("table_arrivals", &format!("{SQL}{COPY}"), &["dev".to_owned()], START);
    place.topics().create("mails", 1).unwrap();
    let mut chance = Chance::new(6);
    let mut mails = publish(&place, &mut chance);
    mails.retain(|mail| !mail.contains("null") && !mail.contains("nobody"));
    let project = place.project("dev");
    write_files(&place, &mut chance, &mails);
    let (copied, none) = run(&project, "lake.copy", ("plain", mails.len()), 1);
    assert_eq!((copied.len(), none), (mails.len(), 0));
    let of_files = run(&project, "lake.files", ("received_files", mails.len()), 2);
    assert!(of_files.1 > MAILS as u64 / 2, "{} late", of_files.1);
    std::fs::write(place.path().join("pipelines/all.sql"), format!("{SQL}{TABLE}")).unwrap();
    let project = place.project("dev");
    assert_eq!(run(&project, "lake.table_rows", ("received_table", mails.len()), 3), of_files);
}
