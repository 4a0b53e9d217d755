//! Partitions that are added while a job runs.

use crate::project::{Folder, RUN};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use tests::machine::{SECOND, now, pause};
use tests::{Broker, Program};

const SETTINGS: &str = "[project]\nname = \"added\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n";

const SQL: &str = "
CREATE STREAM notes (id BIGINT, subject TEXT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET AFTER INTERVAL '200' MILLISECOND)
LIVE notes;
INSERT INTO TOPIC copies SELECT id, subject, at FROM notes;
";

fn publish(folder: &Folder, ids: Range<usize>) {
    let mut lines = String::new();
    for id in ids {
        let at = format!("2026-01-01 {:02}:{:02}:{:02}", id / 3600, id / 60 % 60, id % 60);
        writeln!(lines, "{}", json!({ "id": id, "subject": format!("s{}", id % 17), "at": at })).unwrap();
    }
    std::fs::write(folder.path().join("notes.jsonl"), lines).unwrap();
    folder.to_end(&["publish", "notes", "notes.jsonl"], "pulsar");
}

/// The ids of the copies, per partition.
fn copies(folder: &Folder) -> BTreeMap<u64, Vec<usize>> {
    let ran = folder.command(&["tail", "copies", "--from-start", "--until-caught-up", "--json"], "pulsar");
    let mut ids = BTreeMap::<u64, Vec<usize>>::new();
    for line in String::from_utf8(ran.stdout).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let partition = line["position"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
        ids.entry(partition).or_default().push(line["payload"]["id"].as_u64().unwrap() as usize);
    }
    ids
}

/// Waits until so many copies are there; a copy that is there twice fails at once.
fn wait_for(folder: &Folder, rows: usize, what: &Program) {
    let begun = now();
    loop {
        let mut all: Vec<usize> = copies(folder).into_values().flatten().collect();
        all.sort_unstable();
        let count = all.len();
        all.dedup();
        assert_eq!(all.len(), count, "copies are there twice");
        if count >= rows {
            assert!(all.into_iter().eq(0..rows));
            return;
        }
        assert!(now() < begun + RUN, "{count} of {rows} copies: {}", what.told());
        pause(SECOND / 5);
    }
}

#[test]
fn a_running_job_goes_on_with_partitions_that_are_added_and_writes_each_row_once() {
    let Some(broker) = Broker::start() else { return };
    let folder = Folder::with(&format!("{SETTINGS}\n{}", broker.environment));
    std::fs::write(folder.path().join("pipelines/all.sql"), SQL).unwrap();
    let partitions = |method: &str, topic: &str, count: &str| {
        broker.admin_with(method, &format!("persistent/public/default/{topic}/partitions"), count);
    };
    partitions("PUT", "notes", "2");
    partitions("PUT", "copies", "2");
    publish(&folder, 0..400);
    let running = folder.start(&["run"], "pulsar");
    wait_for(&folder, 400, &running);
    // Both topics grow while it runs, and rows go to all partitions of the one that is read.
    partitions("POST", "notes", "3");
    partitions("POST", "copies", "4");
    publish(&folder, 400..1000);
    wait_for(&folder, 1000, &running);
    let told = running.told();
    let is_told = told.contains("has 3 partitions now, and had 2") || told.contains("has 4 partitions now, and had 2");
    assert!(is_told && told.contains("goes on from checkpoint"), "{told}");
    publish(&folder, 1000..1200);
    wait_for(&folder, 1200, &running);
    assert!(copies(&folder).keys().any(|partition| *partition >= 2), "nothing came to the new partitions");

    // Killed among rows, with partitions that are added while it is away: what comes again is there once.
    let mut running = running;
    let mut written = 1200;
    for (round, count) in ["5", "6", "7"].into_iter().enumerate() {
        publish(&folder, written..written + 500);
        pause(SECOND / 4 * (round as i64 + 1));
        running.signal("KILL");
        running.ended(RUN).expect("a killed run ends");
        partitions("POST", "copies", count);
        publish(&folder, written + 500..written + 1000);
        written += 1000;
        running = folder.start(&["run"], "pulsar");
    }
    wait_for(&folder, written, &running);
    running.interrupt();
    let ended = running.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
}
