//! Footers of Parquet files: the last ones that were read, and the bounds of times that they tell.

use crate::disk::{file_bytes, io_error};
use arrow::datatypes::{DataType, TimeUnit};
use dataflow::{Bounds, Error, Result, RowGroup, guarded};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use values::{int96_as_micros, micros_of};

/// How many footers are kept: about as many files overlap at one time.
const FOOTERS_KEPT: usize = 8;

/// What is wrong with stored bytes.
pub(super) type Damage = Box<dyn std::error::Error + Send + Sync>;

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
    pub fn of(&self, path: &Path) -> Result<ArrowReaderMetadata> {
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

/// A file, opened, and its footer.
pub(super) fn footer(path: &Path) -> Result<(File, ArrowReaderMetadata)> {
    let file = File::open(path).map_err(|e| io_error("open", path, e))?;
    if file_bytes(path)? == 0 {
        return Err(Error::corrupt(format!(
            "\"{}\" is empty, which no Parquet file is: write it again, or take it away",
            path.display()
        )));
    }
    let damaged = |why: Damage| {
        Error::corrupt(format!("\"{}\" is not a Parquet file, or its footer is damaged", path.display()))
            .with_source(why)
    };
    let load = || {
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new());
        let metadata = metadata.and_then(with_int96_as_micros).map_err(|e| damaged(told(e)))?;
        check_groups(metadata.metadata().row_groups()).map_err(|why| damaged(why.into()))?;
        Ok(metadata)
    };
    let metadata = guarded(|why| damaged(why.into()), load)?;
    Ok((file, metadata))
}

/// What the library says, but for what it says of what a writer noted of its types, which are words of its own code.
fn told(error: ParquetError) -> Damage {
    match error.to_string() {
        text if text.contains("ARROW:schema") => "what its writer noted of its types (ARROW:schema) is damaged".into(),
        _ => error.into(),
    }
}

/// Checks what the library takes as it is: numbers of rows.
fn check_groups(groups: &[RowGroupMetaData]) -> std::result::Result<(), String> {
    let mut all: i64 = 0;
    for (at, group) in groups.iter().enumerate() {
        let rows = Some(group.num_rows()).filter(|rows| *rows >= 0);
        let sum = rows.and_then(|rows| all.checked_add(rows));
        all = sum.ok_or_else(|| format!("row group {at} has {} rows", group.num_rows()))?;
    }
    Ok(())
}

/// The same footer, where timestamps of 96 bits are read as microseconds.
fn with_int96_as_micros(metadata: ArrowReaderMetadata) -> std::result::Result<ArrowReaderMetadata, ParquetError> {
    let leaves = metadata.metadata().file_metadata().schema_descr().columns();
    let is_int96 = |leaf: usize| leaves.get(leaf).is_some_and(|leaf| leaf.physical_type() == PhysicalType::INT96);
    let Some(schema) = int96_as_micros(metadata.schema(), is_int96) else { return Ok(metadata) };
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), ArrowReaderOptions::new().with_schema(schema))
}

/// The bounds of the timestamp columns for which every row group records them, and the row groups with their own.
pub(super) fn bounds(metadata: &ArrowReaderMetadata) -> (Vec<(String, Bounds)>, Vec<RowGroup>) {
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
    let (min, max) = (micros_of(*statistics.min_opt()?, unit)?, micros_of(*statistics.max_opt()?, unit)?);
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
