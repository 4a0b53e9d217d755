//! Messages that are held for long, since the log takes no more: their leases are extended, and memory stays bounded.

use crate::folder::{Folder, RUN, field};
use crate::server::{Outgoing, Server, told_by};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE m;
";
const PLACES: &str = r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#;

fn message(id: usize, padding: usize) -> Outgoing {
    let at = format!("2026-01-01 00:{:02}:{:02}", id / 60 % 60, id % 60);
    (json!({ "id": id, "at": at, "padding": "x".repeat(padding) }).to_string(), String::new())
}

/// Keeps everyone from appending to the partition, as a process that was stopped while it appends does.
fn locked(folder: &Folder) -> File {
    let lock = File::options().read(true).write(true).open(folder.partition().join("lock")).unwrap();
    lock.lock().unwrap();
    lock
}

#[test]
fn a_message_that_is_held_beyond_its_deadline_comes_once() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "ackDeadlineSeconds": 10 }));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0, 0)]);
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    folder.wait_for(1, RUN);
    let lock = locked(&folder);
    server.publish("p", "m", &[message(1, 0)]);
    pause(25 * SECOND);
    // Nobody else gets it while it is held.
    assert!(server.pull("p", "m", 10).is_empty());
    drop(lock);
    folder.wait_for(2, RUN);
    pause(12 * SECOND);
    assert_eq!(folder.messages(), 2, "it came again");
    assert!(server.pull("p", "m", 10).is_empty(), "it was not acknowledged");
    mirror.interrupt();
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0));
}

/// Each message that is given back counts as delivered, and after some deliveries it is a dead letter.
#[test]
fn what_cannot_be_appended_is_held_and_not_given_back() {
    let Some(server) = Server::start() else { return };
    server.done("PUT", "projects/p/topics/dead", &json!({}));
    let dead = json!({ "deadLetterTopic": "projects/p/topics/dead", "maxDeliveryAttempts": 5 });
    server.make("p", "m", json!({ "ackDeadlineSeconds": 10, "deadLetterPolicy": dead }));
    let folder = Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m?details=pubsub"]"#);
    server.publish("p", "m", &[message(0, 0)]);
    let mut mirror = server.begin(folder.path(), &["tail", "m"]);
    folder.wait_for(1, RUN);
    // The partition takes no more, as on a disk that is full.
    let (epochs, kept) = (folder.partition().join("epochs"), folder.partition().join("epochs.kept"));
    std::fs::rename(&epochs, &kept).unwrap();
    std::fs::create_dir(&epochs).unwrap();
    server.publish("p", "m", &(1..20).map(|id| message(id, 0)).collect::<Vec<_>>());
    pause(25 * SECOND);
    assert_eq!(told_by(&mirror).matches("messages are held, since topic m does not take them").count(), 1);
    std::fs::remove_dir(&epochs).unwrap();
    std::fs::rename(&kept, &epochs).unwrap();
    folder.wait_for(20, RUN);
    pause(2 * SECOND);
    let attempts: Vec<_> =
        folder.log("m").concat().iter().map(|of| field(of, "pubsub")["delivery_attempt"].clone()).collect();
    assert_eq!(attempts, vec![json!(1); 20], "{}", told_by(&mirror));
    assert_eq!(told_by(&mirror).matches("has taken the messages that were held").count(), 1);
    mirror.interrupt();
    mirror.ended(RUN).expect("it ends");
    assert!(server.pull("p", "m", 10).is_empty(), "some were not acknowledged");
}

#[test]
fn a_mirror_that_stands_still_keeps_bounded_memory_and_loses_nothing() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "ackDeadlineSeconds": 10 }));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0, 0)]);
    server.printed(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "1s"]);
    // 250 MB, and 64 MiB of them are taken at once. They are there before: that server answers nobody while a client that
    // takes no more asks it every half minute whether it is alive.
    let count = 2_500;
    for first in (0..count).step_by(100) {
        let some: Vec<Outgoing> = (first..first + 100).map(|id| message(id + 1, 100_000)).collect();
        server.publish("p", "m", &some);
    }
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    folder.wait_for(2, RUN);
    let lock = locked(&folder);
    let (before, most_before) = (folder.messages(), mirror.memory().expect("it runs").1);
    assert!(before < count / 2, "{before} messages were appended before it stood still");
    pause(60 * SECOND);
    assert_eq!(folder.messages(), before, "it does not stand still");
    assert!(mirror.memory().expect("it runs").1 > most_before, "it has taken no message meanwhile");
    drop(lock);
    // Some are there twice, so that their number says nothing.
    let ids = || -> BTreeSet<i64> {
        folder.log("m").iter().flatten().map(|message| field(message, "id").as_i64().unwrap()).collect()
    };
    let begun = now();
    while ids().len() < count + 1 {
        assert!(now() < begun + RUN, "{} of {} messages", ids().len(), count + 1);
        pause(SECOND);
    }
    // What was on its way for longer than its lease comes again: that server sends more than it is asked for.
    pause(3 * SECOND);
    let (_, most) = mirror.memory().expect("it runs");
    eprintln!("at most {} MiB were held", most >> 20);
    assert!(most < 208 << 20, "{} MiB", most >> 20);
    mirror.interrupt();
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0));
    assert!(server.pull("p", "m", 10).is_empty(), "some were not acknowledged");
}
