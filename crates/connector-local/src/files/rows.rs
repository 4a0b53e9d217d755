//! The lines of CSV and JSON files as cells with column names.

use super::Format;
use super::cell::Cell;
use super::object::put_object;
use crate::errors::io_error;
use dataflow::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// A text file, row by row.
pub(super) struct Rows {
    path: PathBuf,
    line: u64,
    source: Source,
}

enum Source {
    Csv { reader: csv::Reader<File>, header: Vec<String>, record: csv::StringRecord },
    Lines { reader: BufReader<File>, line: String },
}

impl Rows {
    /// Opens a file, and reads its header if it has one.
    pub fn open(path: &Path, format: Format) -> Result<Rows> {
        let file = File::open(path).map_err(|e| io_error("open", path, e))?;
        let source = match format {
            Format::Csv => {
                let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 18).from_reader(file);
                let header = reader.headers().map_err(|e| csv_error(path, e))?;
                let header: Vec<String> =
                    header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
                if header.is_empty() {
                    return Err(Error::invalid(format!("\"{}\" is empty, expected a header", path.display())));
                }
                Source::Csv { reader, header, record: csv::StringRecord::new() }
            }
            _ => Source::Lines { reader: BufReader::with_capacity(1 << 18, file), line: String::new() },
        };
        Ok(Rows { path: path.to_owned(), line: 0, source })
    }

    /// The header of a CSV file.
    pub fn header(&self) -> Option<&[String]> {
        match &self.source {
            Source::Csv { header, .. } => Some(header),
            Source::Lines { .. } => None,
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line of the row that was read last.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// What stands in the row that was read last: the line, or the values of the record.
    pub fn text(&self) -> Option<String> {
        match &self.source {
            Source::Lines { line, .. } => Some(line.trim_end().to_owned()).filter(|line| !line.is_empty()),
            Source::Csv { record, .. } => {
                let quoted = |value: &str| match value.contains([',', '"', '\n']) {
                    true => format!("\"{}\"", value.replace('"', "\"\"")),
                    false => value.to_owned(),
                };
                Some(record.iter().map(quoted).collect::<Vec<_>>().join(",")).filter(|text| !text.is_empty())
            }
        }
    }

    /// Says where the row that was read last stands.
    pub fn place(&self) -> String {
        format!("\"{}\" line {}", self.path.display(), self.line)
    }

    /// Reads a row and hands over its cells with the names of their columns; false at the end. Blank lines are passed.
    pub fn next(&mut self, put: &mut dyn FnMut(&str, Cell<'_>)) -> Result<bool> {
        match &mut self.source {
            Source::Csv { reader, header, record } => {
                let is_there = reader.read_record(record);
                self.line = record.position().map_or(0, csv::Position::line);
                if !is_there.map_err(|e| csv_error(&self.path, e))? {
                    return Ok(false);
                }
                for (name, text) in header.iter().zip(record.iter()) {
                    put(name, if text.is_empty() { Cell::Null } else { Cell::Bare(text) });
                }
                Ok(true)
            }
            Source::Lines { reader, line } => loop {
                line.clear();
                self.line += 1;
                let bytes = reader.read_line(line).map_err(|e| match e.kind() {
                    std::io::ErrorKind::InvalidData => {
                        Error::data(format!("\"{}\" line {} is not UTF-8", self.path.display(), self.line))
                    }
                    _ => io_error("read", &self.path, e),
                })?;
                if bytes == 0 {
                    return Ok(false);
                }
                if !line.trim().is_empty() {
                    let wrong =
                        |why: String| Error::data(format!("\"{}\" line {} {why}", self.path.display(), self.line));
                    put_object(line, put).map_err(wrong)?;
                    return Ok(true);
                }
            },
        }
    }
}

fn csv_error(path: &Path, error: csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(error) => io_error("read", path, error),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::data(format!(
            "\"{}\" line {line} has {len} values, expected {expected_len} as in the header",
            path.display()
        )),
        other => Error::data(format!("\"{}\" line {line} is not CSV: {other:?}", path.display())),
    }
}
