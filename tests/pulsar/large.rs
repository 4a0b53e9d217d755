//! Rows that are larger than the broker's entries.

use crate::project::{Folder, RUN};
use serde_json::{Value, json};
use std::fmt::Write;
use tests::Broker;
use tests::machine::{SECOND, now, pause};

const SETTINGS: &str = "[project]\nname = \"large\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n";

const SQL: &str = "
CREATE STREAM notes (id BIGINT, body TEXT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER)
LIVE notes;
INSERT INTO TOPIC copies SELECT id, body, at FROM notes;
";

const ROWS: usize = 24;

/// Text that does not compress.
fn body(id: usize) -> String {
    let size = if id % 3 == 1 { 8_000_000 + id } else { 20 };
    let mut state = (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state % 64) as usize])
    };
    (0..size).map(letter).collect()
}

fn folder(broker: &Broker) -> Folder {
    let folder = Folder::with(&format!("{SETTINGS}\n{}", broker.environment));
    std::fs::write(folder.path().join("pipelines/all.sql"), SQL).unwrap();
    folder
}

fn publish(folder: &Folder, ids: std::ops::Range<usize>) {
    let mut lines = String::new();
    for id in ids {
        let at = format!("2026-01-01 00:00:{id:02}");
        writeln!(lines, "{}", json!({ "id": id, "body": body(id), "at": at })).unwrap();
    }
    std::fs::write(folder.path().join("notes.jsonl"), lines).unwrap();
    folder.to_end(&["publish", "notes", "notes.jsonl"], "pulsar");
}

/// The ids on a topic, whose bodies are what they are to be.
fn ids(folder: &Folder, topic: &str) -> Vec<usize> {
    let printed = folder.command(&["tail", topic, "--from-start", "--until-caught-up", "--json"], "pulsar");
    let line = |line: &str| {
        let payload = serde_json::from_str::<Value>(line).unwrap()["payload"].take();
        let id = payload["id"].as_u64().unwrap() as usize;
        assert!(payload["body"] == body(id).as_str(), "row {id}");
        id
    };
    String::from_utf8(printed.stdout).unwrap().lines().map(line).collect()
}

fn wait_for_copies(folder: &Folder, least: usize) -> usize {
    let begun = now();
    loop {
        let count = ids(folder, "copies").len();
        if count >= least {
            return count;
        }
        assert!(now() < begun + RUN, "{count} of {least} copies");
        pause(SECOND / 5);
    }
}

#[test]
fn rows_larger_than_an_entry_are_published_read_and_written_once_over_kills() {
    let Some(broker) = Broker::start() else { return };
    let folder = folder(&broker);
    publish(&folder, 0..ROWS / 2);
    assert_eq!(ids(&folder, "notes"), (0..ROWS / 2).collect::<Vec<_>>());
    let mut first = folder.start(&["run"], "pulsar");
    let before = wait_for_copies(&folder, 1);
    first.signal("KILL");
    first.ended(RUN).expect("a killed run ends");
    let mut second = folder.start(&["run"], "pulsar");
    publish(&folder, ROWS / 2..ROWS);
    wait_for_copies(&folder, before + 2);
    second.signal("KILL");
    second.ended(RUN).expect("a killed run ends");
    folder.to_end(&["run", "--until-caught-up"], "pulsar");
    assert_eq!(ids(&folder, "copies"), (0..ROWS).collect::<Vec<_>>());
    let sql = ["query", "SELECT id, length(body) FROM notes ORDER BY id", "--csv"];
    let expected: String = (0..ROWS).map(|id| format!("{id},{}\n", body(id).len())).collect();
    assert_eq!(folder.printed(&sql, "pulsar").split_once('\n').unwrap().1, expected);
}

#[test]
fn a_row_that_no_topic_takes_is_named_with_its_line() {
    let Some(broker) = Broker::start() else { return };
    let folder = folder(&broker);
    let row = |id: usize, size: usize| json!({ "id": id, "body": "x".repeat(size), "at": "2026-01-01 00:00:00" });
    let text = format!("{}\n{}\n{}\n", row(0, 1), row(1, 65 << 20), row(2, 1));
    std::fs::write(folder.path().join("notes.jsonl"), text).unwrap();
    let told = folder.refused(&["publish", "notes", "notes.jsonl"], "pulsar");
    assert!(told.contains("line 2") && (told.contains("64 MiB") || told.contains("67108864")), "{told}");
}
