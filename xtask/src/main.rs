//! Chores of this repository that are no tests. `bench` measures the reference workloads beside their peers.

mod data;
mod events;
mod failure;
mod floor;
mod random;
mod tables;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use data::{Dataset, Recipe};
use dataflow::Result;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the inputs of the workloads and print their folder
    Generate(DataArgs),
    /// Run a workload's hand-written loop
    Floor {
        workload: Workload,
        #[command(flatten)]
        data: DataArgs,
        /// The Parquet file to write
        #[arg(long, value_hint = ValueHint::FilePath)]
        output: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Workload {
    /// Trailing features over six windows
    W1,
    /// As-of join of profiles
    W5,
}

#[derive(Clone, Debug, Args)]
struct DataArgs {
    /// The messages
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// The files of messages
    #[arg(long, default_value_t = 8)]
    files: usize,
    /// Let each file span the whole time
    #[arg(long)]
    spread: bool,
    /// The seed of the inputs
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Where inputs and outputs are kept [default: ~/.cache/riverrun/bench]
    #[arg(long, value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl DataArgs {
    fn folder(&self) -> PathBuf {
        let cache = || std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default().join(".cache/riverrun/bench");
        self.dir.clone().unwrap_or_else(cache)
    }

    fn dataset(&self) -> Result<Dataset> {
        let DataArgs { events, files, spread, seed, .. } = *self;
        Dataset::prepare(&self.folder(), &Recipe { seed, events, files, spread })
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Generate(data) => println!("{}", data.dataset()?.folder.display()),
        Command::Floor { workload, data, output } => {
            let dataset = data.dataset()?;
            match workload {
                Workload::W1 => floor::windows(dataset.message_files(), &output)?,
                Workload::W5 => floor::as_of(dataset.message_files(), dataset.profile_file(), &output)?,
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
