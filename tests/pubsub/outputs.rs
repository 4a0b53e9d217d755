//! Rows that topics of Pub/Sub do not take, and a Pub/Sub that is away: nothing is lost, and the topic has nothing twice.

use crate::both::{EVENTS, SQL, actions, events, publish};
use crate::folder::{Folder, RUN};
use crate::server::Server;
use serde_json::json;
use tests::machine::{SECOND, now, pause};

/// A decision whose subject may be long.
const LONG: &str = "
CREATE STREAM m (id BIGINT, name TEXT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE m;
CREATE DECISION guard ON m SUBJECT name TO actions AS RULE all_of_them WHEN id >= 0 THEN 'look';
";
const BOTH: &str = "actions = [\"local:actions\", \"pubsub:projects/p/topics/actions\"]";

fn named(id: usize, name: String) -> (String, String) {
    (json!({ "id": id, "name": name, "at": format!("2026-01-01 10:00:{:02}", id % 60) }).to_string(), String::new())
}

/// Pub/Sub takes no ordering key of more than 1,024 bytes.
#[test]
fn a_subject_that_is_too_long_for_a_key_is_named_before_anything_of_its_batch_is_written() {
    let Some(server) = Server::start() else { return };
    server.make("p", "actions", json!({}));
    let folder = Folder::new(LONG, "[]");
    folder.name(BOTH);
    let rows = [
        named(0, "short".to_owned()),
        named(1, "é".repeat(512)),
        named(2, "long ".repeat(300)),
        named(3, "z".to_owned()),
    ];
    publish(&server, &folder, &rows);
    let told = server.refused(folder.path(), &["run", "--until-caught-up"]);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    for what in [
        "topic projects/p/topics/actions of Pub/Sub does not take row ",
        "the ordering key \"long long long",
        "has 1500 bytes, expected at most 1024",
        "shorten it in SQL, the SUBJECT of a decision being the key, or take the topic of Pub/Sub out of [env.NAME.names]",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
    // One error, which is there again for as long as the row is.
    assert!(server.refused(folder.path(), &["run", "--until-caught-up"]).contains("has 1500 bytes"));
    folder.name("");
    server.printed(folder.path(), &["run", "--until-caught-up"]);
    let alone = Folder::new(LONG, "[]");
    publish(&server, &alone, &rows);
    server.printed(alone.path(), &["run", "--until-caught-up"]);
    assert_eq!(actions(&alone).len(), 4);
    assert_eq!(actions(&folder), actions(&alone));
}

#[test]
fn a_row_that_is_too_large_for_pubsub_is_named_and_published_nowhere() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(LONG, "[]");
    folder.name("m = [\"local:m\", \"pubsub:projects/p/topics/m\"]");
    let lines = format!("{}\n{}\n", named(0, "small".to_owned()).0, named(1, "x".repeat(10_000_000)).0);
    std::fs::write(folder.path().join("large.jsonl"), lines).unwrap();
    let told = server.refused(folder.path(), &["publish", "m", "large.jsonl"]);
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("do not take row 2 of the input: the message has 100000"), "{told}");
    assert!(told.contains("expected at most 10000000"), "{told}");
    assert!(folder.messages() == 0 && server.pull("p", "m", 10).is_empty());
}

/// Two minutes after Pub/Sub went away the job ends; started again, it goes on where it was.
#[test]
fn a_job_without_pubsub_ends_by_name_and_goes_on_when_it_is_back() {
    let Some(server) = Server::start() else { return };
    server.make("p", "actions", json!({}));
    let folder = Folder::new(SQL, "[]");
    folder.name(BOTH);
    let mut job = server.begin(folder.path(), &["run"]);
    publish(&server, &folder, &events(0..300));
    let begun = now();
    while actions(&folder).len() < 20 || server.pull("p", "actions", 10).is_empty() {
        assert!(now() < begun + RUN, "{} actions: {}", actions(&folder).len(), job.told());
        pause(SECOND / 5);
    }
    server.stop();
    publish(&server, &folder, &events(300..600));
    let away = now();
    let ended = job.ended(2 * RUN + RUN / 2).expect("it ends without Pub/Sub");
    let told = ended.told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(ended.code, Some(1), "{told}");
    assert!(now() > away + 100 * SECOND, "it waits for two minutes: {told}");
    for what in [
        "has not stored messages for topic projects/p/topics/actions within 120 s",
        "what was committed is whole; when what is named above works again, run the command again: it goes on where it was",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
    // What that server held is gone with it.
    server.start_again();
    server.make("p", "actions", json!({}));
    publish(&server, &folder, &events(600..EVENTS));
    server.printed(folder.path(), &["run", "--until-caught-up"]);
    let alone = Folder::new(SQL, "[]");
    publish(&server, &alone, &events(0..EVENTS));
    server.printed(alone.path(), &["run", "--until-caught-up"]);
    assert_eq!(actions(&folder), actions(&alone));
    assert!(!server.pull("p", "actions", 10).is_empty());
}
