//! `fuzz answers`: random projects, of which each output has to hold the rows that DuckDB finds in the same logs.
//!
//! A project has two or three streams of files and topics, archived in part, with late rows, repeated rows and nonsense;
//! views with windows, as-of joins and aggregates over other streams; labels, and a decision. It follows from its seed
//! alone. A child runs one after the other, so that one that ends the process or hangs is a finding as others are.

mod cells;
mod clock;
mod expressions;
mod scene;

mod writer;

mod joins;
mod outputs;
mod views;

mod statements;

mod job;
mod oracle;

use crate::failure;
use crate::python::{self, DUCKDB, Python};
use crate::watched::{Event, Watched, found};
use dataflow::{Error, Result};
use oracle::{Judge, Verdict};
use scene::Scene;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tests::Chance;

/// A project that takes longer hangs.
const EACH_MAX: Duration = Duration::from_secs(90);

/// Which projects are tried.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub projects: u64,
    /// The seed of the first one; each has the next.
    pub seed: u64,
    /// How long to go on at most.
    pub time: Option<Duration>,
}

/// What has come of it so far.
#[derive(Debug, Default)]
struct Tally {
    projects: u64,
    rows: u64,
    wrong: Vec<u64>,
}

/// Tries projects; whether all outputs were right.
#[expect(clippy::disallowed_methods, reason = "a chore measures time")]
pub fn run(options: Options, cache: &Path) -> Result<bool> {
    // The environment is made once, and not under the limit of a project.
    Python::prepare(cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let (begin, end) = (Instant::now(), options.seed + options.projects);
    let (mut next, mut tally) = (options.seed, Tally::default());
    let is_time = || options.time.is_none_or(|time| begin.elapsed() < time);
    while next < end && is_time() {
        let mut child = Watched::start(&arguments(next, end, cache), None)?;
        let mut folder = PathBuf::new();
        while next < end && is_time() {
            let why = match child.next(EACH_MAX)? {
                Event::Line(line) => match heard(&line)? {
                    Heard::Begins(at) => {
                        folder = at;
                        continue;
                    }
                    Heard::Agrees(rows) => {
                        tally.rows += rows;
                        None
                    }
                    Heard::Differs(why) => Some((why, false)),
                },
                Event::Silent => Some((format!("it has not ended after {} s", EACH_MAX.as_secs()), true)),
                Event::Ended(status) => Some((format!("the process ended: {status}"), true)),
            };
            tally.projects += 1;
            let is_over = matches!(why, Some((_, true)));
            if is_over {
                keep(next, &folder)?;
            }
            if let Some((why, _)) = why {
                println!("seed {next}: {why}\n  kept in {}", kept(next).display());
                tally.wrong.push(next);
            }
            next += 1;
            if is_over {
                break;
            }
        }
    }
    let Tally { projects, rows, wrong } = tally;
    println!("{projects} projects from seed {} on, {rows} rows as DuckDB has them; wrong: {wrong:?}", options.seed);
    Ok(wrong.is_empty())
}

fn arguments(next: u64, end: u64, cache: &Path) -> Vec<String> {
    let text = |text: &str| text.to_owned();
    vec![text("fuzz-answers"), next.to_string(), end.to_string(), cache.display().to_string()]
}

/// A line of the child.
enum Heard {
    /// A project lies in a folder and is about to run.
    Begins(PathBuf),
    Agrees(u64),
    Differs(String),
}

fn heard(line: &str) -> Result<Heard> {
    let said: Value = serde_json::from_str(line).map_err(|error| failure::program("xtask fuzz-answers", error))?;
    match (said["folder"].as_str(), said["rows"].as_u64(), said["wrong"].as_str()) {
        (Some(folder), ..) => Ok(Heard::Begins(folder.into())),
        (_, Some(rows), _) => Ok(Heard::Agrees(rows)),
        (.., Some(wrong)) => Ok(Heard::Differs(wrong.to_owned())),
        _ => Err(Error::internal(format!("the child says {line:?}"))),
    }
}

/// Where the project of a seed stays when it is wrong.
fn kept(seed: u64) -> PathBuf {
    found().join(format!("answers-{seed}"))
}

/// Copies a project to where it stays.
fn keep(seed: u64, folder: &Path) -> Result<()> {
    let kept = kept(seed);
    if kept.exists() {
        std::fs::remove_dir_all(&kept).map_err(|error| failure::file("remove", &kept, error))?;
    }
    if let Some(above) = kept.parent() {
        std::fs::create_dir_all(above).map_err(|error| failure::file("make", above, error))?;
    }
    // A child that could not even write a project leaves none.
    if folder.is_dir() {
        python::succeed(Command::new("cp").arg("-r").arg(folder).arg(&kept))?;
    }
    Ok(())
}

/// Runs the projects of some seeds, one after the other, and says of each what came of it.
pub fn child(seeds: std::ops::Range<u64>, cache: &Path) -> Result<()> {
    let python = Python::prepare(cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let mut judge = Judge::start(&python)?;
    for seed in seeds {
        let mut chance = Chance::new(crate::random::mix(seed));
        let scene = Scene::draw(&mut chance);
        let said = statements::statements(&scene, &mut chance);
        let laid = job::lay(&scene, &said, &mut chance)?;
        println!("{}", json!({ "folder": laid.path() }));
        let answered = laid.run(&mut chance).and_then(|answers| judge.judge(&laid, &said, &answers));
        let told = match answered {
            Ok(Verdict::Agrees(rows)) => json!({ "rows": rows }),
            Ok(Verdict::Differs(how)) => json!({ "wrong": how }),
            Err(error) => json!({ "wrong": error.chain() }),
        };
        if told["wrong"].is_string() {
            keep(seed, laid.path())?;
        }
        println!("{told}");
    }
    Ok(())
}
