//! `xtask seeds`: the tests that play seeds, with many more of them than a test run has time for.

use crate::failure;
use dataflow::Result;
use std::process::Command;

/// A test that plays as many seeds or cases as a variable says.
struct Simulation {
    name: &'static str,
    arguments: &'static [&'static str],
    variable: &'static str,
}

const SIMULATIONS: [Simulation; 4] = [
    Simulation {
        name: "coordination: crashes and losses of a whole job",
        arguments: &["--test", "coordination", "--", "--nocapture", "what_is_published"],
        variable: "COORDINATION_SEEDS",
    },
    Simulation {
        name: "schedules: the seeded host, and its stops",
        arguments: &["--test", "schedules"],
        variable: "PROPTEST_CASES",
    },
    Simulation {
        name: "operators and stages against their naive twins",
        arguments: &["--lib", "--", "reference::"],
        variable: "PROPTEST_CASES",
    },
    Simulation {
        name: "random queries: DuckDB has the same rows",
        arguments: &["--test", "sql", "--", "random_queries"],
        variable: "QUERY_SEEDS",
    },
];

const SELECTS: Simulation = Simulation {
    name: "random SELECTs: bound, printed, and bound again",
    arguments: &["--lib", "--", "round_trip::"],
    variable: "PROPTEST_CASES",
};

/// Plays so many seeds of the coordination and cases of the others, and sums up; whether all hold.
pub fn run(seeds: u32, cases: u32) -> Result<bool> {
    let mut summary = Vec::new();
    for simulation in &SIMULATIONS {
        let count = if simulation.variable == "COORDINATION_SEEDS" { seeds } else { cases };
        summary.push((simulation.play(count)?, format!("{count} of {}", simulation.name)));
    }
    for (holds, line) in &summary {
        println!("{} {line}", if *holds { "holds " } else { "FAILED" });
    }
    Ok(summary.iter().all(|(holds, _)| *holds))
}

/// Tries so many random SELECTs; whether each binds again as it is printed.
pub fn selects(cases: u32) -> Result<bool> {
    let holds = SELECTS.play(cases)?;
    println!("{} {cases} of {}", if holds { "holds " } else { "FAILED" }, SELECTS.name);
    Ok(holds)
}

impl Simulation {
    /// Runs the test with so many seeds or cases; whether all hold.
    fn play(&self, count: u32) -> Result<bool> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        let status = command.arg("test").args(self.arguments).env(self.variable, count.to_string()).status();
        Ok(status.map_err(|error| failure::program("cargo", error))?.success())
    }
}
