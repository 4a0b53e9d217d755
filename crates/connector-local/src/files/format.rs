//! File formats, by the names of files.

use arrow::datatypes::DataType;
use dataflow::{Error, Result};
use std::path::Path;

/// A column that is read from files: its path, which CSV and Parquet have joined by dots, and its type.
pub type FileColumn = (Vec<String>, DataType);

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Columns, described at the end of the file.
    Parquet,
    /// A header, then a record a line; what separates values is told by the header.
    Csv,
    /// A JSON object a line.
    JsonLines,
}

/// How the bytes of a text file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Format {
    /// The names that [`Format::named`] takes, for messages.
    pub const NAMES: &str = "jsonl, csv, tsv or parquet";

    /// The format of a name, which is the ending of a file's name.
    pub fn named(name: &str) -> Option<Format> {
        match name {
            "parquet" => Some(Format::Parquet),
            "csv" | "tsv" => Some(Format::Csv),
            "jsonl" | "ndjson" | "json" => Some(Format::JsonLines),
            _ => None,
        }
    }

    /// The format that the ending of a file's name tells, if it does, and how the file is packed.
    pub(super) fn by_ending(path: &Path) -> (Option<Format>, Packing) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (inner, packing) = match name.rsplit_once('.') {
            Some((inner, "gz")) => (inner, Packing::Gzip),
            Some((inner, "zst")) => (inner, Packing::Zstd),
            _ => (name.as_str(), Packing::Plain),
        };
        let format = inner.rsplit_once('.').and_then(|(_, ending)| Format::named(ending));
        (format.filter(|format| *format != Format::Parquet || packing == Packing::Plain), packing)
    }

    /// The format and the packing by the endings of a file's name.
    pub(super) fn of(path: &Path) -> Result<(Format, Packing)> {
        let (format, packing) = Format::by_ending(path);
        format.map(|format| (format, packing)).ok_or_else(|| {
            Error::invalid(format!(
                "\"{}\" has no known format, expected a name ending in .parquet, .csv, .tsv, .jsonl, .ndjson or .json, \
                 the text formats perhaps with .gz or .zst after it",
                path.display()
            ))
        })
    }
}
