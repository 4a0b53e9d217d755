//! The hunts of `xtask fuzz`, for as long as a test run has time for: what is stored first, then mutants and random
//! projects from a fixed seed.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::process::Command;

/// A third of a minute.
const SOME_TIME: &str = "0.333";

fn holds(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("fuzz").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    println!("{}", text(&output.stdout));
}

#[test]
fn texts_of_projects() {
    holds(&["sql", "--minutes", SOME_TIME]);
}

#[test]
fn json_lines() {
    holds(&["jsonl", "--minutes", SOME_TIME]);
}

#[test]
fn csv() {
    holds(&["csv", "--minutes", SOME_TIME]);
}

#[test]
fn parquet() {
    holds(&["parquet", "--minutes", SOME_TIME]);
}

#[test]
fn models() {
    holds(&["onnx", "--minutes", SOME_TIME]);
}

#[test]
fn settings() {
    holds(&["toml", "--minutes", SOME_TIME]);
}

/// Half a minute: what others say to a job that runs for months is tried for longer.
#[test]
fn what_brokers_and_producers_of_pulsar_say() {
    holds(&["pulsar", "--minutes", "0.5"]);
}

#[test]
fn random_projects_have_the_rows_that_duckdb_has() {
    holds(&["answers", "--minutes", "1"]);
}
