//! `xtask sim`: plays jobs in a simulated world, as the unit tests of the engine do, with other seeds, or with a rule left
//! out.

use crate::failure;
use clap::Args;
use dataflow::{Error, Result};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The tests that play.
const PLAYS: &str = "simulation::what_comes_out_is_what_a_loop_over_all_rows_gives";

#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Play these seeds, A..B [default: 0..2000, and with --bug 0..5000]
    #[arg(long, value_name = "A..B")]
    seeds: Option<String>,
    /// Play one seed, and print what happens
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Leave a rule out, and look for a seed that notices; another name lists all of them
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

/// Plays; whether all holds, or a bug was noticed.
pub fn run(arguments: &Arguments) -> Result<bool> {
    let mut command = Command::new(unit_tests_of_engine()?);
    command.args(["--exact", "--nocapture", PLAYS]).env("SIM_PROGRESS", "1").env("RUST_BACKTRACE", "0");
    let seed = arguments.seed.map(|seed| seed.to_string());
    let variables = [("SIM_SEEDS", &arguments.seeds), ("SIM_SEED", &seed), ("SIM_BUG", &arguments.bug)];
    for (variable, value) in variables {
        if let Some(value) = value {
            command.env(variable, value);
        }
    }
    Ok(command.status().map_err(|error| failure::program("the engine's unit tests", error))?.success())
}

/// Builds the unit tests as `cargo test` builds them; gives the program with those of the engine.
fn unit_tests_of_engine() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--workspace", "--lib", "--no-run", "--message-format=json"]).stderr(Stdio::inherit());
    let built = command.output().map_err(|error| failure::program("cargo", error))?;
    let lines = String::from_utf8_lossy(&built.stdout).into_owned();
    let program = lines.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let is_engine = message["target"]["name"] == "engine" && message["profile"]["test"] == true;
        Some(PathBuf::from(message["executable"].as_str().filter(|_| is_engine)?))
    });
    program.ok_or_else(|| Error::unavailable("cargo has built no unit tests of the engine"))
}
