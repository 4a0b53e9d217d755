//! What `explain watermark` says of a running job.

use connector_local::{Outgoing, Topics};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use tests::Program;
use tests::machine::{Machine, SECOND, now, pause};

const SQL: &str = "
CREATE STREAM plays (id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET NEVER) LIVE plays;
CREATE STREAM others (id BIGINT, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET AFTER INTERVAL '100' MILLISECOND) LIVE others;
INSERT INTO TOPIC joined SELECT p.id, o.id AS other FROM plays p ASOF LEFT JOIN others o ON o.id = p.id AND o.at <= p.at;
";

fn explained(project: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(tests::riverrun());
    command.arg("--project").arg(project).args(["explain", "watermark"]).args(arguments).output().expect("it starts")
}

/// Messages on a partition, at these seconds.
fn publish(topics: &Topics, topic: &str, partition: u32, seconds: &[u32]) {
    let mut producer = topics.producer(topic, &format!("p{partition}"), 0).expect("the topic is there");
    let payloads: Vec<String> =
        seconds.iter().map(|second| format!(r#"{{"id":1,"at":"2026-01-01 00:00:{second:02}"}}"#)).collect();
    let messages: Vec<Outgoing> = payloads
        .iter()
        .zip(0..)
        .map(|(payload, sequence)| Outgoing { sequence, key: None, payload: payload.as_bytes(), arrived: None })
        .collect();
    producer.append(partition, &messages).expect("the messages are written");
}

#[test]
fn the_partition_that_holds_the_watermark_back_is_named() {
    let folder = tempfile::tempdir().expect("a folder for the test can be made");
    let topics = Topics::open(folder.path().join("topics"), Arc::new(Machine)).expect("the topics open");
    for topic in ["plays", "others"] {
        topics.create(topic, 3).expect("the topic can be made");
    }
    std::fs::create_dir(folder.path().join("pipelines")).expect("the project can be written");
    std::fs::write(folder.path().join("pipelines/all.sql"), SQL).expect("the project can be written");
    std::fs::write(folder.path().join("riverrun.toml"), "[project]\nname = \"e\"\n").expect("it can be written");
    let none = explained(folder.path(), &[]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no job runs here"));

    publish(&topics, "plays", 0, &[1, 50, 59]);
    publish(&topics, "plays", 1, &[10]);
    publish(&topics, "others", 0, &[20]);
    let mut program = Program::start(folder.path(), &["run", "--workers", "2"]);
    program.ready();
    let begun = now();
    let plays = loop {
        let output = explained(folder.path(), &["--json"]);
        // Nothing is said before the job listens.
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let stream = |name: &str| {
            let streams = told["streams"].as_array().into_iter().flatten();
            streams.into_iter().find(|stream| stream["stream"] == name).cloned().unwrap_or_default()
        };
        let (plays, others) = (stream("plays"), stream("others"));
        let stands = |stream: &Value, partition: usize| stream["partitions"][partition]["state"].clone();
        if stands(&plays, 1) == "silent" && stands(&plays, 2) == "absent" && stands(&others, 0) == "quiet" {
            break plays;
        }
        assert!(now() < begun + 60 * SECOND, "{told}");
        pause(SECOND / 10);
    };
    assert_eq!(
        (&plays["stream"], &plays["topic"], &plays["quiet"]),
        (&json!("plays"), &json!("plays"), &json!("never"))
    );
    let of = |key: &str| -> Vec<Value> { (0..3).map(|at| plays["partitions"][at][key].clone()).collect() };
    assert_eq!(of("holds_back"), [json!(false), json!(true), json!(false)]);
    assert_eq!(of("waited_for"), [json!(true), json!(true), json!(false)]);
    assert_eq!(of("backlog_entries"), [json!(0), json!(0), json!(0)]);
    assert!(of("clock")[1].as_str().expect("it has a clock").contains("00:00:10"), "{plays}");
    assert_eq!(plays["partitions"][0]["position"]["entry"], 2, "{plays}");
    let text = explained(folder.path(), &[]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in [
        "silence holds it (QUIET NEVER); held by partition 1",
        "partition 1: silent, at ",
        ", holds the watermark back",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    program.interrupt();
    let ended = program.ended(20 * SECOND).expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
}
