//! Runs of programs, and what each took.

use crate::failure;
use crate::python::{self, Python};
use dataflow::Result;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub cpu_s: f64,
    pub wall_s: f64,
    pub peak_bytes: f64,
    /// The machine's load when it ended.
    pub load: f64,
}

/// Runs a program as a child of its own, its output in a log; that it fails is an error with the log's end.
pub fn measure(python: &Python, program: &Command, log: &Path) -> Result<Sample> {
    let mut command = python.command("measure.py");
    command.arg(log).arg(program.get_program()).args(program.get_args());
    let found = python::answer(&mut command)?;
    if found["code"] != json!(0) {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let end: Vec<&str> = text.lines().rev().take(12).collect();
        let end: String = end.into_iter().rev().map(|line| format!("\n  {line}")).collect();
        let name = program.get_program().to_string_lossy();
        return Err(failure::program(name, format!("ended with code {}, its last words:{end}", found["code"])));
    }
    let number = |name: &str| found[name].as_f64().unwrap_or_default();
    Ok(Sample {
        cpu_s: number("cpu_s"),
        wall_s: number("wall_s"),
        peak_bytes: number("peak_bytes"),
        load: number("load"),
    })
}

/// The runs of one contender, one per round.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// The median of a figure; of an even number of runs the lower one.
    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        let mut figures: Vec<f64> = self.0.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
    }

    pub fn cpu_s(&self) -> f64 {
        self.median(|sample| sample.cpu_s)
    }

    pub fn wall_s(&self) -> f64 {
        self.median(|sample| sample.wall_s)
    }

    /// The greatest of all runs: memory has no noise to be taken out.
    pub fn peak_mib(&self) -> f64 {
        self.0.iter().map(|sample| sample.peak_bytes).fold(0.0, f64::max) / f64::from(1 << 20)
    }

    pub fn json(&self) -> Value {
        let sample = |sample: &Sample| {
            json!({
                "cpu_s": sample.cpu_s,
                "wall_s": sample.wall_s,
                "peak_bytes": sample.peak_bytes,
                "load": sample.load,
            })
        };
        json!({
            "cpu_s": self.cpu_s(),
            "wall_s": self.wall_s(),
            "peak_mib": self.peak_mib(),
            "runs": self.0.iter().map(sample).collect::<Vec<_>>(),
        })
    }
}
