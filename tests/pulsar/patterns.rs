//! Topics whose names match a pattern, read as one.

use crate::project::{Folder, RUN};
use connector_pulsar::{Namespace, Service, Settings, TopicPattern, Topics};
use dataflow::Topic;
use serde_json::json;
use std::fmt::Write;
use std::ops::Range;
use tests::machine::{SECOND, now, pause};
use tests::{Broker, Program};

const SETTINGS: &str = "[project]\nname = \"patterns\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n";
const COLUMNS: &str = "(id BIGINT, at TIMESTAMP,
  WATERMARK FOR at AS at - INTERVAL '1' SECOND QUIET AFTER INTERVAL '200' MILLISECOND)";
const TOPICS: [&str; 4] = ["a", "b", "c", "d"];

/// A project that writes the topics one by one.
fn writer(broker: &Broker) -> Folder {
    let folder = Folder::with(&format!("{SETTINGS}\n{}", broker.environment));
    let streams = TOPICS.map(|topic| format!("CREATE STREAM {topic} {COLUMNS} LIVE events_{topic};"));
    std::fs::write(folder.path().join("pipelines/all.sql"), streams.join("\n")).unwrap();
    folder
}

/// A project that reads all of them; what else its pipelines have.
fn reader(broker: &Broker, more: &str) -> Folder {
    let (before, after) = broker.environment.rsplit_once('}').unwrap();
    let environment = format!("{before}, patterns = {{ events = \"events_[a-z]\", others = \"x.*y\" }} }}{after}");
    let folder = Folder::with(&format!("{SETTINGS}\n{environment}"));
    let sql = format!(
        "CREATE STREAM events {COLUMNS} HISTORY raw.events LIVE events;\nARCHIVE events;\n\
         INSERT INTO lake.rows SELECT id, at FROM events;\n{more}"
    );
    std::fs::write(folder.path().join("pipelines/all.sql"), sql).unwrap();
    folder
}

fn publish(folder: &Folder, topic: &str, ids: Range<usize>) {
    let mut lines = String::new();
    for id in ids {
        let at = format!("2026-01-01 {:02}:{:02}:{:02}", id / 3600, id / 60 % 60, id % 60);
        writeln!(lines, "{}", json!({ "id": id, "at": at })).unwrap();
    }
    std::fs::write(folder.path().join("rows.jsonl"), lines).unwrap();
    folder.to_end(&["publish", topic, "rows.jsonl"], "pulsar");
}

/// The ids of the rows that are there, sorted.
fn rows(folder: &Folder) -> Vec<usize> {
    let ran = folder.command(&["query", "SELECT id FROM lake.rows ORDER BY id", "--csv"], "pulsar");
    String::from_utf8(ran.stdout).unwrap().lines().skip(1).map(|id| id.parse().unwrap()).collect()
}

fn wait_for(folder: &Folder, expected: Range<usize>, job: &mut Program) {
    let begun = now();
    loop {
        if let Some(ended) = job.ended(0) {
            panic!("it has ended: {}", ended.told);
        }
        let found = rows(folder);
        if found.iter().copied().eq(expected.clone()) {
            return;
        }
        let is_early = found.len() < expected.len() && now() < begun + RUN;
        assert!(is_early, "{} rows, expected {expected:?}: {}", found.len(), job.told());
        pause(SECOND / 5);
    }
}

fn wait_until_told(job: &Program, what: &str) {
    let begun = now();
    while !job.told().contains(what) {
        assert!(now() < begun + RUN, "it does not say \"{what}\": {}", job.told());
        pause(SECOND / 10);
    }
}

/// Waits until an archive has said of so many rows that they are committed.
fn wait_until_archived(archive: &Program, rows: usize) {
    let begun = now();
    let committed = |told: &str| -> usize {
        let counts =
            told.lines().filter_map(|line| line.strip_prefix("committed ")?.split(' ').next()?.parse::<usize>().ok());
        counts.sum()
    };
    while committed(&archive.told()) < rows {
        assert!(now() < begun + RUN, "{}", archive.told());
        pause(SECOND / 10);
    }
    assert_eq!(committed(&archive.told()), rows);
}

#[test]
fn topics_that_match_are_read_as_one_also_those_that_come_and_go() {
    let Some(broker) = Broker::start() else { return };
    let (writer, reader) = (writer(&broker), reader(&broker, ""));
    let mut job = reader.start(&["run", "--workers", "2"], "pulsar");
    wait_until_told(&job, "whose names match \"events_[a-z]\"");
    broker.admin_with("PUT", "persistent/public/default/events_b/partitions", "2");
    publish(&writer, "a", 0..100);
    publish(&writer, "b", 100..300);
    wait_for(&reader, 0..300, &mut job);
    let mut archive = reader.start(&["run", "archive", "--commit-every", "300ms"], "pulsar");
    wait_until_archived(&archive, 300);
    publish(&writer, "c", 300..400);
    wait_for(&reader, 0..400, &mut job);
    wait_until_told(&job, "topic events has 4 partitions now, and had 3");
    let shown = reader.printed(&["explain", "watermark"], "pulsar");
    assert!(shown.contains("events_b-partition-1") && shown.contains("events_c"), "{shown}");
    wait_until_told(&archive, "topic events has 4 partitions now, and had 3: the archive");
    wait_until_archived(&archive, 400);
    archive.interrupt();
    let ended = archive.ended(RUN).expect("an archive that is interrupted ends");
    assert!(ended.code == Some(0) && ended.told.contains("400"), "{}", ended.told);

    // Killed, with a topic that comes and one that gets partitions while it is away.
    job.signal("KILL");
    job.ended(RUN).expect("a killed run ends");
    publish(&writer, "d", 400..450);
    broker.admin_with("POST", "persistent/public/default/events_b/partitions", "3");
    publish(&writer, "b", 450..600);
    reader.to_end(&["run", "archive", "--until-caught-up"], "pulsar");
    publish(&writer, "c", 600..700);
    let mut job = reader.start(&["run"], "pulsar");
    wait_for(&reader, 0..700, &mut job);
    reader.to_end(&["stop", "--no-savepoint"], "pulsar");
    job.ended(RUN).expect("a run that is stopped ends");

    // One that is deleted is passed over with a word, here and in the archive.
    broker.admin("DELETE", "persistent/public/default/events_a?force=true");
    publish(&writer, "d", 700..800);
    let mut job = reader.start(&["run"], "pulsar");
    wait_for(&reader, 0..800, &mut job);
    wait_until_told(&job, "nothing comes from persistent://public/default/events_a any more");
    job.interrupt();
    assert_eq!(job.ended(RUN).expect("it ends").code, Some(0));
    reader.to_end(&["run", "archive", "--until-caught-up"], "pulsar");

    // Begun anew, from the archive and after it, the rows are the same.
    publish(&writer, "c", 800..810);
    reader.to_end(&["run", "--fresh", "--until-caught-up"], "pulsar");
    assert_eq!(rows(&reader), (0..810).collect::<Vec<_>>());
}

#[test]
fn whoever_looks_at_once_gives_topics_the_same_numbers() {
    let Some(broker) = Broker::start() else { return };
    let url = broker.environment.split('"').find(|part| part.starts_with("pulsar://")).unwrap();
    let settings = Settings::new(Service::parse(url).unwrap());
    let look = || {
        let pattern = TopicPattern::new("many-.*", "own-list".to_owned(), "own-".to_owned()).unwrap();
        let topics = Topics::new(settings.clone(), Namespace::default());
        let topics = topics.with_patterns([("many".to_owned(), pattern)].into());
        let topic = topics.topic("many").unwrap().unwrap();
        (0..topic.partitions()).map(|partition| topic.partition_name(partition).unwrap()).collect::<Vec<_>>()
    };
    let mut before = Vec::new();
    for count in [3, 9, 27] {
        // In an order that is not that of their names.
        for number in (before.len()..count).rev() {
            broker.admin("PUT", &format!("persistent/public/default/many-{}", number * 7 % 27));
        }
        let looks = std::thread::scope(|scope| {
            let looks: Vec<_> = (0..6).map(|_| scope.spawn(look)).collect();
            looks.into_iter().map(|look| look.join().unwrap()).collect::<Vec<_>>()
        });
        // What one saw before another had appended is a beginning of what all see in the end.
        let all = look();
        assert_eq!(all.len(), count, "{all:?}");
        assert!(looks.iter().all(|seen| all.starts_with(seen)) && all.starts_with(&before), "{all:?}: {looks:?}");
        before = all;
    }
}

#[test]
fn names_that_stand_for_topics_are_not_written() {
    let Some(broker) = Broker::start() else { return };
    let (writer, reading) = (writer(&broker), reader(&broker, ""));
    publish(&writer, "a", 0..10);
    std::fs::copy(writer.path().join("rows.jsonl"), reading.path().join("rows.jsonl")).unwrap();
    let told = reading.refused(&["publish", "events", "rows.jsonl"], "pulsar");
    assert!(told.contains("events stands for the topics") && told.contains("read and not written"), "{told}");
    for (topic, expected) in [
        ("others", "others stands for the topics whose names match \"x.*y\""),
        ("xly", "topic xly matches \"x.*y\", the pattern of others in live"),
        ("events_x", "topic events_x matches \"events_[a-z]\", the pattern of events in live"),
    ] {
        let reader = reader(&broker, &format!("INSERT INTO TOPIC {topic} SELECT id, at FROM events;"));
        for command in [&["check"][..], &["run", "--until-caught-up"]] {
            let told = reader.refused(command, "pulsar");
            assert!(told.contains(expected), "{command:?}: {told}");
        }
    }
    let printed = reading.printed(&["tail", "events", "--from-start", "--until-caught-up"], "pulsar");
    assert_eq!(printed.lines().count(), 10, "{printed}");
}
