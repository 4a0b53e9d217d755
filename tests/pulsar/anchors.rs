//! Subscriptions by which jobs keep what they have not read: what nobody else needs stays, and what somebody takes away
//! ends a job by name.

use crate::project::{Folder, RUN};
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::Range;
use tests::Broker;
use tests::machine::{SECOND, now, pause};

const SETTINGS: &str = "[project]\nname = \"anchors\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n[job.copy]\noutputs = [\"copies\"]\n";

const SQL: &str = "
CREATE STREAM notes (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET AFTER INTERVAL '200' MILLISECOND)
HISTORY raw.notes LIVE notes;
ARCHIVE notes;
INSERT INTO TOPIC copies SELECT id, at FROM notes;
";

const COPY: &str = "riverrun-anchors-pulsar-job-copy-notes";
const ARCHIVE: &str = "riverrun-anchors-pulsar-archive-notes";
const PARTITIONS: [&str; 2] = ["notes-partition-0", "notes-partition-1"];

struct Place {
    broker: Broker,
    folder: Folder,
}

impl Place {
    /// A topic of two partitions in a namespace that keeps nothing for nobody.
    fn start() -> Option<Place> {
        let broker = Broker::start()?;
        let folder = Folder::with(&format!("{SETTINGS}\n{}", broker.environment));
        std::fs::write(folder.path().join("pipelines/all.sql"), SQL).unwrap();
        broker.admin_with("PUT", "persistent/public/default/notes/partitions", "2");
        let forgets = r#"{"retentionTimeInMinutes":0,"retentionSizeInMB":0}"#;
        broker.admin_with("POST", "persistent/public/default/notes/retention", forgets);
        Some(Place { broker, folder })
    }

    fn publish(&self, ids: Range<usize>) {
        let mut lines = String::new();
        for id in ids {
            let at = format!("2026-01-01 {:02}:{:02}:{:02}", id / 3600, id / 60 % 60, id % 60);
            writeln!(lines, "{}", json!({ "id": id, "at": at })).unwrap();
        }
        std::fs::write(self.folder.path().join("notes.jsonl"), lines).unwrap();
        self.folder.to_end(&["publish", "notes", "notes.jsonl"], "pulsar");
    }

    fn of_partition(&self, method: &str, partition: &str, what: &str) {
        self.broker.admin(method, &format!("persistent/public/default/{partition}{what}"));
    }

    /// Ends the ledgers that partitions write to, and takes away what nobody needs.
    fn trim(&self) {
        for partition in PARTITIONS {
            self.of_partition("PUT", partition, "/unload");
        }
        self.publish(0..2);
        for partition in PARTITIONS {
            self.of_partition("POST", partition, "/trim");
        }
    }

    fn copy(&self) {
        self.folder.to_end(&["run", "copy", "--until-caught-up"], "pulsar");
    }

    fn copies(&self) -> Vec<usize> {
        let printed = self.folder.printed(&["tail", "copies", "--from-start", "--until-caught-up", "--json"], "pulsar");
        let id = |line: &str| serde_json::from_str::<Value>(line).unwrap()["payload"]["id"].as_u64().unwrap() as usize;
        let mut ids: Vec<usize> = printed.lines().map(id).collect();
        ids.sort_unstable();
        ids
    }

    /// What `jobs` says of the anchors of a job.
    fn anchors(&self, job: &str) -> Value {
        let printed = self.folder.printed(&["jobs", "--json"], "pulsar");
        let jobs = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        jobs.into_iter().find(|one| one["job"] == job).unwrap()["anchors"].take()
    }

    fn backlogs(&self, job: &str) -> Vec<Option<u64>> {
        let anchors = self.anchors(job);
        anchors[0]["partitions"].as_array().unwrap().iter().map(|one| one["backlog_entries"].as_u64()).collect()
    }
}

#[test]
fn what_a_job_and_the_archive_have_not_read_is_kept_for_them_until_they_are_forgotten() {
    let Some(place) = Place::start() else { return };
    place.publish(2..100);
    place.copy();
    assert_eq!(place.anchors("copy")[0]["subscription"], COPY);
    place.publish(100..200);
    place.copy();
    // A run lets go of what the one before it has read, but for its last entry.
    let anchors = place.anchors("copy");
    let stands_at = |partition: usize| anchors[0]["partitions"][partition]["stands_at"].as_str().unwrap();
    assert!((0..2).all(|partition| !stands_at(partition).contains("beginning")), "{anchors}");
    place.publish(200..300);
    place.trim();
    place.publish(300..400);
    place.copy();
    let expected: Vec<usize> = [0, 1].into_iter().chain(2..400).collect();
    assert_eq!(place.copies(), expected);

    // The archive keeps for itself what it has not copied, whatever others have read.
    place.folder.to_end(&["run", "archive", "--until-caught-up"], "pulsar");
    place.publish(400..500);
    place.trim();
    place.copy();
    place.folder.to_end(&["run", "archive", "--until-caught-up"], "pulsar");
    let counted = place.folder.printed(&["query", "SELECT count(*) AS n FROM raw.notes", "--csv"], "pulsar");
    let kept: usize = counted.lines().nth(1).unwrap().parse().unwrap();
    assert!(kept >= 100 + 2, "{kept} rows in the archive");
    assert_eq!(place.anchors("archive")[0]["subscription"], ARCHIVE);

    // While it runs it says itself how much lies after its place.
    let mut running = place.folder.start(&["run", "copy"], "pulsar");
    running.ready();
    place.publish(500..600);
    let begun = now();
    while place.backlogs("copy").iter().any(|backlog| *backlog != Some(1)) {
        assert!(now() < begun + RUN, "{:?}: {}", place.anchors("copy"), running.told());
        pause(SECOND / 5);
    }
    place.folder.to_end(&["stop", "copy", "--no-savepoint", "--forget"], "pulsar");
    let stopped = running.ended(RUN).expect("a run that is stopped ends");
    assert_eq!(stopped.code, Some(0), "{}", stopped.told);
    assert_eq!(place.anchors("copy"), json!([]));
    let mut archive = place.folder.start(&["run", "archive"], "pulsar");
    let begun = now();
    while !place.folder.printed(&["jobs"], "pulsar").contains("archive: running, ") {
        assert!(now() < begun + RUN, "the archive does not run: {}", archive.told());
        pause(SECOND / 10);
    }
    let told = place.folder.refused(&["stop", "archive", "--forget"], "pulsar");
    assert!(told.contains("ARCHIVE runs"), "{told}");
    archive.interrupt();
    archive.ended(RUN).expect("an archive that is interrupted ends");
    place.folder.to_end(&["stop", "archive", "--forget"], "pulsar");
    assert_eq!(place.anchors("archive"), json!([]));
    for subscription in [COPY, ARCHIVE] {
        let path = format!("persistent/public/default/notes-partition-0/subscription/{subscription}");
        assert_eq!(place.broker.status("DELETE", &path), 404, "{subscription} is there still");
    }
}

/// The names of subscriptions follow settings, and letters of the project's name. A topic that nobody keeps for a moment loses
/// at once what nobody has read.
#[test]
fn an_archive_whose_anchors_have_other_names_misses_nothing() {
    let Some(place) = Place::start() else { return };
    let settings = place.folder.path().join("riverrun.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("pulsar = \"", "anchors = \"before\", pulsar = \"")).unwrap();
    place.publish(0..100);
    place.folder.to_end(&["run", "archive", "--until-caught-up"], "pulsar");
    let old = ARCHIVE.replacen("riverrun", "before", 1);
    assert_eq!(place.anchors("archive")[0]["subscription"], json!(old));
    place.publish(100..200);
    std::fs::write(&settings, text).unwrap();
    // A run that ends before it has made the new ones leaves the old ones, however long it takes until the next.
    let creation = |is_allowed: bool| {
        let policy = json!({ "allowAutoSubscriptionCreation": is_allowed }).to_string();
        place.broker.admin_with("POST", "namespaces/public/default/autoSubscriptionCreation", &policy);
    };
    creation(false);
    let told = place.folder.refused(&["run", "archive", "--until-caught-up"], "pulsar");
    assert!(told.contains("SubscriptionNotFound"), "{told}");
    assert_eq!(place.anchors("archive")[0]["subscription"], json!(old), "it is kept as it was");
    place.trim();
    creation(true);
    place.folder.to_end(&["run", "archive", "--until-caught-up"], "pulsar");
    let counted = place.folder.printed(&["query", "SELECT count(*) AS n FROM raw.notes", "--csv"], "pulsar");
    assert_eq!(counted.lines().nth(1), Some("202"), "{counted}");
    let anchors = place.anchors("archive");
    assert_eq!((anchors.as_array().map(Vec::len), &anchors[0]["subscription"]), (Some(1), &json!(ARCHIVE)));
    for partition in PARTITIONS {
        let path = format!("persistent/public/default/{partition}/subscription/{old}");
        assert_eq!(place.broker.status("DELETE", &path), 404, "{old} is there still");
    }
}

#[test]
fn a_savepoint_that_is_not_gone_on_from_moves_no_anchor() {
    let Some(place) = Place::start() else { return };
    place.publish(0..100);
    let mut running = place.folder.start(&["run", "copy"], "pulsar");
    running.ready();
    let savepoint = place.folder.path().join("savepoint");
    place.folder.to_end(&["stop", "copy", "--to", savepoint.to_str().unwrap()], "pulsar");
    running.ended(RUN).expect("a run that is stopped ends");
    for part in 1..3 {
        place.publish(part * 100..(part + 1) * 100);
        place.copy();
    }
    let before = place.anchors("copy");
    // The topic of the output becomes one that takes no JSON.
    let schema = "schemas/public/default/copies/schema";
    place.broker.admin("DELETE", schema);
    let avro = r#"{"type":"AVRO","schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}","properties":{}}"#;
    place.broker.admin_with("POST", schema, avro);
    let told = place.folder.refused(&["resume", "copy", "--from", savepoint.to_str().unwrap()], "pulsar");
    assert!(told.contains("its messages are Avro"), "{told}");
    assert_eq!(place.anchors("copy"), before);
}

#[test]
fn an_anchor_that_somebody_skipped_or_deleted_ends_a_job_by_name() {
    let Some(place) = Place::start() else { return };
    place.publish(0..100);
    place.copy();
    place.publish(100..200);
    let subscription = format!("/subscription/{COPY}");
    place.of_partition("POST", PARTITIONS[1], &format!("{subscription}/skip_all"));
    let told = place.folder.refused(&["run", "copy", "--until-caught-up"], "pulsar");
    let is_named = told.contains(&format!("the subscription \"{COPY}\" stands at")) && told.contains("is still needed");
    assert!(is_named && told.contains("riverrun stop --forget"), "{told}");
    assert!(!told.contains("put the file"), "no file is named: {told}");
    assert_eq!(place.copies().len(), 100, "nothing after it was written");
    place.folder.to_end(&["stop", "copy", "--forget"], "pulsar");
    place.copy();
    assert_eq!(place.copies(), (0..200).collect::<Vec<_>>(), "all of it was there");

    // Deleted while the job is away, and while it runs.
    place.of_partition("DELETE", PARTITIONS[0], &subscription);
    place.publish(200..300);
    let told = place.folder.refused(&["run", "copy", "--until-caught-up"], "pulsar");
    assert!(told.contains("it was deleted and is a new one"), "{told}");
    assert_eq!(place.copies().len(), 200);
    place.folder.to_end(&["stop", "copy", "--forget"], "pulsar");
    let mut running = place.folder.start(&["run", "copy"], "pulsar");
    running.ready();
    let begun = now();
    while place.copies().len() < 300 {
        assert!(now() < begun + RUN, "{}", running.told());
        pause(SECOND / 5);
    }
    // Where the new one is made before more comes, nothing is lost, and the job goes on; else it ends by name.
    place.of_partition("DELETE", PARTITIONS[0], &format!("{subscription}?force=true"));
    place.publish(300..400);
    let (begun, mut goes_on) = (now(), true);
    while place.copies().len() < 400 {
        if let Some(ended) = running.ended(0) {
            assert!(ended.told.contains("is still needed"), "{}", ended.told);
            goes_on = false;
            place.folder.to_end(&["stop", "copy", "--forget"], "pulsar");
            place.copy();
        }
        assert!(now() < begun + RUN, "{}", running.told());
        pause(SECOND / 5);
    }
    if goes_on {
        running.interrupt();
        let ended = running.ended(RUN).expect("a run that is interrupted ends");
        assert_eq!(ended.code, Some(0), "{}", ended.told);
    }
    assert_eq!(place.copies(), (0..400).collect::<Vec<_>>());
    // To begin anew is to keep all that is there from now on.
    place.folder.to_end(&["run", "copy", "--fresh", "--until-caught-up"], "pulsar");
    place.copy();
}

#[test]
fn a_run_that_waits_for_an_anchor_ends_when_it_is_asked_to() {
    let Some(place) = Place::start() else { return };
    place.publish(0..10);
    let mut holder = place.folder.start(&["run", "copy"], "pulsar");
    holder.ready();
    let other = Folder::with(&format!("{SETTINGS}\n{}", place.broker.environment));
    std::fs::write(other.path().join("pipelines/all.sql"), SQL).unwrap();
    let mut waiting = other.start(&["run", "copy"], "pulsar");
    // The broker refuses it as long as the first one is there, which takes 90 s to be told.
    pause(3 * SECOND);
    assert!(waiting.ended(0).is_none(), "it waits");
    let begun = now();
    waiting.interrupt();
    let ended = waiting.ended(RUN).expect("a run that is interrupted ends");
    assert!(now() < begun + 30 * SECOND, "{}", ended.told);
    assert!(ended.told.contains("stopped before the cluster gave what was waited for"), "{}", ended.told);
    holder.interrupt();
    let ended = holder.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
}

#[test]
fn a_cluster_that_takes_no_subscriptions_says_so_and_a_job_can_go_without() {
    let Some(place) = Place::start() else { return };
    place.publish(0..50);
    let forbids = r#"{"allowAutoSubscriptionCreation":false}"#;
    place.broker.admin_with("POST", "namespaces/public/default/autoSubscriptionCreation", forbids);
    let told = place.folder.refused(&["run", "copy", "--until-caught-up"], "pulsar");
    assert!(told.contains(COPY) && told.contains("SubscriptionNotFound"), "{told}");
    assert!(told.contains("set anchors = false in live of riverrun.toml"), "{told}");
    let settings = place.folder.path().join("riverrun.toml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, text.replace("pulsar = \"", "anchors = false, pulsar = \"")).unwrap();
    place.copy();
    assert_eq!(place.copies().len(), 50);
    assert_eq!(place.anchors("copy"), json!([]));
}
