//! Publishers with names, which go on where they were killed.

use crate::project::{Folder, RUN};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use tests::Broker;
use tests::machine::{SECOND, now, pause};

const SETTINGS: &str = "[project]\nname = \"named\"\n";

const SQL: &str = "
CREATE STREAM notes (id BIGINT, body TEXT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER)
LIVE notes;
";

const ROWS: usize = 40_000;

fn folder(broker: &Broker) -> Folder {
    let folder = Folder::with(&format!("{SETTINGS}\n{}", broker.environment));
    std::fs::write(folder.path().join("pipelines/all.sql"), SQL).unwrap();
    folder
}

fn write(folder: &Folder, ids: Range<usize>) {
    let mut lines = String::new();
    for id in ids {
        let row = json!({ "id": id, "body": "a row of some length, so that many of them take some time", "at": "2026-01-01 00:00:00" });
        writeln!(lines, "{row}").unwrap();
    }
    std::fs::write(folder.path().join("notes.jsonl"), lines).unwrap();
}

/// The ids per partition, as they lie there.
fn ids(folder: &Folder) -> BTreeMap<u64, Vec<usize>> {
    let printed = folder.printed(&["tail", "notes", "--from-start", "--until-caught-up", "--json"], "pulsar");
    let mut ids = BTreeMap::<u64, Vec<usize>>::new();
    for line in printed.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let partition = line["position"].as_str().unwrap().split(':').next().unwrap().parse().unwrap();
        ids.entry(partition).or_default().push(line["payload"]["id"].as_u64().unwrap() as usize);
    }
    ids
}

/// Each row is there once, those of a partition in their order.
fn assert_once(folder: &Folder, rows: usize) {
    let ids = ids(folder);
    for (partition, ids) in &ids {
        assert!(ids.is_sorted(), "partition {partition} is out of order");
    }
    let mut all: Vec<usize> = ids.into_values().flatten().collect();
    all.sort_unstable();
    assert_eq!(all.len(), rows);
    assert!(all.into_iter().eq(0..rows), "a row is missing, and another one there twice");
}

const PUBLISH: [&str; 5] = ["publish", "notes", "notes.jsonl", "--producer", "import"];

/// What is recorded of the name.
fn record(folder: &Folder) -> Option<Vec<u8>> {
    std::fs::read(folder.path().join("_riverrun/pulsar/publishers/notes%3aimport.input")).ok()
}

/// Publishes, and kills it a while after it has recorded that rows are about to be put, unless all were there already.
fn publish_and_kill(folder: &Folder, after: i64) {
    let before = record(folder);
    // It starts in another folder than the commands that are waited for.
    let rows = folder.path().join("notes.jsonl");
    let arguments = PUBLISH.map(|argument| if argument == "notes.jsonl" { rows.to_str().unwrap() } else { argument });
    let mut publishing = folder.start(&arguments, "pulsar");
    let begun = now();
    while record(folder) == before {
        if publishing.told().contains("nothing was published") {
            publishing.ended(RUN).expect("a publisher that is done ends");
            return;
        }
        assert!(now() < begun + RUN, "nothing was published: {}", publishing.told());
        pause(SECOND / 100);
    }
    pause(after);
    publishing.signal("KILL");
    publishing.ended(RUN).expect("a killed publisher ends");
}

#[test]
fn a_publisher_with_a_name_goes_on_where_it_was_killed_and_puts_each_row_once() {
    let Some(broker) = Broker::start() else { return };
    let folder = folder(&broker);
    broker.admin_with("PUT", "persistent/public/default/notes/partitions", "2");
    write(&folder, 0..ROWS);
    for kill in 0..4 {
        publish_and_kill(&folder, kill * SECOND / 50);
    }
    // Rows in doubt stay on the partitions where they were put.
    broker.admin_with("POST", "persistent/public/default/notes/partitions", "3");
    publish_and_kill(&folder, SECOND / 20);
    folder.to_end(&PUBLISH, "pulsar");
    assert_once(&folder, ROWS);

    let told = |ran: std::process::Output| String::from_utf8(ran.stderr).unwrap();
    let again = told(folder.command(&PUBLISH, "pulsar"));
    assert!(again.contains("nothing was published") && again.contains("40,000 rows were there already"), "{again}");
    write(&folder, 0..ROWS + 5);
    let more = told(folder.command(&PUBLISH, "pulsar"));
    assert!(more.contains("published 5 messages") && more.contains("40,000 rows were there already"), "{more}");
    assert_once(&folder, ROWS + 5);
    write(&folder, 1..ROWS);
    let other = folder.refused(&PUBLISH, "pulsar");
    assert!(other.contains("it is another input, or has been changed since"), "{other}");
    assert_once(&folder, ROWS + 5);
}

#[test]
fn a_broker_that_does_not_know_a_name_and_one_without_deduplication_are_told() {
    let Some(broker) = Broker::start() else { return };
    let folder = folder(&broker);
    write(&folder, 0..10);
    folder.to_end(&PUBLISH, "pulsar");
    // A topic that is made again has none of the rows.
    broker.admin("DELETE", "persistent/public/default/notes?force=true");
    let told = folder.refused(&PUBLISH, "pulsar");
    for part in
        ["producer \"import\" has published to topic notes", "the broker does not know of it", "under another name"]
    {
        assert!(told.contains(part), "{told}");
    }
    let other = ["publish", "notes", "notes.jsonl", "--producer", "other"];
    folder.to_end(&other, "pulsar");
    assert_once(&folder, 10);
    // What says which rows were published is gone.
    std::fs::remove_dir_all(folder.path().join("_riverrun/pulsar/publishers")).unwrap();
    let told = folder.refused(&other, "pulsar");
    assert!(told.contains("the file that says which is gone"), "{told}");

    broker.admin_with("POST", "namespaces/public/default/deduplication", "false");
    write(&folder, 0..ROWS);
    let told = folder.refused(&["publish", "notes", "notes.jsonl", "--producer", "third"], "pulsar");
    assert!(told.contains("its deduplication is off"), "{told}");
    let told = folder.refused(&["publish", "notes", "notes.jsonl", "--producer", "third"], "pulsar");
    assert!(told.contains("the broker does not know of it"), "{told}");
}
