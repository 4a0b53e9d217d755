//! What a job costs that has nothing to do: four streams of four partitions.

use super::Options;
use crate::failure;
use crate::python::write;
use connector_local::{Outgoing, Topics};
use dataflow::{EventTime, Result};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tests::Program;
use tests::machine::{Machine, SECOND, now, pause};

const STREAMS: usize = 4;
const PARTITIONS: u32 = 4;
const SETTLE: i64 = 4 * SECOND;
const WATCH: i64 = 4 * SECOND;
const TRACE_SECONDS: u32 = 2;
/// How long it all takes.
pub const LENGTH: i64 = SETTLE + WATCH + TRACE_SECONDS as i64 * SECOND + SECOND;

/// A second of an idle job.
pub struct Idle {
    /// Of a core.
    pub cpu_percent: f64,
    /// How often threads gave up the CPU by themselves: system calls that waited.
    pub switches: f64,
    /// As strace counts them, where it is there.
    pub calls: Option<f64>,
    pub memory: u64,
}

pub fn measure(folder: &Path, options: &Options) -> Result<Idle> {
    let folder = tempfile::tempdir_in(folder).map_err(|error| failure::file("make a folder in", folder, error))?;
    let topics = Topics::open(folder.path().join("topics"), Arc::new(Machine))?;
    let mut sql = String::new();
    for stream in 0..STREAMS {
        let name = format!("s{stream}");
        let declared = "(id BIGINT, at TIMESTAMP, WATERMARK FOR at AS at - INTERVAL '1' SECOND)";
        sql += &format!("CREATE STREAM {name} {declared} LIVE {name};\n");
        topics.create(&name, PARTITIONS)?;
        let mut producer = topics.producer(&name, "", 0)?;
        for partition in 0..PARTITIONS {
            let payload = format!(r#"{{"id":{partition},"at":"{}"}}"#, EventTime(now()));
            producer.append(
                partition,
                &[Outgoing { sequence: 0, key: None, payload: payload.as_bytes(), arrived: None }],
            )?;
        }
    }
    sql += include_str!("../../bench/idle.sql");
    let pipelines = folder.path().join("pipelines");
    std::fs::create_dir(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
    write(&folder.path().join("riverrun.toml"), include_str!("../../bench/riverrun.toml"))?;
    write(&pipelines.join("idle.sql"), &sql)?;
    let mut command = Command::new(&options.riverrun);
    command.args(["run", "--workers", &options.workers.to_string(), "--project"]).arg(folder.path());
    let mut program = Program::spawn(command);
    program.ready();
    pause(SETTLE);
    let (before, begun) = (program.taken(), now());
    pause(WATCH);
    let (after, took) = (program.taken(), (now() - begun) as f64);
    let calls = program.system_calls(TRACE_SECONDS);
    let memory = program.memory().map_or(0, |(now, _)| now);
    if let Some(ended) = program.ended(0) {
        return Err(failure::program("riverrun", format!("ended by itself: {}", ended.told)));
    }
    program.interrupt();
    program.ended(10 * SECOND);
    Ok(Idle {
        cpu_percent: (after.cpu - before.cpu) as f64 * 100.0 / took,
        switches: (after.switches - before.switches) as f64 * SECOND as f64 / took,
        calls,
        memory,
    })
}
