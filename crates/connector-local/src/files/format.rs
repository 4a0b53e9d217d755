//! File formats, and what is known about a file before its rows are read.

use dataflow::{Bounds, Error, Result, RowGroup};
use std::path::{Path, PathBuf};

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
    JsonLines,
}

impl Format {
    /// The format by the ending of a file's name.
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

/// What is known about one file before its rows are read.
pub(super) struct FileSummary {
    pub path: PathBuf,
    pub rows: u64,
    pub bounds: Vec<(String, Bounds)>,
    // Invariant: never empty.
    pub groups: Vec<RowGroup>,
}
