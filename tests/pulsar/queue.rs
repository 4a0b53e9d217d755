//! A topic as a queue: a job acknowledges what its checkpoints have, and loses nothing over kills.

use crate::project::{Folder, RUN};
use connector_pulsar::{PartitionReader, ProducerClocks, ReaderOptions, Service, Settings, Start, TopicName};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;
use tests::Broker;
use tests::machine::{SECOND, now, pause};

const SUBSCRIPTION: &str = "riverrun-queue-pulsar-job-copy-notes";

const SQL: &str = "
CREATE STREAM notes (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE notes QUEUE;
INSERT INTO TOPIC copies SELECT id, at FROM notes WHERE id >= 0;
INSERT INTO lake.copies SELECT id, at FROM notes WHERE id >= 0;
";

pub struct Place {
    pub broker: Broker,
    pub folder: Folder,
}

impl Place {
    /// A job that takes checkpoints so often, and a topic of two partitions.
    pub fn start(checkpoint_every: &str) -> Option<Place> {
        let broker = Broker::start()?;
        let settings = format!(
            "[project]\nname = \"queue\"\ncommit_every = \"{checkpoint_every}\"\ncheckpoint_every = \"{checkpoint_every}\"\n\
             [job.copy]\noutputs = [\"copies\", \"lake.copies\"]\n{}",
            broker.environment
        );
        let folder = Folder::with(&settings);
        std::fs::write(folder.path().join("pipelines/all.sql"), SQL).unwrap();
        broker.admin_with("PUT", "persistent/public/default/notes/partitions", "2");
        Some(Place { broker, folder })
    }

    pub fn publish(&self, ids: Range<usize>) {
        let mut lines = String::new();
        for id in ids {
            let at = format!("2026-01-01 {:02}:{:02}:{:02}", id / 3600, id / 60 % 60, id % 60);
            writeln!(lines, "{}", json!({ "id": id, "at": at })).unwrap();
        }
        std::fs::write(self.folder.path().join("notes.jsonl"), lines).unwrap();
        self.folder.to_end(&["publish", "notes", "notes.jsonl"], "pulsar");
    }

    /// How often each id is on the topic of the output.
    pub fn copies(&self) -> BTreeMap<u64, usize> {
        let mut counts = BTreeMap::new();
        let ran = self.folder.command(&["tail", "copies", "--from-start", "--until-caught-up", "--json"], "pulsar");
        for line in String::from_utf8_lossy(&ran.stdout).lines() {
            let id = serde_json::from_str::<Value>(line).unwrap()["payload"]["id"].as_u64().unwrap();
            *counts.entry(id).or_default() += 1;
        }
        counts
    }

    pub fn wait_for_copies(&self, of: usize) -> BTreeMap<u64, usize> {
        let begun = now();
        loop {
            let copies = self.copies();
            if copies.len() >= of {
                return copies;
            }
            assert!(now() < begun + RUN, "{} of {of} ids", copies.len());
            pause(SECOND / 5);
        }
    }

    pub fn backlog(&self) -> Option<i64> {
        let printed = self.folder.printed(&["jobs", "--json"], "pulsar");
        let mut jobs = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let anchors = jobs.find(|one| one["job"] == "copy")?["anchors"].take();
        assert_eq!(anchors[0]["subscription"], SUBSCRIPTION);
        let partitions = anchors[0]["partitions"].as_array()?;
        partitions.iter().map(|partition| partition["backlog_entries"].as_i64()).sum()
    }

    /// The property that names the row of each of so many messages of the output.
    fn row_names(&self, count: usize) -> Vec<String> {
        let url = self.broker.environment.split('"').find(|part| part.starts_with("pulsar://")).unwrap();
        let options = ReaderOptions {
            topic: TopicName::parse("copies").unwrap(),
            start: Start::Oldest,
            anchor: None,
            name: "names".to_owned(),
            budget_bytes: 1 << 20,
            allows_gaps: false,
            producer_clocks: ProducerClocks::default(),
        };
        let settings = Settings::new(Service::parse(url).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut reader, mut names) = (PartitionReader::new(settings, options), Vec::new());
            while names.len() < count {
                let message = reader.next().await.unwrap().unwrap();
                let row = message.properties.into_iter().find(|(name, _)| name == "riverrun.row");
                names.push(row.expect("the message has the property").1);
            }
            names
        })
    }

    pub fn rows(&self) -> (usize, usize) {
        let sql = "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM lake.copies";
        let printed = self.folder.printed(&["query", sql, "--csv"], "pulsar");
        let (rows, ids) = printed.lines().nth(1).unwrap().split_once(',').unwrap();
        (rows.parse().unwrap(), ids.parse().unwrap())
    }
}

#[test]
fn a_queue_loses_nothing_over_kills_an_unload_a_restart_and_partitions_that_are_added() {
    let Some(place) = Place::start("200ms") else { return };
    place.publish(0..3000);
    // Whoever looks takes nothing away.
    let shown = place.folder.printed(&["tail", "notes", "--from-start", "--until-caught-up", "--json"], "pulsar");
    assert_eq!(shown.lines().count(), 3000);
    let queried = place.folder.printed(&["query", "SELECT count(*) AS n FROM notes", "--csv"], "pulsar");
    assert_eq!(queried.lines().nth(1), Some("3000"), "{queried}");
    for part in 1..4 {
        let mut running = place.folder.start(&["run", "copy"], "pulsar");
        place.wait_for_copies(part * 500);
        running.signal("KILL");
        running.ended(RUN).expect("a killed run ends");
        place.publish(2000 + part * 1000..3000 + part * 1000);
    }
    let mut running = place.folder.start(&["run", "copy"], "pulsar");
    running.ready();
    place.broker.admin("PUT", "persistent/public/default/notes-partition-0/unload");
    place.broker.admin_with("POST", "persistent/public/default/notes/partitions", "3");
    place.publish(6000..7000);
    place.wait_for_copies(7000);
    place.broker.stop();
    place.broker.start_again();
    place.publish(7000..8000);
    let copies = place.wait_for_copies(8000);
    assert!(copies.keys().copied().eq(0..8000), "ids that nobody published");
    running.interrupt();
    let ended = running.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert!(ended.told.contains("stream \"notes\" is a queue, so delivery is at least once"), "{}", ended.told);
    assert_eq!(place.backlog(), Some(0), "all was acknowledged when the run ended");
    assert_eq!(place.rows().1, 8000);
    place.folder.to_end(&["run", "copy", "--until-caught-up"], "pulsar");
    assert_eq!(place.copies(), copies, "nothing comes again after a run that ended by itself");
    place.folder.to_end(&["stop", "copy", "--forget"], "pulsar");
    for partition in 0..3 {
        let path = format!("persistent/public/default/notes-partition-{partition}/subscription/{SUBSCRIPTION}");
        assert_eq!(place.broker.status("DELETE", &path), 404, "partition {partition}");
    }
}

#[test]
fn a_message_is_acknowledged_once_a_checkpoint_has_it_and_comes_again_before() {
    let Some(place) = Place::start("600s") else { return };
    place.publish(0..100);
    let mut running = place.folder.start(&["run", "copy"], "pulsar");
    place.wait_for_copies(100);
    running.signal("KILL");
    running.ended(RUN).expect("a killed run ends");
    assert!(place.backlog() > Some(0), "nothing may be acknowledged that only outputs have");
    place.publish(100..200);
    place.folder.to_end(&["run", "copy", "--until-caught-up"], "pulsar");
    let copies = place.copies();
    assert!(copies.keys().copied().eq(0..200), "{copies:?}");
    assert!(copies.iter().filter(|(id, _)| **id < 100).all(|(_, count)| *count == 2), "{copies:?}");
    assert!(copies.iter().filter(|(id, _)| **id >= 100).all(|(_, count)| *count == 1), "{copies:?}");
    assert_eq!((place.rows(), place.backlog()), ((200, 200), Some(0)), "the table has what was committed");
    let names = place.row_names(300);
    let differ: BTreeSet<&String> = names.iter().collect();
    assert_eq!((names.len(), differ.len()), (300, 300), "no two messages have one riverrun.row: {names:?}");
}

#[test]
fn a_queue_without_subscriptions_is_refused_by_name() {
    let Some(place) = Place::start("200ms") else { return };
    let settings = place.folder.path().join("riverrun.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("pulsar = \"", "anchors = false, pulsar = \"")).unwrap();
    let told = place.folder.refused(&["run", "copy", "--until-caught-up"], "pulsar");
    assert!(told.contains("stream \"notes\" is a queue, which is read by a subscription"), "{told}");
}
