//! What can be typed, and the help that teaches it.

use crate::table_args::TableCommand;
use clap::{Args, ColorChoice, Parser, Subcommand, ValueHint};
use dataflow::KEY_GROUPS;
use project::{CommitEvery, Format, Project};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use values::Encoding;

/// The environment of a command that names none.
pub const ENVIRONMENT_DEFAULT: &str = "dev";

/// One SQL project over history, then live: features, models and decisions.
#[derive(Debug, Parser)]
#[command(
    name = "riverrun",
    version,
    arg_required_else_help = true,
    after_help = "\
A first look:
  riverrun init demo && cd demo
  riverrun run --until-caught-up
  riverrun test"
)]
pub struct Cli {
    /// The project: a folder with riverrun.toml and pipelines/*.sql, or one .sql file
    #[arg(long, short = 'C', global = true, default_value = ".", value_hint = ValueHint::AnyPath)]
    pub project: PathBuf,
    /// The environment of riverrun.toml that says where tables and topics are
    #[arg(long, global = true, default_value = ENVIRONMENT_DEFAULT)]
    pub env: String,
    /// Write every table and topic under a name of your own, NAME_ before it, with checkpoints of your own, and read what
    /// everybody reads
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub person: Option<String>,
    /// When output has colors; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
    #[command(subcommand)]
    pub command: Command,
}

/// The colors that a command line asks for, known before it is read as a whole: what is wrong with it, and help, are in
/// colors too.
pub fn color(arguments: impl Iterator<Item = String>) -> ColorChoice {
    let mut arguments = arguments.take_while(|argument| argument != "--");
    let mut choice = ColorChoice::Auto;
    while let Some(argument) = arguments.next() {
        let asked = match argument.strip_prefix("--color") {
            Some("") => arguments.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        choice = asked.and_then(|when| when.parse().ok()).unwrap_or(choice);
    }
    choice
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a working project: SQL, sample data, and a test that passes
    Init {
        /// The folder to create
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
    /// Run a job over history, then live
    #[command(after_help = "\
`run archive` copies LIVE to HISTORY for every ARCHIVE statement, exactly once, until Ctrl-C;
with --until-caught-up it ends once it has copied what the topics hold now.
It commits every 60 s (--commit-every), every 128 MiB, and at the end.
A job goes on from its last checkpoint, whether it was stopped or killed; --fresh starts it over.
A --fresh run that fails, or that has an end and is stopped before it, leaves the tables that were there as they are, and
`run` goes on with it.")]
    Run(RunArgs),
    /// Show what becomes of a job's state and outputs now that its pipelines have changed
    #[command(after_help = "\
Compares the pipelines with the newest checkpoint of the job, and writes nothing. `riverrun run --apply` does what it shows.
What only has another name is no change: `riverrun run` goes on with it.
It exits with 1 when the job cannot go on as it is now, and says why.")]
    Plan(PlanArgs),
    /// Show the jobs, their newest checkpoints and their savepoints
    Jobs {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Copy a checkpoint of a job into a folder that is yours to keep
    #[command(after_help = "\
A running job copies its next checkpoint and goes on; of one that does not run the last checkpoint is copied.
A savepoint holds all that the job needs from its checkpoints: `riverrun resume` goes on from it, here and in any number
of workers, for as long as the outputs are where it left them. Move, copy and delete it as you like.")]
    Savepoint(SavepointArgs),
    /// End a running job, after it has finished what it read and made a savepoint
    #[command(after_help = "\
Examples:
  riverrun stop                            # the job of all outputs; prints the folder of the savepoint
  riverrun stop decide --to before-upgrade # one job of riverrun.toml, and a place for the savepoint
  riverrun stop --no-savepoint             # like Ctrl-C: the last checkpoint is all that is kept
  riverrun stop decide --forget            # nothing is kept for it in Pulsar any more")]
    Stop(StopArgs),
    /// Go on with a job from a savepoint, and run it
    #[command(after_help = "\
The rows that come out are those of a run that was never stopped, with any number of workers.
Refused, by name and before anything is written, where that could not be so: a table holds rows that were committed after
the savepoint, the job was begun anew since, or the pipelines have changed.
Messages that a topic got after the savepoint come again, and are not written again.")]
    Resume(ResumeArgs),
    /// Run a SELECT over the project's streams, views and tables, up to now
    Query(QueryArgs),
    /// Find what a run would refuse, and show it as path:line:column
    Check {
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Show how a view, a decision or everything is computed, and what limits its state
    Explain {
        /// A view, a decision or the target of an INSERT; all outputs if left out; `watermark` shows how the partitions of
        /// running jobs stand, and which one holds the watermark back
        name: Option<String>,
        /// Print JSON
        #[arg(long, conflicts_with_all = ["dot", "sql"])]
        json: bool,
        /// Print a graph for Graphviz
        #[arg(long, conflicts_with = "sql")]
        dot: bool,
        /// Print all statements except streams as they are understood, with stars written out and every name
        /// qualified
        #[arg(long)]
        sql: bool,
    },
    /// Put events on the topic of a stream, from JSON lines, CSV or Parquet
    #[command(after_help = "\
Examples:
  riverrun publish plays plays.csv                       # a file, once
  producer | riverrun publish plays -                    # JSON lines as they come, until the producer ends
  riverrun publish plays app.log --format jsonl --follow # a file that grows, until Ctrl-C
  riverrun publish plays plays.csv --producer import-7   # killed? the same command goes on where it stopped
Rows that cannot be used follow ON BAD ROW of the stream: FAIL (the default) refuses a file as a whole, and ends a
stream of rows at the first one; SKIP leaves them out; DEAD LETTER puts them on the topic for whoever reads it.")]
    Publish(PublishArgs),
    /// Watch a topic
    Tail {
        /// A stream, or the topic that a decision or INSERT writes
        name: String,
        /// Stop after this many messages
        #[arg(long, short = 'n')]
        limit: Option<usize>,
        /// Start at the first message instead of the end
        #[arg(long)]
        from_start: bool,
        /// Stop at the topic's end instead of waiting for more
        #[arg(long)]
        until_caught_up: bool,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Show one decision: the rules that matched, its features and its score
    Why {
        /// The decision id, as actions and the log have it, or its first characters
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run every TEST of tests/*.test.sql, and kill each on its way
    Test {
        /// Only tests whose name contains this text
        filter: Option<String>,
        /// Print JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Show what a table holds, and keep it in order
    Table {
        #[command(subcommand)]
        command: TableCommand,
    },
    /// Look at a model's file, and make it a model of the project
    Model {
        #[command(subcommand)]
        command: ModelCommand,
    },
    /// Run a broker of Pulsar on this machine, for development
    Pulsar {
        #[command(subcommand)]
        command: PulsarCommand,
    },
    /// Copy subscriptions of Google Pub/Sub into topics, and try that with a server here
    Pubsub {
        #[command(subcommand)]
        command: PubsubCommand,
    },
    /// Print the script that completes this command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum PulsarCommand {
    /// Start the broker, wait until it is ready, and print an environment for riverrun.toml
    #[command(after_help = "\
It needs a JDK, 17 or newer, and the first time Maven 3, which fetches the broker's program (some 180 MB) into
~/.cache/riverrun. The broker stamps and counts messages, removes duplicates, and keeps what topics hold.
It goes on when this command has ended; a broker that runs already is left as it is.
If the environment of --env has its topics at 127.0.0.1 or localhost, the broker starts there, and
nothing is printed.")]
    Start {
        /// The folder of its data; the folder pulsar of the project if left out
        #[arg(long, value_hint = ValueHint::DirPath)]
        data: Option<PathBuf>,
    },
    /// Stop the broker; its data stays
    Stop {
        /// The folder of its data; the folder pulsar of the project if left out
        #[arg(long, value_hint = ValueHint::DirPath)]
        data: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum PubsubCommand {
    /// Copy the subscription of a stream into its topic, until Ctrl-C
    #[command(after_help = "\
A message is acknowledged once the topic has it, synced: what a kill leaves comes again. `riverrun run` without an end,
`run archive` and `tail` do the same beside their work; this command is for topics that are read later.")]
    Mirror {
        /// A stream, or a topic, for which the environment names a subscription
        name: String,
        /// Partitions of the topic, when it is made by this command; 1 if left out
        #[arg(long)]
        partitions: Option<u32>,
        /// Stop when nothing came for so long: 500ms, 10s, 2m
        #[arg(long, value_name = "DURATION")]
        until_idle: Option<CommitEvery>,
    },
    /// Start the server, wait until it is ready, and print the variable by which clients find it
    #[command(after_help = "\
It is the server that Google tests its own clients with, built once with Go, 1.26 or newer, into ~/.cache/riverrun.
It asks for no credentials and keeps everything in memory. It goes on when this command has ended; one that runs already
is left as it is.")]
    Start {
        /// The folder of its address and log; the folder pubsub of the project if left out
        #[arg(long, value_hint = ValueHint::DirPath)]
        data: Option<PathBuf>,
    },
    /// Stop the server; what it held is gone
    Stop {
        /// The folder of its address and log; the folder pubsub of the project if left out
        #[arg(long, value_hint = ValueHint::DirPath)]
        data: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Show what a model takes and gives, what a row costs, and its CREATE MODEL
    Check {
        /// The ONNX file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy a model into the project, write its CREATE MODEL, and pin its digest in riverrun.lock
    Add(AddModelArgs),
    /// Load and score the model on standard input, within limits of time and memory
    #[command(hide = true)]
    Try,
}

#[derive(Clone, Debug, Args)]
pub struct AddModelArgs {
    /// The ONNX file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// What the project calls the model; the name of the file if left out
    #[arg(long)]
    pub name: Option<String>,
    /// The names of the inputs in the order of the file, where it does not have them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub inputs: Vec<String>,
}

#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The stream
    pub stream: String,
    /// A file (.parquet, .csv, .tsv, .jsonl or .json, the text formats perhaps with .gz or .zst), a FIFO, or `-` for
    /// standard input; taken from the current folder, whatever the project is
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: String,
    /// The format, where the name does not tell it: jsonl, csv, tsv or parquet; standard input is jsonl unless told
    #[arg(long, value_parser = format)]
    pub format: Option<Format>,
    /// Wait for more at the end of the file, and go on with the next one when it is rotated or cut, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
    /// A name for this input, under which each row comes once: the same command, run again, goes on where it stopped
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub producer: Option<String>,
    /// Partitions of the topic, when it is made by this command and not by a run before it; 1 if left out
    #[arg(long)]
    pub partitions: Option<u32>,
    /// How text is stored: utf-8, utf-16 or latin1
    #[arg(long, value_parser = encoding, default_value = "utf-8")]
    pub encoding: Encoding,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// A job of riverrun.toml, or `archive`; all outputs if left out
    pub job: Option<String>,
    /// Stop where the topics end now, after everything up to there has come out
    #[arg(long)]
    pub until_caught_up: bool,
    /// Start over: new tables take the places of the old ones at the end, or with the first commit of a job without end,
    /// and topics are written again under a new producer epoch
    #[arg(long)]
    pub fresh: bool,
    /// Go on with pipelines that have changed, as `riverrun plan` shows
    #[arg(long, conflicts_with = "fresh")]
    pub apply: bool,
    /// Go on where a broker of Pulsar has forgotten what the job has written: rows after the last checkpoint may be on its
    /// topics twice then, with the same property riverrun.row
    #[arg(long, conflicts_with = "fresh")]
    pub accept_duplicates: bool,
    /// Where `archive` stops: stream=PARTITION:LEDGER:ENTRY:INDEX,.. (may be repeated)
    #[arg(long, value_name = "POSITIONS")]
    pub to: Vec<String>,
    /// Write only rows after this time, in UTC: 2013-12-01 or 2013-12-01T00:00:00
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// How often tables are committed: 500ms, 10s, 2m; if left out, `commit_every` of riverrun.toml, or 60s
    #[arg(long, value_name = "DURATION")]
    pub commit_every: Option<CommitEvery>,
    /// How many threads do the work; one per core if left out
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<NonZeroUsize>,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

impl RunArgs {
    /// How often tables are committed.
    pub fn commit_every(&self, project: &Project) -> Duration {
        self.commit_every.map_or_else(|| project.commit_every(), |every| every.0)
    }
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A job of riverrun.toml; that of all outputs if left out
    pub job: Option<String>,
    /// Compare with a savepoint instead
    #[arg(long, value_name = "SAVEPOINT", value_hint = ValueHint::DirPath)]
    pub from: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SavepointArgs {
    /// A job of riverrun.toml; that of all outputs if left out
    pub job: Option<String>,
    /// The folder to make, here or in a store (s3://BUCKET/FOLDER), which must not be there yet; if left out, one beside the
    /// checkpoints, named after the checkpoint
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub to: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct StopArgs {
    /// A job of riverrun.toml; that of all outputs if left out
    pub job: Option<String>,
    /// Make no savepoint: `riverrun run` goes on from the last checkpoint
    #[arg(long)]
    pub no_savepoint: bool,
    /// The folder to make for the savepoint, here or in a store; if left out, one beside the checkpoints, named after the
    /// checkpoint
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, conflicts_with = "no_savepoint")]
    pub to: Option<PathBuf>,
    /// Delete the subscriptions that keep what the job has not read of its topics in Pulsar; also those of `archive`, and of
    /// a job that does not run
    #[arg(long)]
    pub forget: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// A job of riverrun.toml; that of all outputs if left out
    pub job: Option<String>,
    /// The folder of the savepoint, here or in a store, as `riverrun savepoint`, `riverrun stop` or `riverrun jobs` prints it
    #[arg(long, value_name = "SAVEPOINT", value_hint = ValueHint::DirPath)]
    pub from: PathBuf,
    /// Stop where the topics end now, after everything up to there has come out
    #[arg(long)]
    pub until_caught_up: bool,
    /// Go on where a broker of Pulsar has forgotten what the job has written: rows after the last checkpoint may be on its
    /// topics twice then, with the same property riverrun.row
    #[arg(long)]
    pub accept_duplicates: bool,
    /// How often tables are committed: 500ms, 10s, 2m; if left out, `commit_every` of riverrun.toml, or 60s
    #[arg(long, value_name = "DURATION")]
    pub commit_every: Option<CommitEvery>,
    /// How many threads do the work; one per core if left out
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<NonZeroUsize>,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    /// The SELECT
    pub sql: String,
    /// Stop after this many rows
    #[arg(long, short = 'n')]
    pub limit: Option<usize>,
    /// Show only rows after this time, in UTC
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Show only rows at or before this time, in UTC
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Write the rows to a Parquet file instead
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// Print JSON lines
    #[arg(long, conflicts_with_all = ["csv", "out"])]
    pub json: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "out")]
    pub csv: bool,
    /// How many threads do the work; one per core if left out
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<NonZeroUsize>,
}

/// A number of workers: one that has no group of keys has nothing to do.
fn workers(number: &str) -> Result<NonZeroUsize, String> {
    let known = number.parse().ok().filter(|workers: &NonZeroUsize| workers.get() <= usize::from(KEY_GROUPS));
    known.ok_or_else(|| format!("expected a number from 1 to {KEY_GROUPS}"))
}

/// The encoding of a name.
fn encoding(name: &str) -> Result<Encoding, String> {
    Encoding::named(name).ok_or_else(|| format!("expected {}", Encoding::NAMES))
}

/// The format of a name.
fn format(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| format!("expected {}", Format::NAMES))
}
