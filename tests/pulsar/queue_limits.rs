//! A queue on brokers that stop by themselves, remove duplicates, or have what cannot be read; and beside a savepoint, and
//! somebody who looks under a name of their own.

use crate::project::RUN;
use crate::queue::Place;
use std::fmt::Write;
use tests::machine::{SECOND, now, pause};

const DEAD_LETTERS: &str = "
CREATE STREAM notes (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at) LIVE notes QUEUE
  ON BAD ROW DEAD LETTER TO lake.bad_notes;
INSERT INTO TOPIC copies SELECT id, at FROM notes WHERE id >= 0;
INSERT INTO lake.copies SELECT id, at FROM notes WHERE id >= 0;
";

/// More messages than a batch has, and than the broker gives before some are acknowledged.
const MANY: usize = 3000;

/// Limits what a consumer, or all of a subscription, may have that is not acknowledged; 0 is no limit.
fn limit(place: &Place, consumer: u32, subscription: u32) {
    let limits = [("maxUnackedMessagesPerConsumer", consumer), ("maxUnackedMessagesPerSubscription", subscription)];
    for (name, most) in limits {
        place.broker.admin_with("POST", &format!("namespaces/public/default/{name}"), &most.to_string());
    }
}

/// The broker stops long before a checkpoint is due, and does not say so where it stops for all consumers together.
#[test]
fn a_broker_that_gives_nothing_more_before_some_is_acknowledged_is_answered_by_a_checkpoint() {
    let Some(place) = Place::start("600s") else { return };
    limit(&place, 20, 0);
    let mut running = place.folder.start(&["run", "copy"], "pulsar");
    running.ready();
    place.publish(0..MANY);
    place.wait_for_copies(MANY);
    limit(&place, 0, 20);
    // What consumers that are there may have is seen by those that come.
    for partition in 0..2 {
        place.broker.admin("PUT", &format!("persistent/public/default/notes-partition-{partition}/unload"));
    }
    place.publish(MANY..2 * MANY);
    let copies = place.wait_for_copies(2 * MANY);
    assert!(copies.keys().copied().eq(0..2 * MANY as u64), "ids that nobody published");
    running.interrupt();
    let ended = running.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert_eq!((place.rows().1, place.backlog()), (2 * MANY, Some(0)));
}

#[test]
fn a_queue_on_a_broker_that_removes_duplicates_loses_nothing_over_a_kill_bad_rows_and_a_resume() {
    let Some(place) = Place::start("200ms") else { return };
    place.broker.admin_with("POST", "namespaces/public/default/deduplication", "true");
    std::fs::write(place.folder.path().join("pipelines/all.sql"), DEAD_LETTERS).unwrap();
    place.publish(0..1000);
    publish_bad(&place, 7);
    let mut killed = place.folder.start(&["run", "copy"], "pulsar");
    place.wait_for_copies(200);
    killed.signal("KILL");
    killed.ended(RUN).expect("a killed run ends");
    // Messages come in another order now, and none of the rows may be taken for one that was written before.
    place.publish(1000..2000);
    let mut running = place.folder.start(&["run", "copy"], "pulsar");
    place.wait_for_copies(2000);
    wait_for_bad(&place, 7);

    let savepoint = place.folder.path().join("savepoint");
    let savepoint = savepoint.to_str().unwrap();
    place.folder.to_end(&["stop", "copy", "--to", savepoint], "pulsar");
    let stopped = running.ended(RUN).expect("a run that is stopped ends");
    assert_eq!(stopped.code, Some(0), "{}", stopped.told);
    assert_eq!(place.backlog(), Some(0), "bad rows are acknowledged like others");
    let before = place.copies();
    place.publish(2000..2500);
    place.folder.to_end(&["resume", "copy", "--from", savepoint, "--until-caught-up"], "pulsar");
    let after = place.copies();
    assert!(after.keys().copied().eq(0..2500), "{} ids", after.len());
    assert!(before.iter().all(|(id, count)| after[id] == *count), "nothing comes again after a stop");
    assert!(after.range(2000..).all(|(_, count)| *count == 1), "{after:?}");
    assert_eq!(place.rows().1, 2500);
    // What was acknowledged since does not come again, so the savepoint is of no use any more.
    let told = place.folder.refused(&["resume", "copy", "--from", savepoint, "--until-caught-up"], "pulsar");
    assert!(told.contains("acknowledged") || told.contains("more rows"), "{told}");

    // Who runs it under a name of their own reads all of the topic, and takes nothing away.
    place.publish(2500..2600);
    let waiting = place.backlog();
    place.folder.to_end(&["run", "copy", "--as", "ana", "--until-caught-up"], "pulsar");
    let sql = "SELECT count(*) AS n, count(DISTINCT id) AS ids FROM lake.copies";
    let printed = place.folder.printed(&["query", sql, "--csv", "--as", "ana"], "pulsar");
    assert_eq!(printed.lines().nth(1), Some("2600,2600"), "{printed}");
    assert!(place.backlog() > Some(0), "{waiting:?} waited, and {:?} do", place.backlog());
    assert_eq!(place.backlog(), waiting);
    place.folder.to_end(&["run", "copy", "--until-caught-up"], "pulsar");
    assert_eq!((place.copies().len(), place.backlog()), (2600, Some(0)));
}

/// Puts messages on the topic that no row can be read from.
fn publish_bad(place: &Place, count: usize) {
    let mut lines = String::new();
    for number in 0..count {
        writeln!(lines, r#"{{"id":"none {number}","at":"2026-01-01 00:00:00"}}"#).unwrap();
    }
    std::fs::write(place.folder.path().join("bad.jsonl"), lines).unwrap();
    place.folder.to_end(&["publish", "notes", "bad.jsonl"], "pulsar");
}

/// Waits until the table of dead letters has these.
fn wait_for_bad(place: &Place, count: usize) {
    let sql = "SELECT count(DISTINCT raw) AS n FROM lake.bad_notes";
    let begun = now();
    loop {
        let ran = place.folder.command(&["query", sql, "--csv"], "pulsar");
        let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
        if printed.lines().nth(1) == Some(count.to_string().as_str()) {
            return;
        }
        assert!(now() < begun + RUN, "{printed}{}", String::from_utf8_lossy(&ran.stderr));
        pause(SECOND / 5);
    }
}
