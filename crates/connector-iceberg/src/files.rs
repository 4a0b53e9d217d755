//! The data files of a table's current snapshot, with their bounds, opened one by one.

use crate::columns::{FieldNames, FileColumns, PartitionValues, partition_values, roots_of};
use crate::deletes::{RowDeletes, TableDeletes};
use crate::frontier::{FRONTIER, frontier_at};
use crate::live_files::{LiveFile, LiveFiles};
use crate::name::TableName;
use crate::opened_file::{NamedFile, StoredRows, path_at};
use crate::prune::TableFilter;
use crate::stored_column::ArrangedColumns;
use crate::stored_file::{StoredFile, StoredFiles};
use crate::table;
use crate::unknown_types::{unknown_type_in, unknown_types};
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, SchemaRef};
use dataflow::{Bounds, Error, RecordBatches, Result, RowFilter, RowGroup, TimedFile, TimedFiles};
use iceberg::spec::{DataFile, Datum, Literal, NestedField, PrimitiveLiteral, PrimitiveType, SnapshotRef};
use iceberg::table::Table;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The property that says which of the table's schemas its columns are of.
const CURRENT_SCHEMA: &str = "current-schema";
/// The property that says which snapshot is read; a table that nothing was committed to has none.
pub const SNAPSHOT: &str = "current-snapshot-id";
/// How many footers are kept: about as many files overlap at one time.
const FOOTERS_KEPT: usize = 8;
/// How many rows are counted at once.
const COUNT_ROWS: usize = 64 << 10;

/// One snapshot of a table.
pub struct TableFiles {
    table: String,
    schema: SchemaRef,
    fields: Vec<Arc<NestedField>>,
    // The types of columns that are not read, by the ids of their fields.
    unknown: BTreeMap<i32, String>,
    files: Vec<TimedFile>,
    // As manifests have them: what deletes rows of a file names it so.
    locations: Vec<String>,
    deletes: TableDeletes,
    // Where those files lie that are not on a disk of this machine.
    stores: StoredFiles,
    // Where the row groups of each file begin, by its manifest.
    starts: Vec<Vec<u64>>,
    // What the partition of each file says of its rows.
    partitions: Vec<PartitionValues>,
    // The ids of the columns of files that have none.
    names: Option<Arc<FieldNames>>,
    // The footers that were used last, so that a file of many row groups is not parsed again for each of them.
    footers: Mutex<VecDeque<(usize, ArrowReaderMetadata)>>,
    properties: HashMap<String, String>,
}

impl TableFiles {
    /// The files of a snapshot of a table that may hold wanted rows; without a snapshot there are none. What rows are
    /// wanted may depend on the columns of the table.
    pub async fn load(
        name: &TableName,
        table: &Table,
        snapshot: Option<&SnapshotRef>,
        wanted: &dyn Fn(&SchemaRef) -> RowFilter,
    ) -> Result<TableFiles> {
        let metadata = table.metadata();
        let columns = metadata.current_schema().as_struct().fields();
        let schema = table::plain_schema(&*table::arrow_schema(name, metadata.current_schema())?);
        let mut properties = metadata.properties().clone();
        properties.insert(CURRENT_SCHEMA.to_owned(), metadata.current_schema_id().to_string());
        let mut live = LiveFiles::default();
        if let Some(snapshot) = snapshot {
            properties.extend(snapshot.summary().additional_properties.clone());
            properties.insert(SNAPSHOT.to_owned(), snapshot.snapshot_id().to_string());
            let filter = TableFilter::new(&wanted(&schema), metadata);
            live = match filter.is_everything() {
                true => LiveFiles::load(name, table, snapshot).await?,
                false => LiveFiles::load_where(name, table, snapshot, &filter).await?,
            };
        }
        match frontier_at(name, metadata, snapshot)? {
            Some(frontier) => properties.insert(FRONTIER.to_owned(), frontier),
            None => properties.remove(FRONTIER),
        };
        let data = live.data;
        let deletes = TableDeletes::new(name, metadata, &data, live.deletes)?;
        let (mut files, mut partitions) = (Vec::with_capacity(data.len()), Vec::with_capacity(data.len()));
        for (at, LiveFile { file, spec, .. }) in data.iter().enumerate() {
            let partition = partition_values(name, metadata, *spec, file)?;
            files.push(timed_file(file, columns, &partition, deletes.digest(at)));
            partitions.push(partition);
        }
        Ok(TableFiles {
            table: name.to_string(),
            schema,
            unknown: unknown_types(metadata),
            fields: columns.to_vec(),
            stores: StoredFiles::of(table.file_io()),
            starts: data.iter().map(|data| group_starts(&data.file)).collect(),
            locations: data.iter().map(|data| data.file.file_path().to_owned()).collect(),
            deletes,
            partitions,
            names: FieldNames::of(name, metadata)?,
            footers: Mutex::default(),
            files,
            properties,
        })
    }

    /// Where its files lie, as manifests have it, in the order of [`TimedFiles::files`].
    pub fn locations(&self) -> &[String] {
        &self.locations
    }

    /// How many rows it has: those that are deleted are looked for.
    pub fn rows(&self) -> Result<u64> {
        let mut rows = 0;
        for (at, file) in self.files.iter().enumerate() {
            if file.deletes.is_none() {
                rows += file.rows;
                continue;
            }
            for batch in self.open(at, file.all_groups(), &[], COUNT_ROWS)? {
                rows += batch?.num_rows() as u64;
            }
        }
        Ok(rows)
    }

    fn named(&self, file: usize) -> NamedFile<'_> {
        let TimedFile { path, bytes, rows, .. } = &self.files[file];
        NamedFile { table: &self.table, kind: "data file", path, bytes: *bytes, rows: *rows }
    }

    /// The footer of an opened file. Data files never change.
    fn footer(&self, file: usize, opened: &StoredFile) -> Result<ArrowReaderMetadata> {
        let kept = || self.footers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = kept().iter().find(|(other, _)| *other == file) {
            return Ok(known.clone());
        }
        let read = self.named(file).footer(opened)?;
        let mut kept = kept();
        kept.truncate(FOOTERS_KEPT - 1);
        kept.push_front((file, read.clone()));
        Ok(read)
    }

    /// The row groups of the footer that lie in a range of those that the manifest tells.
    fn groups_between(&self, file: usize, range: &Range<usize>, footer: &ParquetMetaData) -> Vec<usize> {
        let starts = &self.starts[file];
        // A row group belongs to the last start at or before it, so that each is in one range whatever a manifest says.
        let told = |group: &RowGroupMetaData| starts.partition_point(|&s| s <= start_of(group)).saturating_sub(1);
        let groups = footer.row_groups().iter().enumerate().filter(|(_, group)| range.contains(&told(group)));
        groups.map(|(index, _)| index).collect()
    }

    /// Columns of the table by their names.
    fn columns(&self, names: &[String]) -> Result<Vec<(&Arc<NestedField>, Field)>> {
        let column = |name: &String| {
            let index = self
                .schema
                .index_of(name)
                .map_err(|_| Error::invalid(format!("table \"{}\" has no column \"{name}\"", self.table)))?;
            if let Some(unknown) = unknown_type_in(&self.fields[index], &self.unknown) {
                return Err(Error::invalid(format!(
                    "table \"{}\": column \"{name}\" has type {unknown}, which is not read here; leave the column out",
                    self.table
                )));
            }
            Ok((&self.fields[index], self.schema.field(index).clone()))
        };
        names.iter().map(column).collect()
    }
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
        let asked = self.columns(columns)?;
        // Before any row of the file: what deletes some of them may not be there.
        let deletes = self.deletes.of((file, &self.locations[file]), self.names.as_ref(), &self.stores)?;
        let named = self.named(file);
        let opened = named.open(&self.stores)?;
        let footer = self.footer(file, &opened)?;
        let schema = footer.metadata().file_metadata().schema_descr();
        let own = FileColumns::new(schema, self.names.as_deref(), &self.partitions[file]);
        let source = |(column, field): (&Arc<NestedField>, Field)| match own.source(column, &field) {
            Ok(source) => Ok((column.clone(), field, source)),
            Err(why) => Err(Error::invalid(format!("{} {why}", named.place()))),
        };
        let asked = asked.into_iter().map(source).collect::<Result<Vec<_>>>()?;
        let keys = deletes.iter().flat_map(RowDeletes::columns).map(|key| source((&key.column, key.field.clone())));
        let keys = keys.collect::<Result<Vec<_>>>()?;
        named.check_rows(&footer)?;
        let groups = self.groups_between(file, &groups, footer.metadata());
        let places = places_of(&groups, footer.metadata());
        let roots = roots_of(asked.iter().chain(&keys).map(|(_, _, source)| source));
        let rows = named.read(opened, footer, (&roots, groups), batch_rows)?;
        let arranged = |columns| ArrangedColumns::new(named.place(), columns, &roots, self.names.clone());
        let deletes = deletes.map(|deletes| (deletes, arranged(keys)));
        Ok(Box::new(FileRows { rows, asked: arranged(asked), deletes, places }))
    }
}

/// Where the rows of some row groups lie in their file.
fn places_of(groups: &[usize], footer: &ParquetMetaData) -> VecDeque<Range<u64>> {
    let mut begin = 0;
    let places = footer.row_groups().iter().map(|group| {
        let end = begin + u64::try_from(group.num_rows()).unwrap_or(0);
        std::mem::replace(&mut begin, end)..end
    });
    let places: Vec<Range<u64>> = places.collect();
    groups.iter().map(|&group| places[group].clone()).collect()
}

/// Rows of one file, arranged as they were asked for, without those that are deleted.
struct FileRows {
    rows: StoredRows,
    asked: ArrangedColumns,
    deletes: Option<(RowDeletes, ArrangedColumns)>,
    // Where the rows that are still to come lie in the file.
    places: VecDeque<Range<u64>>,
}

impl Iterator for FileRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let given = match self.rows.next()? {
                Ok(given) => given,
                Err(error) => return Some(Err(error)),
            };
            match self.kept(&given) {
                // All of them are deleted.
                Ok(rows) if rows.num_rows() == 0 && given.num_rows() > 0 => {}
                kept => return Some(kept),
            }
        }
    }
}

impl FileRows {
    fn kept(&mut self, given: &RecordBatch) -> Result<RecordBatch> {
        let rows = self.asked.of(given)?;
        let places = self.next_places(given.num_rows() as u64);
        let Some((deletes, columns)) = &self.deletes else { return Ok(rows) };
        let kept = deletes.kept(&places, &columns.of(given)?)?;
        if kept.iter().all(|&kept| kept) { Ok(rows) } else { Ok(filter_record_batch(&rows, &kept.into())?) }
    }

    /// Where the next rows lie in the file.
    fn next_places(&mut self, mut rows: u64) -> Vec<Range<u64>> {
        let mut places = Vec::new();
        while rows > 0
            && let Some(first) = self.places.front_mut()
        {
            let end = first.end.min(first.start + rows);
            places.push(first.start..end);
            rows -= end - first.start;
            first.start = end;
            if first.is_empty() {
                self.places.pop_front();
            }
        }
        places
    }
}

fn timed_file(
    file: &DataFile,
    columns: &[Arc<NestedField>],
    partition: &PartitionValues,
    deletes: Option<u64>,
) -> TimedFile {
    TimedFile {
        path: path_at(file.file_path()),
        rows: file.record_count(),
        bytes: file.file_size_in_bytes(),
        bounds: columns
            .iter()
            .filter_map(|column| {
                let bounds = bounds_of(file, column).or_else(|| bounds_in(partition, column))?;
                Some((column.name.clone(), bounds))
            })
            .collect(),
        groups: row_groups(file, deletes.is_some()),
        deletes,
    }
}

/// Where the row groups of a file begin, as its manifest has it; empty when it does not say so in sequence.
fn group_starts(file: &DataFile) -> Vec<u64> {
    let starts = file.split_offsets().unwrap_or_default().iter().map(|&start| u64::try_from(start).ok());
    let starts = starts.collect::<Option<Vec<u64>>>().unwrap_or_default();
    if starts.is_sorted_by(|a, b| a < b) { starts } else { Vec::new() }
}

/// The row groups of a file. How many rows each has and between which bounds stands only in the footers of the files,
/// which are not read before the rows are; how many of them are deleted, nowhere.
fn row_groups(file: &DataFile, has_deletes: bool) -> Vec<RowGroup> {
    match group_starts(file).len() {
        0 | 1 => vec![RowGroup { rows: (!has_deletes).then_some(file.record_count()), bounds: Vec::new() }],
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
