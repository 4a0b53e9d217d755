//! Two topics, `messages` and `others`, and what is published to them.

use connector_local::{Outgoing, Producer, Topics};
use dataflow::{EventTime, Topic};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use tests::Chance;
use tests::machine::{Machine, SECOND, now, until};
use tests::time_rule::{PartitionTimes, Stamp};

/// What the streams declare as their delays.
const MESSAGES_DELAY: i64 = 2 * SECOND;
const OTHERS_DELAY: i64 = SECOND;
/// A message comes so often, for so long.
const APART: i64 = SECOND / 20;
const LONG: i64 = 5 * SECOND;
/// Messages are at most so old when they arrive, which makes none of them late.
const AGE_MAX: i64 = 3 * SECOND / 2;
/// One in so many messages comes again, so much later.
const AGAIN: i64 = 4;
const AGAIN_AFTER: i64 = 3 * SECOND / 10;
const USERS: i64 = 20;
/// Far ahead.
const HOURS: i64 = 3 * 3600 * SECOND;
/// A partition that has shown no row joins where the others are by then. So all of `messages` are there, with their
/// first rows, before the others go far ahead: else those rows would be moved there, as the rule has it.
const AFTER_THE_FIRST: i64 = 2 * SECOND;

/// What the other stream does while messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// It has messages from before, and gets no more.
    Silent,
    /// The same, and what it has is hours old, so that its clock stays behind: for jobs that do not join it.
    Stale,
    /// It never had a message.
    Empty,
    /// 5,000 messages a second; one in a thousand comes from a future that is hours away.
    Dense,
    /// 500 messages a second, hours ahead of those of `messages`.
    Ahead,
}

impl Others {
    /// The partitions of both topics: one, which most workers have no share of, or several.
    fn partitions(self) -> u32 {
        match self {
            Others::Silent | Others::Stale | Others::Empty => 1,
            Others::Dense | Others::Ahead => 2,
        }
    }

    /// How often it gets messages, and how many then.
    fn pace(self) -> Option<(i64, i64)> {
        match self {
            Others::Silent | Others::Stale | Others::Empty => None,
            Others::Dense => Some((SECOND / 100, 50)),
            Others::Ahead => Some((SECOND / 50, 10)),
        }
    }
}

/// A row of a topic.
pub struct Row {
    /// `_time`.
    pub time: i64,
    pub values: Value,
}

impl Row {
    /// A column that is an integer.
    pub fn integer(&self, column: &str) -> i64 {
        self.values[column].as_i64().unwrap_or_else(|| panic!("{column} of {}", self.values))
    }
}

/// A topic's rows, and the partitions that they lie in.
#[derive(Default)]
pub struct Read {
    pub logs: Vec<PartitionTimes>,
    pub rows: Vec<Row>,
}

/// Topics in a folder that several projects share.
pub struct Traffic {
    folder: TempDir,
    topics: Topics,
    others: Others,
    again: bool,
}

impl Traffic {
    /// Makes the topics, with what is on them before anything runs.
    pub fn new(others: Others, again: bool) -> Traffic {
        let folder = tempfile::tempdir().expect("a folder for the test can be made");
        let topics = Topics::open(folder.path().join("topics"), Arc::new(Machine)).expect("the topics open");
        for topic in ["messages", "others"] {
            topics.create(topic, others.partitions()).expect("the topic can be made");
        }
        let traffic = Traffic { folder, topics, others, again };
        if others != Others::Empty {
            let mut producer = traffic.producer("others");
            // Before all messages; a clock that stood further back would run on from there, and hold them for longer.
            let age = if others == Others::Stale { HOURS } else { AGE_MAX };
            let begin = now() + traffic.shift() - age - USERS;
            let changes: Vec<_> = (0..USERS).map(|user| change(user, user, begin + user)).collect();
            append(&mut producer, &changes);
        }
        traffic
    }

    /// Where projects of a test may be.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The topics, also those that jobs write.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Writes a project of a name over the topics.
    pub fn project(&self, name: &str, sql: &str) -> PathBuf {
        let project = self.path().join(name);
        std::fs::create_dir_all(project.join("pipelines")).expect("the project can be written");
        let settings = format!(
            "[project]\nname = \"{name}\"\n[env.dev]\nhistory = {{ warehouse = \"warehouse\" }}\nlive = {{ topics = \"../topics\" }}\n"
        );
        std::fs::write(project.join("riverrun.toml"), settings).expect("the project can be written");
        std::fs::write(project.join("pipelines/all.sql"), sql).expect("the project can be written");
        project
    }

    fn producer(&self, topic: &str) -> Producer {
        self.topics.producer(topic, "", 0).expect("the topic is there")
    }

    /// How far the event times of messages are from now.
    fn shift(&self) -> i64 {
        if self.others == Others::Ahead { -HOURS } else { 0 }
    }

    /// Publishes to both topics for a while.
    pub fn publish(&self) {
        let end = now() + LONG;
        std::thread::scope(|scope| {
            scope.spawn(|| self.publish_others(end));
            self.publish_messages(0, end);
        });
    }

    /// Publishes messages, the first with this id, until a moment; gives the id of the next.
    pub fn publish_messages(&self, first: i64, end: i64) -> i64 {
        let (mut producer, mut chance) = (self.producer("messages"), Chance::new(first as u64 + 1));
        let (mut id, mut again, begun) = (first, Vec::new(), now());
        while now() < end {
            until(begun + (id - first) * APART);
            let event = now() + self.shift() - chance.between(0, AGE_MAX);
            let at = EventTime(event).to_string();
            // `micros` is for the test alone; no stream declares it.
            let message = json!({ "id": id, "user_id": id % USERS, "size": id % 7, "sent_at": at, "micros": event });
            if self.again && id % AGAIN == 0 {
                again.push((now() + AGAIN_AFTER, (id + 1) % 2, message.clone()));
            }
            append(&mut producer, &[(id % 2, message)]);
            while again.first().is_some_and(|(at, ..)| *at <= now()) {
                let (_, partition, message) = again.remove(0);
                append(&mut producer, &[(partition, message)]);
            }
            id += 1;
        }
        id
    }

    fn publish_others(&self, end: i64) {
        let Some((apart, count)) = self.others.pace() else { return };
        let (mut producer, mut level) = (self.producer("others"), USERS);
        let begun = now() + if self.others == Others::Ahead { AFTER_THE_FIRST } else { 0 };
        for turn in 0.. {
            until(begun + turn * apart);
            let at = now();
            if at >= end {
                return;
            }
            let changes: Vec<_> = (0..count)
                .map(|number| {
                    level += 1;
                    let future = if self.others == Others::Dense && level % 1000 == 0 { HOURS } else { 0 };
                    change(level * 7 % USERS, level, at - count + number + future)
                })
                .collect();
            append(&mut producer, &changes);
        }
    }

    /// All that was published to a topic.
    pub fn read(&self, name: &str) -> Read {
        let topic = self.topics.topic(name).expect("the topics can be read").expect("the topic is there");
        let delay = if name == "messages" { MESSAGES_DELAY } else { OTHERS_DELAY };
        let mut read = Read::default();
        for partition in 0..topic.partitions() {
            let (mut watch, mut stamps, mut values) = (topic.watch(partition, None).expect("it opens"), vec![], vec![]);
            loop {
                let some = watch.next(8192).expect("the partition can be read");
                if some.is_empty() {
                    break;
                }
                for (message, ..) in some {
                    let value: Value = serde_json::from_slice(&message.payload).expect("JSON");
                    stamps
                        .push(Stamp { event: value["micros"].as_i64().expect("a number"), arrival: message.arrival.0 });
                    values.push(value);
                }
            }
            let times = PartitionTimes::new(&stamps, delay);
            read.rows.extend(times.times.iter().zip(values).map(|(&time, values)| Row { time, values }));
            read.logs.push(times);
        }
        read
    }
}

/// A change of a user's level, and the number of its partition.
fn change(user: i64, level: i64, at: i64) -> (i64, Value) {
    (user % 2, json!({ "user_id": user, "level": level, "changed_at": EventTime(at).to_string(), "micros": at }))
}

/// Appends messages to their partitions, by the remainder of a number.
fn append(producer: &mut Producer, messages: &[(i64, Value)]) {
    let partitions = i64::from(producer.topic().partitions());
    for partition in 0..partitions {
        let mine = messages.iter().filter(|(of, _)| *of % partitions == partition);
        let payloads: Vec<String> = mine.map(|(_, value)| value.to_string()).collect();
        let outgoing = payloads.iter().map(|payload| Outgoing {
            sequence: 0,
            key: None,
            payload: payload.as_bytes(),
            arrived: None,
        });
        let outgoing: Vec<_> = outgoing.collect();
        if !outgoing.is_empty() {
            producer.append(partition as u32, &outgoing).expect("the messages are written");
        }
    }
}
