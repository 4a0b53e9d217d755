//! Chores of this repository that are no tests. `bench` measures the reference workloads beside their peers.

mod answers;
mod bench;
mod contender;
mod data;
mod decode;
mod events;
mod exchange;
mod failure;
mod floor;
mod fuzz;
mod lasting;
mod live;
mod measure;
mod models;
mod plan;
mod pulsar;
mod python;
mod random;
mod report;
mod scored;
mod seeds;
mod sim;
mod soak;
mod stall;
mod state;
mod tables;
mod watched;

use bench::{Options, Target};
use clap::{Args, Parser, Subcommand, ValueHint};
use contender::Workload;
use data::{Dataset, Recipe};
use dataflow::{Error, Result};
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
    /// Measure the workloads: the hand-written floor, DuckDB and riverrun in turns, value by value the same
    #[command(after_help = "\
Figures are medians of the rounds. CPU time is steadier than wall time on a machine that does other things too.
Exit code 1: two outputs differ, a run failed, or a bar is not met.")]
    Bench {
        /// What to measure
        #[arg(default_value = "all")]
        target: Target,
        #[command(flatten)]
        data: DataArgs,
        /// How often each runs
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// The riverrun binary [default: the one beside this program]
        #[arg(long, value_hint = ValueHint::FilePath)]
        riverrun: Option<PathBuf>,
        /// How long the live workload may take, about
        #[arg(long, default_value_t = 150)]
        seconds: u32,
        #[command(flatten)]
        pulsar: pulsar::Arguments,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run the tests whose sinks stand still, for longer than `cargo test` does
    Stall {
        /// How long they stand still
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// Play many more seeds than `cargo test` does: the coordination of a job, schedules, operators and stages
    Seeds {
        /// Seeds of the coordination, from 0 on
        #[arg(long, default_value_t = 10_000)]
        seeds: u32,
        /// Cases of each property of schedules, operators and stages
        #[arg(long, default_value_t = 2_000)]
        cases: u32,
    },
    /// Play jobs in a simulated world where everything goes wrong, as `cargo test` plays 2,000 seeds of
    Sim(sim::Arguments),
    /// Try hostile inputs, random SELECTs or random projects: none ends a process, hangs, or gives another answer
    #[command(after_help = "\
Inputs come from tests/corpora and are changed at random; what gives an outcome that was not seen before is changed further.
Each may take 5 s and 2 GiB. What is found stays in a folder that is printed; a seed repeats its inputs or projects.
Exit code 1: something was found.")]
    Fuzz(fuzz::Arguments),
    /// Run a job on a real broker for a long time, with everything going wrong now and then
    #[command(after_help = "\
Exit code 1: a row is missing or there twice, memory grew, or the job did not say what it waited for.")]
    Soak(soak::Arguments),
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
    /// Try inputs one after the other until the process is ended
    #[command(hide = true)]
    FuzzInputs { target: fuzz::Target, seed: u64, folder: PathBuf },
    /// Run random projects one after the other
    #[command(hide = true)]
    FuzzAnswers { first: u64, end: u64, cache: PathBuf },
    /// Run a project to its end, its wide rows around narrow branches or through all exchanges
    #[command(hide = true)]
    RunProject {
        project: PathBuf,
        #[arg(long)]
        branches: bool,
        #[arg(long, default_value_t = 2)]
        workers: usize,
    },
    /// Score rows with a model and print rows and CPU seconds
    #[command(hide = true)]
    Score { model: PathBuf, rows: PathBuf, batch: usize, scores: PathBuf },
    /// Score the rows of a table with a model and print rows and CPU seconds
    #[command(hide = true)]
    ScoreRows { model: PathBuf, tables: PathBuf },
    /// Put messages on a topic, for so many microseconds, and print how many
    #[command(hide = true)]
    LivePublish { topics: PathBuf, rate: u64, micros: i64 },
    /// Answer every message of a topic in a bare loop, until it is killed
    #[command(hide = true)]
    LiveFloor { topics: PathBuf },
    /// Read so many messages of a topic of Pulsar from its beginning
    #[command(hide = true)]
    PulsarRead { service: String, namespace: String, messages: u64 },
    /// Find the files of a day of a table, or all of them, and print how long that took
    #[command(hide = true)]
    PlanTable { warehouse: PathBuf, day: Option<i64> },
    /// Keep threads busy with a fixed number of steps
    #[command(hide = true)]
    Spin {
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        threads: u64,
    },
}

#[derive(Clone, Debug, Args)]
struct DataArgs {
    /// The messages
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// The files of messages
    #[arg(long, default_value_t = data::FILES)]
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
        self.dir.clone().unwrap_or_else(cache)
    }

    fn recipe(&self) -> Recipe {
        let DataArgs { events, files, spread, seed, .. } = *self;
        Recipe { seed, events, files, spread }
    }

    fn dataset(&self) -> Result<Dataset> {
        Dataset::prepare(&self.folder(), &self.recipe())
    }
}

/// Where chores keep what they make, unless they are told.
fn cache() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default().join(".cache/riverrun/bench")
}

const DIFFER: &str = "outputs differ that must be the same";
/// Why seeds end with an error.
const FAILS: &str = "a rule does not hold, see above";

/// Does the command; what it found that must not be.
fn run(cli: Cli) -> Result<Option<&'static str>> {
    match cli.command {
        Command::Bench { target, data, rounds, riverrun, seconds, pulsar, json } => {
            let options = Options {
                cache: data.folder(),
                recipe: data.recipe(),
                rounds: rounds as usize,
                riverrun: bench::binary(riverrun),
                seconds,
                pulsar,
            };
            let findings = bench::run(target, &options)?;
            if json {
                println!("{:#}", report::json(&findings));
            } else {
                println!("{}", report::text(&findings));
            }
            if !findings.agree() {
                return Ok(Some(DIFFER));
            }
            return Ok(
                (!report::bars_are_met(&findings)).then_some("a bar is not met: the report says OVER or UNDER which")
            );
        }
        Command::RunProject { project, branches, workers } => exchange::run_project(&project, branches, workers)?,
        Command::Score { model, rows, batch, scores } => models::score(&model, &rows, batch, &scores)?,
        Command::ScoreRows { model, tables } => scored::score_rows(&model, &tables)?,
        Command::LivePublish { topics, rate, micros } => {
            println!("{}", live::publish(&topics, live::Rate::from_number(rate), micros)?);
        }
        Command::LiveFloor { topics } => live::floor(&topics)?,
        Command::PulsarRead { service, namespace, messages } => pulsar::read(&service, &namespace, messages)?,
        Command::PlanTable { warehouse, day } => plan::plan_table(&warehouse, day)?,
        Command::Spin { threads } => decode::spin(threads),
        Command::Stall { seconds } => return stall::run(seconds).map(|same| (!same).then_some(DIFFER)),
        Command::Seeds { seeds, cases } => return seeds::run(seeds, cases).map(|holds| (!holds).then_some(FAILS)),
        Command::Sim(arguments) => return sim::run(&arguments).map(|holds| (!holds).then_some(FAILS)),
        Command::Fuzz(arguments) => {
            return fuzz::run(&arguments, &cache()).map(|holds| (!holds).then_some(FAILS));
        }
        Command::Soak(arguments) => {
            let holds = soak::run(&arguments, bench::binary(None).as_deref(), &cache().join("soak"))?;
            return Ok((!holds).then_some(FAILS));
        }
        Command::FuzzInputs { target, seed, folder } => fuzz::child(target, seed, &folder)?,
        Command::FuzzAnswers { first, end, cache } => answers::child(first..end, &cache)?,
        Command::Generate(data) => println!("{}", data.dataset()?.folder.display()),
        Command::Floor { data: DataArgs { spread: true, .. }, .. } => {
            return Err(Error::invalid(
                "the floor reads files in order, found --spread; leave it out: the rows are the same",
            ));
        }
        Command::Floor { workload, data, output } => {
            let dataset = data.dataset()?;
            match workload {
                Workload::W1 => floor::windows(dataset.message_files(), &output)?,
                Workload::W5 => floor::as_of(dataset.message_files(), dataset.profile_file(), &output)?,
            }
        }
    }
    Ok(None)
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(found)) => {
            eprintln!("error: {found}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}
