//! The broker, the proxy before it, and the job.

use super::proxy::Proxy;
use crate::failure;
use crate::python::write;
use connector_pulsar::standalone::Standalone;
use dataflow::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tests::Program;
use tests::machine::SECOND;

pub const PARTITIONS: u32 = 4;
pub const TOPIC: &str = "notes";
pub const OUTPUT: &str = "copies";

/// A copy of all on a topic and in a table, a window over each sender, and what it held back.
const SQL: &str = "
CREATE STREAM notes (id BIGINT, sender BIGINT, at BIGINT, sent_at TIMESTAMP AS make_timestamp(at),
  WATERMARK FOR sent_at AS sent_at - INTERVAL '1' SECOND
) LIVE notes;
INSERT INTO TOPIC copies SELECT id, sender, sent_at FROM notes;
INSERT INTO lake.counted
SELECT id, sender, count(*) OVER (PARTITION BY sender ORDER BY sent_at RANGE INTERVAL '1' MINUTE PRECEDING) AS n
FROM notes;
";

/// More than this is no cache that fills: what a job of these rows has beside what it began with.
const GROWTH_BYTES_MAX: u64 = 384 << 20;
/// A run says what it does before it reads.
const END: i64 = 60 * SECOND;

/// The memory of all runs of the job.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// The first run, a minute after it began.
    begun: u64,
    most: u64,
}

impl Memory {
    /// Whether it stayed within its bound.
    pub fn is_bounded(self) -> bool {
        self.most < self.begun + GROWTH_BYTES_MAX
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Memory { begun, most } = self;
        let is_over = if self.is_bounded() { "" } else { ", MORE THAN IT MAY" };
        write!(f, "memory: {} MiB after the first minute, {} MiB at most{is_over}", begun >> 20, most >> 20)
    }
}

/// All that runs.
pub struct Scene {
    pub proxy: Proxy,
    // It is killed before its folder is removed.
    pub broker: Standalone,
    _data: TempDir,
    project: TempDir,
    riverrun: PathBuf,
    job: Option<Program>,
    job_begun: i64,
    memory: Memory,
    /// What runs that were killed have said.
    said: String,
}

impl Scene {
    /// Starts the broker and makes the project.
    pub fn start(cache: &Path, riverrun: &Path) -> Result<Scene> {
        let folder = || tempfile::tempdir_in(cache).map_err(|error| failure::file("make a folder in", cache, error));
        let (data, project) = (folder()?, folder()?);
        let proxy = Proxy::start()?;
        // All that clients are told of is the proxy.
        let settings = format!(
            "advertisedListeners=all:pulsar://127.0.0.1:{}\ninternalListenerName=all\nbrokerDeduplicationEnabled=true\n",
            proxy.port()
        );
        let programs = cache.ancestors().nth(2).unwrap_or(cache);
        let broker = Standalone::start(programs, data.path(), &settings)?;
        proxy.lead_to(&broker.service_url());
        let service = format!("pulsar://127.0.0.1:{}", proxy.port());
        let settings = format!(
            "[project]\nname = \"soak\"\ncommit_every = \"10s\"\ncheckpoint_every = \"2s\"\n[env.dev]\n\
             history = {{ warehouse = \"./warehouse\" }}\nlive = {{ pulsar = \"{service}\" }}\n"
        );
        let pipelines = project.path().join("pipelines");
        std::fs::create_dir(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
        write(&project.path().join("riverrun.toml"), &settings)?;
        write(&pipelines.join("all.sql"), SQL)?;
        let (memory, said) = (Memory::default(), String::new());
        let riverrun = riverrun.to_owned();
        let scene = Scene { proxy, broker, _data: data, project, riverrun, job: None, job_begun: 0, memory, said };
        for (topic, partitions) in [(TOPIC, PARTITIONS), (OUTPUT, 2)] {
            scene.admin("PUT", &format!("persistent/public/default/{topic}/partitions"), &partitions.to_string())?;
        }
        Ok(scene)
    }

    /// Where clients connect.
    pub fn service(&self) -> String {
        format!("pulsar://127.0.0.1:{}", self.proxy.port())
    }

    /// Asks the broker for something.
    pub fn admin(&self, method: &str, path: &str, json: &str) -> Result<()> {
        let (status, body) = self.broker.admin().request(method, &format!("/admin/v2/{path}"), json)?;
        match status {
            200..300 => Ok(()),
            _ => Err(failure::program("the broker's admin interface", format!("{method} {path}: {status} {body}"))),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.riverrun);
        command.arg("--project").arg(self.project.path()).args(arguments);
        command
    }

    /// Starts the job, or starts it again.
    pub fn start_job(&mut self) {
        self.job = Some(Program::spawn(self.command(&["run"])));
        self.job_begun = tests::machine::now();
    }

    /// Kills the job and starts it again.
    pub fn kill_job(&mut self) {
        self.note_memory();
        if let Some(mut job) = self.job.take() {
            job.signal("KILL");
            job.ended(END);
            self.said += &job.told();
        }
        self.start_job();
    }

    /// What all runs have said.
    pub fn told(&self) -> String {
        let now = self.job.as_ref().map(Program::told).unwrap_or_default();
        format!("{}\n{now}", self.said)
    }

    fn note_memory(&mut self) {
        let Some((now, most)) = self.job.as_ref().and_then(Program::memory) else { return };
        self.memory.most = self.memory.most.max(most);
        if self.memory.begun == 0 && tests::machine::now() > self.job_begun + 60 * SECOND {
            self.memory.begun = now;
        }
    }

    /// Looks at the job, which has to run.
    pub fn look(&mut self) -> Result<()> {
        self.note_memory();
        match self.job.as_mut().and_then(|job| job.ended(0)) {
            Some(ended) => Err(failure::program("the job", format!("it ended by itself: {}", ended.told))),
            None => Ok(()),
        }
    }

    /// Says how it is.
    pub fn tell(&self, seconds: i64, published: u64, faults: usize) {
        let (now, most) = self.job.as_ref().and_then(Program::memory).unwrap_or_default();
        let [minutes, seconds] = [seconds / 60, seconds % 60];
        println!(
            "{minutes:3}:{seconds:02}  {published} published, {faults} faults, the job has {} MiB, {} at most",
            now >> 20,
            most >> 20
        );
    }

    /// Ends the job, and lets another run read to the end of the topic; the memory of all.
    pub fn end_job(&mut self, within: i64) -> Result<Memory> {
        self.note_memory();
        if let Some(mut job) = self.job.take() {
            job.interrupt();
            let ended = job.ended(within).ok_or_else(|| Error::unavailable("the job does not end"))?;
            if ended.code != Some(0) {
                return Err(failure::program("the job", ended.told));
            }
        }
        let mut last = Program::spawn(self.command(&["run", "--until-caught-up"]));
        let ended = last.ended(within).ok_or_else(|| Error::unavailable("the job does not catch up"))?;
        match ended.code {
            Some(0) => Ok(self.memory),
            _ => Err(failure::program("the job", ended.told)),
        }
    }

    /// What a command prints.
    pub fn printed(&self, arguments: &[&str]) -> Result<String> {
        let ran = self.command(arguments).output().map_err(|error| failure::program("riverrun", error))?;
        match ran.status.success() {
            true => Ok(String::from_utf8_lossy(&ran.stdout).into_owned()),
            false => Err(failure::program("riverrun", String::from_utf8_lossy(&ran.stderr))),
        }
    }
}
