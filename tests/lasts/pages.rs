//! Logs of more rows than a page has: full pages are stored once, and taken up again by any number of workers.

use crate::outputs::check_outputs;
use crate::scene::{PARTITIONS, SQL, message, report};
use connector_local::Outgoing;
use dataflow::{EventTime, Span};
use project::{Begin, JobOptions, Project};
use sql::Target;
use std::collections::BTreeMap;
use tests::{Chance, Place, Running, told};

const START: i64 = 1_767_225_600_000_000;
/// How many rows come at once; a window holds two such bursts.
const BURST: u64 = 9_000;

fn burst(place: &Place, chance: &mut Chance, count: &mut u64) {
    for topic in ["messages", "reports"] {
        let texts: Vec<Vec<String>> = (0..PARTITIONS)
            .map(|_| {
                let mut event = EventTime(place.now());
                let rows = (0..BURST / u64::from(PARTITIONS)).map(|_| {
                    event = event.plus(Span(chance.between(0, 1_500)));
                    if topic == "messages" { message(chance, count, event) } else { report(chance, event) }
                });
                rows.collect()
            })
            .collect();
        let mut producer = place.topics().producer(topic, "", 0).unwrap();
        for (partition, texts) in (0..).zip(&texts) {
            let outgoing =
                texts.iter().map(|text| Outgoing { sequence: 0, key: None, payload: text.as_bytes(), arrived: None });
            let messages: Vec<Outgoing> = outgoing.collect();
            producer.append(partition, &messages).unwrap();
        }
    }
    place.advance(Span(7_000_000));
}

fn start(place: &Place, environment: &str, workers: usize, begin: Begin, until_caught_up: bool) -> Running {
    let project: Project = place.project(environment);
    let options = JobOptions { until_caught_up, begin, ..JobOptions::default() };
    let wired = project.job(&Target::All, &options).map_err(told).unwrap_or_else(|error| panic!("{error}"));
    // An even seed leaves the settings as they are: pages of full size, and files for what does not fit.
    Running::new(wired, workers, 8)
}

/// Gives the state of an environment so little memory that all that can be is on disk.
fn with_little_memory(place: &Place, environment: &str) {
    let path = place.path().join("riverrun.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let heading = format!("[env.{environment}]\n");
    std::fs::write(path, settings.replace(&heading, &format!("{heading}state_memory = \"1 KiB\"\n"))).unwrap();
}

/// The bytes of state that the newest checkpoint names, and those of all files of state by name.
fn stored(project: &Project) -> (u64, BTreeMap<String, u64>) {
    let folder = project.checkpoints_path(None);
    let newest = checkpoint::look(&folder).unwrap().unwrap();
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap());
    let files = files.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()));
    (newest.state_bytes(), files.filter(|(name, _)| name.starts_with("state")).collect())
}

#[test]
fn logs_of_many_pages_go_to_any_number_of_workers() {
    many_pages(false);
}

#[test]
fn logs_of_many_pages_that_lie_on_disk_go_to_any_number_of_workers() {
    many_pages(true);
}

fn many_pages(on_disk: bool) {
    let environments = ["dev", "oracle"].map(str::to_owned);
    let place = Place::new("lasts", SQL, &environments, START);
    for topic in ["messages", "reports"] {
        place.topics().create(topic, PARTITIONS).unwrap();
    }
    if on_disk {
        with_little_memory(&place, "dev");
    }
    let (mut chance, mut count) = (Chance::new(1), 0);
    burst(&place, &mut chance, &mut count);
    let (mut first, mut any_on_disk) = (None, false);
    for workers in [1, 3, 2] {
        let mut running = start(&place, "dev", workers, Begin::GoOn, false);
        first.get_or_insert(running.start);
        burst(&place, &mut chance, &mut count);
        running.settle().unwrap();
        running.driver.control().checkpoint();
        running.settle().unwrap();
        any_on_disk |= running.driver.status().state_bytes().1 > 0;
        // Here it is killed.
    }
    assert_eq!(any_on_disk, on_disk);
    burst(&place, &mut chance, &mut count);
    start(&place, "dev", 5, Begin::GoOn, true).run_to_end().unwrap();
    start(&place, "oracle", 1, Begin::Fresh, true).run_to_end().unwrap();
    check_outputs(&place.project("dev"), &place.project("oracle"), first.unwrap(), "five workers");
}

/// A window alone, so that nearly all of the state is its log.
const WINDOW: &str = "
CREATE STREAM messages (id TEXT, sender BIGINT, size BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) LIVE messages;
INSERT INTO lake.counted
SELECT id, sender, count(*) OVER w AS n, sum(size) OVER w AS bytes
FROM messages WINDOW w AS (PARTITION BY sender ORDER BY sent_at RANGE INTERVAL '60' SECOND PRECEDING);
";

#[test]
fn what_is_in_full_pages_is_written_once() {
    written_once(false);
}

#[test]
fn what_is_in_full_pages_on_disk_is_written_once() {
    written_once(true);
}

fn written_once(on_disk: bool) {
    let place = Place::new("lasts", WINDOW, &["dev".to_owned()], START);
    for topic in ["messages", "reports"] {
        place.topics().create(topic, PARTITIONS).unwrap();
    }
    if on_disk {
        with_little_memory(&place, "dev");
    }
    let (mut chance, mut count) = (Chance::new(2), 0);
    burst(&place, &mut chance, &mut count);
    let mut running = start(&place, "dev", 2, Begin::GoOn, false);
    burst(&place, &mut chance, &mut count);
    running.settle().unwrap();
    running.driver.control().checkpoint();
    running.settle().unwrap();
    let (bytes, before) = stored(&place.project("dev"));
    assert!(bytes > 300_000, "a window holds thousands of rows, and its state has {bytes} bytes");
    // A row of each key comes, so that there is no group of keys in which nothing has changed.
    for sender in 0..4 {
        let now = EventTime(place.now());
        let text = format!(r#"{{"id":"late {sender}","sender":{sender},"size":1,"sent_at":"{now}"}}"#);
        place.put("messages", sender % PARTITIONS, &text);
    }
    running.settle().unwrap();
    running.driver.control().checkpoint();
    running.settle().unwrap();
    let (_, after) = stored(&place.project("dev"));
    let written: u64 = after.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(_, bytes)| bytes).sum();
    assert!(written > 0 && written < bytes / 3, "{written} of {bytes} bytes were written again");
}

/// A value of each message that there ever was, and nothing else that lasts.
const LAG: &str = "
CREATE STREAM messages (id TEXT, sender BIGINT, size BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) LIVE messages;
INSERT INTO lake.counted
SELECT id, lag(size) OVER (PARTITION BY id ORDER BY sent_at) AS before FROM messages;
";

#[test]
fn what_is_in_chunks_of_a_table_is_written_once() {
    let place = Place::new("lasts", LAG, &["dev".to_owned()], START);
    for topic in ["messages", "reports"] {
        place.topics().create(topic, PARTITIONS).unwrap();
    }
    let (mut chance, mut count) = (Chance::new(3), 0);
    burst(&place, &mut chance, &mut count);
    let mut running = start(&place, "dev", 1, Begin::GoOn, false);
    for _ in 0..2 {
        burst(&place, &mut chance, &mut count);
    }
    // A minute later everything is computed, and then nothing but two new ids comes.
    last_messages(&place, "last");
    running.settle().unwrap();
    running.driver.control().checkpoint();
    running.settle().unwrap();
    let (bytes, before) = stored(&place.project("dev"));
    assert!(bytes > 400_000, "there is a value for each of 24,000 ids, and state has {bytes} bytes");
    last_messages(&place, "very last");
    running.settle().unwrap();
    running.driver.control().checkpoint();
    running.settle().unwrap();
    let (_, after) = stored(&place.project("dev"));
    let written: u64 = after.iter().filter(|(name, _)| !before.contains_key(*name)).map(|(_, bytes)| bytes).sum();
    assert!(written > 0 && written < bytes / 3, "{written} of {bytes} bytes were written again");
    drop(running);
    // Another number of workers takes of each chunk what is of its keys.
    start(&place, "dev", 3, Begin::GoOn, true).run_to_end().unwrap();
}

/// A message of a new id on each partition, a minute after all others.
fn last_messages(place: &Place, id: &str) {
    place.advance(Span(60_000_000));
    let now = EventTime(place.now());
    for partition in 0..PARTITIONS {
        let text = format!(r#"{{"id":"{id} {partition}","sender":1,"size":1,"sent_at":"{now}"}}"#);
        place.put("messages", partition, &text);
    }
}
