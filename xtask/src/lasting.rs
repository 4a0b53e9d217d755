//! `xtask bench lasting`: what checkpoints of W1 cost, and how soon a job with 1 GiB of state commits new rows after a
//! `kill -9`.

use crate::bench::{self, Agreement};
use crate::contender::{self, Contender, Stage, Workload};
use crate::data::{Dataset, Recipe};
use crate::failure;
use crate::measure::{Samples, measure};
use crate::python::{self, DUCKDB, Python};
use crate::report::Bar;
use dataflow::Result;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::Program;
use tests::machine::{SECOND, now, pause};

/// How much state the job that is killed has.
const STATE_BYTES: u64 = 1 << 30;
/// How long that state may take to be built, and a killed job to come back.
const WITHIN: i64 = 1200 * SECOND;
/// How often a job or a table is looked at.
const LOOK: i64 = SECOND / 10;
/// A checkpoint a second, with a commit each.
const EACH_SECOND: &str = "commit_every = \"1s\"\ncheckpoint_every = \"1s\"";
/// W1 takes some seconds: with a checkpoint every 10 s it would have none.
const CHECKPOINTED: &str = "commit_every = \"24h\"\ncheckpoint_every = \"1s\"";
/// How often a checkpoint may cost its share of the throughput.
const EVERY_S: f64 = 10.0;
/// A run ends before that.
const NONE: &str = "commit_every = \"24h\"";

/// What was found.
pub struct Lasting {
    pub events: usize,
    pub without: Samples,
    pub with: Samples,
    pub agreement: Agreement,
    /// How many there were in the last run.
    pub checkpoints: u64,
    /// The state of the job that was killed, in bytes.
    pub state_bytes: u64,
    /// Seconds from each start to a committed row.
    pub recoveries_s: Vec<f64>,
}

impl Lasting {
    /// What a checkpoint every 10 s takes of the time, in percent.
    fn cost(&self) -> f64 {
        let of_one = (self.with.wall_s() - self.without.wall_s()) / self.checkpoints.max(1) as f64;
        of_one / EVERY_S * 1e2
    }

    fn slowest_s(&self) -> f64 {
        self.recoveries_s.iter().copied().fold(0.0, f64::max)
    }

    pub fn text(&self) -> String {
        let line = |samples: &Samples| format!("{:.1} s, {:.1} s of CPU", samples.wall_s(), samples.cpu_s());
        let recoveries: Vec<String> = self.recoveries_s.iter().map(|seconds| format!("{seconds:.1} s")).collect();
        format!(
            "\nlasting\n  W1 over {} events without checkpoints: {}; with {} of them: {}; {} of {} rows differ\n  \
             killed with {} MiB of state, until new rows are committed: {}",
            self.events,
            line(&self.without),
            self.checkpoints,
            line(&self.with),
            self.agreement.differ,
            self.agreement.rows,
            self.state_bytes >> 20,
            recoveries.join(", ")
        )
    }

    pub fn json(&self) -> Value {
        json!({
            "events": self.events, "without": self.without.json(), "with": self.with.json(),
            "checkpoints": self.checkpoints,
            "rows": self.agreement.rows, "differ": self.agreement.differ,
            "state_bytes": self.state_bytes, "recoveries_s": self.recoveries_s,
        })
    }

    pub fn agree(&self) -> bool {
        self.agreement.differ == 0 && self.agreement.rows > 0
    }

    /// The bars of the design: checkpoints cost under 5 % of throughput, and a job is back within 10 s.
    pub fn bars(&self) -> Vec<Bar> {
        vec![
            Bar::at_most("W1, time that checkpoints every 10 s add".to_owned(), self.cost(), 5.0, " %"),
            Bar::at_most("from kill -9 to committed rows, 1 GiB of state".to_owned(), self.slowest_s(), 10.0, " s"),
        ]
    }
}

/// Measures both.
pub fn run(cache: &Path, riverrun: &Path, recipe: &Recipe, rounds: usize) -> Result<Lasting> {
    let python = Python::prepare(cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let ((without, with), checkpoints, agreement) = checkpoints(cache, &python, riverrun, recipe, rounds)?;
    let (state_bytes, recoveries_s) = recoveries(cache, riverrun, recipe, rounds)?;
    Ok(Lasting { events: recipe.events, without, with, agreement, checkpoints, state_bytes, recoveries_s })
}

/// Puts settings of the whole project into a file of settings.
fn set(settings: &Path, lines: &str) -> Result<()> {
    let read = std::fs::read_to_string(settings).map_err(|error| failure::file("read", settings, error))?;
    python::write(settings, &read.replacen("[project]\n", &format!("[project]\n{lines}\n"), 1))
}

/// W1 in turns without checkpoints and with them.
fn checkpoints(
    cache: &Path,
    python: &Python,
    riverrun: &Path,
    recipe: &Recipe,
    rounds: usize,
) -> Result<((Samples, Samples), u64, Agreement)> {
    let dataset = Dataset::prepare(cache, recipe)?;
    let mut samples = <[Samples; 2]>::default();
    let (mut outputs, mut count) = (Vec::new(), 0);
    for round in 1..=rounds {
        outputs.clear();
        let ways = [("without", NONE), ("with", CHECKPOINTED)];
        for ((name, lines), samples) in ways.into_iter().zip(&mut samples) {
            let folder = cache.join("runs").join("lasting").join(name);
            std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
            let (workload, log) = (Workload::W1, folder.join("log"));
            let stage = Stage { workload, dataset: &dataset, python, folder, riverrun: Some(riverrun.to_owned()) };
            let ready = stage.ready(Contender::Riverrun(1))?;
            set(&stage.folder.join(Contender::Riverrun(1).name()).join("riverrun.toml"), lines)?;
            let sample = measure(python, &ready.command, &log)?;
            eprintln!("W1 {name} checkpoints, round {round} of {rounds}: {:.1} s", sample.wall_s);
            samples.0.push(sample);
            outputs.push((name.to_owned(), ready.output));
            // That of the run with checkpoints comes last.
            let project = stage.folder.join(Contender::Riverrun(1).name());
            let job = Job { riverrun: riverrun.to_owned(), project }.answer(&["jobs", "--json"])?;
            count = job["checkpoint"]["number"].as_u64().unwrap_or(0);
        }
    }
    let agreement = bench::compare(python, &outputs[0], &outputs[1])?;
    let [without, with] = samples;
    Ok(((without, with), count, agreement))
}

/// A job, and the commands that ask about it.
struct Job {
    riverrun: PathBuf,
    project: PathBuf,
}

impl Job {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.riverrun);
        command.arg("--project").arg(&self.project).args(arguments);
        command
    }

    fn answer(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.command(arguments).output().map_err(|error| failure::program("riverrun", error))?;
        let line = output.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(serde_json::from_slice(line).unwrap_or_default())
    }

    fn start(&self) -> Program {
        Program::spawn(self.command(&["run", "--workers", "2"]))
    }

    /// Asks for something of an author who has written.
    fn ask(&self, id: u64) -> Result<()> {
        let rows = self.project.join("asked.jsonl");
        let at = dataflow::EventTime(now());
        python::write(&rows, &format!("{{\"id\":{id},\"at\":\"{at}\",\"author_id\":{id}}}\n"))?;
        let path = rows.display().to_string();
        let output = self.command(&["publish", "asked", &path]).output();
        let output = output.map_err(|error| failure::program("riverrun", error))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(failure::program("riverrun publish", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Waits for what becomes true of a running job.
    fn until(&self, running: &mut Program, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let begun = now();
        while !holds()? {
            if let Some(ended) = running.ended(0) {
                return Err(failure::program("riverrun", format!("ended by itself: {}", ended.told)));
            }
            if now() > begun + WITHIN {
                return Err(failure::program("riverrun", format!("comes to nothing: {}", running.told())));
            }
            pause(LOOK);
        }
        Ok(())
    }

    fn state_bytes(&self) -> Result<u64> {
        let job = self.answer(&["jobs", "--json"])?;
        Ok(job["checkpoint"]["state_bytes"].as_u64().unwrap_or(0))
    }

    fn is_answered(&self, id: u64) -> Result<bool> {
        let found = self.answer(&["query", "SELECT max(id) AS id FROM bench.answered", "--json"])?;
        Ok(found["id"].as_u64() == Some(id))
    }
}

/// An as-of join with the last messages of as many authors as there are events, killed again and again.
fn recoveries(cache: &Path, riverrun: &Path, recipe: &Recipe, rounds: usize) -> Result<(u64, Vec<f64>)> {
    let dataset = Dataset::prepare_distinct(cache, recipe)?;
    let folder = tempfile::tempdir_in(cache).map_err(|error| failure::file("make a folder in", cache, error))?;
    let pipelines = folder.path().join("pipelines");
    std::fs::create_dir(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
    contender::riverrun_project(folder.path(), &dataset)?;
    set(&folder.path().join("riverrun.toml"), EACH_SECOND)?;
    python::write(&pipelines.join("lasting.sql"), include_str!("../bench/lasting.sql"))?;
    let killed = Job { riverrun: riverrun.to_owned(), project: folder.path().to_owned() };
    killed.ask(0)?;
    let mut running = killed.start();
    killed.until(&mut running, || Ok(killed.state_bytes()? >= STATE_BYTES))?;
    let state_bytes = killed.state_bytes()?;
    let mut recoveries = Vec::new();
    for round in 1..=rounds as u64 {
        running.signal("KILL");
        running.ended(SECOND);
        killed.ask(round)?;
        let begun = now();
        running = killed.start();
        killed.until(&mut running, || killed.is_answered(round))?;
        let seconds = (now() - begun) as f64 / SECOND as f64;
        eprintln!("killed with {} MiB of state, round {round} of {rounds}: {seconds:.1} s", state_bytes >> 20);
        recoveries.push(seconds);
    }
    Ok((state_bytes, recoveries))
}
