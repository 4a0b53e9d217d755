//! Texts that are passed on row by row: each row with its line, and as a message where it is one already.

use super::csv::CsvRecords;
use super::format::{FileColumn, Format};
use super::lines::Lines;
use super::path_values::PathValues;
use super::rows::{BatchReader, TextColumn, TextFile, TextSource};
use super::text::{TextFiles, columns, text_columns};
use super::text_input::utf8;
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{Result, bad_row_fields};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use values::Encoding;

const BATCH_ROWS: usize = 8192;

/// Text files of one format and one list of columns.
pub struct TextFeeds {
    pattern: String,
    schema: SchemaRef,
    files: TextFiles,
}

impl TextFeeds {
    pub(super) fn new(pattern: &str, files: Vec<TextFile>, declared: &[FileColumn]) -> Result<TextFeeds> {
        let (files, schema) = TextFiles::with_columns(files, declared)?;
        Ok(TextFeeds { pattern: pattern.to_owned(), schema, files })
    }

    /// The pattern that names them.
    pub fn name(&self) -> &str {
        &self.pattern
    }

    /// Their columns, why a row cannot be used and its text.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.files.count()
    }

    /// The path of a file.
    pub fn path(&self, file: usize) -> Result<String> {
        Ok(self.files.file(file)?.0.path.display().to_string())
    }

    /// Opens a file at its start.
    pub fn open(&self, file: usize) -> Result<TextFeed> {
        let (file, columns) = self.files.file(file)?;
        TextFeed::of_file(file, columns)
    }
}

/// One text, from its start to its end.
///
/// A text that somebody still writes gives the rows that are there, without waiting for more.
pub struct TextFeed {
    schema: SchemaRef,
    reader: BatchReader,
}

/// Some rows of a text.
pub struct TextRows {
    /// Their columns, why one cannot be used and its text; a row that cannot be used has NULL where it has no value.
    pub rows: RecordBatch,
    /// The line on which each begins.
    pub lines: Vec<u64>,
    /// The rows as they stand in the text, where they are messages as they are: lines of JSON, with the values that stand
    /// in the path of their file.
    pub payloads: Option<Vec<Vec<u8>>>,
    /// Rows that cannot be used, by place, as messages.
    pub wrong: Vec<(usize, Vec<u8>)>,
}

impl TextFeed {
    pub(super) fn of_file(file: &TextFile, columns: &[TextColumn]) -> Result<TextFeed> {
        let source = match file.format {
            Format::Csv => TextSource::Records(file.records()?),
            _ => TextSource::Lines(file.json_lines()?),
        };
        TextFeed::new(source, columns, &file.path)
    }

    /// Reads what comes from elsewhere, which is of a text format; the name is for messages, and its ending tells how the
    /// bytes are packed. The header of CSV is waited for.
    pub fn of_stream(
        name: &str,
        bytes: Box<dyn Read + Send>,
        format: Format,
        declared: &[FileColumn],
        encoding: Encoding,
    ) -> Result<TextFeed> {
        let path = Path::new(name);
        let (_, packing) = Format::by_ending(path);
        let lines = Lines::of_growing(path, utf8(path, bytes, packing, encoding)?);
        if format != Format::Csv {
            let declared: Vec<_> = declared.iter().map(|column| (column.clone(), true)).collect();
            let all = text_columns(&declared, &PathValues::new());
            return TextFeed::new(TextSource::Lines(lines), &all, path);
        }
        let records = CsvRecords::open(lines).map_err(|error| error.context(format!("\"{name}\"")))?;
        let file = TextFile { path: path.to_owned(), of_path: PathValues::new(), format, packing, encoding };
        let all = columns(std::iter::once((&file, records.header())), declared)?;
        let all = text_columns(&all, &file.of_path);
        TextFeed::new(TextSource::Records(records), &all, path)
    }

    fn new(source: TextSource, columns: &[TextColumn], path: &Path) -> Result<TextFeed> {
        let fields = columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.chain(bad_row_fields()).collect::<Vec<_>>()));
        Ok(TextFeed { schema, reader: BatchReader::new(source, columns, path, BATCH_ROWS)? })
    }

    /// The columns, why a row cannot be used and its text.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows: at least one, and no more than are there; `None` at the end.
    pub fn next_rows(&mut self) -> Result<Option<TextRows>> {
        let next = self.reader.batch_with_lines()?;
        Ok(next.map(|(rows, read)| TextRows { rows, lines: read.lines, payloads: read.payloads, wrong: read.messages }))
    }
}
