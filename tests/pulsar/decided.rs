//! A project whose decisions go to a topic with partitions, the messages that it decides on, and what other clients find
//! on the topic.

use crate::project::Folder;
use connector_pulsar::standalone::{Http, Standalone};
use connector_pulsar::{
    EarlierMessages, Guarantee, Namespace, OutgoingMessage, Service, Settings, TopicWriter, Topics,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
use tests::Broker;
use tests::machine::{SECOND, pause};

/// Besides the broker there are topics in a folder.
const SETTINGS: &str = "[env.dev]\nhistory = { warehouse = \"./warehouse\" }\nlive = { topics = \"./topics\" }\n";

/// Checkpoints that come often.
pub const OFTEN: &str = "commit_every = \"300ms\"\ncheckpoint_every = \"100ms\"\n";

pub const SQL: &str = "
CREATE STREAM plays (id BIGINT, score INT, body TEXT, played_at TIMESTAMP,
  WATERMARK FOR played_at AS played_at - INTERVAL '1' SECOND QUIET AFTER INTERVAL '200' MILLISECOND
) LIVE plays;
CREATE DECISION guard ON plays SUBJECT id TO actions AS
  RULE high WHEN score > 30 THEN 'look';
";

/// Whether a play leads to a decision.
fn is_decided(id: usize) -> bool {
    id * 31 % 100 > 30
}

/// A message about a play, with a text of so many letters.
fn payload(id: usize, letters: usize) -> String {
    let at = format!("2026-01-01 {:02}:{:02}:{:02}", id / 3600 % 24, id / 60 % 60, id % 60);
    json!({ "id": id, "score": id * 31 % 100, "body": "x".repeat(letters), "played_at": at }).to_string()
}

/// A namespace of a broker that runs.
pub struct Cluster {
    pub service_url: String,
    admin: Http,
    namespace: String,
}

impl Cluster {
    /// The namespace that every broker has.
    pub fn of(broker: &Broker) -> Cluster {
        let service_url = broker.service_url().to_owned();
        Cluster { service_url, admin: broker.http(), namespace: "public/default".to_owned() }
    }

    /// A namespace of its own, where duplicates are removed.
    pub fn with_namespace(broker: &Standalone, name: &str) -> Cluster {
        let (service_url, namespace) = (broker.service_url(), format!("public/{name}"));
        let cluster = Cluster { service_url, admin: broker.admin(), namespace };
        cluster.ask("PUT", &format!("namespaces/public/{name}"), "");
        cluster.ask("POST", &format!("namespaces/public/{name}/deduplication"), "true");
        cluster
    }

    fn ask(&self, method: &str, path: &str, json: &str) -> String {
        let (status, body) = self.admin.request(method, &format!("/admin/v2/{path}"), json).unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
        body
    }

    /// Asks for something about a topic.
    pub fn of_topic(&self, method: &str, topic: &str, what: &str, json: &str) -> String {
        self.ask(method, &format!("persistent/{}/{topic}{what}", self.namespace), json)
    }

    /// Makes a topic with so many partitions.
    pub fn make(&self, topic: &str, partitions: u32) {
        self.of_topic("PUT", topic, "/partitions", &partitions.to_string());
    }

    /// Gives a topic more partitions.
    pub fn grow(&self, topic: &str, partitions: u32) {
        self.of_topic("POST", topic, "/partitions", &partitions.to_string());
    }

    /// What the Java client finds on a topic: something of each message.
    pub fn dumped<T>(&self, topic: &str, folder: &Folder, of: impl FnMut(Value) -> T) -> Vec<T> {
        let file = folder.path().join(format!("{topic}.jsonl"));
        tests::dump_topic(&self.service_url, &format!("persistent://{}/{topic}", self.namespace), &file);
        let lines = BufReader::new(File::open(file).unwrap()).lines();
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).map(of).collect()
    }

    /// A project with the cluster as the environment `pulsar`, and through another address as `proxied`.
    pub fn folder(&self, more: &str, proxied: &str) -> Folder {
        let environment = |name: &str, address: &str| {
            format!(
                "[env.{name}]\nhistory = {{ warehouse = \"./warehouse-{name}\" }}\nlive = {{ pulsar = \"{address}\", \
                 namespace = \"{}\" }}\n",
                self.namespace
            )
        };
        let there = [environment("pulsar", &self.service_url), environment("proxied", proxied)].concat();
        let folder = Folder::with(&format!("[project]\nname = \"decided\"\n{more}{SETTINGS}{there}"));
        write(&folder, SQL);
        folder
    }
}

/// Gives the project other pipelines.
pub fn write(folder: &Folder, sql: &str) {
    std::fs::write(folder.path().join("pipelines/all.sql"), sql).unwrap();
}

/// Puts plays on their topic, one play after the other on the partitions that there are.
pub struct Plays {
    settings: Settings,
    namespace: String,
    /// How many letters the text of each has.
    letters: usize,
    /// How many partitions the topic has.
    pub partitions: AtomicU32,
    /// How many plays are there.
    pub there: AtomicUsize,
    /// How many were asked for.
    goal: AtomicUsize,
    /// Whether a test beside it has failed, so that nobody asks for more.
    has_failed: AtomicBool,
}

/// Says that a test has failed.
struct Watch<'a>(&'a AtomicBool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(std::thread::panicking(), SeqCst);
    }
}

impl Plays {
    pub fn new(cluster: &Cluster, partitions: u32, letters: usize) -> Plays {
        let settings = Settings::new(Service::parse(&cluster.service_url).unwrap());
        let (partitions, has_failed) = (AtomicU32::new(partitions), AtomicBool::new(false));
        let [there, goal] = [0, 0].map(AtomicUsize::new);
        Plays { settings, namespace: cluster.namespace.clone(), letters, partitions, there, goal, has_failed }
    }

    /// Asks for more plays of whoever puts them.
    pub fn ask(&self, more: usize) {
        self.goal.fetch_add(more, SeqCst);
    }

    /// Puts plays up to a number as they are asked for, so many at once and without a hurry, while something else is done.
    pub fn beside(&self, until: usize, at_once: usize, work: impl FnOnce()) {
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut writer = None;
                while self.there.load(SeqCst) < until && !self.has_failed.load(SeqCst) {
                    let there = self.there.load(SeqCst);
                    let next = until.min(there + at_once).min(self.goal.load(SeqCst));
                    if next > there {
                        self.put(&mut writer, there..next);
                    }
                    pause(SECOND / 100);
                }
            });
            let _watch = Watch(&self.has_failed);
            work();
        });
    }

    /// Puts plays up to a number at once.
    pub fn put_until(&self, until: usize) {
        self.put(&mut None, self.there.load(SeqCst)..until);
    }

    fn put(&self, writer: &mut Option<TopicWriter>, ids: Range<usize>) {
        let partitions = self.partitions.load(SeqCst);
        let writer = match writer.take().filter(|writer| writer.partitions() == partitions) {
            Some(open) => writer.insert(open),
            None => writer.insert(self.open(partitions)),
        };
        let end = ids.end;
        let mut by_partition: BTreeMap<u32, Vec<OutgoingMessage>> = BTreeMap::new();
        for id in ids {
            by_partition.entry(id as u32 % partitions).or_default().push(OutgoingMessage {
                sequence: id as u64,
                payload: Some(payload(id, self.letters).into()),
                key: None,
                properties: Vec::new(),
                event_time_ms: None,
                publish_time_ms: 1_700_000_000_000,
            });
        }
        by_partition.into_iter().for_each(|(partition, messages)| writer.push(partition, messages).unwrap());
        writer.flush().unwrap();
        self.there.store(end, SeqCst);
    }

    fn open(&self, partitions: u32) -> TopicWriter {
        let topics = Topics::new(self.settings.clone(), Namespace::parse(&self.namespace).unwrap());
        let topic = topics.topic("plays").unwrap().unwrap();
        assert_eq!(dataflow::Topic::partitions(&*topic), partitions);
        let name = format!("plays-{:016x}", connector_pulsar::chance());
        // A broker that is killed while they are put has each of them once, too.
        TopicWriter::open(&topic, &name, Guarantee::EffectivelyOnce, &[EarlierMessages::default(); 0], None).unwrap()
    }
}

/// The decisions on plays up to a number, by what they are about.
pub fn expected(plays: usize) -> BTreeSet<u64> {
    (0..plays).filter(|id| is_decided(*id)).map(|id| id as u64).collect()
}

/// What the Java client finds on the topic of decisions.
pub struct Dump {
    messages: Vec<Value>,
}

impl Dump {
    pub fn of(cluster: &Cluster, folder: &Folder) -> Dump {
        Dump { messages: cluster.dumped("actions", folder, |message| message) }
    }

    /// What each decision says, but for its time and for the id that it has of it.
    pub fn decisions(&self) -> Vec<Value> {
        let decision = |message: &Value| decision(message["payload"].as_str().unwrap());
        let mut decisions: Vec<Value> = self.messages.iter().map(decision).collect();
        decisions.sort_by_key(|decision| decision["subject"].as_u64());
        decisions
    }

    /// The texts that a message holds under a name, which each have to be there once.
    fn assert_distinct(&self, what: &str, of: impl Fn(&Value) -> String) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        self.messages.iter().for_each(|message| *counts.entry(of(message)).or_default() += 1);
        let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).take(5).collect();
        assert!(doubled.is_empty(), "{what} that are there twice, as {doubled:?}");
    }

    /// Each decision on plays up to a number is there once.
    pub fn assert_once(&self, plays: usize) {
        self.assert_distinct("rows", |message| message["properties"]["riverrun.row"].to_string());
        self.assert_distinct("ids", |message| field(message, "decision_id").to_string());
        self.assert_distinct("subjects", |message| field(message, "subject").to_string());
        let found: BTreeSet<u64> =
            self.messages.iter().map(|message| field(message, "subject").as_u64().unwrap()).collect();
        let (missing, surplus): (Vec<_>, Vec<_>) = (
            expected(plays).difference(&found).take(5).copied().collect(),
            found.difference(&expected(plays)).take(5).copied().collect(),
        );
        assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
    }

    /// How many times each subject is there, where it is there more than once, by the rows that these are.
    pub fn doubled(&self) -> BTreeMap<u64, BTreeSet<String>> {
        let mut rows: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for message in &self.messages {
            let row = message["properties"]["riverrun.row"].to_string();
            rows.entry(field(message, "subject").as_u64().unwrap()).or_default().push(row);
        }
        rows.retain(|_, rows| rows.len() > 1);
        rows.into_iter().map(|(subject, rows)| (subject, rows.into_iter().collect())).collect()
    }

    /// The sizes of all batches, by how many have them, and on how many partitions they are.
    pub fn batches(&self) -> (BTreeMap<usize, usize>, usize) {
        let place = |message: &Value| {
            ["partition", "ledger", "entry"].map(|name| message[name].as_u64().expect("it has a place"))
        };
        let mut entries: BTreeMap<[u64; 3], usize> = BTreeMap::new();
        self.messages.iter().for_each(|message| *entries.entry(place(message)).or_default() += 1);
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        entries.values().for_each(|size| *sizes.entry(*size).or_default() += 1);
        let partitions: BTreeSet<u64> = entries.keys().map(|place| place[0]).collect();
        (sizes, partitions.len())
    }
}

fn field(message: &Value, name: &str) -> Value {
    serde_json::from_str::<Value>(message["payload"].as_str().unwrap()).unwrap()[name].take()
}

fn decision(payload: &str) -> Value {
    let mut decision: Value = serde_json::from_str(payload).unwrap();
    for name in ["decision_id", "time"] {
        assert!(decision.as_object_mut().unwrap().remove(name).is_some(), "{payload}");
    }
    decision
}

/// The decisions of the environment with topics in a folder.
pub fn local_decisions(folder: &Folder, plays: usize) -> Vec<Value> {
    let mut lines = String::new();
    (0..plays).for_each(|id| writeln!(lines, "{}", payload(id, 0)).unwrap());
    std::fs::write(folder.path().join("plays.jsonl"), lines).unwrap();
    folder.to_end(&["publish", "plays", "plays.jsonl", "--partitions", "3"], "dev");
    folder.to_end(&["run", "--until-caught-up"], "dev");
    let printed = folder.printed(&["tail", "actions", "--from-start", "--until-caught-up", "--json"], "dev");
    let of_line = |line: &str| decision(&serde_json::from_str::<Value>(line).unwrap()["payload"].to_string());
    let mut decisions: Vec<Value> = printed.lines().map(of_line).collect();
    decisions.sort_by_key(|decision| decision["subject"].as_u64());
    decisions
}
