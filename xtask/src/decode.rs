//! `xtask bench decode`: one topic of eight partitions is read and decoded by one worker and by two, beside busy loops
//! on one thread and on two, which tell how much a second core of this machine is worth.

use crate::bench::{self, Agreement};
use crate::failure;
use crate::measure::{Samples, measure};
use crate::python::{self, DUCKDB, Python};
use connector_local::{Outgoing, Topics};
use dataflow::{EventTime, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tests::machine::Machine;

/// The partitions of the topic.
const PARTITIONS: u32 = 8;
/// Messages per append.
const APPEND: usize = 8_192;
/// Steps of the busy loops, over all threads.
const STEPS: u64 = 3_000_000_000;
/// Raise it when the messages change.
const VERSION: u32 = 1;

/// What the readers and the loops took.
pub struct Decode {
    pub messages: usize,
    /// With one worker, and with two.
    pub jobs: [Samples; 2],
    /// On one thread, and on two.
    pub loops: [Samples; 2],
    pub agreement: Agreement,
}

impl Decode {
    /// What two take of the time of one.
    pub fn ratio(&self) -> f64 {
        self.jobs[1].wall_s() / self.jobs[0].wall_s()
    }

    /// The same for the busy loops.
    pub fn loop_ratio(&self) -> f64 {
        self.loops[1].wall_s() / self.loops[0].wall_s()
    }

    /// What the ratio may be: 0.7, or a tenth more than that of the loops, where the machine gives less.
    pub fn ratio_max(&self) -> f64 {
        (1.1 * self.loop_ratio()).max(0.7)
    }
}

/// Measures the four in turns.
pub fn run(cache: &Path, riverrun: &Path, messages: usize, rounds: usize) -> Result<Decode> {
    let python = Python::prepare(cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let topics = topics(cache, messages)?;
    let folder = cache.join("runs").join(format!("decode-{messages}"));
    let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
    let (mut jobs, mut loops) = (<[Samples; 2]>::default(), <[Samples; 2]>::default());
    for round in 1..=rounds {
        for (at, count) in [1, 2].into_iter().enumerate() {
            let project = project(&folder.join(format!("workers-{count}")), &topics)?;
            let mut command = Command::new(riverrun);
            command.args(["run", "--fresh", "--until-caught-up", "--workers", &count.to_string(), "--project"]);
            jobs[at].0.push(measure(&python, command.arg(&project), &project.join("log"))?);
            let mut spin = Command::new(&here);
            spin.args(["spin", &count.to_string()]);
            loops[at].0.push(measure(&python, &spin, &folder.join("spin.log"))?);
        }
        eprintln!(
            "{messages} messages, round {round} of {rounds}: one worker {:.2} s, two {:.2} s",
            jobs[0].wall_s(),
            jobs[1].wall_s()
        );
    }
    let output = |count: usize| {
        let pattern = format!("{}/workers-{count}/warehouse/**/*.parquet", folder.display());
        (format!("{count} workers"), pattern)
    };
    let agreement = bench::compare(&python, &output(1), &output(2))?;
    Ok(Decode { messages, jobs, loops, agreement })
}

/// Keeps so many threads busy, and divides a fixed number of steps among them.
pub fn spin(threads: u64) {
    let turn = || {
        let mut word = 1_u64;
        for step in 0..STEPS / threads {
            word = std::hint::black_box(word ^ step).rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        word
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(turn))));
}

/// The topic, made once.
fn topics(cache: &Path, messages: usize) -> Result<PathBuf> {
    let folder = cache.join(format!("topics-v{VERSION}-{messages}"));
    if folder.exists() {
        return Ok(folder);
    }
    eprintln!("making {messages} messages in {PARTITIONS} partitions");
    let partial = folder.with_extension("partial");
    if partial.exists() {
        std::fs::remove_dir_all(&partial).map_err(|error| failure::file("remove", &partial, error))?;
    }
    let topics = Topics::open(&partial, Arc::new(Machine))?;
    topics.topic_or_create("messages", PARTITIONS)?;
    let mut producer = topics.producer("messages", "", 0)?;
    for from in (0..messages).step_by(APPEND * PARTITIONS as usize) {
        let to = (from + APPEND * PARTITIONS as usize).min(messages);
        for partition in 0..PARTITIONS {
            let ids = (from..to).filter(|id| id % PARTITIONS as usize == partition as usize);
            let payloads: Vec<String> = ids.map(payload).collect();
            let messages: Vec<Outgoing> = payloads
                .iter()
                .map(|payload| Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None })
                .collect();
            producer.append(partition, &messages)?;
        }
    }
    std::fs::rename(&partial, &folder).map_err(|error| failure::file("rename", &partial, error))?;
    Ok(folder)
}

fn payload(id: usize) -> String {
    let at = EventTime(1_767_225_600_000_000 + id as i64 * 1_000);
    let (user, amount) = (id * 7919 % 50_000, (id * 31 % 100_000) as f64 / 100.0);
    format!(
        r#"{{"id":{id},"user_id":{user},"amount":{amount},"country":"DE","text":"message {} of a user","sent_at":"{at}"}}"#,
        id % 1000
    )
}

/// A project that decodes every column and writes few rows, so that reading is all that it does.
fn project(folder: &Path, topics: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| failure::file("remove", folder, error))?;
    }
    let pipelines = folder.join("pipelines");
    std::fs::create_dir_all(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
    let toml = include_str!("../bench/decode.toml").replace("{topics}", &topics.display().to_string());
    python::write(&folder.join("riverrun.toml"), &toml)?;
    python::write(&pipelines.join("decode.sql"), include_str!("../bench/decode.sql"))?;
    Ok(folder.to_owned())
}
