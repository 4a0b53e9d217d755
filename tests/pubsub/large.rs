//! Messages that are larger than the entries of a broker of Pulsar, and one that its topic never takes.

use crate::folder::{Folder, RUN};
use crate::server::{Outgoing, Server, told_by};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tests::Broker;
use tests::machine::{SECOND, now, pause};

const SQL: &str = "
CREATE STREAM m (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE m;
";

/// One with a padding that does not compress.
fn message(id: usize, size: usize) -> Outgoing {
    let mut state = (id as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let letter = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state % 64) as usize])
    };
    let padding: String = (0..size).map(letter).collect();
    (json!({ "id": id, "at": "2026-01-01 00:00:00", "padding": padding }).to_string(), String::new())
}

fn settle(folder: &Folder, broker: &Broker) {
    let environment = broker.environment.replace("[env.pulsar]", "[env.dev]");
    let names = r#"m = ["pulsar:m", "pubsub:projects/p/subscriptions/m"]"#;
    let settings = format!("[project]\nname = \"p\"\n\n{environment}\n[env.dev.names]\n{names}\n");
    std::fs::write(folder.path().join("riverrun.toml"), settings).unwrap();
}

/// The ids that the topic has, and the size of the largest message.
fn there(server: &Server, folder: &Folder) -> (BTreeSet<u64>, usize) {
    let ran = server.command(folder.path(), &["tail", "m", "--from-start", "--until-caught-up", "--json"]).output();
    let lines = String::from_utf8_lossy(&ran.unwrap().stdout).into_owned();
    let ids = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"]["id"].as_u64().unwrap());
    (ids.collect(), lines.lines().map(str::len).max().unwrap_or(0))
}

fn wait_for(server: &Server, folder: &Folder, ids: &BTreeSet<u64>) -> usize {
    let begun = now();
    loop {
        let (found, largest) = there(server, folder);
        if found.is_superset(ids) {
            return largest;
        }
        assert!(now() < begun + RUN, "{found:?} of {ids:?}");
        pause(SECOND / 5);
    }
}

#[test]
fn large_messages_are_copied_and_one_that_a_topic_never_takes_holds_up_no_other() {
    let (Some(server), Some(broker)) = (Server::start(), Broker::start()) else { return };
    server.make("p", "m", json!({ "ackDeadlineSeconds": 10 }));
    let folder = Folder::new(SQL, "[]");
    settle(&folder, &broker);
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    // That server takes requests of 4 MB by HTTP less than those of the service, so the message is as large as it takes.
    for id in 0..6 {
        server.publish("p", "m", &[message(id, if id == 3 { 6_500_000 } else { 10 })]);
    }
    let largest = wait_for(&server, &folder, &(0..6).collect());
    assert!(largest > 6_000_000, "the largest has {largest} bytes");
    // A greatest size of the topic's own, which concerns messages that are no larger than an entry.
    broker.admin_with("POST", "persistent/public/default/m/maxMessageSize", "100000");
    let begun = now();
    let mut tried = 100;
    while !told_by(&mirror).contains("is not copied, since topic m does not take it") {
        assert!(now() < begun + RUN, "{}", told_by(&mirror));
        // The policy takes a moment until it is in force.
        server.publish("p", "m", &[message(tried, 200_000), message(tried + 1, 10)]);
        tried += 2;
        pause(SECOND);
    }
    server.publish("p", "m", &(200..220).map(|id| message(id, 10)).collect::<Vec<_>>());
    wait_for(&server, &folder, &(200..220).chain((101..tried as u64).step_by(2)).collect());
    let (found, _) = there(&server, &folder);
    assert!(!found.contains(&(tried as u64 - 2)), "the large one is there");
    assert_eq!(told_by(&mirror).matches("is not copied, since topic m does not take it").count(), 1);
    assert!(told_by(&mirror).contains("raise the maxMessageSize of its policies"), "{}", told_by(&mirror));
    // It comes again when the topic takes it.
    broker.admin_with("DELETE", "persistent/public/default/m/maxMessageSize", "");
    mirror.interrupt();
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0));
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    wait_for(&server, &folder, &BTreeSet::from([tried as u64 - 2]));
    mirror.interrupt();
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0));
}
