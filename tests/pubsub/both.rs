//! Both at once: a job that moves off Pub/Sub while it runs, outputs and `publish` to both.

use crate::folder::{Folder, RUN};
use crate::server::{Outgoing, Server, told_by};
use serde_json::{Value, json};
use std::ops::Range;
use tests::machine::{SECOND, now, pause};

/// Counts the plays of a player, and decides on them.
pub const SQL: &str = "
CREATE STREAM m (id BIGINT, player BIGINT, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '2' MINUTE QUIET NEVER,
  DEDUP ON (id) WITHIN INTERVAL '1' HOUR
) LIVE m;
CREATE VIEW counted AS
SELECT id, player, at, count(*) OVER (PARTITION BY player ORDER BY at RANGE INTERVAL '1' MINUTE PRECEDING) AS plays
FROM m;
CREATE DECISION guard ON counted SUBJECT player TO actions AS RULE often WHEN plays > 4 THEN 'slow_down';
";
/// The events, a second apart.
pub const EVENTS: usize = 900;

pub fn event(id: usize) -> Outgoing {
    let player = id * id % 7 + id % 3;
    let at = format!("2026-01-01 10:{:02}:{:02}", id / 60, id % 60);
    (json!({ "id": id, "player": player, "at": at }).to_string(), player.to_string())
}

pub fn events(range: Range<usize>) -> Vec<Outgoing> {
    range.map(event).collect()
}

/// Puts events on the topic.
pub fn publish(server: &Server, folder: &Folder, events: &[Outgoing]) {
    let lines: String = events.iter().map(|(line, _)| format!("{line}\n")).collect();
    std::fs::write(folder.path().join("events.jsonl"), lines).unwrap();
    server.printed(folder.path(), &["publish", "m", "events.jsonl"]);
}

/// The actions on the topic, sorted, without the id that tells where their message lies.
pub fn actions(folder: &Folder) -> Vec<String> {
    let mut actions = Vec::new();
    for message in folder.log("actions").iter().flatten() {
        let mut action: Value = serde_json::from_slice(&message.payload).unwrap();
        assert!(action.as_object_mut().unwrap().remove("decision_id").is_some(), "{action}");
        actions.push(action.to_string());
    }
    actions.sort_unstable();
    actions
}

fn wait_for_actions(folder: &Folder, least: usize) {
    let begun = now();
    while actions(folder).len() < least {
        assert!(now() < begun + RUN, "{} actions", actions(folder).len());
        pause(SECOND / 10);
    }
}

#[test]
fn a_job_moves_off_pubsub_and_no_decision_is_lost_or_doubled() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    let both = r#"["local:m", "pubsub:projects/p/subscriptions/m"]"#;
    let folder = Folder::new(SQL, both);
    let mut first = server.begin(folder.path(), &["run"]);
    // At first there is Pub/Sub alone. Without ordering keys its messages come in any order, but not so long apart.
    let mut put = 0;
    let mut mirrored = |some: &[Outgoing], copies: usize| {
        server.publish("p", "m", some);
        put += copies * some.len();
        put
    };
    for some in events(0..300).chunks(50) {
        folder.wait_for(mirrored(some, 1), RUN);
    }
    wait_for_actions(&folder, 20);
    // Then both have everything, and the job is killed on its way.
    let dual = events(300..600);
    for some in dual.chunks(50) {
        let put = mirrored(some, 2);
        publish(&server, &folder, some);
        folder.wait_for(put, RUN);
    }
    first.signal("KILL");
    first.ended(RUN).expect("a killed run ends");
    let mut second = server.begin(folder.path(), &["run"]);
    // All that Pub/Sub has is in the topic, and nobody publishes there any more.
    let begun = now();
    while !told_by(&second).contains("goes on from checkpoint") {
        assert!(now() < begun + RUN, "{}", second.told());
        pause(SECOND / 10);
    }
    second.interrupt();
    let ended = second.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    // The subscription is taken out of the settings, and the job goes on.
    folder.name("");
    server.stop();
    publish(&server, &folder, &events(600..EVENTS));
    server.printed(folder.path(), &["run", "--until-caught-up"]);

    let alone = Folder::new(SQL, "[]");
    publish(&server, &alone, &events(0..EVENTS));
    server.printed(alone.path(), &["run", "--until-caught-up"]);
    // That run begins with all there is, so nothing of it is before its actions begin.
    let (moved, expected) = (actions(&folder), actions(&alone));
    assert!(expected.len() > 100, "{} actions", expected.len());
    assert_eq!(moved, expected);
}

#[test]
fn outputs_and_publish_go_to_both() {
    let Some(server) = Server::start() else { return };
    server.make("p", "m", json!({}));
    server.make("p", "actions", json!({ "enableMessageOrdering": true }));
    let folder = Folder::new(SQL, "[]");
    folder.name(
        "m = \"pubsub:projects/p/topics/m\"\nactions = [\"local:actions\", \"pubsub:projects/p/topics/actions\"]",
    );
    publish(&server, &folder, &events(0..200));
    server.printed(folder.path(), &["run", "--until-caught-up"]);
    let texts = |messages: Vec<(String, Value)>| {
        let mut texts: Vec<String> =
            messages.iter().map(|(_, message)| message["data"].as_str().unwrap().to_owned()).collect();
        texts.sort_unstable();
        texts
    };
    assert_eq!(texts(server.pull("p", "m", 1_000)).len(), 200);
    let local = folder.log("actions").concat();
    assert!(local.len() > 20, "{} actions", local.len());
    // One message of a key is under way at a time there, until it is acknowledged.
    let mut pulled = Vec::new();
    loop {
        let some = server.pull("p", "actions", 1_000);
        if some.is_empty() {
            break;
        }
        let ids: Vec<String> = some.iter().map(|(id, _)| id.clone()).collect();
        server.done("POST", "projects/p/subscriptions/actions:acknowledge", &json!({ "ackIds": ids }));
        pulled.extend(some);
    }
    assert_eq!(pulled.len(), local.len());
    let mut rows: Vec<&str> =
        pulled.iter().map(|(_, message)| message["attributes"]["riverrun.row"].as_str().unwrap()).collect();
    rows.sort_unstable();
    rows.dedup();
    assert_eq!(rows.len(), local.len(), "each row says which it is");
    assert!(pulled.iter().all(|(_, message)| message["orderingKey"].as_str().is_some_and(|key| !key.is_empty())));
}
