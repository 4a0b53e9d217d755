//! The archive job and topics that are empty, missing, or cannot be made.

use project::{Archive, ArchiveOptions, Begin, JobOptions, Project};
use sql::Target;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::{Place, Running, archive, table_rows, told};

const START: i64 = 1_767_225_600_000_000;

const SQL: &str = "
CREATE STREAM messages (id TEXT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY raw.messages LIVE messages;
CREATE STREAM reports (id TEXT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY raw.reports LIVE reports;
ARCHIVE messages;
ARCHIVE reports;
INSERT INTO lake.copies SELECT id, sent_at FROM reports;
";

fn place() -> Place {
    let place = Place::new("topics", SQL, &["dev".to_owned()], START);
    place.topics().create("messages", 1).unwrap();
    put(&place, "messages", 0..20);
    place
}

fn put(place: &Place, topic: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let at = dataflow::EventTime(place.now());
        place.put(topic, 0, &format!(r#"{{"id":"m{number}","sent_at":"{at}"}}"#));
    }
}

fn rows(project: &Project, table: &str) -> usize {
    table_rows(&project.warehouse().unwrap(), table).len()
}

#[test]
fn a_topic_that_is_missing_is_made_and_its_archive_goes_on_later() {
    let place = place();
    let project = place.project("dev");
    archive(&project, BTreeMap::new()).unwrap();
    assert_eq!((rows(&project, "raw.messages"), rows(&project, "raw.reports")), (20, 0));
    // An archive of nothing is an archive: jobs read it, and what comes later comes after it.
    let options = JobOptions { until_caught_up: true, begin: Begin::GoOn, from: None, ..JobOptions::default() };
    let wired = project.job(&Target::All, &options).map_err(told).unwrap();
    Running::new(wired, 1, 0).run_to_end().unwrap();
    put(&place, "reports", 0..5);
    archive(&project, BTreeMap::new()).unwrap();
    put(&place, "reports", 5..7);
    let wired = project.job(&Target::All, &options).map_err(told).unwrap();
    Running::new(wired, 1, 0).run_to_end().unwrap();
    assert_eq!((rows(&project, "raw.reports"), rows(&project, "lake.copies")), (5, 7));
}

#[test]
fn the_others_go_on_while_a_topic_cannot_be_made() {
    let place = place();
    let project = place.project("dev");
    let in_the_way = place.path().join("topics/reports");
    std::fs::write(&in_the_way, "no topic").unwrap();
    let options = ArchiveOptions { ends: BTreeMap::new(), commit_every: Duration::from_secs(1) };
    let mut archive = Archive::open(&project, options).map_err(told).unwrap();
    let absent: Vec<_> = archive.absent().map(|(stream, why)| format!("{stream}: {why}")).collect();
    assert!(
        absent.len() == 1 && absent[0].starts_with("reports: ") && absent[0].contains("topics/reports"),
        "{absent:?}"
    );
    let mut committed = 0;
    let mut now = Duration::ZERO;
    let mut step = |archive: &mut Archive<'_>| {
        now += Duration::from_millis(300);
        let step = archive.step(now).unwrap();
        archive.wait(Duration::from_millis(5));
        committed += step.committed.iter().map(|commit| commit.rows).sum::<u64>();
        committed
    };
    while step(&mut archive) < 20 {}
    std::fs::remove_file(&in_the_way).unwrap();
    while archive.absent().count() > 0 {
        step(&mut archive);
    }
    put(&place, "reports", 0..5);
    while step(&mut archive) < 25 {}
    assert_eq!((rows(&project, "raw.messages"), rows(&project, "raw.reports")), (20, 5));
}

#[test]
fn a_topic_that_is_gone_is_not_made_again() {
    let place = place();
    let project = place.project("dev");
    archive(&project, BTreeMap::new()).unwrap();
    std::fs::remove_dir_all(place.path().join("topics/messages")).unwrap();
    let refused = archive(&project, BTreeMap::new()).unwrap_err();
    assert!(refused.contains("table raw.messages was archived from it"), "{refused}");
    assert!(!place.path().join("topics/messages").exists());
}

#[test]
fn a_table_of_something_else_is_refused_and_stays_as_it_is() {
    let place = place();
    let project = place.project("dev");
    let warehouse = project.warehouse().unwrap();
    let columns =
        arrow::datatypes::Schema::new(vec![arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Utf8, true)]);
    let other = warehouse.claim("raw.messages", "other").unwrap();
    other.create(&columns.into(), &connector_iceberg::TableOptions::default()).unwrap();
    drop(other);
    let before = warehouse.metadata_file("raw.messages").unwrap();
    let refused = archive(&project, BTreeMap::new()).unwrap_err();
    assert!(refused.contains("table raw.messages was not made by an archive"), "{refused}");
    assert_eq!(warehouse.metadata_file("raw.messages").unwrap(), before);
}

#[test]
fn messages_of_a_topic_that_was_made_again_are_kept_although_the_one_before_was_archived() {
    let place = Place::new("topics", SQL, &["dev".to_owned()], START);
    let fill = || {
        let topics = place.topics();
        topics.create("messages", 1).unwrap();
        let mut producer = topics.producer("messages", "", 0).unwrap().with_segment_bytes(1);
        for number in 0..20 {
            let payload = format!(r#"{{"id":"m{number}","sent_at":"{}"}}"#, dataflow::EventTime(place.now()));
            let message =
                connector_local::Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None };
            producer.append(0, &[message]).unwrap();
        }
    };
    fill();
    archive(&place.project("dev"), BTreeMap::new()).unwrap();
    std::fs::write(
        place.path().join("riverrun.toml"),
        "[project]\nname = \"topics\"\n[env.dev]\nhistory = { warehouse = \"dev\" }\n\
         live = { topics = \"topics\", retention = \"1h\" }\n",
    )
    .unwrap();
    let project = place.project("dev");
    std::fs::remove_dir_all(place.path().join("topics/messages")).unwrap();
    fill();
    place.advance(dataflow::Span::DAY);
    assert_eq!(project.trim_topics().map_err(told).unwrap(), []);
    assert_eq!(place.messages("messages")[0].len(), 20);
}
