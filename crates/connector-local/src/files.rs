//! Files in folders as history: `data/*.parquet`, and CSV and JSON lines the same way.

mod cell;
mod column_builder;
mod format;
mod glob;
mod infer;
mod object;
mod parquet;
mod projection;
mod row_reader;

use crate::disk::io_error;
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{Error, RecordBatches, Result, TimedFile, TimedFiles, bad_row_fields};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::format::{FileSummary, Format};

pub use self::parquet::write_parquet;

const BATCH_ROWS: usize = 8192;

/// The files that match a pattern, with one schema.
///
/// Parquet files have their schema and the bounds of their timestamps in their footers, and must agree on the
/// schema. CSV files have a header and must agree on it; they and JSON lines are read once to find the types: BOOLEAN,
/// BIGINT, DOUBLE, TIMESTAMP where every value is one, else TEXT. Fields of nested objects become columns such as
/// `payload.user.id`. Timestamps of any unit and zone are microseconds in UTC. Files are sorted by path.
pub struct Files {
    pattern: String,
    format: Format,
    schema: SchemaRef,
    paths: Vec<PathBuf>,
    files: Vec<TimedFile>,
    // A row that cannot be read comes with the reason; else it is an error.
    with_errors: bool,
    footers: parquet::Footers,
}

impl Files {
    /// Finds the files that a pattern such as `data/*.parquet` names, in a folder unless the pattern begins at the
    /// root. `*` and `?` stand for characters within one step of a path. An error when nothing matches.
    pub fn open(pattern: &str, folder: &Path) -> Result<Files> {
        Files::find(pattern, folder, false)
    }

    /// The same, where rows that cannot be read come with the reason in a column `_error`, its text in `_raw`,
    /// and NULL in columns that have no value. Values of Parquet files come as they are, whatever types are declared.
    pub fn open_with_errors(pattern: &str, folder: &Path) -> Result<Files> {
        let mut files = Files::find(pattern, folder, true)?;
        if files.format != Format::Parquet {
            let fields = files.schema.fields().iter().map(|field| field.as_ref().clone()).chain(bad_row_fields());
            files.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        }
        Ok(files)
    }

    /// Whether a pattern names any file.
    pub fn are_there(pattern: &str, folder: &Path) -> Result<bool> {
        Ok(!glob::matching(pattern, folder)?.is_empty())
    }

    fn find(pattern: &str, folder: &Path, with_errors: bool) -> Result<Files> {
        let paths = glob::matching(pattern, folder)?;
        let Some(first) = paths.first() else {
            return Err(Error::invalid(format!("no file matches \"{pattern}\" in \"{}\"", folder.display())));
        };
        let format = Format::of(first)?;
        if let Some(other) = paths.iter().find(|path| !matches!(Format::of(path), Ok(other) if other == format)) {
            return Err(Error::invalid(format!(
                "files \"{pattern}\": \"{}\" and \"{}\" have different formats, expected one",
                first.display(),
                other.display()
            )));
        }
        let (schema, summaries) = match format {
            Format::Parquet => parquet::summaries(&paths)?,
            Format::Csv | Format::JsonLines => infer::summaries(&paths, format, with_errors)?,
        };
        let files = summaries.into_iter().map(timed_file).collect::<Result<_>>()?;
        let (pattern, footers) = (pattern.to_owned(), parquet::Footers::default());
        Ok(Files { pattern, format, schema, paths, files, with_errors, footers })
    }

    /// The same files with declared types for some columns, named without regard to case. CSV and JSON lines are
    /// parsed as the declared type, so that `00123` stays text where TEXT is declared; values of Parquet files are
    /// cast. An error when a Parquet column cannot be.
    pub fn with_types(mut self, declared: &[(String, DataType)]) -> Result<Files> {
        let fields = self.schema.fields().iter().map(|field| {
            let Some((_, data_type)) = declared.iter().find(|(name, _)| name.eq_ignore_ascii_case(field.name())) else {
                return Ok(field.as_ref().clone());
            };
            if self.format == Format::Parquet && !can_cast_types(field.data_type(), data_type) {
                return Err(Error::invalid(format!(
                    "files \"{}\": column \"{}\" is {}, which cannot become the declared {data_type}",
                    self.pattern,
                    field.name(),
                    field.data_type(),
                )));
            }
            let is_kept = self.format == Format::Parquet && self.with_errors;
            let data_type = if is_kept { field.data_type() } else { data_type };
            Ok(field.as_ref().clone().with_data_type(data_type.clone()))
        });
        self.schema = Arc::new(Schema::new(fields.collect::<Result<Vec<Field>>>()?));
        Ok(self)
    }
}

fn timed_file(summary: FileSummary) -> Result<TimedFile> {
    let metadata = std::fs::metadata(&summary.path).map_err(|e| io_error("look at", &summary.path, e))?;
    let path = summary.path.display().to_string();
    let FileSummary { rows, bounds, groups, .. } = summary;
    Ok(TimedFile { path, rows, bytes: metadata.len(), bounds, groups })
}

impl TimedFiles for Files {
    fn name(&self) -> &str {
        &self.pattern
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, _: &str) -> Option<String> {
        None
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let fields = columns.iter().map(|name| {
            self.schema
                .column_with_name(name)
                .map(|(_, field)| field.clone())
                .ok_or_else(|| Error::internal(format!("files \"{}\" have no column \"{name}\"", self.pattern)))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Result<Vec<Field>>>()?));
        let path = self
            .paths
            .get(file)
            .ok_or_else(|| Error::internal(format!("files \"{}\": there is no file {file}", self.pattern)))?;
        match self.format {
            Format::Parquet => parquet::read_groups(&self.footers, path, groups, schema, batch_rows.max(1)),
            // A text file is one group.
            _ if groups != (0..1) => Err(Error::internal(format!(
                "\"{}\" is a text file of one row group; the row groups {groups:?} of it were asked for",
                path.display()
            ))),
            format => read(path, format, schema, batch_rows, self.with_errors),
        }
    }
}

/// Reads a file as the schema says.
fn read(path: &Path, format: Format, schema: SchemaRef, batch_rows: usize, with_errors: bool) -> Result<RecordBatches> {
    match format {
        Format::Parquet => {
            parquet::read_groups(&parquet::Footers::default(), path, 0..usize::MAX, schema, batch_rows.max(1))
        }
        Format::Csv | Format::JsonLines => infer::read(path, format, schema, batch_rows.max(1), with_errors),
    }
}

/// The schema and the rows of one file.
pub fn read_rows(path: &Path) -> Result<(SchemaRef, RecordBatches)> {
    let format = Format::of(path)?;
    let paths = [path.to_owned()];
    let (schema, _) = match format {
        Format::Parquet => parquet::summaries(&paths)?,
        Format::Csv | Format::JsonLines => infer::summaries(&paths, format, false)?,
    };
    Ok((schema.clone(), read(path, format, schema, BATCH_ROWS, false)?))
}
