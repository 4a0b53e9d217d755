//! One Parquet file of a table while it is written, and what the manifest says of it.

use crate::bounds;
use crate::encoding;
use crate::failure;
use crate::file_settings::{FileSettings, Metrics};
use crate::object_files::PART_BYTES;
use crate::storage::{create_folder, sync_folder};
use crate::uuid_columns::with_uuids;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, Result};
use iceberg::io::FileIO;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, Datum, NestedField, PrimitiveType, Schema, Struct, Type,
};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Rows are gathered to this number before they are encoded, as encoding has a cost per call.
const ENCODE_ROWS_MIN: usize = 8 << 10;
/// Or to this size, where rows are large.
const ENCODE_BYTES_MIN: usize = 8 << 20;

/// A Parquet file that is being written. Nobody sees it before a commit names it.
pub struct ParquetFile {
    path: PathBuf,
    // Until the first rows, which tell how it is encoded.
    file: Option<File>,
    writer: Option<ArrowWriter<File>>,
    schema: SchemaRef,
    // Of the table.
    columns: Arc<Schema>,
    settings: Arc<FileSettings>,
    gathered: Vec<RecordBatch>,
    gathered_rows: usize,
    gathered_bytes: usize,
    closed: bool,
    // Where it is put when it is whole; it is on a disk only until then.
    upload: Option<Upload>,
}

/// A store that takes files which were written on a disk.
#[derive(Clone)]
pub struct Upload {
    pub file_io: FileIO,
    // That of the warehouse.
    pub runtime: Handle,
}

impl Upload {
    /// Puts a file of the disk where a location says.
    fn put(&self, from: &Path, location: &str) -> Result<()> {
        let failed = |error| failure::file(format!("cannot read \"{}\"", from.display()), error);
        let stored = |error| failure::iceberg(format!("cannot write \"{location}\""), error);
        let mut file = File::open(from).map_err(failed)?;
        let send = async {
            let mut to = self.file_io.new_output(location).map_err(stored)?.writer().await.map_err(stored)?;
            loop {
                let mut part = Vec::with_capacity(PART_BYTES);
                if (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).map_err(failed)? == 0 {
                    return to.close().await.map_err(stored);
                }
                to.write(part.into()).await.map_err(stored)?;
            }
        };
        self.runtime.block_on(send)
    }
}

/// What a table says of a file beside what the file says of itself.
pub struct FilePlacement<'a> {
    pub location: String,
    pub schema: &'a Schema,
    pub partition: Struct,
    pub spec_id: i32,
    pub sort_order_id: Option<i32>,
}

impl ParquetFile {
    /// Begins a file of rows of a schema whose fields carry their ids, which are those of the table's columns.
    pub fn create(
        path: PathBuf,
        (schema, columns): (SchemaRef, Arc<Schema>),
        settings: Arc<FileSettings>,
        upload: Option<Upload>,
    ) -> Result<ParquetFile> {
        let failed = |error| failure::file(format!("cannot create \"{}\"", path.display()), error);
        if let Some(folder) = path.parent() {
            create_folder(folder).map_err(failed)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(failed)?;
        Ok(ParquetFile {
            path,
            file: Some(file),
            writer: None,
            schema,
            columns,
            settings,
            gathered: Vec::new(),
            gathered_rows: 0,
            gathered_bytes: 0,
            closed: false,
            upload,
        })
    }

    /// Adds rows.
    pub fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.gathered_rows += rows.num_rows();
        for column in rows.columns() {
            self.gathered_bytes += column.to_data().get_slice_memory_size()?;
        }
        self.gathered.push(rows);
        let enough = self.gathered_rows >= ENCODE_ROWS_MIN || self.gathered_bytes >= ENCODE_BYTES_MIN;
        if enough { self.encode() } else { Ok(()) }
    }

    /// About how many bytes there are of it, on disk and in memory.
    pub fn bytes(&self) -> usize {
        let begun = self.writer.as_ref().map_or(0, |writer| writer.bytes_written() + writer.in_progress_size());
        begun + self.gathered_bytes
    }

    /// About how many bytes of it are in memory.
    pub fn memory(&self) -> usize {
        self.writer.as_ref().map_or(0, ArrowWriter::memory_size) + self.gathered_bytes
    }

    /// Writes what is in memory as a row group.
    pub fn end_row_group(&mut self) -> Result<()> {
        self.encode()?;
        let path = self.path.clone();
        self.writer.as_mut().map_or(Ok(()), |writer| writer.flush().map_err(|error| failed("write", &path, error)))
    }

    /// Whether the file is as large as files of its table should be.
    pub fn is_full(&self) -> bool {
        self.bytes() >= self.settings.file_bytes
    }

    fn encode(&mut self) -> Result<()> {
        let rows = match self.gathered.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            several => arrow::compute::concat_batches(&self.schema, several)?,
        };
        self.gathered.clear();
        (self.gathered_rows, self.gathered_bytes) = (0, 0);
        let path = self.path.clone();
        self.writer(&rows)?.write(&rows).map_err(|error| failed("write", &path, error))
    }

    /// The writer of the file, which begins with these rows unless it has begun.
    fn writer(&mut self, rows: &RecordBatch) -> Result<&mut ArrowWriter<File>> {
        if let Some(file) = self.file.take() {
            let begin = |file| {
                let mut options =
                    ArrowWriterOptions::new().with_properties(encoding::properties(rows, &self.settings)?);
                if let Some(schema) = with_uuids(&self.schema, &self.columns)? {
                    options = options.with_parquet_schema(schema);
                }
                ArrowWriter::try_new_with_options(file, self.schema.clone(), options.with_skip_arrow_metadata(true))
            };
            self.writer = Some(begin(file).map_err(|error| failed("begin", &self.path, error))?);
        }
        let gone = || Error::internal(format!("\"{}\" could not be begun, and is written to", self.path.display()));
        self.writer.as_mut().ok_or_else(gone)
    }

    /// Ends the file, makes it durable, and says what is in it.
    pub fn close(mut self, placed: FilePlacement<'_>) -> Result<DataFile> {
        self.encode()?;
        let (path, upload, settings) = (self.path.clone(), self.upload.clone(), self.settings.clone());
        let writer = self.writer(&RecordBatch::new_empty(self.schema.clone()))?;
        let metadata = writer.finish().map_err(|error| failed("end", &path, error))?;
        let failed = |error| failure::file(format!("cannot make \"{}\" durable", path.display()), error);
        let file = writer.inner();
        let bytes = file.metadata().map_err(failed)?.len();
        if let Some(upload) = upload {
            upload.put(&path, &placed.location)?;
            // It is in the store: the one on the disk goes when this is dropped.
            return data_file(&metadata, bytes, placed, &settings);
        }
        file.sync_all().map_err(failed)?;
        if let Some(folder) = path.parent() {
            sync_folder(folder).map_err(failed)?;
        }
        self.closed = true;
        data_file(&metadata, bytes, placed, &settings)
    }
}

impl Drop for ParquetFile {
    fn drop(&mut self) {
        if !self.closed {
            // No committable names the file, so one that stays costs space and nothing else.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(doing: &str, path: &Path, error: ParquetError) -> Error {
    failed_parquet(format!("cannot {doing} \"{}\"", path.display()), error)
}

/// An error of the parquet library; a failed write to the file below it is told as one.
pub fn failed_parquet(doing: String, error: ParquetError) -> Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
            Ok(error) => failure::file(doing, *error),
            Err(cause) => Error::internal(doing).with_source(cause),
        },
        other => Error::internal(doing).with_source(other),
    }
}

fn data_file(
    metadata: &ParquetMetaData,
    bytes: u64,
    placed: FilePlacement<'_>,
    settings: &FileSettings,
) -> Result<DataFile> {
    let measures = ColumnMeasures::of(metadata, placed.schema, settings)?;
    let offsets = metadata.row_groups().iter().filter_map(RowGroupMetaData::file_offset).collect();
    let mut file = DataFileBuilder::default();
    file.content(DataContentType::Data)
        .file_path(placed.location)
        .file_format(DataFileFormat::Parquet)
        .partition(placed.partition)
        .partition_spec_id(placed.spec_id)
        .record_count(metadata.file_metadata().num_rows() as u64)
        .file_size_in_bytes(bytes)
        .column_sizes(measures.sizes)
        .value_counts(measures.values)
        .null_value_counts(measures.nulls)
        .lower_bounds(measures.lower)
        .upper_bounds(measures.upper)
        .split_offsets(Some(offsets));
    if let Some(id) = placed.sort_order_id {
        file.sort_order_id(id);
    }
    file.build().map_err(|error| Error::internal("a data file cannot be described").with_source(error.to_string()))
}

/// What a manifest says of the columns of a file, by field id.
#[derive(Default)]
struct ColumnMeasures {
    sizes: HashMap<i32, u64>,
    values: HashMap<i32, u64>,
    nulls: HashMap<i32, u64>,
    lower: HashMap<i32, Datum>,
    upper: HashMap<i32, Datum>,
}

impl ColumnMeasures {
    fn of(metadata: &ParquetMetaData, schema: &Schema, settings: &FileSettings) -> Result<ColumnMeasures> {
        let mut measures = ColumnMeasures::default();
        let mut leaves = Vec::new();
        schema.as_struct().fields().iter().for_each(|field| add_leaves(field, true, &mut leaves));
        for (column, leaf) in leaves.into_iter().enumerate() {
            let Some((field, primitive)) = leaf else { continue };
            let told = settings.metrics(schema.name_by_field_id(field.id).unwrap_or(&field.name));
            if told == Metrics::Nothing {
                continue;
            }
            let mut bounds = Some((None, None));
            for group in metadata.row_groups() {
                let chunk = group.column(column);
                let values = chunk.num_values() as u64;
                let nulls = chunk.statistics().and_then(Statistics::null_count_opt);
                *measures.sizes.entry(field.id).or_default() += chunk.compressed_size() as u64;
                *measures.values.entry(field.id).or_default() += values;
                *measures.nulls.entry(field.id).or_default() += nulls.unwrap_or_default();
                if nulls == Some(values) {
                    continue;
                }
                let of_group = chunk.statistics().and_then(|statistics| bounds_of(primitive, statistics));
                bounds = bounds
                    .zip(of_group)
                    .map(|((low, high), (least, greatest))| (Some(lesser(low, least)), Some(greater(high, greatest))));
            }
            let Some((Some(low), Some(high))) = bounds else { continue };
            let (low, high) = match told {
                Metrics::Nothing | Metrics::Counts => continue,
                Metrics::Truncated(length) => (bounds::lower(low, length), bounds::upper(high, length)),
                Metrics::Full => (low, Some(high)),
            };
            measures.lower.insert(field.id, low);
            measures.upper.extend(high.map(|high| (field.id, high)));
        }
        Ok(measures)
    }
}

/// Adds the columns in which Parquet stores a field; what is inside of lists and maps is not measured.
fn add_leaves<'f>(
    field: &'f NestedField,
    measured: bool,
    leaves: &mut Vec<Option<(&'f NestedField, &'f PrimitiveType)>>,
) {
    match &*field.field_type {
        Type::Primitive(primitive) => leaves.push(measured.then_some((field, primitive))),
        Type::Struct(of) => of.fields().iter().for_each(|field| add_leaves(field, measured, leaves)),
        Type::List(of) => add_leaves(&of.element_field, false, leaves),
        Type::Map(of) => {
            add_leaves(&of.key_field, false, leaves);
            add_leaves(&of.value_field, false, leaves);
        }
    }
}

fn lesser(a: Option<Datum>, b: Datum) -> Datum {
    match a {
        Some(a) if a <= b => a,
        _ => b,
    }
}

fn greater(a: Option<Datum>, b: Datum) -> Datum {
    match a {
        Some(a) if a >= b => a,
        _ => b,
    }
}

/// The bounds of one column chunk; `None` when they are not known, as when every number is NaN.
fn bounds_of(primitive: &PrimitiveType, statistics: &Statistics) -> Option<(Datum, Datum)> {
    fn both<T>(low: Option<&T>, high: Option<&T>, datum: impl Fn(&T) -> Option<Datum>) -> Option<(Datum, Datum)> {
        Some((datum(low?)?, datum(high?)?))
    }
    match (primitive, statistics) {
        (PrimitiveType::Boolean, Statistics::Boolean(s)) => both(s.min_opt(), s.max_opt(), |v| Some(Datum::bool(*v))),
        (PrimitiveType::Int, Statistics::Int32(s)) => both(s.min_opt(), s.max_opt(), |v| Some(Datum::int(*v))),
        (PrimitiveType::Date, Statistics::Int32(s)) => both(s.min_opt(), s.max_opt(), |v| Some(Datum::date(*v))),
        (PrimitiveType::Long, Statistics::Int64(s)) => both(s.min_opt(), s.max_opt(), |v| Some(Datum::long(*v))),
        (PrimitiveType::Timestamp, Statistics::Int64(s)) => {
            both(s.min_opt(), s.max_opt(), |v| Some(Datum::timestamp_micros(*v)))
        }
        (PrimitiveType::Timestamptz, Statistics::Int64(s)) => {
            both(s.min_opt(), s.max_opt(), |v| Some(Datum::timestamptz_micros(*v)))
        }
        (PrimitiveType::Float, Statistics::Float(s)) => both(s.min_opt(), s.max_opt(), |v| Some(Datum::float(*v))),
        (PrimitiveType::Double, Statistics::Double(s)) => both(s.min_opt(), s.max_opt(), |v| Some(Datum::double(*v))),
        (PrimitiveType::String, Statistics::ByteArray(s)) => {
            both(s.min_opt(), s.max_opt(), |v| v.as_utf8().ok().map(Datum::string))
        }
        (PrimitiveType::Binary, Statistics::ByteArray(s)) => {
            both(s.min_opt(), s.max_opt(), |v| Some(Datum::binary(v.data().iter().copied())))
        }
        _ => None,
    }
}
