//! A job that moves off Pub/Sub into a topic of Pulsar while it runs.

use crate::both::{EVENTS, SQL, actions, event, events, publish};
use crate::folder::{Folder, RUN};
use crate::server::{Server, wait_until_told};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tests::machine::{SECOND, now, pause};
use tests::{Broker, Program};

/// A project whose topics are on a broker, with these names.
fn settle(folder: &Folder, broker: &Broker, names: &str) {
    let environment = broker.environment.replace("[env.pulsar]", "[env.dev]");
    let project = "[project]\nname = \"p\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"";
    let settings = format!("{project}\n\n{environment}\n[env.dev.names]\n{names}\n");
    std::fs::write(folder.path().join("riverrun.toml"), settings).unwrap();
}

/// What the messages of a topic hold, those that are there.
fn payloads(server: &Server, folder: &Folder, topic: &str) -> Vec<Value> {
    let tail = ["tail", topic, "--from-start", "--until-caught-up", "--json"];
    let ran = server.command(folder.path(), &tail).output().unwrap();
    // The topic is made by the first who writes to it.
    let lines = String::from_utf8_lossy(&ran.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"].take()).collect()
}

/// Waits until the topic has each of the first so many events.
fn wait_for_events(server: &Server, folder: &Folder, count: usize) {
    let begun = now();
    loop {
        let messages = payloads(server, folder, "m");
        let ids: BTreeSet<u64> = messages.iter().filter_map(|message| message["id"].as_u64()).collect();
        if (0..count as u64).all(|id| ids.contains(&id)) {
            return;
        }
        assert!(now() < begun + RUN, "{} of {count} events in {} messages", ids.len(), messages.len());
        pause(SECOND / 5);
    }
}

/// Waits until the job has put out so many actions; gives how many there are.
fn wait_for_actions(server: &Server, folder: &Folder, least: usize) -> usize {
    let begun = now();
    loop {
        let count = payloads(server, folder, "actions").len();
        if count >= least {
            return count;
        }
        assert!(now() < begun + RUN, "{count} of {least} actions");
        pause(SECOND / 5);
    }
}

fn kill(mut program: Program) {
    program.signal("KILL");
    program.ended(RUN).expect("a killed program ends");
}

/// Two processes copy, and both are killed on their way, the job twice. What was not acknowledged by then comes again.
#[test]
fn a_job_moves_from_pubsub_into_pulsar_and_no_decision_is_lost_or_doubled() {
    let (Some(server), Some(broker)) = (Server::start(), Broker::start()) else { return };
    server.make("p", "m", json!({}));
    let folder = Folder::new(SQL, "[]");
    settle(&folder, &broker, r#"m = ["pulsar:m", "pubsub:projects/p/subscriptions/m"]"#);
    let first = server.begin(folder.path(), &["run"]);
    wait_until_told(&first, "copying subscription projects/p/subscriptions/m into topic m");
    let mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    wait_until_told(&mirror, "copying subscription projects/p/subscriptions/m into topic m");
    // At first there is Pub/Sub alone.
    for from in [0, 50] {
        server.publish("p", "m", &events(from..from + 50));
        wait_for_events(&server, &folder, from + 50);
    }
    server.publish("p", "m", &events(100..150));
    kill(mirror);
    wait_for_events(&server, &folder, 150);
    for from in [150, 200, 250] {
        server.publish("p", "m", &events(from..from + 50));
        wait_for_events(&server, &folder, from + 50);
    }
    // Then both have everything, and the job is killed on its way.
    let before = wait_for_actions(&server, &folder, 20);
    let both = |from: usize| {
        server.publish("p", "m", &events(from..from + 50));
        publish(&server, &folder, &events(from..from + 50));
    };
    [300, 350].into_iter().for_each(both);
    kill(first);
    let second = server.begin(folder.path(), &["run"]);
    wait_until_told(&second, "goes on from checkpoint");
    [400, 450].into_iter().for_each(both);
    wait_for_actions(&server, &folder, before + 1);
    kill(second);
    let mut third = server.begin(folder.path(), &["run"]);
    wait_until_told(&third, "goes on from checkpoint");
    [500, 550].into_iter().for_each(both);
    // Those that came by Pub/Sub alone, and most of the others twice.
    let begun = now();
    while payloads(&server, &folder, "m").len() < 850 {
        assert!(now() < begun + RUN, "few copies: {}", third.told());
        pause(SECOND / 5);
    }
    third.interrupt();
    let ended = third.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    // The subscription is taken out of the settings, and the job goes on.
    settle(&folder, &broker, "");
    server.stop();
    publish(&server, &folder, &events(600..EVENTS));
    server.printed(folder.path(), &["run", "--until-caught-up"]);
    let copies = payloads(&server, &folder, "m").len();
    assert!(copies > EVENTS + 200, "{copies} messages: there are few copies");

    let alone = Folder::new(SQL, "[]");
    publish(&server, &alone, &(0..EVENTS).map(event).collect::<Vec<_>>());
    server.printed(alone.path(), &["run", "--until-caught-up"]);
    let mut moved = payloads(&server, &folder, "actions");
    moved.iter_mut().for_each(|action| drop(action.as_object_mut().unwrap().remove("decision_id").unwrap()));
    let mut moved: Vec<String> = moved.iter().map(Value::to_string).collect();
    moved.sort_unstable();
    let expected = actions(&alone);
    assert!(expected.len() > 100, "{} actions", expected.len());
    assert_eq!(moved, expected);
    let sql = ["query", "SELECT count(*), count(DISTINCT id) FROM m", "--csv"];
    assert_eq!(server.printed(folder.path(), &sql), server.printed(alone.path(), &sql));
}

#[test]
fn what_comes_while_the_broker_is_away_is_copied_when_it_is_back() {
    let (Some(server), Some(broker)) = (Server::start(), Broker::start()) else { return };
    server.make("p", "m", json!({ "enableMessageOrdering": true }));
    let folder = Folder::new(SQL, "[]");
    settle(&folder, &broker, r#"m = ["pulsar:m", "pubsub:projects/p/subscriptions/m"]"#);
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    server.publish("p", "m", &events(0..50));
    wait_for_events(&server, &folder, 50);
    broker.stop();
    server.publish("p", "m", &events(50..100));
    wait_until_told(&mirror, "messages are held, since topic m does not take them");
    broker.start_again();
    wait_until_told(&mirror, "topic m has taken the messages that were held");
    wait_for_events(&server, &folder, 100);
    // Ctrl-C ends a mirror that waits for the broker, and its messages come again.
    broker.stop();
    server.publish("p", "m", &events(100..150));
    pause(3 * SECOND);
    mirror.interrupt();
    let ended = mirror.ended(RUN).expect("it ends while the broker is away");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    broker.start_again();
    let mut mirror = server.begin(folder.path(), &["pubsub", "mirror", "m"]);
    wait_for_events(&server, &folder, 150);
    // A key has its order, whatever comes twice.
    let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for message in payloads(&server, &folder, "m") {
        let (id, of_player) = (message["id"].as_u64().unwrap(), message["player"].as_u64().unwrap());
        let seen = numbers.entry(of_player).or_default();
        if !seen.contains(&id) {
            seen.push(id);
        }
    }
    assert!(numbers.values().all(|ids| ids.is_sorted()), "{numbers:?}");
    mirror.interrupt();
    assert_eq!(mirror.ended(RUN).expect("it ends").code, Some(0));
}
