//! A cluster that goes away for a while, and a subscriber that cannot keep up.

use crate::losses::Scene;
use crate::project::{Folder, RUN};
use std::io::Read;
use std::process::{Command, Stdio};
use tests::Broker;
use tests::machine::{SECOND, now, pause};

/// For how long the cluster is away, in seconds.
fn away_seconds() -> i64 {
    std::env::var("PULSAR_AWAY_SECONDS").map_or(8, |text| text.parse().expect("PULSAR_AWAY_SECONDS is a number"))
}

#[test]
fn a_job_says_that_its_cluster_is_away_and_goes_on_by_itself_when_it_is_back() {
    let Some(broker) = Broker::start() else { return };
    let folder = Folder::new(&broker);
    folder.publish("pulsar", 0..500);
    let mut job = folder.start(&["run", "--workers", "1"], "pulsar");
    let before = folder.wait_for_actions(1);
    let held = job.memory().map_or(0, |(now, _)| now);
    broker.stop();
    let (begun, seconds) = (now(), away_seconds());
    while now() < begun + seconds * SECOND || !job.told().contains("the job waits for it") {
        assert!(job.ended(0).is_none(), "it has ended: {}", job.told());
        assert!(now() < begun + seconds * SECOND + RUN, "{}", job.told());
        pause(SECOND / 10);
    }
    broker.start_again();
    folder.publish("pulsar", 500..1000);
    folder.wait_for_actions(before + 1);
    let begun = now();
    while !job.told().contains("what the job waited for is there again") {
        assert!(now() < begun + RUN, "{}", job.told());
        pause(SECOND / 10);
    }
    let most = job.memory().map_or(0, |(_, most)| most);
    assert!(most < held + (256 << 20), "it held {held} bytes before, and {most} bytes at most");
    job.interrupt();
    let ended = job.ended(RUN).expect("a run that is interrupted ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
    assert!(ended.told.matches("the job waits for it").count() <= 3, "it says so once each time: {}", ended.told);
    folder.to_end(&["run", "--until-caught-up"], "pulsar");
    assert_eq!(folder.rows("pulsar").len(), 1000);
}

#[test]
fn a_job_that_is_told_to_end_while_its_cluster_stands_still_ends() {
    let Some(broker) = Broker::start() else { return };
    let folder = Folder::new(&broker);
    // Each play gives an action, so that rows wait to be stored at any moment.
    let sql = std::fs::read_to_string(folder.path().join("pipelines/all.sql")).unwrap();
    std::fs::write(folder.path().join("pipelines/all.sql"), sql.replace("plays_1m > 8", "plays_1m > 0")).unwrap();
    for begin in [0, 4000] {
        folder.publish("pulsar", begin..begin + 4000);
        let mut job = folder.start(&["run"], "pulsar");
        job.ready();
        pause(SECOND / 2);
        broker.signal("STOP");
        pause(SECOND);
        job.interrupt();
        let ended = job.ended(20 * SECOND);
        broker.signal("CONT");
        assert!(ended.is_some(), "it runs 20 s after Ctrl-C: {}", job.told());
    }
    folder.to_end(&["run", "--until-caught-up"], "pulsar");
    assert_eq!(folder.rows("pulsar").len(), 8000);
}

/// What a partition may have in memory: 8 MiB, and three messages more: one that is read, one that is whole, and one that is
/// printed.
const BUDGET_BYTES: u64 = (8 << 20) + 3 * MESSAGE_BYTES as u64;
const MESSAGE_BYTES: usize = 5_000_000;
const MESSAGES: usize = 24;

#[test]
fn a_subscriber_that_cannot_keep_up_with_large_messages_takes_bounded_memory() {
    let Some(scene) = Scene::start("slow", 0, "") else { return };
    scene.publish(0..1);
    let mut state = 1u64;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state % 64) as usize])
    };
    let body: String = (0..MESSAGE_BYTES).map(|_| letter()).collect();
    scene.publish_payloads(1..=MESSAGES, |id| format!(r#"{{"id":{id},"body":"{body}"}}"#));
    let mut command = Command::new(tests::riverrun());
    command.arg("--project").arg(scene.folder.path()).args(["tail", "notes", "--from-start", "--until-caught-up"]);
    command.args(["--env", "pulsar"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut tail = command.spawn().unwrap();
    // Of the first line some is read, and no more for a while.
    let mut out = tail.stdout.take().unwrap();
    out.read_exact(&mut [0; 20]).unwrap();
    let held = |name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{}/status", tail.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) << 10
    };
    // Beside it one that has nothing to read.
    let mut idle = scene.folder.start(&["tail", "copies"], "pulsar");
    pause(5 * SECOND);
    let (most, before) = (held("VmHWM:"), idle.memory().map_or(0, |(now, _)| now));
    idle.signal("KILL");
    idle.ended(RUN).expect("what is killed ends");
    let mut lines = Vec::new();
    out.read_to_end(&mut lines).unwrap();
    assert!(tail.wait().unwrap().success());
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), MESSAGES + 1);
    eprintln!(
        "  a subscriber that cannot keep up: {} MiB at most, one with nothing to read: {} MiB",
        most >> 20,
        before >> 20
    );
    assert!(most < before + 2 * BUDGET_BYTES, "{most} bytes, and {before} with nothing to read");
}
