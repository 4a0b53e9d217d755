//! File formats, by the names of files.

use arrow::datatypes::DataType;
use dataflow::{Error, Result};
use std::path::Path;

/// A column that is read from files: its path, which CSV and Parquet have joined by dots, and its type.
pub type FileColumn = (Vec<String>, DataType);

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Parquet,
    Csv,
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
    /// The format and the packing by the endings of a file's name.
    pub fn of(path: &Path) -> Result<(Format, Packing)> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (inner, packing) = match name.rsplit_once('.') {
            Some((inner, "gz")) => (inner, Packing::Gzip),
            Some((inner, "zst")) => (inner, Packing::Zstd),
            _ => (name.as_str(), Packing::Plain),
        };
        let format = match inner.rsplit_once('.') {
            Some((_, "parquet")) if packing == Packing::Plain => Some(Format::Parquet),
            Some((_, "csv" | "tsv")) => Some(Format::Csv),
            Some((_, "jsonl" | "ndjson" | "json")) => Some(Format::JsonLines),
            _ => None,
        };
        format.map(|format| (format, packing)).ok_or_else(|| {
            Error::invalid(format!(
                "\"{}\" has no known format, expected a name ending in .parquet, .csv, .tsv, .jsonl, .ndjson or .json, \
                 the text formats perhaps with .gz or .zst after it",
                path.display()
            ))
        })
    }
}
