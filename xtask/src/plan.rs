//! `xtask bench plan`: of a table of 10,000 files and 1,000 snapshots the files of one day are found, beside finding all of
//! them, and beside PyIceberg.

use crate::failure;
use crate::measure::{Samples, measure};
use crate::python::{self, DUCKDB, Python};
use crate::report::Bar;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use connector_iceberg::{TableOptions, Warehouse};
use dataflow::{Error, EventTime, FilterComparison, FilterValue, Result, RowFilter};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const TABLE: &str = "lake.events";
/// How many commits the table has, how many files each adds, and how many days all of them take.
const COMMITS: i64 = 1_000;
const FILES_OF_COMMIT: i64 = 10;
const DAYS: i64 = 365;
const DAY: i64 = 86_400_000_000;
/// 2026-01-01.
const BEGIN: i64 = 1_767_225_600_000_000;
/// The day that is read: the middle one.
const READ_DAY: i64 = DAYS / 2;
/// Raise it when the table changes.
const VERSION: u32 = 1;
const PYICEBERG: &[(&str, &str)] = &[("pyiceberg", "0.12.0")];
/// What planning a day may take.
const MS_MAX: f64 = 300.0;
const MIB_MAX: f64 = 50.0;

/// What planning took.
pub struct Plan {
    /// Processes that find the files of a day, and all.
    day: Planning,
    all: Planning,
    peer_ms: Vec<f64>,
    peer_files: u64,
}

/// Runs of a process that finds files.
#[derive(Default)]
struct Planning {
    samples: Samples,
    /// Within the process.
    ms: Vec<f64>,
    files: u64,
}

impl Planning {
    fn run(&mut self, python: &Python, command: &Command, log: &Path) -> Result<()> {
        self.samples.0.push(measure(python, command, log)?);
        let text = std::fs::read_to_string(log).map_err(|error| failure::file("read", log, error))?;
        let told: Value = serde_json::from_str(text.trim()).map_err(|error| failure::program("xtask", error))?;
        self.ms.push(told["ms"].as_f64().unwrap_or(f64::NAN));
        self.files = told["files"].as_u64().unwrap_or_default();
        Ok(())
    }

    fn ms(&self) -> f64 {
        median(&self.ms)
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

impl Plan {
    /// Whether PyIceberg finds the same number of files.
    pub fn agree(&self) -> bool {
        self.day.files == self.peer_files
    }

    pub fn bars(&self) -> Vec<Bar> {
        vec![
            Bar::at_most("planning a day of 10,000 files".to_owned(), self.day.ms(), MS_MAX, " ms"),
            Bar::at_most(
                "the same, peak memory of the process".to_owned(),
                self.day.samples.peak_mib(),
                MIB_MAX,
                " MiB",
            ),
        ]
    }

    pub fn text(&self) -> String {
        let heads: String = ["files", "ms", "CPU s", "peak MiB"].iter().map(|head| format!("{head:>11}")).collect();
        let line = |name: &str, planning: &Planning| {
            let Planning { samples, files, .. } = planning;
            let (ms, cpu_s, peak) = (planning.ms(), samples.cpu_s(), samples.peak_mib());
            format!("{name:>12}{files:>11}{ms:>11.1}{cpu_s:>11.2}{peak:>11.0}")
        };
        let lines = [
            format!("\nplanning of a table of {} files in {COMMITS} snapshots", COMMITS * FILES_OF_COMMIT),
            format!("{:>12}{heads}", ""),
            line("a day", &self.day),
            line("all days", &self.all),
            format!("{:>12}{:>11}{:>11.1}", "PyIceberg", self.peer_files, median(&self.peer_ms)),
        ];
        lines.join("\n")
    }

    pub fn json(&self) -> Value {
        let planning = |planning: &Planning| json!({ "files": planning.files, "ms": planning.ms(), "process": planning.samples.json() });
        json!({
            "day": planning(&self.day),
            "all": planning(&self.all),
            "pyiceberg": { "files": self.peer_files, "ms": median(&self.peer_ms) },
        })
    }
}

/// Measures the three in turns.
pub fn run(cache: &Path, rounds: usize) -> Result<Plan> {
    let measuring = Python::prepare(cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let peer = Python::prepare(cache, "venv-pyiceberg-0.12.0", PYICEBERG)?;
    let folder = table(cache)?;
    let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
    let runs = cache.join("runs");
    std::fs::create_dir_all(&runs).map_err(|error| failure::file("make", &runs, error))?;
    let log = runs.join("plan.log");
    let mut plan = Plan { day: Planning::default(), all: Planning::default(), peer_ms: Vec::new(), peer_files: 0 };
    for round in 1..=rounds {
        for (planning, day) in [(&mut plan.day, Some(READ_DAY)), (&mut plan.all, None)] {
            let mut command = Command::new(&here);
            command.arg("plan-table").arg(&folder).args(day.map(|day| day.to_string()));
            planning.run(&measuring, &command, &log)?;
        }
        let mut command = peer.command("plan_peer.py");
        let [begin, end] =
            [READ_DAY, READ_DAY + 1].map(|day| EventTime(BEGIN + day * DAY).to_string().replace(' ', "T"));
        let told =
            python::answer(command.arg(&folder).args([TABLE, begin.trim_end_matches('Z'), end.trim_end_matches('Z')]))?;
        plan.peer_ms.push(told["ms"].as_f64().unwrap_or(f64::NAN));
        plan.peer_files = told["files"].as_u64().unwrap_or_default();
        eprintln!("planning, round {round} of {rounds}: {:.1} ms for a day", plan.day.ms());
    }
    Ok(plan)
}

/// Finds the files of a day of the table, or of all days, and prints how long it took and how many there are.
pub fn plan_table(folder: &Path, day: Option<i64>) -> Result<()> {
    let warehouse = Warehouse::open(folder)?;
    let at = |comparison, day: i64| RowFilter::compare("at", comparison, FilterValue::Instant(BEGIN + day * DAY));
    let wanted = day.map_or(RowFilter::everything(), |day| {
        RowFilter::all(vec![at(FilterComparison::GreaterOrEqual, day), at(FilterComparison::Less, day + 1)])
    });
    #[expect(clippy::disallowed_methods, reason = "a chore measures time")]
    let began = Instant::now();
    let files = warehouse.read_where(TABLE, None, &|_| wanted.clone())?;
    let ms = began.elapsed().as_secs_f64() * 1e3;
    println!("{}", json!({ "ms": ms, "files": files.files().len() }));
    Ok(())
}

/// The warehouse with the table, made once: every commit adds files of one row, of the next time of all.
fn table(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join(format!("plan-v{VERSION}"));
    if folder.join("made").exists() {
        return Ok(folder);
    }
    eprintln!("making a table of {} files in {COMMITS} commits", COMMITS * FILES_OF_COMMIT);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(|error| failure::file("remove", &folder, error))?;
    }
    // Metadata names places, so that the folder is not renamed when it is whole.
    let warehouse = Warehouse::open(&folder)?;
    let options = TableOptions { partition_day: Some("at".to_owned()), ..TableOptions::default() };
    let claim = warehouse.claim(TABLE, "bench")?;
    claim.create(&rows(0, 0)?.schema(), &options)?;
    for commit in 0..COMMITS {
        let mut prepared = Vec::new();
        for file in 0..FILES_OF_COMMIT {
            let mut writer = claim.writer(usize::try_from(file).unwrap_or_default())?;
            writer.write_rows(&rows(commit, file)?)?;
            prepared.extend(writer.finish(None)?);
        }
        claim.committer().commit(prepared)?;
    }
    python::write(&folder.join("made"), "")?;
    Ok(folder)
}

fn rows(commit: i64, file: i64) -> Result<RecordBatch> {
    let at = BEGIN + commit * DAYS / COMMITS * DAY + file * 1_000_000;
    let long = |number: i64| Arc::new(Int64Array::from(vec![number])) as ArrayRef;
    let mut columns = vec![("at".to_owned(), Arc::new(TimestampMicrosecondArray::from(vec![at])) as ArrayRef, true)];
    columns.extend((0..9).map(|column| (format!("n{column}"), long(commit * 100 + column), true)));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(Error::from)
}
