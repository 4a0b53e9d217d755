//! A topic whose producers are told row by row what to send and by which clock, and a job that copies it.

use crate::project::Folder;
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Message, PartitionReader, ProducerClocks, ReaderOptions, Service, Settings, Start, TopicName};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tests::machine::{SECOND, now, pause};
use tests::time_rule::{PartitionTimes, RealPartition, Stamp, due_by_clocks};
use tests::{Program, pulsar_python};

pub const MILLI: i64 = 1000;
/// What the stream declares.
pub const DELAY: i64 = SECOND / 2;
/// The allowance for messages on their way.
const MARGIN: i64 = SECOND / 4;
/// How much later than the rule says a row may come.
const ALLOWED: i64 = SECOND;
/// What is due later than this is not waited for.
const FAR: i64 = 60 * SECOND;
/// How long copies are waited for: far beyond what they take.
const PATIENCE: i64 = 60 * SECOND;

/// A topic `notes`, a project that copies it to `copies`, and what was sent.
pub struct Scene {
    url: String,
    namespace: String,
    pub folder: Folder,
    partitions: u32,
    /// When each row was there, by the machine's clock.
    there: RefCell<BTreeMap<i64, i64>>,
    /// When the first job was ready: no row comes before it.
    ready_at: Cell<i64>,
    stalls: Stalls,
}

/// A row as the topic has it.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    pub id: i64,
    pub stamp: Stamp,
    /// When it was there, by the machine's clock.
    pub there: i64,
}

/// A row as the job has written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Its row time in milliseconds.
    pub time_ms: i64,
    pub is_late: bool,
    /// When the job wrote it.
    pub written: i64,
}

/// What a run said of its rows at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub joined: u64,
    pub late_moved: u64,
}

impl Scene {
    /// A namespace with so many bundles; clients ask at a broker.
    pub fn new(name: &str, broker: &Standalone, partitions: u32, bundles: u32) -> Scene {
        let (url, namespace) = (broker.service_url(), format!("public/{name}"));
        let settings = format!(
            "[project]\nname = \"{name}\"\ncommit_every = \"300ms\"\ncheckpoint_every = \"200ms\"\n[env.pulsar]\n\
             history = {{ warehouse = \"./warehouse\" }}\nlive = {{ pulsar = \"{url}\", namespace = \"{namespace}\" }}\n"
        );
        let folder = Folder::with(&settings);
        let sql = "CREATE STREAM notes (id BIGINT, at_ms BIGINT, at TIMESTAMP AS epoch_ms(at_ms), WATERMARK FOR at AS at - \
                   INTERVAL '500' MILLISECOND QUIET AFTER INTERVAL '1' SECOND) LIVE notes;\nINSERT INTO TOPIC copies SELECT id, epoch_ms(_time) AS time_ms, \
                   _late AS is_late FROM notes;\n";
        std::fs::write(folder.path().join("pipelines/all.sql"), sql).unwrap();
        ask(broker, "PUT", &format!("namespaces/{namespace}"), &format!(r#"{{"bundles":{{"numBundles":{bundles}}}}}"#));
        ask(broker, "PUT", &format!("persistent/{namespace}/notes/partitions"), &partitions.to_string());
        ask(broker, "PUT", &format!("persistent/{namespace}/copies"), "");
        let there = RefCell::default();
        let ready_at = Cell::default();
        Scene { url, namespace, folder, partitions, there, ready_at, stalls: Stalls::watch() }
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The full name of a partition.
    pub fn partition(&self, partition: u32) -> String {
        format!("persistent://{}/notes-partition-{partition}", self.namespace)
    }

    /// A producer with the official client, whose process has more in its environment.
    pub fn producer(&self, environment: &[(String, String)]) -> Producer {
        Producer::start(&self.url, environment)
    }

    /// Sends the next row to a partition; its event is older than the producer's clock by so much. Gives its id.
    pub fn send(&self, producer: &mut Producer, partition: u32, age: i64) -> i64 {
        let id = self.there.borrow().len() as i64;
        producer.send(&self.partition(partition), id, age);
        self.there.borrow_mut().insert(id, now());
        id
    }

    /// Starts the job; what it says at its end is kept.
    pub fn run(&self) -> Program {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" > ended.json", "sh"]).arg(tests::riverrun()).current_dir(self.folder.path());
        command.arg("--project").arg(self.folder.path()).args(["run", "--json", "--env", "pulsar"]);
        let mut program = Program::spawn(command);
        program.ready();
        if self.ready_at.get() == 0 {
            self.ready_at.set(now());
        }
        program
    }

    /// Ends the job by Ctrl-C.
    pub fn end(&self, mut program: Program) -> Counted {
        program.interrupt();
        let ended = program.ended(PATIENCE).expect("a run that is interrupted ends");
        assert_eq!(ended.code, Some(0), "{}", ended.told);
        let told = std::fs::read_to_string(self.folder.path().join("ended.json")).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        let count = |name: &str| told["streams"][0][name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"));
        Counted { joined: count("joined"), late_moved: count("late_moved") }
    }

    /// What the topic holds, by partition: the event time that each row has, and as its arrival the stamp of the broker, or what its
    /// producer says, and never before the one before.
    pub fn log(&self) -> Vec<Vec<Stored>> {
        let there = self.there.borrow();
        let partition = |partition: u32| {
            let mut arrival = 0;
            let row = |message: Message| {
                let row: Value = serde_json::from_slice(message.payload.bytes()).unwrap();
                let stamp = message.entry.broker_time_ms.unwrap_or(message.entry.publish_time_ms);
                arrival = arrival.max(stamp as i64 * MILLI);
                let (id, at_ms) = (row["id"].as_i64().unwrap(), row["at_ms"].as_i64().unwrap());
                Stored { id, stamp: Stamp { event: at_ms * MILLI, arrival }, there: there[&id] }
            };
            self.read(&self.partition(partition)).into_iter().map(row).collect()
        };
        (0..self.partitions).map(partition).collect()
    }

    /// The copies so far by id, of which each is there once.
    pub fn copies(&self) -> BTreeMap<i64, Copied> {
        let mut copies = BTreeMap::new();
        for message in self.read(&format!("persistent://{}/copies", self.namespace)) {
            let row: Value = serde_json::from_slice(message.payload.bytes()).unwrap();
            let number = |name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name}: {row}"));
            let written = message.entry.publish_time_ms as i64 * MILLI;
            let copied = Copied { time_ms: number("time_ms"), is_late: row["is_late"].as_bool().unwrap(), written };
            let before = copies.insert(number("id"), copied);
            assert!(before.is_none(), "a copy is there twice: {row}");
        }
        copies
    }

    /// Waits until so many copies are there.
    pub fn wait_for(&self, count: usize, program: &Program) -> BTreeMap<i64, Copied> {
        let begun = now();
        loop {
            let copies = self.copies();
            if copies.len() >= count || now() > begun + PATIENCE {
                assert!(copies.len() >= count, "{} of {count} copies: {}", copies.len(), program.told());
                return copies;
            }
            pause(SECOND / 4);
        }
    }

    /// Waits until the copies of rows are there.
    fn wait_for_rows(&self, rows: &[&(Stored, i64, i64)], program: &Program) -> BTreeMap<i64, Copied> {
        let begun = now();
        loop {
            let copies = self.copies();
            let missing: Vec<_> = rows.iter().filter(|(row, ..)| !copies.contains_key(&row.id)).collect();
            if missing.is_empty() {
                return copies;
            }
            if now() > begun + PATIENCE {
                let standing = self.folder.command(&["explain", "watermark", "--json"], "pulsar");
                let standing = String::from_utf8_lossy(&standing.stdout).into_owned();
                panic!("{missing:?} are missing of {}: {standing}{}", rows.len(), program.told());
            }
            pause(SECOND / 4);
        }
    }

    /// Waits for all copies that the rule lets come, and compares them and their moments with it. Gives the rows that are
    /// elsewhere than the rule alone has them, which are those that were counted as joined.
    pub fn check(&self, log: &[Vec<Stored>], partitions: &[RealPartition], program: &Program, more: i64) -> Vec<i64> {
        let end = now();
        let rows: Vec<(Stored, i64, i64)> = log
            .iter()
            .zip(partitions)
            .flat_map(|(rows, real)| rows.iter().copied().zip(real.times.times.iter().copied()))
            .map(|(row, time)| (row, time, due_by_clocks(partitions, time, MARGIN)))
            .collect();
        let near: Vec<_> = rows.iter().filter(|(_, _, due)| *due < end + FAR).collect();
        let copies = self.wait_for_rows(&near, program);
        assert_eq!(copies.len(), near.len(), "rows came out that are not due");
        let (allowed, mut moved, mut latest) = (ALLOWED + more + self.stalls.longest(), Vec::new(), i64::MIN);
        for (row, time, due) in near {
            let copied = &copies[&row.id];
            if (copied.time_ms, copied.is_late) != (time / MILLI, *time != row.stamp.event) {
                assert!(copied.is_late && copied.time_ms >= time / MILLI, "{row:?} at {time}, not {copied:?}");
                moved.push(row.id);
            }
            let from = *due.max(&self.ready_at.get());
            latest = latest.max(copied.written - from);
            assert!(copied.written <= from + allowed, "{row:?}, due at {due}, came at {}", copied.written);
        }
        eprintln!(
            "  {}: {} rows, {} elsewhere, the latest {} ms after the rule, of {} ms",
            self.namespace,
            copies.len(),
            moved.len(),
            latest / MILLI,
            allowed / MILLI
        );
        moved
    }

    fn read(&self, topic: &str) -> Vec<Message> {
        let options = ReaderOptions {
            topic: TopicName::parse(topic).unwrap(),
            start: Start::Oldest,
            anchor: None,
            name: format!("dump-{:016x}", connector_pulsar::chance()),
            budget_bytes: 4 << 20,
            allows_gaps: false,
            producer_clocks: ProducerClocks::default(),
        };
        let settings = Settings::new(Service::parse(&self.url).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut reader, mut messages) = (PartitionReader::new(settings, options), Vec::<Message>::new());
            let Some(last) = reader.end().await.unwrap().last else { return messages };
            while messages.last().is_none_or(|message| message.id < last) {
                messages.push(reader.next().await.unwrap().unwrap());
            }
            messages
        })
    }
}

/// The rule over partitions whose messages arrive by a clock that is ahead, each from moments on.
pub fn by_clocks(log: &[Vec<Stored>], ahead: &[Vec<(i64, i64)>]) -> Vec<RealPartition> {
    let real = |(rows, ahead): (&Vec<Stored>, &Vec<(i64, i64)>)| RealPartition {
        times: times(rows),
        there: rows.iter().map(|row| row.there).collect(),
        ahead: ahead.clone(),
    };
    log.iter().zip(ahead).map(real).collect()
}

/// The rule over partitions without stamps: silence is counted from the last message, by whatever clock it has.
pub fn by_producers(log: &[Vec<Stored>]) -> Vec<RealPartition> {
    let ahead = |rows: &Vec<Stored>| rows.iter().map(|row| (row.there, row.stamp.arrival - row.there)).collect();
    by_clocks(log, &log.iter().map(ahead).collect::<Vec<_>>())
}

fn times(rows: &[Stored]) -> PartitionTimes {
    PartitionTimes::new(&rows.iter().map(|row| row.stamp).collect::<Vec<_>>(), DELAY)
}

/// A request to a broker's admin interface.
pub fn ask(broker: &Standalone, method: &str, path: &str, json: &str) -> String {
    let (status, body) = broker.admin().request(method, &format!("/admin/v2/{path}"), json).unwrap();
    assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
    body
}

/// A producer's process.
pub struct Producer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Producer {
    fn start(url: &str, environment: &[(String, String)]) -> Producer {
        let script = tests::root().join("tests/pulsar/clocks/producer.py");
        let mut command = Command::new(pulsar_python());
        command.arg(script).arg(url).envs(environment.iter().map(|(name, value)| (name, value)));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut producer = Producer { process, input, output: BufReader::new(output) };
        producer.hear("ready");
        producer
    }

    fn send(&mut self, topic: &str, id: i64, age: i64) {
        writeln!(self.input, "{topic} {id} {}", age / MILLI).unwrap();
        self.hear(&id.to_string());
    }

    fn hear(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected, "the producer ended: {:?}", self.process.try_wait());
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How long the machine let a thread wait that was to go on: everything may come so much later.
struct Stalls {
    longest: Arc<AtomicI64>,
    is_over: Arc<AtomicBool>,
}

impl Stalls {
    fn watch() -> Stalls {
        let stalls = Stalls { longest: Arc::default(), is_over: Arc::default() };
        let (longest, is_over) = (stalls.longest.clone(), stalls.is_over.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let begun = now();
                pause(10 * MILLI);
                longest.fetch_max(now() - begun - 10 * MILLI, Ordering::Relaxed);
            }
        });
        stalls
    }

    fn longest(&self) -> i64 {
        self.longest.load(Ordering::Relaxed)
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// These tests come one after the other: what they measure is how long something takes.
pub fn turn() -> std::sync::MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
