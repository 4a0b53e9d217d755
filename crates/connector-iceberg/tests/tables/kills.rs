//! A process that commits is killed; another takes over from what it left.

use crate::rows::{batch, create, numbers, sorted_numbers};
use connector_iceberg::{TableClaim, TableOptions, Warehouse};
use dataflow::{Committable, Sink};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Where the process that is to be killed finds its warehouse; not set when this is an ordinary test.
const FOLDER: &str = "RIVERRUN_TEST_KILLED_IN";
/// The commits of one process at most.
const COMMITS: usize = 40;

/// Prepares ten rows, keeps the committable as a checkpoint does, and commits.
fn commit_next(claim: &TableClaim, checkpoints: &Path, n: usize) {
    let mut writer = claim.writer(0).unwrap();
    writer.write(&batch(&numbers(n as i64 * 10..n as i64 * 10 + 10))).unwrap();
    let committable = writer.prepare(1).unwrap().unwrap();
    fs::write(checkpoints.join("new"), &committable.0).unwrap();
    fs::rename(checkpoints.join("new"), checkpoints.join(n.to_string())).unwrap();
    println!("prepared {n}");
    claim.committer().commit(vec![committable]).unwrap();
    println!("committed {n}");
}

fn checkpoints(folder: &Path) -> Vec<Committable> {
    let read = |n: usize| fs::read(folder.join("checkpoints").join(n.to_string())).ok().map(Committable);
    (0..).map_while(read).collect()
}

fn open(folder: &Path) -> Warehouse {
    let warehouse = Warehouse::open(&folder.join("warehouse")).unwrap();
    if !warehouse.exists("lake.t").unwrap() {
        create(&warehouse, "lake.t", &numbers([]).schema(), &TableOptions::default()).unwrap();
        fs::create_dir_all(folder.join("checkpoints")).unwrap();
    }
    warehouse
}

#[test]
fn commits_one_after_the_other() {
    let own = tempfile::tempdir().unwrap();
    let killed = std::env::var_os(FOLDER);
    let folder = killed.as_ref().map_or(own.path(), Path::new);
    let warehouse = open(folder);
    let from = checkpoints(folder).len();
    let to = if killed.is_some() { from + COMMITS } else { 3 };
    let claim = warehouse.claim("lake.t", "test").unwrap();
    (from..to).for_each(|n| commit_next(&claim, &folder.join("checkpoints"), n));
    assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..to as i64 * 10).collect::<Vec<_>>());
}

#[test]
fn what_was_committed_stays_and_what_was_prepared_comes_once() {
    const TRIALS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    open(folder.path());
    for trial in 0..TRIALS {
        let committed = run_and_kill(folder.path(), 3 + trial);
        let warehouse = open(folder.path());
        let seen = sorted_numbers(&warehouse, "lake.t");
        assert!(seen.len() >= committed * 10, "{} rows of {committed} commits", seen.len());
        assert_eq!(seen, (0..seen.len() as i64).collect::<Vec<_>>());
        let prepared = checkpoints(folder.path());
        let mut committer = warehouse.claim("lake.t", "test").unwrap().committer();
        prepared.iter().for_each(|committable| committer.commit(vec![committable.clone()]).unwrap());
        assert_eq!(sorted_numbers(&warehouse, "lake.t"), (0..prepared.len() as i64 * 10).collect::<Vec<_>>());
    }
}

/// Starts a process that commits and kills it when it has said so many lines. Gives the commits it has told of.
fn run_and_kill(folder: &Path, lines: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kills::commits_one_after_the_other", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ours = |line: &String| line.contains("prepared ") || line.contains("committed ");
    let told: Vec<String> = told.filter(ours).take(lines).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(told.len(), lines, "the process ended by itself: {told:?}");
    let number = |line: &String| line.rsplit_once("committed ").and_then(|(_, n)| n.parse::<usize>().ok());
    told.iter().filter_map(number).max().map_or(0, |n| n + 1)
}
