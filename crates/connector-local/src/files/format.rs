//! How rows lie in a file, and what is found out about a file before its rows are read.

use dataflow::{Bounds, Error, Result};
use std::path::{Path, PathBuf};

/// How rows lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    JsonLines,
}

impl Format {
    /// The format that a file's name tells.
    pub fn of(path: &Path) -> Result<Format> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("parquet") => Ok(Format::Parquet),
            Some("csv") => Ok(Format::Csv),
            Some("jsonl" | "ndjson" | "json") => Ok(Format::JsonLines),
            _ => Err(Error::invalid(format!(
                "\"{}\" has no known format, expected a name ending in .parquet, .csv, .jsonl, .ndjson or .json",
                path.display()
            ))),
        }
    }
}

/// What was found out about one file.
pub(super) struct FileSummary {
    pub path: PathBuf,
    pub rows: u64,
    pub bounds: Vec<(String, Bounds)>,
}

/// The columns of rows that cannot be read: the reason, and what stands there.
pub(super) const ERROR: &str = "_error";
pub(super) const RAW: &str = "_raw";
