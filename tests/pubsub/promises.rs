//! How far a topic is drained, as its mirrors promise.

use crate::folder::{Folder, RUN, field};
use crate::server::{Outgoing, Server, told_by};
use serde_json::json;
use std::collections::BTreeSet;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND) LIVE m;
";
const PLACES: &str = r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#;

fn message(id: i64, key: &str) -> Outgoing {
    (json!({ "id": id, "at": "2026-01-01 00:00:00" }).to_string(), key.to_owned())
}

/// Waits until what is said of a partition is more than this.
fn wait_for_promise(folder: &Folder, partition: u32, more: i64) {
    let begun = now();
    while folder.drained_to(partition) <= more {
        assert!(now() < begun + RUN, "partition {partition} is drained to {}", folder.drained_to(partition));
        pause(SECOND / 5);
    }
}

/// A partition that gets nothing would hold up the stream for as long as others get something.
#[test]
fn a_silent_partition_is_drained_while_messages_flow_to_another() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({ "enableMessageOrdering": true }));
    let folder = Folder::new(SQL, PLACES);
    let begun = now();
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m", "--partitions", "2"]);
    let mut id = 0;
    while id < 2 || (0..2).any(|partition| folder.drained_to(partition) < begun) {
        assert!(now() < begun + RUN, "{:?}", [folder.drained_to(0), folder.drained_to(1)]);
        server.publish("p", "m", &[message(id, "k")]);
        id += 1;
        pause(SECOND / 2);
    }
    let filled: Vec<usize> = folder.log("m").iter().map(Vec::len).collect();
    let silent = filled.iter().position(|messages| *messages == 0).expect("all messages have one key") as u32;
    // What is on its way for some seconds is not late.
    assert!(folder.drained_to(silent) < now() - 4 * SECOND);
    mirror.interrupt();
    mirror.ended(RUN).expect("it ends");
}

#[test]
fn nothing_is_promised_while_the_server_does_not_answer() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0, "")]);
    let begun = now();
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    folder.wait_for(1, RUN);
    wait_for_promise(&folder, 0, begun);
    server.signal("STOP");
    let stopped = now();
    pause(20 * SECOND);
    assert!(folder.drained_to(0) < stopped, "{} s too far", (folder.drained_to(0) - stopped) / SECOND);
    server.signal("CONT");
    let back = now();
    while !told_by(&mirror).contains("Pub/Sub answers again") {
        assert!(now() < back + RUN, "{}", mirror.told());
        pause(SECOND / 5);
    }
    assert_eq!(told_by(&mirror).matches("nothing is known of what comes").count(), 1, "{}", mirror.told());
    // What was published meanwhile may be on its way.
    pause(10 * SECOND);
    assert!(folder.drained_to(0) < stopped);
    mirror.interrupt();
    mirror.ended(RUN).expect("it ends");
}

#[test]
fn several_subscriptions_of_a_topic_promise_the_least_of_all() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    server.make("p", "n", json!({}));
    let folder =
        Folder::new(SQL, r#"["local:m", "pubsub:projects/p/subscriptions/m", "pubsub:projects/p/subscriptions/n"]"#);
    server.publish("p", "m", &[message(0, "")]);
    // Another process has the second one, and has promised nothing yet.
    let topics = folder.topics();
    topics.create("m", 1).unwrap();
    let other = topics.claim("m", "pubsub:projects/p/subscriptions/n").unwrap();
    let begun = now();
    let mut mirror = server.begin(folder.path(), &["tail", "m"]);
    folder.wait_for(1, RUN);
    while other.promise_of("pubsub:projects/p/subscriptions/m").is_none_or(|promised| promised.0 < begun) {
        assert!(now() < begun + RUN, "{}", mirror.told());
        pause(SECOND / 5);
    }
    pause(3 * SECOND);
    assert!(folder.drained_to(0) < begun, "one promises for the other");
    drop(other);
    wait_for_promise(&folder, 0, begun);
    mirror.interrupt();
    mirror.ended(RUN).expect("it ends");
}

#[test]
fn a_mirror_until_nothing_comes_goes_on_while_nothing_can_come() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, PLACES);
    server.publish("p", "m", &[message(0, "")]);
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m", "--until-idle", "5s"]);
    folder.wait_for(1, RUN);
    server.signal("STOP");
    let ended = mirror.ended(35 * SECOND);
    server.signal("CONT");
    assert!(ended.is_none(), "it ends while the server does not answer: {}", mirror.told());
    server.publish("p", "m", &[message(1, "")]);
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0));
    // An acknowledgement that the server has not heard before it stood still is as good as none: that message comes again.
    let there: BTreeSet<_> = folder.log("m").iter().flatten().map(|message| field(message, "id").as_i64()).collect();
    assert_eq!(there, BTreeSet::from([Some(0), Some(1)]));
}
