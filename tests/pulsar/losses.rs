//! What a cluster takes away before a job has read it ends the job by name, before a later row is written.

use crate::project::Folder;
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Guarantee, Namespace, OutgoingMessage, Service, Settings, TopicWriter, Topics};
use serde_json::{Value, json};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tests::Broker;
use tests::machine::{SECOND, now, pause};

/// A broker that these tests and others share; it ends with this process.
pub fn broker() -> Option<&'static Standalone> {
    static BROKER: OnceLock<Option<(Standalone, tempfile::TempDir)>> = OnceLock::new();
    let start = || {
        let data = Broker::is_possible().then(|| tempfile::tempdir().unwrap())?;
        let cache = Path::new(&std::env::var("HOME").unwrap()).join(".cache/riverrun");
        // Quotas are looked at every minute otherwise.
        let settings = "backlogQuotaCheckIntervalInSeconds=1\n";
        Some((Standalone::start(&cache, &data.path().join("broker"), settings).unwrap(), data))
    };
    BROKER.get_or_init(start).as_ref().map(|(broker, _)| broker)
}

/// A namespace that keeps nothing for nobody, with a topic `notes`, and a project that copies it to `copies`.
pub struct Scene {
    broker: &'static Standalone,
    name: String,
    pub folder: Folder,
    /// The part of the topic that gets messages.
    partition: String,
}

impl Scene {
    pub fn start(name: &str, partitions: u32, more: &str) -> Option<Scene> {
        let broker = broker()?;
        let place = format!("{{ pulsar = \"{}\", namespace = \"public/{name}\"{more} }}", broker.service_url());
        let settings = format!(
            "[project]\nname = \"{name}\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n[job.copy]\noutputs = \
             [\"copies\"]\n[env.pulsar]\nhistory = {{ warehouse = \"./warehouse\" }}\nlive = {place}\n"
        );
        let folder = Folder::with(&settings);
        let sql = "CREATE STREAM notes (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET AFTER \
                   INTERVAL '200' MILLISECOND) LIVE notes;\nINSERT INTO TOPIC copies SELECT id, at FROM notes;\n";
        std::fs::write(folder.path().join("pipelines/all.sql"), sql).unwrap();
        let partition = if partitions > 0 { "notes-partition-1" } else { "notes" };
        let scene = Scene { broker, name: name.to_owned(), folder, partition: partition.to_owned() };
        scene.ask("PUT", &format!("namespaces/public/{name}"), "");
        let retention = r#"{"retentionTimeInMinutes":0,"retentionSizeInMB":0}"#;
        scene.ask("POST", &format!("namespaces/public/{name}/retention"), retention);
        // What removes duplicates has a subscription of its own, which keeps messages.
        scene.ask("POST", &format!("namespaces/public/{name}/deduplication"), "false");
        match partitions {
            0 => scene.ask("PUT", &scene.topic("notes", ""), ""),
            some => scene.ask("PUT", &scene.topic("notes", "/partitions"), &some.to_string()),
        };
        scene.ask("PUT", &scene.topic("copies", ""), "");
        Some(scene)
    }

    fn ask(&self, method: &str, path: &str, json: &str) -> String {
        let (status, body) = self.broker.admin().request(method, &format!("/admin/v2/{path}"), json).unwrap();
        // Messages expire where there are some that are old enough, and the broker is not at it.
        let expires = path.contains("expireMessages") && status == 409;
        assert!(expires || (200..300).contains(&status), "{method} {path}: {status} {body}");
        body
    }

    fn topic(&self, topic: &str, what: &str) -> String {
        format!("persistent/public/{}/{topic}{what}", self.name)
    }

    /// Does something to the part of the topic that gets messages.
    fn to_topic(&self, method: &str, what: &str) {
        self.ask(method, &self.topic(&self.partition, what), "");
    }

    /// Puts rows on the last partition.
    pub fn publish(&self, ids: Range<usize>) {
        self.publish_to(u32::from(self.partition != "notes"), ids);
    }

    /// Puts rows on a partition.
    pub fn publish_to(&self, partition: u32, ids: Range<usize>) {
        let row = |id: usize| format!(r#"{{"id":{id},"at":"2026-01-01 00:{:02}:{:02}"}}"#, id / 60, id % 60);
        self.put(partition, ids, row);
    }

    /// Puts messages on a topic without partitions.
    pub fn publish_payloads(&self, ids: RangeInclusive<usize>, payload: impl Fn(usize) -> String) {
        self.put(0, ids, payload);
    }

    fn put(&self, partition: u32, ids: impl IntoIterator<Item = usize>, payload: impl Fn(usize) -> String) {
        let settings = Settings::new(Service::parse(&self.broker.service_url()).unwrap());
        let topics = Topics::new(settings, Namespace::parse(&format!("public/{}", self.name)).unwrap());
        let topic = topics.topic("notes").unwrap().unwrap();
        let name = format!("test-{:016x}", connector_pulsar::chance());
        let writer = TopicWriter::open(&topic, &name, Guarantee::AtLeastOnce, &[], None).unwrap();
        let message = |id: usize| OutgoingMessage {
            sequence: id as u64,
            payload: Some(payload(id).into()),
            key: None,
            properties: Vec::new(),
            event_time_ms: None,
            publish_time_ms: 1_700_000_000_000,
        };
        // Each row is an entry of its own.
        for id in ids {
            writer.push(partition, vec![message(id)]).unwrap();
            writer.flush().unwrap();
        }
    }

    pub fn copy(&self) {
        self.folder.to_end(&["run", "copy", "--until-caught-up"], "pulsar");
    }

    pub fn copies(&self) -> Vec<u64> {
        let printed = self.folder.printed(&["tail", "copies", "--from-start", "--until-caught-up", "--json"], "pulsar");
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["payload"]["id"].as_u64().unwrap();
        printed.lines().map(id).collect()
    }

    fn statistics(&self) -> Value {
        serde_json::from_str(&self.ask("GET", &self.topic(&self.partition, "/internalStats"), "")).unwrap()
    }

    /// The oldest ledger that is there.
    fn oldest_ledger(&self) -> u64 {
        self.statistics()["ledgers"][0]["ledgerId"].as_u64().unwrap()
    }

    /// Waits until the broker has taken away a ledger that nobody needs.
    fn trim(&self, ledger: u64) {
        let begun = now();
        while self.oldest_ledger() == ledger {
            self.to_topic("POST", "/trim");
            assert!(now() < begun + 60 * SECOND, "nothing is trimmed: {}", self.statistics());
            pause(SECOND / 5);
        }
    }

    /// Runs the job until it has written what is there, and ends it with a savepoint.
    fn stop_with_savepoint(&self) -> PathBuf {
        let mut running = self.folder.start(&["run", "copy"], "pulsar");
        running.ready();
        let begun = now();
        while self.copies().len() < 2 {
            assert!(now() < begun + 60 * SECOND, "{}", running.told());
            pause(SECOND / 5);
        }
        let savepoint = self.folder.path().join("savepoint");
        self.folder.to_end(&["stop", "copy", "--to", savepoint.to_str().unwrap()], "pulsar");
        running.ended(60 * SECOND).expect("a run that is stopped ends");
        savepoint
    }

    /// The subscription of the job.
    fn anchor(&self) -> String {
        format!("riverrun-{}-pulsar-job-copy-notes", self.name)
    }

    /// Waits until the broker has moved the subscription beyond the rows that were read, which are ten.
    fn until_moved(&self, again: impl Fn()) {
        let stands_at =
            || self.statistics()["cursors"][self.anchor()]["markDeletePosition"].as_str().map(str::to_owned);
        let entry = || stands_at().and_then(|at| at.rsplit(':').next()?.parse::<i64>().ok());
        let begun = now();
        while entry().is_none_or(|entry| entry < 10) {
            again();
            assert!(now() < begun + 60 * SECOND, "the subscription stands at {:?}", stands_at());
            pause(SECOND / 5);
        }
    }
}

/// Reads ten rows, has something taken away of ten more, and tells what a run says then; it has to write nothing.
fn refusal(name: &str, more: &str, take_away: impl FnOnce(&Scene)) -> Option<String> {
    let scene = Scene::start(name, 0, more)?;
    scene.publish(0..10);
    scene.copy();
    take_away(&scene);
    let told = scene.folder.refused(&["run", "copy", "--until-caught-up"], "pulsar");
    assert_eq!(scene.copies(), (0..10).collect::<Vec<_>>(), "{name}: a later row was written: {told}");
    assert!(told.contains("topic \"persistent://public/") && told.contains("/notes\""), "{name}: {told}");
    Some(told)
}

const NEEDED: &str = "is still needed: messages expired, were evicted or skipped";

#[test]
fn messages_that_expire_are_evicted_or_skipped_end_a_job_before_a_later_row_is_written() {
    let subscription = |scene: &Scene, what: &str| format!("/subscription/{}{what}", scene.anchor());
    let Some(told) = refusal("expired", "", |scene| {
        scene.publish(10..20);
        scene.until_moved(|| scene.to_topic("POST", &subscription(scene, "/expireMessages/1")));
        scene.publish(20..30);
    }) else {
        return;
    };
    assert!(told.contains(NEEDED), "{told}");
    let told = refusal("evicted", "", |scene| {
        scene.publish(10..20);
        let quota = json!({ "limitSize": 1, "policy": "consumer_backlog_eviction" }).to_string();
        scene.until_moved(|| drop(scene.ask("POST", "namespaces/public/evicted/backlogQuota", &quota)));
        scene.publish(20..30);
    });
    assert!(told.as_ref().is_some_and(|told| told.contains(NEEDED)), "{told:?}");
    let told = refusal("skipped", "", |scene| {
        scene.publish(10..20);
        scene.to_topic("POST", &subscription(scene, "/skip_all"));
        scene.publish(20..30);
    });
    assert!(told.as_ref().is_some_and(|told| told.contains(NEEDED)), "{told:?}");
}

#[test]
fn a_topic_that_is_not_what_it_was_ends_a_job_before_a_later_row_is_written() {
    let Some(told) = refusal("deleted", "", |scene| {
        scene.publish(10..20);
        scene.to_topic("DELETE", &format!("/subscription/{}?force=true", scene.anchor()));
        scene.publish(20..30);
    }) else {
        return;
    };
    assert!(told.contains("it was deleted and is a new one"), "{told}");
    // Without a subscription the ledger that ends with the last row that was read goes, and no row that was not read.
    let told = refusal("trimmed", ", anchors = false", |scene| {
        let first = scene.oldest_ledger();
        scene.to_topic("PUT", "/unload");
        scene.publish(10..20);
        scene.trim(first);
    });
    assert!(told.as_ref().is_some_and(|told| told.contains("messages between were taken away")), "{told:?}");
    let again = |scene: &Scene| {
        scene.to_topic("DELETE", "?force=true");
        scene.to_topic("PUT", "");
    };
    let told = refusal("again", ", anchors = false", |scene| {
        again(scene);
        scene.publish(10..30);
    });
    assert!(told.as_ref().is_some_and(|told| told.contains("messages between were taken away")), "{told:?}");
    // Nothing is there yet: the place lies ahead of the topic.
    let told = refusal("ahead", ", anchors = false", again);
    assert!(told.as_ref().is_some_and(|told| told.contains("it is empty, and was read up to")), "{told:?}");
}

#[test]
fn a_savepoint_of_which_later_rows_are_gone_is_refused_by_name() {
    let Some(scene) = Scene::start("gone", 2, "") else { return };
    scene.publish_to(0, 0..3);
    let savepoint = scene.stop_with_savepoint();
    let first = scene.oldest_ledger();
    // Rows of a partition of which the savepoint has none: they are read, let go of, and trimmed.
    for ids in [100..105, 105..110] {
        scene.publish(ids);
        scene.copy();
    }
    scene.to_topic("PUT", "/unload");
    for ids in [110..113, 113..116] {
        scene.publish(ids);
        scene.copy();
    }
    scene.trim(first);
    let before = scene.copies();
    for arguments in
        [&["resume", "copy", "--from", savepoint.to_str().unwrap(), "--until-caught-up"][..], &["run", "copy"]]
    {
        let told = scene.folder.refused(arguments, "pulsar");
        assert!(told.contains("which is not the first that the partition ever had"), "{told}");
    }
    // What the savepoint itself holds may come again, where the broker removes no duplicates.
    let again = scene.copies().split_off(before.len());
    assert!(again.iter().all(|id| *id < 3), "no row after those that are gone is written: {again:?}");
}

/// The rows of a partition that gave none before the savepoint would come again at other places, and others be left out for them.
#[test]
fn a_savepoint_after_which_a_partition_joined_is_refused_where_rows_come_again() {
    let Some(scene) = Scene::start("joined", 2, "") else { return };
    scene.ask("POST", &scene.topic("copies", "/deduplicationEnabled"), "true");
    scene.publish_to(0, 0..3);
    let savepoint = scene.stop_with_savepoint();
    for ids in [100..105, 105..110] {
        scene.publish(ids);
        scene.copy();
    }
    let before = scene.copies();
    let arguments = ["resume", "copy", "--from", savepoint.to_str().unwrap(), "--until-caught-up"];
    let told = scene.folder.refused(&arguments, "pulsar");
    let expected = "rows that were written since, and partition 1 of stream \"notes\" gave its first row since";
    assert!(told.contains(expected), "{told}");
    // The newest checkpoint is what it was.
    scene.publish(110..112);
    scene.copy();
    let expected: Vec<u64> = before.into_iter().chain(110..112).collect();
    assert_eq!(scene.copies(), expected);
}
