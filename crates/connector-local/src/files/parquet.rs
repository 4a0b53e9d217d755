//! Parquet files: what their footers say, their rows, and a file of rows.

use super::format::FileSummary;
use super::projection::{plain_type, project};
use crate::disk::{io_error, sync_folder};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Bounds, Error, RecordBatches, Result, RowGroup};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::statistics::Statistics;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// How many footers are kept: about as many files overlap at one time.
const FOOTERS_KEPT: usize = 8;

/// The footers that were used last, so that a file of many row groups is not parsed again for each of them.
#[derive(Default)]
pub(super) struct Footers(Mutex<VecDeque<(Stamp, ArrowReaderMetadata)>>);

/// What tells whether a file is still the one whose footer was read.
#[derive(PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Footers {
    fn of(&self, path: &Path) -> Result<ArrowReaderMetadata> {
        let metadata = std::fs::metadata(path).map_err(|e| io_error("open", path, e))?;
        let stamp = Stamp { path: path.to_owned(), bytes: metadata.len(), modified: metadata.modified().ok() };
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = kept().iter().find(|(other, _)| *other == stamp) {
            return Ok(known.clone());
        }
        let (_, read) = footer(path)?;
        let mut kept = kept();
        kept.truncate(FOOTERS_KEPT - 1);
        kept.push_front((stamp, read.clone()));
        Ok(read)
    }
}

fn footer(path: &Path) -> Result<(File, ArrowReaderMetadata)> {
    let file = File::open(path).map_err(|e| io_error("open", path, e))?;
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|e| {
        Error::corrupt(format!("\"{}\" is no Parquet file, or its footer is damaged", path.display())).with_source(e)
    })?;
    Ok((file, metadata))
}

/// The schema of all files, which must agree, and the rows and bounds of each.
pub(super) fn summaries(paths: &[PathBuf]) -> Result<(SchemaRef, Vec<FileSummary>)> {
    let mut first: Option<(&Path, SchemaRef)> = None;
    let mut summaries = Vec::new();
    for path in paths {
        let (_, metadata) = footer(path)?;
        let fields = metadata.schema().fields().iter();
        // Whether a file has NULLs says nothing about the next one.
        let fields = fields.map(|field| Field::new(field.name(), plain_type(field.data_type()), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        match &first {
            None => first = Some((path, schema)),
            Some((other, expected)) => agree(other, expected, path, &schema)?,
        }
        let rows = metadata.metadata().row_groups().iter().map(|group| group.num_rows() as u64).sum();
        let (bounds, groups) = bounds(&metadata);
        summaries.push(FileSummary { path: path.clone(), rows, bounds, groups });
    }
    let schema = first.map_or_else(|| Arc::new(Schema::empty()), |(_, schema)| schema);
    Ok((schema, summaries))
}

/// Columns may come in another order, but not with other names or types.
fn agree(first: &Path, expected: &Schema, other: &Path, found: &Schema) -> Result<()> {
    let differ = |what: String| {
        Err(Error::invalid(format!("\"{}\" and \"{}\" differ: {what}", first.display(), other.display())))
    };
    for field in expected.fields() {
        match found.column_with_name(field.name()) {
            None => return differ(format!("the second has no column \"{}\"", field.name())),
            Some((_, has)) if has.data_type() != field.data_type() => {
                let (expected, found) = (field.data_type(), has.data_type());
                return differ(format!(
                    "column \"{}\" is {expected} in the first, {found} in the second",
                    field.name()
                ));
            }
            Some(_) => {}
        }
    }
    match found.fields().iter().find(|field| expected.column_with_name(field.name()).is_none()) {
        Some(field) => differ(format!("the first has no column \"{}\"", field.name())),
        None => Ok(()),
    }
}

/// The bounds of the timestamp columns for which every row group records them, and the row groups with their own.
fn bounds(metadata: &ArrowReaderMetadata) -> (Vec<(String, Bounds)>, Vec<RowGroup>) {
    let groups = metadata.metadata().row_groups();
    let leaves = metadata.metadata().file_metadata().schema_descr().columns();
    let of_group = |group: &RowGroupMetaData| RowGroup { rows: Some(group.num_rows() as u64), bounds: Vec::new() };
    let mut told: Vec<RowGroup> = groups.iter().map(of_group).collect();
    let mut all = Vec::new();
    for field in metadata.schema().fields() {
        let leaf = leaves.iter().position(|leaf| matches!(leaf.path().parts(), [name] if name == field.name()));
        let (Some(leaf), DataType::Timestamp(unit, _)) = (leaf, field.data_type()) else { continue };
        let own: Vec<Option<GroupBounds>> = groups.iter().map(|group| group_bounds(group, leaf, *unit)).collect();
        for (group, own) in told.iter_mut().zip(&own) {
            if let Some(GroupBounds::Values(bounds)) = own {
                group.bounds.push((field.name().clone(), *bounds));
            }
        }
        if let Some(bounds) = own.into_iter().collect::<Option<Vec<_>>>().and_then(|own| file_bounds(&own)) {
            all.push((field.name().clone(), bounds));
        }
    }
    if told.is_empty() {
        // A file without rows is one group without rows.
        told.push(RowGroup { rows: Some(0), bounds: Vec::new() });
    }
    (all, told)
}

/// What the statistics of a row group tell of a timestamp column.
enum GroupBounds {
    Values(Bounds),
    /// So many NULLs and no value.
    Nulls(u64),
}

fn group_bounds(group: &RowGroupMetaData, leaf: usize, unit: TimeUnit) -> Option<GroupBounds> {
    if group.num_rows() == 0 {
        return Some(GroupBounds::Nulls(0));
    }
    let statistics = group.column(leaf).statistics()?;
    let nulls = statistics.null_count_opt()?;
    if nulls == group.num_rows() as u64 {
        return Some(GroupBounds::Nulls(nulls));
    }
    let Statistics::Int64(statistics) = statistics else { return None };
    let (min, max) = (micros(*statistics.min_opt()?, unit)?, micros(*statistics.max_opt()?, unit)?);
    Some(GroupBounds::Values(Bounds { min, max, nulls }))
}

/// The bounds of a file from those of all its row groups; `None` when there is no value.
fn file_bounds(groups: &[GroupBounds]) -> Option<Bounds> {
    let (mut all, mut nulls): (Option<Bounds>, u64) = (None, 0);
    for group in groups {
        match group {
            GroupBounds::Nulls(rows) => nulls += rows,
            GroupBounds::Values(own) => {
                let known = all.unwrap_or(*own);
                all = Some(Bounds { min: known.min.min(own.min), max: known.max.max(own.max), nulls: 0 });
                nulls += own.nulls;
            }
        }
    }
    all.map(|bounds| Bounds { nulls, ..bounds })
}

/// As a cast does it, so that bounds and values agree.
fn micros(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(value / 1_000),
    }
}

/// The columns of a schema, one row group after the other; row groups that the file lacks have no rows.
pub(super) fn read_groups(
    footers: &Footers,
    path: &Path,
    groups: Range<usize>,
    schema: SchemaRef,
    batch_rows: usize,
) -> Result<RecordBatches> {
    let metadata = footers.of(path)?;
    let roots: Vec<usize> =
        schema.fields().iter().filter_map(|field| metadata.schema().index_of(field.name()).ok()).collect();
    let path = path.to_owned();
    let groups = groups.start..groups.end.min(metadata.metadata().num_row_groups());
    let batches = groups.flat_map(move |group| -> RecordBatches {
        match read_group(&path, &metadata, group, &roots, &schema, batch_rows) {
            Ok(batches) => batches,
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    });
    Ok(Box::new(batches.scan(false, |failed, batch| {
        let stop = std::mem::replace(failed, batch.is_err());
        (!stop).then_some(batch)
    })))
}

fn read_group(
    path: &Path,
    metadata: &ArrowReaderMetadata,
    group: usize,
    roots: &[usize],
    schema: &SchemaRef,
    batch_rows: usize,
) -> Result<RecordBatches> {
    let (path, schema) = (path.to_owned(), schema.clone());
    let damaged = move |path: &Path, error: Box<dyn std::error::Error + Send + Sync>| {
        Error::corrupt(format!("\"{}\": row group {group} cannot be read", path.display())).with_source(error)
    };
    let file = File::open(&path).map_err(|e| io_error("open", &path, e))?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone());
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
    let reader = builder
        .with_projection(mask)
        .with_row_groups(vec![group])
        .with_batch_size(batch_rows)
        .build()
        .map_err(|e| damaged(&path, e.into()))?;
    Ok(Box::new(reader.map(move |batch| project(&batch.map_err(|e| damaged(&path, e.into()))?, &schema, &path))))
}

/// Writes rows as a Parquet file, which is there as a whole or not at all, and returns how many rows it has. A file
/// that was there is replaced.
pub fn write_parquet(path: &Path, schema: SchemaRef, batches: RecordBatches) -> Result<u64> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}.unfinished", uuid::Uuid::new_v4().simple()));
    let unfinished = PathBuf::from(unfinished);
    let written = write(&unfinished, schema, batches).and_then(|rows| {
        std::fs::rename(&unfinished, path).map_err(|e| io_error("write", path, e))?;
        path.parent().map_or(Ok(()), |folder| {
            sync_folder(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        })?;
        Ok(rows)
    });
    if written.is_err() {
        // What is left of it would only take up space; the error that matters is the first one.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

fn write(path: &Path, schema: SchemaRef, batches: RecordBatches) -> Result<u64> {
    let failed = |e: ParquetError| {
        let other = |e: Box<dyn std::error::Error + Send + Sync>| {
            Error::unavailable(format!("cannot write \"{}\"", path.display())).with_source(e)
        };
        match e {
            ParquetError::External(cause) => match cause.downcast::<std::io::Error>() {
                Ok(error) => io_error("write", path, *error),
                Err(cause) => other(cause),
            },
            e => other(e.into()),
        }
    };
    let file = File::create(path).map_err(|e| io_error("make", path, e))?;
    let compression = Compression::ZSTD(ZstdLevel::default());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).map_err(failed)?;
    let mut rows = 0;
    for batch in batches {
        let batch: RecordBatch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(failed)?;
    }
    let file = writer.into_inner().map_err(failed)?;
    file.sync_all().map_err(|e| io_error("sync", path, e))?;
    Ok(rows)
}
