//! How a run starts: before its topics exist, over what it replaces, and over topics that have a retention.

use crate::folder::Folder;
use crate::wrong::plays;
use connector_local::{Outgoing, Topics};
use dataflow::{Clock, ManualClock, ProcessingTime, Topic};
use std::sync::Arc;
use tests::Program;
use tests::machine::{SECOND, now, pause};

const COUNTED: &str = "\
CREATE STREAM plays (user_id BIGINT, track TEXT, at TIMESTAMP,
  WATERMARK FOR at AS at QUIET AFTER INTERVAL '1' SECOND) LIVE plays;
INSERT INTO TOPIC heard SELECT user_id, track FROM plays;
INSERT INTO lake.heard SELECT user_id, track, at FROM plays;
";

fn lines(folder: &Folder, topic: &str) -> usize {
    let ran = folder.run(&["tail", topic, "--from-start", "--until-caught-up", "--json"]);
    if ran.code == 0 { ran.out.lines().count() } else { 0 }
}

#[test]
fn a_live_job_starts_before_its_topic_and_gives_what_comes() {
    let folder = Folder::empty();
    folder.write("pipelines/plays.sql", COUNTED);
    let mut program = Program::start(&folder.path(), &["run", "--workers", "2"]);
    program.ready();
    let line = "{\"user_id\": 1, \"track\": \"a\", \"at\": \"2026-01-01T08:00:00Z\"}\n";
    folder.write("plays.jsonl", line);
    let begun = now();
    folder.done(&["publish", "plays", "plays.jsonl"]);
    while lines(&folder, "heard") == 0 {
        assert!(now() < begun + 20 * SECOND, "nothing comes: {}", program.told());
        pause(SECOND / 10);
    }
    program.interrupt();
    let ended = program.ended(20 * SECOND).expect("it ends");
    assert_eq!(ended.code, Some(0), "{}", ended.told);
}

#[test]
fn fresh_drops_nothing_before_all_outputs_are_there() {
    let folder = Folder::empty();
    folder.write("pipelines/plays.sql", COUNTED).write("plays.jsonl", crate::wrong::EVENTS);
    folder.done(&["publish", "plays", "plays.jsonl"]);
    folder.done(&["run", "--until-caught-up"]);
    let rows = || {
        let warehouse = connector_iceberg::Warehouse::open(&folder.path().join("warehouse")).expect("it opens");
        warehouse.rows("lake.heard").expect("the table is there")
    };
    let before = rows();
    assert!(before > 0);
    // Another run holds the topic, which is the last of the outputs that a run asks for.
    let clock = Arc::new(ManualClock::new(ProcessingTime(now())));
    let topics = Topics::open(folder.path().join("topics"), clock).expect("the topics open");
    let held = topics.claim("heard", "project.heard").expect("the topic can be claimed");
    let refused = folder.run(&["run", "--fresh", "--until-caught-up"]);
    assert_eq!(refused.code, 1, "{}", refused.err);
    assert!(refused.err.contains("heard") && refused.err.contains("is held by"), "{}", refused.err);
    assert_eq!(rows(), before, "a run that was refused dropped a table");
    drop(held);
    folder.done(&["run", "--fresh", "--until-caught-up"]);
    assert_eq!(rows(), before);
}

/// Puts messages of long ago on the topic, in segments of a few.
fn publish_long_ago(folder: &Folder) {
    let clock = Arc::new(ManualClock::new(ProcessingTime(now() - 3 * 3600 * SECOND)));
    let topics = Topics::open(folder.path().join("topics"), clock.clone()).expect("the topics open");
    topics.topic_or_create("plays", 1).expect("the topic can be made");
    let mut producer = topics.producer("plays", "", 0).expect("the topic is there").with_segment_bytes(400);
    for n in 0..40 {
        clock.advance(dataflow::Span::seconds(60));
        let at = dataflow::EventTime(clock.now().0).to_string().replace(' ', "T");
        let payload = format!("{{\"user_id\": {n}, \"track\": \"a\", \"at\": \"{at}Z\"}}");
        producer
            .append(0, &[Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None }])
            .expect("it is written");
    }
}

/// How many messages are left on the topic.
fn left(folder: &Folder) -> usize {
    let clock = Arc::new(ManualClock::new(ProcessingTime(now())));
    let topics = Topics::open(folder.path().join("topics"), clock).expect("the topics open");
    let topic = topics.topic("plays").expect("the topics can be read").expect("the topic is there");
    topic.open(0, None).expect("the partition opens").read(1000, 1 << 20).expect("it can be read").len()
}

#[test]
fn old_messages_go_and_those_that_no_archive_holds_stay() {
    const SETTINGS: &str = "[project]\nname = \"kept\"\n[env.dev]\nhistory = { warehouse = \"warehouse\" }\n\
                            live = { topics = \"topics\", retention = \"1h\" }\n";
    let folder = plays();
    folder.write("riverrun.toml", SETTINGS);
    publish_long_ago(&folder);
    folder.done(&["run", "--until-caught-up"]);
    assert_eq!(left(&folder), 40, "what no archive holds has gone");
    folder.done(&["run", "archive", "--until-caught-up"]);
    folder.done(&["run", "archive", "--until-caught-up"]);
    let kept = left(&folder);
    assert!(kept > 0 && kept < 10, "{kept} messages are left");
    // The job goes on after the archive, and finds all rows there.
    folder.done(&["run", "--fresh", "--until-caught-up"]);
    let warehouse = connector_iceberg::Warehouse::open(&folder.path().join("warehouse")).expect("it opens");
    assert_eq!(warehouse.rows("lake.play_counts").expect("the table is there"), 40);
    let wrong = SETTINGS.replace("\"1h\"", "\"soon\"");
    let ran = folder.write("riverrun.toml", &wrong).run(&["run"]);
    assert!(ran.code == 1 && ran.err.contains("\"soon\" is not a duration") && ran.err.contains("7d"), "{}", ran.err);
}

#[test]
fn a_topic_that_is_removed_under_a_job_ends_it_by_name() {
    let folder = Folder::empty();
    folder.write("pipelines/plays.sql", COUNTED).write("plays.jsonl", crate::wrong::EVENTS);
    folder.done(&["publish", "plays", "plays.jsonl"]);
    let mut program = Program::start(&folder.path(), &["run", "--workers", "2"]);
    program.ready();
    let begun = now();
    while lines(&folder, "heard") == 0 {
        assert!(now() < begun + 20 * SECOND, "nothing comes: {}", program.told());
        pause(SECOND / 10);
    }
    std::fs::remove_dir_all(folder.path().join("topics/plays")).expect("the topic can be removed");
    let ended = program.ended(10 * SECOND).expect("it ends by itself");
    assert_eq!(ended.code, Some(1), "{}", ended.told);
    assert!(ended.told.contains("topic \"plays\": partition 0: the topic was removed"), "{}", ended.told);
}
