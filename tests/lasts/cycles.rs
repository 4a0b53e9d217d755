//! A job that is killed and started again many times: what it holds and what it leaves do not grow.
//!
//! `LASTS_CYCLES` says how often.

use crate::commands::{job, printed};
use crate::kills::{RUN, Trial};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::Program;
use tests::machine::{SECOND, now, pause};

/// Messages of a cycle: few, so that what grows is not what the job has to know.
const MESSAGES: u64 = 60;
/// Cycles that are not compared: state and caches fill.
const BEGINNING: usize = 3;
/// A checkpoint after the last message is there by then.
const CHECKPOINT: i64 = 30 * SECOND;

/// What a running job holds of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    descriptors: usize,
    threads: usize,
    bytes: u64,
}

fn held(program: &Program) -> Held {
    let count = |what: &str| fs::read_dir(format!("/proc/{}/{what}", program.id())).unwrap().count();
    let (bytes, _) = program.memory().expect("it runs");
    Held { descriptors: count("fd"), threads: count("task"), bytes }
}

fn number(project: &Path) -> u64 {
    job(project)["checkpoint"]["number"].as_u64().unwrap_or(0)
}

/// Waits for two checkpoints more: the second one was begun after all that was published before this was called.
fn two_checkpoints(project: &Path, running: &mut Program) {
    let (begun, first) = (now(), number(project));
    while number(project) < first + 2 {
        if let Some(ended) = running.ended(0) {
            panic!("the job ended by itself: {}", ended.told);
        }
        assert!(now() < begun + CHECKPOINT, "no checkpoint comes: {}", running.told());
        pause(SECOND / 50);
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What a sweep finds in a table, or has done to it.
fn sweep(project: &Path, table: &str, more: &[&str]) -> Value {
    let arguments = [&["table", "orphans", table, "--older-than", "6h", "--json"], more].concat();
    serde_json::from_str(&printed(project, &arguments)).unwrap()
}

#[test]
fn a_job_that_is_killed_many_times_leaves_nothing_and_holds_no_more() {
    let cycles: usize = std::env::var("LASTS_CYCLES").map_or(8, |cycles| cycles.parse().unwrap());
    assert!(cycles > BEGINNING, "LASTS_CYCLES is more than {BEGINNING}");
    let mut trial = Trial::new(1);
    let mut all = Vec::new();
    for _ in 0..cycles {
        let mut running = trial.listening(&["run", "--workers", "2"]);
        trial.publish(MESSAGES);
        two_checkpoints(trial.path(), &mut running);
        all.push(held(&running));
        let pauses = trial.chance.between(0, 200_000);
        pause(pauses);
        running.signal("KILL");
        running.ended(RUN).expect("it ends");
    }
    trial.finish(&format!("{cycles} cycles"));
    let (first, last) = (all[BEGINNING - 1], all[all.len() - 1]);
    eprintln!("{cycles} cycles: {first:?} in the third, {last:?} in the last");
    // A commit on its way has files open.
    assert!(last.descriptors <= first.descriptors + 8, "{all:?}");
    assert!(last.threads <= first.threads + 1, "{all:?}");
    assert!(last.bytes < first.bytes + first.bytes / 10 + (8 << 20), "{all:?}");
    leaves_nothing(&trial);
}

/// Checkpoints and what spilled are collected by the job itself; what commits have left in tables, by a sweep.
fn leaves_nothing(trial: &Trial) {
    let warehouse = trial.path().join("dev");
    let kept = files(&warehouse.join("_riverrun/checkpoints"));
    assert!(kept.len() <= 16, "{kept:?}");
    let spilled = files(&warehouse.join("_riverrun/spill"));
    assert!(spilled.is_empty(), "{spilled:?}");
    // A day goes by, as far as files know.
    let mut age = Command::new("find");
    age.arg(&warehouse).args(["-type", "f", "-exec", "touch", "-d", "1 day ago", "{}", "+"]);
    let aged = age.status();
    assert!(aged.is_ok_and(|status| status.success()));
    for table in ["lake.counted", "lake.labelled", "guard__log"] {
        let found = sweep(trial.path(), table, &[]);
        let orphans = found["files"].as_array().unwrap();
        eprintln!("{table}: {} of {} files are named by nothing", orphans.len(), found["listed"]);
        // Those of data are collected when the job starts; a commit that was killed may leave what names them.
        assert!(!orphans.iter().any(|file| file.as_str().unwrap().ends_with(".parquet")), "{found}");
        sweep(trial.path(), table, &["--apply"]);
        let left = sweep(trial.path(), table, &[]);
        assert_eq!(left["files"].as_array().unwrap().len(), 0, "{left}");
        assert_eq!(
            (&left["young"], &left["prepared"], &left["unknown_jobs"]),
            (&0.into(), &0.into(), &0.into()),
            "{left}"
        );
    }
}
