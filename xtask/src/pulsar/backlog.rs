//! A backlog: what reading a message of it costs, by our reader, by a job, and by the official client's reader.

use super::case::{Stage, WORKERS};
use super::interval::Median;
use super::place::{self, PARTITIONS};
use crate::failure;
use crate::measure::measure;
use crate::python::Python;
use crate::random::Draws;
use connector_pulsar::{Namespace, Service, Settings, Topics};
use dataflow::{Error, PartitionLog, Result, Topic};
use std::path::Path;
use std::process::Command;
use tests::machine::pause;

const TOPIC: &str = "messages";
/// The draws of the order.
const KIND: u64 = 2;
const MESSAGES_MAX: usize = 8192;
const BYTES_MAX: usize = 1 << 20;
/// How long our reader rests where nothing is known to be there, in microseconds.
const REST: i64 = 1_000;
/// The JVM reads this part of the backlog first, which does not count.
const WARM_UP_PART: u64 = 5;

/// Microseconds of CPU a message, by round.
pub struct Backlog {
    pub messages: u64,
    /// Our reader alone, as a whole process.
    pub reader: Vec<f64>,
    /// A job that decodes the messages and keeps none, as a whole process.
    pub job: Vec<f64>,
    /// The official client's reader, after its warm-up.
    pub java: Vec<f64>,
}

impl Backlog {
    /// The ratios of our reader's CPU to the official one's.
    pub fn ratio(&self) -> Median {
        Median::of(&self.reader.iter().zip(&self.java).map(|(ours, java)| ours / java).collect::<Vec<_>>())
    }
}

#[derive(Clone, Copy)]
enum Reading {
    Reader,
    Job,
    Java,
}

/// Writes a backlog once, and reads it in turns in random order.
pub fn run(stage: &mut Stage, messages: u64, rounds: u32, seed: u64) -> Result<Backlog> {
    let python = Python::prepare(&stage.cache, "venv", &[])?;
    let namespace = stage.broker.namespace(PARTITIONS)?;
    eprintln!("writing a backlog of {messages} messages");
    stage.traffic.ask(&format!("fill {namespace} {PARTITIONS} {messages}"))?;
    let mut found = Backlog { messages, reader: Vec::new(), job: Vec::new(), java: Vec::new() };
    for round in 0..rounds {
        let mut order = [Reading::Reader, Reading::Job, Reading::Java];
        let mut draws = Draws::new(seed, KIND, u64::from(round));
        order.rotate_left(draws.below(3) as usize);
        if draws.chance(0.5) {
            order.swap(1, 2);
        }
        for reading in order {
            let per_message = cpu_us(stage, &python, &namespace, reading, messages)? / messages as f64;
            let (name, figures) = match reading {
                Reading::Reader => ("our reader", &mut found.reader),
                Reading::Job => ("our job", &mut found.job),
                Reading::Java => ("the Java reader", &mut found.java),
            };
            eprintln!("backlog, pair {} of {rounds}: {name} took {per_message:.2} us a message", round + 1);
            figures.push(per_message);
        }
    }
    stage.broker.forget(&namespace);
    Ok(found)
}

fn cpu_us(stage: &Stage, python: &Python, namespace: &str, reading: Reading, messages: u64) -> Result<f64> {
    let (service, count) = (stage.broker.service_url(), messages.to_string());
    let sql = include_str!("../../bench/pulsar/backlog.sql");
    let project = place::project(&stage.cache, &service, namespace, sql)?;
    let log = project.path().join("log");
    let command = match reading {
        Reading::Reader => {
            let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
            let mut command = Command::new(here);
            command.args(["pulsar-read", &service, namespace, &count]);
            command
        }
        Reading::Job => {
            let mut command = Command::new(&stage.riverrun);
            command.args(["run", "--until-caught-up", "--workers", WORKERS, "--project"]).arg(project.path());
            command
        }
        Reading::Java => {
            let topic = format!("persistent://{namespace}/{TOPIC}");
            stage.java.command("Backlog", &[&service, &topic, &(messages / WARM_UP_PART).to_string(), &count])
        }
    };
    let sample = measure(python, &command, &log)?;
    match reading {
        Reading::Java => java_cpu_us(&log),
        Reading::Reader | Reading::Job => Ok(sample.cpu_s * 1e6),
    }
}

/// What the Java program says that it took after its warm-up.
fn java_cpu_us(log: &Path) -> Result<f64> {
    let text = std::fs::read_to_string(log).map_err(|error| failure::file("read", log, error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("read "));
    let micros = line.and_then(|line| line.split(' ').next()?.parse().ok());
    micros.ok_or_else(|| failure::program("the Java reader", format!("does not say what it took: {text}")))
}

/// Reads so many messages of a topic from its beginning, all partitions in turns.
pub fn read(service: &str, namespace: &str, messages: u64) -> Result<()> {
    let topics = Topics::new(Settings::new(Service::parse(service)?), Namespace::parse(namespace)?);
    let topic = topics.topic(TOPIC)?.ok_or_else(|| Error::invalid(format!("there is no topic \"{TOPIC}\"")))?;
    let opened = (0..topic.partitions()).map(|partition| topic.open(partition, None));
    let mut logs = opened.collect::<Result<Vec<_>>>()?;
    let (mut count, mut bytes) = (0, 0);
    while count < messages {
        let before = count;
        for log in &mut logs {
            let some = log.read(MESSAGES_MAX, BYTES_MAX)?;
            count += some.len() as u64;
            bytes += some.iter().map(|message| message.payload.len()).sum::<usize>();
        }
        if count == before {
            rest(&mut logs)?;
        }
    }
    println!("{count} messages, {bytes} bytes");
    Ok(())
}

/// Waits for what is on its way.
fn rest(logs: &mut [Box<dyn PartitionLog>]) -> Result<()> {
    match logs.iter_mut().find(|log| log.is_behind()) {
        Some(log) => log.wait(),
        None => {
            pause(REST);
            Ok(())
        }
    }
}
