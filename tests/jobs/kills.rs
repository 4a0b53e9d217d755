//! The archive job is killed again and again, while one process publishes and two read.

use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use connector_iceberg::Warehouse;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tests::{Chance, Place, all_rows, riverrun};

const KILLS: usize = 20;
/// So many kills have to hit a job that has written something.
const WROTE: usize = 5;
const KILLS_MAX: usize = 60;
const FILE_ROWS: usize = 150;
/// How long anything that a process is sure to do may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A job is killed between these; it commits once a second.
const RUN_MS: std::ops::Range<u64> = 200..2_600;

const SQL: &str = "
CREATE STREAM messages (id TEXT, sender BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND
) HISTORY raw.messages LIVE messages;
ARCHIVE messages;
";

fn command(project: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(riverrun());
    command.arg("--project").arg(project).args(arguments).stdin(Stdio::null());
    command
}

fn run(project: &Path, arguments: &[&str]) {
    let output = command(project, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Publishes one file after the other, each in a process of its own, until it is told to stop; gives the rows.
fn publish(project: &Path, stop: &AtomicBool) -> usize {
    let mut rows = 0;
    while !stop.load(Ordering::SeqCst) {
        let row = |number| {
            let at = format!("2026-01-01 {:02}:{:02}:{:02}", number / 3600 % 24, number / 60 % 60, number % 60);
            json!({ "id": format!("m{number}"), "sender": number % 7, "sent_at": at }).to_string() + "\n"
        };
        let file = project.join(format!("{rows}.jsonl"));
        std::fs::write(&file, (rows..rows + FILE_ROWS).map(row).collect::<String>()).unwrap();
        run(project, &["publish", "messages", file.to_str().unwrap(), "--partitions", "3"]);
        rows += FILE_ROWS;
    }
    rows
}

/// A process that reads the topic from its start, and the messages that it prints: position and id.
struct Reading {
    child: Child,
    messages: Receiver<(String, String)>,
}

impl Reading {
    fn start(project: &Path) -> Reading {
        let mut child =
            command(project, &["tail", "messages", "--from-start", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let message: Value = serde_json::from_str(&line).unwrap();
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                // The other end has gone when the test has all that it wants.
                let _ = send.send((text(&message["position"]), text(&message["payload"]["id"])));
            }
        });
        Reading { child, messages }
    }

    /// So many messages, by position.
    fn messages(mut self, count: usize) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for read in 0..count {
            let (position, id) =
                self.messages.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{read} of {count} messages were read"));
            assert_eq!(all.insert(position, id), None, "a message is read twice");
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert_eq!(self.messages.iter().count(), 0, "more is read than was written");
        all
    }
}

/// Stops the publisher, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Starts the archive job and kills it after a while, which is given.
fn archive_and_kill(project: &Path, chance: &mut Chance) -> Duration {
    let mut child =
        command(project, &["run", "archive", "--commit-every", "1s"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = child.stderr.take().unwrap();
    let (send, ended) = channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let _ = told.read_to_string(&mut text);
        let _ = send.send(text);
    });
    let wait = Duration::from_millis(RUN_MS.start + chance.below(RUN_MS.end - RUN_MS.start));
    if let Ok(text) = ended.recv_timeout(wait) {
        panic!("the archive job ended by itself: {text}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    wait
}

/// How many snapshots the archive has.
fn snapshots(warehouse: &Warehouse) -> usize {
    let metadata = std::fs::read(warehouse.metadata_file("raw.messages").unwrap()).unwrap();
    serde_json::from_slice::<Value>(&metadata).unwrap()["snapshots"].as_array().map_or(0, Vec::len)
}

/// The rows of the archive: position to id.
fn archived(warehouse: &Warehouse) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for batch in all_rows(warehouse, "raw.messages") {
        let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
        let (ids, positions) = (text("id"), text("_message_id"));
        let partitions = batch.column_by_name("_partition").unwrap().as_primitive::<Int32Type>();
        for row in 0..batch.num_rows() {
            let position = format!("{}:{}", partitions.value(row), positions.value(row));
            assert_eq!(all.insert(position, ids.value(row).to_owned()), None, "a message is archived twice");
        }
    }
    all
}

#[test]
fn a_killed_archive_goes_on_where_it_was_and_writes_each_message_once() {
    let place = Place::new("kills", SQL, &["dev".to_owned()], 0);
    let (project, stop) = (place.path(), AtomicBool::new(false));
    place.topics().create("messages", 3).unwrap();
    let warehouse = place.project("dev").warehouse().unwrap();
    let rows = || if warehouse.exists("raw.messages").unwrap() { warehouse.rows("raw.messages").unwrap() } else { 0 };
    let readers = [Reading::start(project), Reading::start(project)];
    let (published, starts, ran) = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(project, &stop));
        let stop = Stop(&stop);
        let (mut chance, mut kills, mut wrote, mut ran) = (Chance::new(20), 0, 0, Duration::ZERO);
        while (kills < KILLS || wrote < WROTE) && kills < KILLS_MAX && !publisher.is_finished() {
            let before = rows();
            ran += archive_and_kill(project, &mut chance);
            kills += 1;
            wrote += usize::from(rows() > before);
        }
        drop(stop);
        let published = publisher.join().unwrap();
        assert!(wrote >= WROTE, "of {kills} jobs that were killed, {wrote} had written something");
        (published, kills + 1, ran)
    });
    run(project, &["run", "archive", "--until-caught-up"]);
    let (found, most) = (snapshots(&warehouse), ran.as_secs() as usize + 1 + starts);
    assert!(found <= most, "{found} snapshots of {starts} starts that ran for {ran:?}");
    let archived = archived(&warehouse);
    assert_eq!(archived.len(), published);
    for reader in readers {
        assert_eq!(reader.messages(published), archived);
    }
    let mut ids: Vec<&String> = archived.values().collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), published, "each message has an id of its own");
}
