//! The data files of a table's current snapshot, with their bounds, opened one by one.

use crate::columns::{
    ColumnSource, FileColumns, PartitionValues, name_mapping, partition_values, places_in_batch, repeated,
};
use crate::failure;
use crate::name::TableName;
use crate::object_files::is_local;
use crate::storage::path_of;
use crate::stored_file::{StoredFile, StoredFiles};
use crate::table;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{Bounds, Error, RecordBatches, Result, RowGroup, TimedFile, TimedFiles, guarded};
use iceberg::spec::{
    DataContentType, DataFile, DataFileFormat, Datum, Literal, ManifestContentType, NestedField, Operation,
    PrimitiveLiteral, PrimitiveType, SnapshotRef, TableMetadata,
};
use iceberg::table::Table;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The property that says up to where an archive holds its topic.
const FRONTIER: &str = "riverrun.frontier";
/// The summary of a snapshot that adds and removes no rows has this key.
pub const MARK: &str = "riverrun.mark";
/// The property that says which of the table's schemas its columns are of.
const CURRENT_SCHEMA: &str = "current-schema";
/// The property that says which snapshot is read; a table that nothing was committed to has none.
pub const SNAPSHOT: &str = "current-snapshot-id";
/// How many footers are kept: about as many files overlap at one time.
const FOOTERS_KEPT: usize = 8;

/// One snapshot of a table.
pub struct TableFiles {
    table: String,
    schema: SchemaRef,
    fields: Vec<Arc<NestedField>>,
    files: Vec<TimedFile>,
    // Where those files lie that are not on a disk of this machine.
    stores: StoredFiles,
    // Where the row groups of each file begin, by its manifest.
    starts: Vec<Vec<u64>>,
    // What the partition of each file says of its rows.
    partitions: Vec<PartitionValues>,
    // The ids of the columns of files that have none.
    mapping: Option<HashMap<String, i32>>,
    // The footers that were used last, so that a file of many row groups is not parsed again for each of them.
    footers: Mutex<VecDeque<(usize, ArrowReaderMetadata)>>,
    properties: HashMap<String, String>,
}

impl TableFiles {
    /// A snapshot of a table; without one there are no files.
    pub async fn load(name: &TableName, table: &Table, snapshot: Option<&SnapshotRef>) -> Result<TableFiles> {
        let metadata = table.metadata();
        let columns = metadata.current_schema().as_struct().fields();
        let mut properties = metadata.properties().clone();
        properties.insert(CURRENT_SCHEMA.to_owned(), metadata.current_schema_id().to_string());
        let mut data_files = Vec::new();
        if let Some(snapshot) = snapshot {
            properties.extend(snapshot.summary().additional_properties.clone());
            properties.insert(SNAPSHOT.to_owned(), snapshot.snapshot_id().to_string());
            data_files = live_files(name, table, snapshot).await?;
        }
        match frontier_at(name, metadata, snapshot)? {
            Some(frontier) => properties.insert(FRONTIER.to_owned(), frontier),
            None => properties.remove(FRONTIER),
        };
        let (mut files, mut partitions) = (Vec::with_capacity(data_files.len()), Vec::with_capacity(data_files.len()));
        for (file, spec) in &data_files {
            let partition = partition_values(name, metadata, *spec, file)?;
            files.push(timed_file(file, columns, &partition));
            partitions.push(partition);
        }
        Ok(TableFiles {
            table: name.to_string(),
            schema: table::plain_schema(&*table::arrow_schema(name, metadata.current_schema())?),
            fields: columns.to_vec(),
            stores: StoredFiles::of(table.file_io()),
            starts: data_files.iter().map(|(file, _)| group_starts(file)).collect(),
            partitions,
            mapping: name_mapping(name, metadata)?,
            footers: Mutex::default(),
            files,
            properties,
        })
    }

    fn failed(&self, file: usize, what: &str) -> Error {
        Error::corrupt(format!("table \"{}\": data file \"{}\" {what}", self.table, self.files[file].path))
    }

    /// Opens a file whose size is the one that the table says.
    fn open_file(&self, file: usize) -> Result<StoredFile> {
        let doing = || format!("table \"{}\": data file \"{}\" cannot be opened", self.table, self.files[file].path);
        let expected = self.files[file].bytes;
        let opened = self.stores.open(&self.files[file].path, expected, &doing)?;
        let bytes = opened.size().map_err(|error| failure::file(doing(), error))?;
        if bytes != expected {
            return Err(self.failed(file, &format!("has {bytes} bytes, expected {expected}; restore the file")));
        }
        Ok(opened)
    }

    fn broken(&self, file: usize, error: ParquetError) -> Error {
        self.failed(file, "is not whole or not Parquet; restore the file").with_source(error)
    }

    fn not_given(&self, file: usize, failure: Error) -> Error {
        failure.context(format!("table \"{}\": data file \"{}\" cannot be read", self.table, self.files[file].path))
    }

    /// The footer of an opened file. Data files never change.
    fn footer(&self, file: usize, opened: &StoredFile) -> Result<ArrowReaderMetadata> {
        let kept = || self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = kept().iter().find(|(other, _)| *other == file) {
            return Ok(known.clone());
        }
        // The types come from Parquet's own schema: what a writer noted of its Arrow types may differ per file.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let load = || {
            let read = ArrowReaderMetadata::load(opened, options).and_then(with_int96_as_micros);
            read.map_err(|error| match opened.take_failure() {
                Some(failure) => self.not_given(file, failure),
                None => self.broken(file, error),
            })
        };
        let read = guarded(|why| self.broken(file, ParquetError::General(why.to_owned())), load)?;
        let mut kept = kept();
        kept.truncate(FOOTERS_KEPT - 1);
        kept.push_front((file, read.clone()));
        Ok(read)
    }

    /// The row groups of the footer that lie in a range of those that the manifest tells.
    fn groups_between(&self, file: usize, range: &Range<usize>, footer: &ParquetMetaData) -> Result<Vec<usize>> {
        let (rows, expected) = (footer.file_metadata().num_rows(), self.files[file].rows);
        if u64::try_from(rows) != Ok(expected) {
            return Err(self.failed(file, &format!("has {rows} rows, expected {expected}; restore the file")));
        }
        let starts = &self.starts[file];
        // A row group belongs to the last start at or before it, so that each is in one range whatever a manifest says.
        let told = |group: &RowGroupMetaData| starts.partition_point(|&s| s <= start_of(group)).saturating_sub(1);
        let groups = footer.row_groups().iter().enumerate().filter(|(_, group)| range.contains(&told(group)));
        Ok(groups.map(|(index, _)| index).collect())
    }
}

/// The same footer, where timestamps of 96 bits are read as microseconds.
fn with_int96_as_micros(metadata: ArrowReaderMetadata) -> std::result::Result<ArrowReaderMetadata, ParquetError> {
    let leaves = metadata.metadata().file_metadata().schema_descr().columns();
    let is_int96 = |name: &str| {
        let leaf = leaves.iter().find(|leaf| matches!(leaf.path().parts(), [own] if own == name));
        leaf.is_some_and(|leaf| leaf.physical_type() == PhysicalType::INT96)
    };
    let Some(schema) = values::int96_as_micros(metadata.schema(), is_int96) else { return Ok(metadata) };
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(schema);
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
}

/// Where a row group begins in its file.
fn start_of(group: &RowGroupMetaData) -> u64 {
    let first = |column: &ColumnChunkMetaData| column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    group.columns().first().map_or(0, |column| u64::try_from(first(column)).unwrap_or(0))
}

impl TimedFiles for TableFiles {
    fn name(&self) -> &str {
        &self.table
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, key: &str) -> Option<String> {
        self.properties.get(key).cloned()
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let wanted = columns.iter().map(|column| {
            let index = self
                .schema
                .index_of(column)
                .map_err(|_| Error::invalid(format!("table \"{}\" has no column \"{column}\"", self.table)))?;
            Ok((&self.fields[index], self.schema.field(index).clone()))
        });
        let wanted = wanted.collect::<Result<Vec<(&Arc<NestedField>, Field)>>>()?;
        let opened = self.open_file(file)?;
        let (footer, reads) = (self.footer(file, &opened)?, opened.clone());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, footer);
        let own = FileColumns::new(builder.parquet_schema(), self.mapping.as_ref(), &self.partitions[file]);
        let sources = wanted.iter().map(|(column, field)| {
            let source = own.source(column, field);
            source.map_err(|why| {
                Error::invalid(format!("table \"{}\": data file \"{}\" {why}", self.table, self.files[file].path))
            })
        });
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let stored = sources.iter().filter_map(|source| match source {
            ColumnSource::Stored(root) => Some(*root),
            _ => None,
        });
        let mask = ProjectionMask::roots(builder.parquet_schema(), stored);
        let groups = self.groups_between(file, &groups, builder.metadata())?;
        reads.plan(builder.metadata(), &mask, &groups);
        let open = || {
            let builder = builder.with_projection(mask).with_row_groups(groups).with_batch_size(batch_rows.max(1));
            builder.build().map_err(|error| self.broken(file, error))
        };
        let reader = guarded(|why| self.broken(file, ParquetError::General(why.to_owned())), open)?;
        Ok(Box::new(FileRows {
            place: format!("table \"{}\": data file \"{}\"", self.table, self.files[file].path),
            schema: Arc::new(Schema::new(wanted.into_iter().map(|(_, field)| field).collect::<Vec<_>>())),
            places: places_in_batch(&sources),
            sources,
            reader: Some(reader),
            reads,
        }))
    }
}

/// Rows of one file, arranged as they were asked for.
struct FileRows {
    place: String,
    schema: SchemaRef,
    sources: Vec<ColumnSource>,
    // Where each column is in what the reader gives; `None` when the file does not store it.
    places: Vec<Option<usize>>,
    // What the reader reads.
    reads: StoredFile,
    // Until it has failed.
    reader: Option<ParquetRecordBatchReader>,
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let damaged = |why: Box<dyn std::error::Error + Send + Sync>| {
            if let Some(failure) = self.reads.take_failure() {
                return failure.context(format!("{} cannot be read", self.place));
            }
            Error::corrupt(format!("{} cannot be read; restore the file", self.place)).with_source(why)
        };
        let next = || reader.next().transpose().map_err(|error| damaged(error.into()));
        let batch = match guarded(|why| damaged(why.into()), next) {
            Ok(batch) => batch?,
            Err(error) => return Some(Err(error)),
        };
        self.reader = Some(reader);
        Some(self.arranged(&batch))
    }
}

impl FileRows {
    fn arranged(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.places.len());
        for (field, (source, place)) in self.schema.fields().iter().zip(self.sources.iter().zip(&self.places)) {
            columns.push(match (source, place) {
                (_, Some(place)) => self.typed(field, batch.column(*place))?,
                (ColumnSource::Constant(value), None) => repeated(Some(value), field, batch.num_rows())?,
                (_, None) => repeated(None, field, batch.num_rows())?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// A column that was widened since the file was written, has fewer bits than the table's types have, or is an instant
    /// with a zone, gets the table's type.
    fn typed(&self, field: &Field, column: &ArrayRef) -> Result<ArrayRef> {
        let (from, to) = (column.data_type(), field.data_type());
        if from == to {
            return Ok(column.clone());
        }
        if let (Some(given), DataType::Struct(fields)) = (column.as_struct_opt(), to) {
            let inner = fields.iter().map(|field| match given.column_by_name(field.name()) {
                Some(column) => self.typed(field, column),
                // The table's struct has gained it since.
                None => Ok(new_null_array(field.data_type(), column.len())),
            });
            let inner = inner.collect::<Result<Vec<_>>>()?;
            return Ok(Arc::new(StructArray::try_new(fields.clone(), inner, given.nulls().cloned())?));
        }
        let widened = matches!(
            (from, to),
            (DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16, DataType::Int32 | DataType::Int64)
                | (DataType::Int32 | DataType::UInt32, DataType::Int64)
                | (DataType::Float16, DataType::Float32 | DataType::Float64)
                | (DataType::Float32, DataType::Float64)
                | (DataType::Timestamp(..), DataType::Timestamp(..))
                | (DataType::Decimal128(..), DataType::Decimal128(..))
                | (DataType::Binary | DataType::LargeBinary | DataType::LargeUtf8, DataType::Binary | DataType::Utf8)
                | (DataType::Date32, DataType::Timestamp(..))
                | (DataType::FixedSizeBinary(_), DataType::Binary)
        );
        if !widened {
            return Err(Error::corrupt(format!(
                "{}: column \"{}\" has type {}, expected {}",
                self.place,
                field.name(),
                values::name(from),
                values::name(to)
            )));
        }
        Ok(cast(column, to)?)
    }
}

/// The data files that a snapshot holds, each with the id of its partition spec. Delete files are an error.
async fn live_files(name: &TableName, table: &Table, snapshot: &SnapshotRef) -> Result<Vec<(DataFile, i32)>> {
    let wrong = |what: &str, error| failure::iceberg(format!("table \"{name}\": {what} cannot be read"), error);
    let list = table.manifest_list_reader(snapshot).load().await;
    let list = list.map_err(|error| wrong(&format!("manifest list \"{}\"", snapshot.manifest_list()), error))?;
    let mut files = Vec::new();
    for entry in list.entries() {
        let manifest = entry.load_manifest(table.file_io()).await;
        let manifest = manifest.map_err(|error| wrong(&format!("manifest \"{}\"", entry.manifest_path), error))?;
        for file in manifest.entries().iter().filter(|entry| entry.is_alive()).map(|entry| entry.data_file()) {
            let deletes = entry.content == ManifestContentType::Deletes;
            if deletes || file.content_type() != DataContentType::Data {
                return Err(Error::invalid(format!(
                    "table \"{name}\" has delete files, which are not supported yet; rewrite the table without them \
                     (\"{}\")",
                    file.file_path()
                )));
            }
            if file.file_format() != DataFileFormat::Parquet {
                return Err(Error::invalid(format!(
                    "table \"{name}\": data file \"{}\" has format {}, expected parquet",
                    file.file_path(),
                    file.file_format()
                )));
            }
            files.push((file.clone(), entry.partition_spec_id));
        }
    }
    Ok(files)
}

fn timed_file(file: &DataFile, columns: &[Arc<NestedField>], partition: &PartitionValues) -> TimedFile {
    let location = file.file_path();
    TimedFile {
        path: if is_local(location) { path_of(location).display().to_string() } else { location.to_owned() },
        rows: file.record_count(),
        bytes: file.file_size_in_bytes(),
        bounds: columns
            .iter()
            .filter_map(|column| {
                let bounds = bounds_of(file, column).or_else(|| bounds_in(partition, column))?;
                Some((column.name.clone(), bounds))
            })
            .collect(),
        groups: row_groups(file),
    }
}

/// Where the row groups of a file begin, as its manifest has it; empty when it does not say so in sequence.
fn group_starts(file: &DataFile) -> Vec<u64> {
    let starts = file.split_offsets().unwrap_or_default().iter().map(|&start| u64::try_from(start).ok());
    let starts = starts.collect::<Option<Vec<u64>>>().unwrap_or_default();
    if starts.is_sorted_by(|a, b| a < b) { starts } else { Vec::new() }
}

/// The row groups of a file. How many rows each has and between which bounds stands only in the footers of the files,
/// which are not read before the rows are.
fn row_groups(file: &DataFile) -> Vec<RowGroup> {
    match group_starts(file).len() {
        0 | 1 => vec![RowGroup { rows: Some(file.record_count()), bounds: Vec::new() }],
        groups => vec![RowGroup { rows: None, bounds: Vec::new() }; groups],
    }
}

/// The bounds of a timestamp column as the manifest has them; `None` when it lacks one of the three numbers.
fn bounds_of(file: &DataFile, column: &NestedField) -> Option<Bounds> {
    let timestamp =
        matches!(column.field_type.as_primitive_type(), Some(PrimitiveType::Timestamp | PrimitiveType::Timestamptz));
    let micros = |datum: &Datum| match datum.literal() {
        PrimitiveLiteral::Long(micros) if timestamp => Some(*micros),
        _ => None,
    };
    let nulls = match file.null_value_counts().get(&column.id) {
        Some(nulls) => *nulls,
        None if column.required => 0,
        None => return None,
    };
    Some(Bounds {
        min: file.lower_bounds().get(&column.id).and_then(micros)?,
        max: file.upper_bounds().get(&column.id).and_then(micros)?,
        nulls,
    })
}

/// The bounds of a timestamp column whose one value the partition of its file tells.
fn bounds_in(partition: &PartitionValues, column: &NestedField) -> Option<Bounds> {
    let timestamp =
        matches!(column.field_type.as_primitive_type(), Some(PrimitiveType::Timestamp | PrimitiveType::Timestamptz));
    let (_, value) = partition.iter().find(|(id, _)| *id == column.id).filter(|_| timestamp)?;
    match value {
        Some(Literal::Primitive(PrimitiveLiteral::Long(micros))) => {
            Some(Bounds { min: *micros, max: *micros, nulls: 0 })
        }
        _ => None,
    }
}

/// Up to where an archive holds its topic; `None` when the table is not an archive.
pub fn frontier_of(name: &TableName, metadata: &TableMetadata) -> Result<Option<String>> {
    frontier_at(name, metadata, metadata.current_snapshot())
}

fn frontier_at(name: &TableName, metadata: &TableMetadata, snapshot: Option<&SnapshotRef>) -> Result<Option<String>> {
    match snapshot {
        Some(snapshot) => frontier(name, metadata, snapshot),
        // An archive of an empty topic says so when it is made.
        None => Ok(metadata.properties().get(FRONTIER).cloned()),
    }
}

/// The frontier of the nearest snapshot that has one, if every later snapshot keeps the rows as they are.
///
/// `None` when the table is not an archive. Rows that something else than the archive has added or removed are an
/// error, because the frontier does not speak for them.
fn frontier(name: &TableName, metadata: &TableMetadata, current: &SnapshotRef) -> Result<Option<String>> {
    let mut next = Some(current.clone());
    let mut foreign = None;
    while let Some(snapshot) = next {
        if let Some(frontier) = snapshot.summary().additional_properties.get(FRONTIER) {
            let Some((id, operation)) = foreign else { return Ok(Some(frontier.clone())) };
            return Err(Error::invalid(format!(
                "table \"{name}\" is an archive, and snapshot {id} ({operation}) was not written by the archive job; \
                 roll the table back to snapshot {}",
                snapshot.snapshot_id()
            )));
        }
        let is_mark = snapshot.summary().additional_properties.contains_key(MARK);
        if snapshot.summary().operation != Operation::Replace && !is_mark && foreign.is_none() {
            foreign = Some((snapshot.snapshot_id(), snapshot.summary().operation.as_str().to_owned()));
        }
        next = snapshot.parent_snapshot_id().and_then(|id| metadata.snapshot_by_id(id)).cloned();
    }
    // The snapshot with the frontier has expired: the property alone cannot say whether rows came after it.
    match (metadata.properties().get(FRONTIER), foreign) {
        (Some(frontier), None) => Ok(Some(frontier.clone())),
        (Some(_), Some((id, operation))) => Err(Error::invalid(format!(
            "table \"{name}\" is an archive, and no snapshot before {id} ({operation}) holds its frontier; archive \
             the topic into a new table"
        ))),
        (None, _) => Ok(None),
    }
}
