//! Who runs a workload: the floor, DuckDB, and riverrun; each as a child process that writes Parquet.

use crate::data::{Dataset, FILES, Recipe};
use crate::failure;
use crate::python::{self, Python};
use dataflow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// W1 as both sides run it.
pub const W1: &str = include_str!("../bench/w1.sql");

/// A reference workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Workload {
    /// Trailing features over six windows
    W1,
    /// As-of join of profiles
    W5,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Workload::W1 => "W1",
            Workload::W5 => "W5",
        }
    }

    /// The one query that both sides run.
    fn query(self) -> &'static str {
        match self {
            Workload::W1 => W1,
            Workload::W5 => include_str!("../bench/w5.sql"),
        }
    }
}

/// Who runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    Floor,
    /// DuckDB with so many threads.
    DuckDb(usize),
    /// Riverrun with so many workers.
    Riverrun(usize),
}

impl Contender {
    pub fn name(self) -> String {
        match self {
            Contender::Floor => "floor".to_owned(),
            Contender::DuckDb(threads) => format!("duckdb-{threads}"),
            Contender::Riverrun(workers) => format!("riverrun-{workers}"),
        }
    }
}

/// The riverrun binary, which is built into the same folder as this program.
pub fn riverrun() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let path = here.with_file_name("riverrun");
    path.exists().then_some(path)
}

/// Writes the settings of a project and its stream of messages.
pub fn riverrun_project(folder: &Path, dataset: &Dataset) -> Result<()> {
    python::write(&folder.join("riverrun.toml"), include_str!("../bench/riverrun.toml"))?;
    let messages = include_str!("../bench/messages.sql").replace("{messages}", &dataset.messages());
    python::write(&folder.join("pipelines/messages.sql"), &messages)
}

/// A run that is ready: the command, and the files that it will have written.
pub struct Ready {
    pub command: Command,
    pub output: String,
}

/// Where runs of one workload over one dataset keep their files.
pub struct Stage<'a> {
    pub workload: Workload,
    pub dataset: &'a Dataset,
    pub python: &'a Python,
    pub folder: PathBuf,
    pub riverrun: Option<PathBuf>,
}

impl Stage<'_> {
    /// Clears what the last run left, and says how to run the next.
    pub fn ready(&self, contender: Contender) -> Result<Ready> {
        let folder = self.folder.join(contender.name());
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|error| failure::file("remove", &folder, error))?;
        }
        std::fs::create_dir_all(&folder).map_err(|error| failure::file("make", &folder, error))?;
        match contender {
            Contender::Floor => self.floor(&folder),
            Contender::DuckDb(threads) => self.duckdb(&folder, threads),
            Contender::Riverrun(workers) => self.riverrun(&folder, workers),
        }
    }

    fn floor(&self, folder: &Path) -> Result<Ready> {
        let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
        let output = folder.join("output.parquet");
        // The loop reads files in order alone; the rows of another layout are the same.
        let Recipe { seed, events, files, spread } = self.dataset.recipe;
        let files = if spread { FILES } else { files };
        let mut command = Command::new(here);
        command.args(["floor", self.workload.name(), "--output"]).arg(&output);
        command.arg("--dir").arg(self.dataset.folder.parent().unwrap_or(folder));
        command.args(["--events", &events.to_string(), "--files", &files.to_string(), "--seed", &seed.to_string()]);
        Ok(Ready { command, output: output.display().to_string() })
    }

    fn duckdb(&self, folder: &Path, threads: usize) -> Result<Ready> {
        let (query, output) = (folder.join("query.sql"), folder.join("output.parquet"));
        python::write(&query, self.workload.query())?;
        let mut command = self.python.command("duckdb_peer.py");
        command.arg("run").arg(query).args([self.dataset.messages(), self.dataset.profiles()]);
        command.arg(&output).arg(threads.to_string());
        Ok(Ready { command, output: output.display().to_string() })
    }

    fn riverrun(&self, folder: &Path, workers: usize) -> Result<Ready> {
        let missing = || failure::program("riverrun", "is not built beside this program; run cargo build --bins");
        let binary = self.riverrun.as_ref().ok_or_else(missing)?;
        let table = self.workload.name().to_lowercase();
        let pipelines = folder.join("pipelines");
        std::fs::create_dir(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
        riverrun_project(folder, self.dataset)?;
        if self.workload == Workload::W5 {
            let profiles = include_str!("../bench/profiles.sql").replace("{profiles}", &self.dataset.profiles());
            python::write(&pipelines.join("profiles.sql"), &profiles)?;
        }
        let insert = format!("INSERT INTO bench.{table}\n{};\n", self.workload.query().trim_end());
        python::write(&pipelines.join(format!("{table}.sql")), &insert)?;
        let mut command = Command::new(binary);
        command.args(["run", "--fresh", "--until-caught-up", "--workers", &workers.to_string(), "--project"]);
        command.arg(folder);
        Ok(Ready { command, output: format!("{}/warehouse/**/*.parquet", folder.display()) })
    }
}
