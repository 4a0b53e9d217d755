//! The real program on a real broker: what a project gives on Pulsar is what it gives on local topics, each row once,
//! also when its runs are killed.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod added;
mod anchors;
mod away;
mod clocks;
mod decided;
mod entry;
mod explained;
mod forgotten;
mod guarded;
mod large;
mod losses;
mod moments;
mod named;
mod patterns;
mod project;
mod queue;
mod queue_limits;
mod settings;
mod sink;
mod stalled;
mod tokens;
mod unfinished;

use project::{EVENTS, Folder};
use tests::Broker;

#[test]
fn rows_and_decisions_are_those_of_local_topics_over_kills_a_savepoint_and_a_resume() {
    let Some(broker) = Broker::start() else { return };
    let folder = Folder::new(&broker);
    // The first part is archived, so a run begins with history.
    for environment in ["dev", "pulsar"] {
        folder.publish(environment, 0..EVENTS / 4);
        folder.to_end(&["run", "archive", "--until-caught-up"], environment);
        folder.publish(environment, EVENTS / 4..EVENTS / 2);
    }
    let mut first = folder.start(&["run", "--workers", "1"], "pulsar");
    folder.wait_for_actions(1);
    first.signal("KILL");
    first.ended(project::RUN).expect("a killed run ends");

    folder.publish("pulsar", EVENTS / 2..3 * EVENTS / 4);
    let before = folder.wait_for_actions(1);
    let mut second = folder.start(&["run", "--workers", "2"], "pulsar");
    folder.wait_for_actions(before + 1);
    second.signal("KILL");
    second.ended(project::RUN).expect("a killed run ends");

    let mut third = folder.start(&["run"], "pulsar");
    third.ready();
    let savepoint = folder.path().join("savepoint");
    folder.to_end(&["stop", "--to", savepoint.to_str().unwrap()], "pulsar");
    let stopped = third.ended(project::RUN).expect("a run that is stopped ends");
    assert_eq!(stopped.code, Some(0), "{}", stopped.told);
    assert!(!stopped.told.contains("at least once"), "{}", stopped.told);

    folder.publish("pulsar", 3 * EVENTS / 4..EVENTS);
    let mut resumed = folder.start(&["resume", "--from", savepoint.to_str().unwrap()], "pulsar");
    resumed.ready();
    resumed.interrupt();
    let resumed = resumed.ended(project::RUN).expect("a run that is interrupted ends");
    assert_eq!(resumed.code, Some(0), "{}", resumed.told);
    folder.publish("dev", EVENTS / 2..EVENTS);
    for environment in ["dev", "pulsar"] {
        folder.to_end(&["run", "--until-caught-up"], environment);
    }
    let (local, remote) = (folder.rows("dev"), folder.rows("pulsar"));
    assert_eq!(local.len(), EVENTS);
    assert_eq!(remote, local);
    let (local, remote) = (folder.actions("dev"), folder.actions("pulsar"));
    assert!(local.len() > 20, "{} actions", local.len());
    assert_eq!(remote, local);
    let events = |environment| folder.printed(&["query", "SELECT count(*) FROM plays", "--csv"], environment);
    assert_eq!(events("pulsar"), events("dev"));
}

#[test]
fn a_topic_that_was_made_again_and_a_broker_that_is_away_are_named() {
    let Some(broker) = Broker::start() else { return };
    let folder = Folder::new(&broker);
    folder.publish("pulsar", 0..100);
    folder.to_end(&["run", "--until-caught-up"], "pulsar");
    broker.make_again();
    folder.publish("pulsar", 0..300);
    let told = folder.refused(&["run", "--until-caught-up"], "pulsar");
    let is_named = ["the topic was made again", "messages between were taken away", "it was deleted"];
    assert!(is_named.iter().any(|what| told.contains(what)), "{told}");
    folder.to_end(&["run", "--fresh", "--until-caught-up"], "pulsar");
    broker.admin("DELETE", "persistent/public/default/plays?force=true");
    folder.publish("pulsar", 0..100);
    let told = folder.refused(&["run", "--until-caught-up"], "pulsar");
    assert!(told.contains("messages between were taken away") || told.contains("it was deleted"), "{told}");
    broker.stop();
    let told = folder.refused(&["publish", "plays", "events.jsonl"], "pulsar");
    assert!(told.contains("no connection"), "{told}");
}
