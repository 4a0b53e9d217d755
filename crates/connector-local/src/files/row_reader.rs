//! The lines of CSV and JSON files as cells with column names.

use super::cell::Cell;
use super::format::Format;
use super::object::put_object;
use crate::disk::io_error;
use dataflow::{Error, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most bytes that one row may have; a message has the same limit.
const ROW_BYTES_MAX: usize = 64 << 20;

/// A text file, row by row.
pub(super) struct RowReader {
    path: PathBuf,
    line: u64,
    source: Source,
}

enum Source {
    Csv {
        reader: csv::Reader<SizeLimitedFile>,
        header: Vec<String>,
        record: csv::StringRecord,
        since: Arc<AtomicUsize>,
    },
    Lines {
        reader: BufReader<File>,
        line: String,
    },
}

impl RowReader {
    /// Opens a file, and reads its header if it has one.
    pub fn open(path: &Path, format: Format) -> Result<RowReader> {
        let file = File::open(path).map_err(|e| io_error("open", path, e))?;
        let source = match format {
            Format::Csv => {
                let since = Arc::new(AtomicUsize::new(0));
                let bounded = SizeLimitedFile { file, since: since.clone() };
                let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 18).from_reader(bounded);
                let header = reader.headers().map_err(|e| csv_error(path, e))?;
                let header: Vec<String> =
                    header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
                if header.is_empty() {
                    return Err(Error::invalid(format!("\"{}\" is empty, expected a header", path.display())));
                }
                Source::Csv { reader, header, record: csv::StringRecord::new(), since }
            }
            _ => Source::Lines { reader: BufReader::with_capacity(1 << 18, file), line: String::new() },
        };
        Ok(RowReader { path: path.to_owned(), line: 0, source })
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

    /// The text of the row that was read last: the line, or the values of the record.
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

    /// Where the row that was read last is.
    pub fn place(&self) -> String {
        format!("\"{}\" line {}", self.path.display(), self.line)
    }

    /// Reads a row and hands over its cells with the names of their columns; false at the end. Blank lines are skipped.
    pub fn next(&mut self, put: &mut dyn FnMut(&str, Cell<'_>)) -> Result<bool> {
        match &mut self.source {
            Source::Csv { reader, header, record, since } => {
                since.store(0, Relaxed);
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
                let bytes = reader.take(ROW_BYTES_MAX as u64 + 1).read_line(line).map_err(|e| match e.kind() {
                    std::io::ErrorKind::InvalidData => {
                        Error::data(format!("\"{}\" line {} is not UTF-8", self.path.display(), self.line))
                    }
                    _ => io_error("read", &self.path, e),
                })?;
                if bytes == 0 {
                    return Ok(false);
                }
                if bytes > ROW_BYTES_MAX {
                    return Err(Error::data(format!("\"{}\" line {} {}", self.path.display(), self.line, too_long())));
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

/// A file that yields a limited number of bytes per row, so that an unclosed quote does not read all of it.
struct SizeLimitedFile {
    file: File,
    // Bytes read since the last row ended.
    since: Arc<AtomicUsize>,
}

impl Read for SizeLimitedFile {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.file.read(into)?;
        if self.since.fetch_add(bytes, Relaxed) > ROW_BYTES_MAX {
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, too_long()));
        }
        Ok(bytes)
    }
}

fn too_long() -> String {
    format!(
        "begins a row of more than {} MiB, expected the row to end; is a quote or a line break missing?",
        ROW_BYTES_MAX >> 20
    )
}

fn csv_error(path: &Path, error: csv::Error) -> Error {
    let line = error.position().map_or(0, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
            // Where the next row begins is not known: it is no row that is bad, but the rest of the file.
            Error::corrupt(format!("\"{}\" {error}", path.display()))
        }
        csv::ErrorKind::Io(error) => io_error("read", path, error),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => Error::data(format!(
            "\"{}\" line {line} has {len} values, expected {expected_len} as in the header",
            path.display()
        )),
        other => Error::data(format!("\"{}\" line {line} is not CSV: {other:?}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_an_end_is_refused_before_it_fills_the_memory() {
        let folder = tempfile::tempdir().unwrap();
        for (name, format, begin) in
            [("a.jsonl", Format::JsonLines, "{\"text\": \""), ("a.csv", Format::Csv, "text\n\"")]
        {
            let path = folder.path().join(name);
            let mut text = begin.as_bytes().to_vec();
            text.resize(ROW_BYTES_MAX * 3 / 2, b'x');
            std::fs::write(&path, &text).unwrap();
            let mut rows = RowReader::open(&path, format).unwrap();
            let error = rows.next(&mut |_, _| ()).unwrap_err();
            // Lines go on after the next line break; what comes after a quote without an end is lost with it.
            assert_eq!(error.kind() == dataflow::ErrorKind::Corrupt, format == Format::Csv, "{error}");
            let error = error.to_string();
            assert!(error.contains(name) && error.contains("a row of more than 64 MiB"), "{error}");
        }
    }
}
