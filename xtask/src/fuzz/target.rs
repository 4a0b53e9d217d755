//! What can be tried.

use clap::ValueEnum;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Texts of projects, which are parsed, checked and planned
    Sql,
    /// Files of JSON lines, and the same lines as messages
    Jsonl,
    /// CSV files
    Csv,
    /// Parquet files: footers and pages
    Parquet,
    /// Model files
    Onnx,
    /// riverrun.toml and riverrun.lock
    Toml,
    /// Manifests of checkpoints, with the state that they name
    Checkpoint,
    /// Checkpoints of a job with every kind of step, from which it goes on
    State,
    /// What brokers and producers of Pulsar say, to what reads it
    Pulsar,
    /// Random SELECTs, which bind again as they are printed
    Select,
    /// Random projects, whose rows DuckDB has too
    Answers,
}

impl Target {
    /// Its name on the command line, and that of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Target::Sql => "sql",
            Target::Jsonl => "jsonl",
            Target::Csv => "csv",
            Target::Parquet => "parquet",
            Target::Onnx => "onnx",
            Target::Toml => "toml",
            Target::Checkpoint => "checkpoint",
            Target::State => "state",
            Target::Pulsar => "pulsar",
            Target::Select => "select",
            Target::Answers => "answers",
        }
    }
}
