//! `xtask bench exchange`: rows with columns that three windows of different keys do not look at, which travel through
//! their exchanges with the rows, or around them as the rule "narrow branches" has it; both in turns.

use crate::bench::{self, Agreement};
use crate::contender::riverrun_project;
use crate::data::{Dataset, Recipe};
use crate::failure;
use crate::measure::{Samples, measure};
use crate::python::{self, DUCKDB, Python};
use dataflow::{Error, Result};
use project::{Begin, JobOptions, Project};
use serde_json::{Value, json};
use sql::{Rule, Target};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tests::machine::Machine;

/// How many columns are put beside those of a message, and on how many workers. One worker cuts no rows.
const CASES: [(usize, usize); 4] = [(10, 2), (20, 2), (30, 2), (30, 1)];
/// The columns of a message that no window of a branch looks at.
const OF_MESSAGE: usize = 9;
const ENVIRONMENT: &str = "dev";

/// What both ways took.
pub struct Exchange {
    pub events: usize,
    pub cases: Vec<Case>,
}

/// Rows with so many columns that can go around, on so many workers.
pub struct Case {
    pub around: usize,
    pub workers: usize,
    /// All columns through all exchanges.
    pub whole: Samples,
    /// On a branch and around it.
    pub branched: Samples,
    pub agreement: Agreement,
}

impl Case {
    /// The CPU of the branch against that of whole rows.
    pub fn ratio(&self) -> f64 {
        self.branched.cpu_s() / self.whole.cpu_s()
    }

    /// What the branch spares, in nanoseconds of CPU for each row.
    fn spared_ns(&self, events: usize) -> f64 {
        (self.whole.cpu_s() - self.branched.cpu_s()) * 1e9 / events as f64
    }
}

impl Exchange {
    /// What a column costs a row in two exchanges, and what a branch does before it spares one, in nanoseconds of CPU:
    /// the line through the narrowest and the widest rows.
    fn line(&self) -> Option<(f64, f64)> {
        let mut of_two = self.cases.iter().filter(|case| case.workers == 2);
        let (first, last) = (of_two.next()?, of_two.next_back()?);
        let spared = |case: &Case| case.spared_ns(self.events);
        let of_column = (spared(last) - spared(first)) / (last.around as f64 - first.around as f64);
        Some((of_column, of_column * first.around as f64 - spared(first)))
    }

    pub fn text(&self) -> String {
        let mut lines = vec![format!("\n{} events through windows of three keys", self.events)];
        let heads = ["workers", "CPU s", "branched", "ratio", "ns spared", "wall s", "branched"]
            .map(|head| format!("{head:>11}"));
        lines.push(format!("{:>16}{}", "columns around", heads.concat()));
        lines.extend(self.cases.iter().map(|case| {
            let figures = [case.whole.cpu_s(), case.branched.cpu_s(), case.ratio(), case.spared_ns(self.events)];
            let figures = figures.into_iter().chain([case.whole.wall_s(), case.branched.wall_s()]);
            format!(
                "{:>16}{:>11}{}",
                case.around,
                case.workers,
                figures.map(|figure| format!("{figure:>11.2}")).collect::<String>()
            )
        }));
        lines.extend(self.line().map(|(of_column, of_branch)| {
            let even = of_branch / of_column;
            format!("  a column costs a row {of_column:.1} ns in two exchanges, a branch {of_branch:.0} ns: even at {even:.1} columns")
        }));
        lines.extend(self.cases.iter().filter(|case| case.agreement.differ > 0).map(|case| {
            let Agreement { rows, differ, .. } = &case.agreement;
            format!("  DIFFERENT ROWS: {differ} of {rows} with {} columns around", case.around)
        }));
        lines.join("\n")
    }

    pub fn json(&self) -> Value {
        let case = |case: &Case| {
            json!({
                "around": case.around,
                "workers": case.workers,
                "whole": case.whole.json(),
                "branched": case.branched.json(),
                "rows": case.agreement.rows,
                "differ": case.agreement.differ,
            })
        };
        json!({ "events": self.events, "cases": self.cases.iter().map(case).collect::<Vec<_>>() })
    }

    pub fn agree(&self) -> bool {
        self.cases.iter().all(|case| case.agreement.differ == 0 && case.agreement.rows > 0)
    }
}

/// Measures both ways in turns.
pub fn run(cache: &Path, recipe: &Recipe, rounds: usize) -> Result<Exchange> {
    let python = Python::prepare(cache, "venv-duckdb-2.0.0", DUCKDB)?;
    let dataset = Dataset::prepare(cache, recipe)?;
    let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
    let folder = cache.join("runs").join("exchange");
    let mut cases = Vec::new();
    for (passing, workers) in CASES {
        let mut samples = <[Samples; 2]>::default();
        let at = |name: &str| folder.join(format!("{passing}-{workers}-{name}"));
        let ways = [at("whole"), at("branched")];
        for round in 1..=rounds {
            for ((way, samples), flag) in ways.iter().zip(&mut samples).zip([None, Some("--branches")]) {
                lay(way, &dataset, passing)?;
                let mut command = Command::new(&here);
                command.args(["run-project", "--workers", &workers.to_string()]).arg(way).args(flag);
                samples.0.push(measure(&python, &command, &way.join("log"))?);
            }
            let took = samples.each_ref().map(Samples::cpu_s);
            eprintln!(
                "{passing} more columns on {workers} workers, round {round} of {rounds}: {:.2} s of CPU, branched {:.2} s",
                took[0], took[1]
            );
        }
        let output = |way: &PathBuf| (way.display().to_string(), format!("{}/warehouse/**/*.parquet", way.display()));
        let agreement = bench::compare(&python, &output(&ways[0]), &output(&ways[1]))?;
        let [whole, branched] = samples;
        cases.push(Case { around: OF_MESSAGE + passing, workers, whole, branched, agreement });
    }
    Ok(Exchange { events: recipe.events, cases })
}

/// Writes a project anew whose rows have so many columns beside those of messages.
fn lay(folder: &Path, dataset: &Dataset, passing: usize) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| failure::file("remove", folder, error))?;
    }
    let pipelines = folder.join("pipelines");
    std::fs::create_dir_all(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
    riverrun_project(folder, dataset)?;
    let passing: String = (0..passing).map(|at| format!(", content_hash AS p{at}")).collect();
    python::write(
        &pipelines.join("exchange.sql"),
        &include_str!("../bench/exchange.sql").replace("{passing}", &passing),
    )
}

/// Runs a project to its end, planned with the rule or without it.
pub fn run_project(folder: &Path, branches: bool, workers: usize) -> Result<()> {
    let failed = |failure| Error::invalid(tests::told(failure));
    let project = Project::open(folder, ENVIRONMENT, Arc::new(Machine)).map_err(failed)?;
    let rules = Rule::ALL.into_iter().filter(|rule| branches || *rule != Rule::NarrowBranches);
    let checked = project.check_with(&Target::All, &rules.collect::<Vec<_>>()).map_err(failed)?;
    if branches != checked.fired().iter().any(|(rule, _)| *rule == Rule::NarrowBranches) {
        return Err(Error::invalid("the rule \"narrow branches\" does not fire, so there is nothing to compare"));
    }
    let options = JobOptions { until_caught_up: true, begin: Begin::Fresh, ..JobOptions::default() };
    let wired = project.job_of(&checked, &options).map_err(failed)?;
    tests::run_on_threads(wired, workers).map(drop)
}
