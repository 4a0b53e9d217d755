//! Files in folders as history: `data/*.parquet`, and CSV and JSON lines the same way.

mod cell;
mod column;
mod glob;
mod infer;
mod object;
mod parquet;
mod rows;

use crate::errors::io_error;
use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Bounds, Error, RecordBatches, Result, RowGroup, TimedFile, TimedFiles};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::parquet::write_parquet;

const BATCH_ROWS: usize = 8192;

/// How rows lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    Csv,
    JsonLines,
}

impl Format {
    /// The format that a file's name tells.
    fn of(path: &Path) -> Result<Format> {
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
struct Looked {
    path: PathBuf,
    rows: u64,
    bounds: Vec<(String, Bounds)>,
    // Invariant: never empty.
    groups: Vec<RowGroup>,
}

/// The files that match a pattern, with one schema.
///
/// Parquet files tell their schema and the bounds of their timestamps in their footers, and must agree on the
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

/// The columns of rows that cannot be read: the reason, and what stands there.
const ERROR: &str = "_error";
const RAW: &str = "_raw";

impl Files {
    /// Finds the files that a pattern such as `data/*.parquet` names, in a folder unless the pattern begins at the
    /// root. `*` and `?` stand for characters within one step of a path. An error when nothing matches.
    pub fn open(pattern: &str, folder: &Path) -> Result<Files> {
        Files::look(pattern, folder, false)
    }

    /// The same, where rows that cannot be read come with the reason in a column `_error`, what stands there in `_raw`,
    /// and NULL in columns that have no value. Values of Parquet files come as they are, whatever types are declared.
    pub fn open_with_errors(pattern: &str, folder: &Path) -> Result<Files> {
        let mut files = Files::look(pattern, folder, true)?;
        if files.format != Format::Parquet {
            let hidden = [Field::new(ERROR, DataType::Utf8, true), Field::new(RAW, DataType::Binary, true)];
            let fields = files.schema.fields().iter().map(|field| field.as_ref().clone()).chain(hidden);
            files.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        }
        Ok(files)
    }

    fn look(pattern: &str, folder: &Path, with_errors: bool) -> Result<Files> {
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
        let (schema, looked) = match format {
            Format::Parquet => parquet::look(&paths)?,
            Format::Csv | Format::JsonLines => infer::look(&paths, format, with_errors)?,
        };
        let files = looked.into_iter().map(described).collect::<Result<_>>()?;
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

fn described(looked: Looked) -> Result<TimedFile> {
    let metadata = std::fs::metadata(&looked.path).map_err(|e| io_error("look at", &looked.path, e))?;
    let path = looked.path.display().to_string();
    let Looked { rows, bounds, groups, .. } = looked;
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
        Format::Parquet => parquet::look(&paths)?,
        Format::Csv | Format::JsonLines => infer::look(&paths, format, false)?,
    };
    Ok((schema.clone(), read(path, format, schema, BATCH_ROWS, false)?))
}

/// The type that values of a file's type have once they are read.
fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, _) | DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

/// The columns of a schema out of a batch, by name; those that it lacks are NULL.
fn project(batch: &RecordBatch, schema: &SchemaRef, path: &Path) -> Result<RecordBatch> {
    let by_name: BTreeMap<_, _> = batch.schema_ref().fields().iter().map(|f| f.name()).zip(batch.columns()).collect();
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema.fields().iter().map(|field| match by_name.get(field.name()) {
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) => {
            // Through the type without a zone, so that an instant keeps its UTC time.
            let plain = plain_type(column.data_type());
            cast_with_options(column, &plain, &strict)
                .and_then(|column| cast_with_options(&column, field.data_type(), &strict))
                .map_err(|e| {
                    Error::data(format!(
                        "\"{}\": a value of column \"{}\" ({}) is no {}",
                        path.display(),
                        field.name(),
                        column.data_type(),
                        field.data_type()
                    ))
                    .with_source(e)
                })
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::data(format!("\"{}\" does not fit the declared columns", path.display())).with_source(e))
}
