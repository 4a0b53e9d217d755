//! `fuzz`: hostile inputs and random projects, until the time is up.
//!
//! An input is bytes as someone may have them on a disk or a topic. It may be refused, with an error that says why; it
//! may not end the process, hang, or fill the memory. Inputs are mutants of those in `tests/corpora`, which are tried
//! first, as they are; what gave an outcome that no input gave before is changed further.

mod target;

mod input;
mod words;

mod mutant;
mod trial;

mod hunt;
mod state;

use crate::failure;
use crate::{answers, seeds};
use clap::Args;
use dataflow::{Error, Result};
use std::path::Path;
use std::time::Duration;

pub use target::Target;

/// How to try it.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    target: Target,
    /// How long to go on [default: 1, and no limit for select and answers]
    #[arg(long)]
    minutes: Option<f64>,
    /// How many random projects to try
    #[arg(long, default_value_t = 5_000)]
    projects: u64,
    /// How many random SELECTs to try
    #[arg(long, default_value_t = 20_000)]
    cases: u32,
    /// The seed of the first input or project
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Tries a target; whether nothing was found.
pub fn run(arguments: &Arguments, cache: &Path) -> Result<bool> {
    let Arguments { target, minutes, projects, cases, seed } = *arguments;
    let time = minutes.map(|minutes| Duration::from_secs_f64(minutes.clamp(0.0, 1e6) * 60.0));
    match target {
        Target::State => state::run(time.unwrap_or(Duration::from_secs(60)), seed),
        Target::Select => seeds::selects(cases),
        Target::Answers => answers::run(answers::Options { projects, seed, time }, cache),
        target => hunt::run(target, time.unwrap_or(Duration::from_secs(60)), seed),
    }
}

/// The stack on which `riverrun` plans statements.
const STACK_BYTES: usize = 512 << 20;

/// The child of a hunt.
pub fn child(target: Target, seed: u64, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| failure::file("make", folder, error))?;
    let folder = folder.to_owned();
    let hunt = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || hunt::child(target, seed, &folder));
    let hunt = hunt.map_err(|error| failure::program("xtask fuzz-inputs", error))?;
    hunt.join().unwrap_or_else(|_| Err(Error::internal("an input panicked")))
}
