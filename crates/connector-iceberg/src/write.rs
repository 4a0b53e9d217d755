//! Writes rows of an output into Parquet files that a commit names later.

use crate::commit::Fence;
use crate::data_name::DataPrefix;
use crate::name::TableName;
use crate::parquet_file::{FilePlacement, ParquetFile, Upload};
use crate::prepared_files::PreparedFiles;
use crate::storage::path_of;
use crate::table;
use crate::writer_position::WriterPosition;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use dataflow::{Batch, Committable, Error, Result, Sink};
use iceberg::spec::{DataFile, Literal, PartitionKey, PartitionSpecRef, Struct, TableMetadataRef, Transform};
use std::collections::HashMap;
use std::path::PathBuf;

/// How many partitions a writer has open at once; the one that was written longest ago is closed for another.
const OPEN_PARTITIONS_MAX: usize = 16;

const DAY_MICROS: i64 = 86_400_000_000;

/// Days since 1970, or NULL.
type Day = Option<i32>;

/// Writes the rows of one worker.
///
/// State: one file per open partition, with at most one row group of rows each in memory. It needs the catalog only
/// when it is made.
pub struct TableWriter {
    table: TableName,
    metadata: TableMetadataRef,
    schema: SchemaRef,
    // Index of the column that cuts the table by day.
    day: Option<usize>,
    folder: PathBuf,
    upload: Option<Upload>,
    prefix: DataPrefix,
    files_begun: usize,
    open: HashMap<Day, OpenFile>,
    writes: u64,
    closed: Vec<DataFile>,
}

/// The file that rows of a partition go to now.
struct OpenFile {
    file: ParquetFile,
    location: String,
    last_write: u64,
    sorted: PartitionOrder,
}

/// Whether rows came in the order of the partition column, NULL first.
struct PartitionOrder {
    holds: bool,
    last: i64,
}

impl TableWriter {
    /// A writer of one worker into a table as it is now, under an epoch of a sink. Files that go to a store are written in
    /// a folder of the disk first.
    pub(crate) fn new(
        (table, metadata): (TableName, TableMetadataRef),
        fence: &Fence,
        worker: usize,
        store: Option<(PathBuf, Upload)>,
    ) -> Result<TableWriter> {
        let schema = table::arrow_schema(&table, metadata.current_schema())?;
        let day = day_column(&table, &metadata, metadata.default_partition_spec())?;
        let (folder, upload) = match store {
            Some((folder, upload)) => (folder, Some(upload)),
            None => (path_of(metadata.location()).join("data"), None),
        };
        let prefix = DataPrefix::new(&fence.sink, fence.epoch, worker);
        Ok(TableWriter {
            table,
            metadata,
            schema,
            day,
            folder,
            upload,
            prefix,
            files_begun: 0,
            open: HashMap::new(),
            writes: 0,
            closed: Vec::new(),
        })
    }

    /// Takes rows whose columns have the table's names and types, in any order.
    pub fn write_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let rows = self.arranged(rows)?;
        let Some(column) = self.day else { return self.write_partition(None, rows) };
        for (day, rows) in by_day(rows, column)? {
            self.write_partition(day, rows)?;
        }
        Ok(())
    }

    /// About how many bytes were written since the last `prepare`, in files and in memory.
    pub fn bytes(&self) -> u64 {
        let closed = self.closed.iter().map(DataFile::file_size_in_bytes).sum::<u64>();
        closed + self.open.values().map(|open| open.file.bytes() as u64).sum::<u64>()
    }

    /// Ends all files and makes them durable, for a checkpoint if there is one. `None` when nothing was written.
    pub fn finish(&mut self, checkpoint: Option<u64>) -> Result<Option<Committable>> {
        self.prepared_files(checkpoint)?.map(|prepared| prepared.to_committable()).transpose()
    }

    pub(crate) fn prepared_files(&mut self, checkpoint: Option<u64>) -> Result<Option<PreparedFiles>> {
        let mut days: Vec<Day> = self.open.keys().copied().collect();
        days.sort_unstable();
        for day in days {
            self.close(day)?;
        }
        let files = std::mem::take(&mut self.closed);
        if files.is_empty() { Ok(None) } else { PreparedFiles::new(&self.metadata, files, checkpoint).map(Some) }
    }

    /// The columns of the rows in the table's sequence; those that the rows lack are NULL.
    fn arranged(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let given = rows.schema();
        if let Some(field) = given.fields().iter().find(|field| self.schema.field_with_name(field.name()).is_err()) {
            return Err(Error::invalid(format!(
                "table \"{}\" has no column \"{}\"; expected {}",
                self.table,
                field.name(),
                names(&self.schema)
            )));
        }
        let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef> {
            let Some(column) = rows.column_by_name(field.name()) else {
                return Ok(arrow::array::new_null_array(field.data_type(), rows.num_rows()));
            };
            if column.data_type() != &table::plain_type(field.data_type()) {
                return Err(Error::invalid(format!(
                    "table \"{}\": column \"{}\" gets {}, expected {}",
                    self.table,
                    field.name(),
                    values::name(column.data_type()),
                    values::name(field.data_type())
                )));
            }
            table::with_field_ids(column, field.data_type())
        };
        let columns = self.schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn write_partition(&mut self, day: Day, rows: RecordBatch) -> Result<()> {
        self.writes += 1;
        if !self.open.contains_key(&day) {
            if self.open.len() >= OPEN_PARTITIONS_MAX {
                let oldest = self.open.iter().min_by_key(|(_, open)| open.last_write).map(|(day, _)| *day);
                oldest.map_or(Ok(()), |oldest| self.close(oldest))?;
            }
            let open = self.begin(day)?;
            self.open.insert(day, open);
        }
        let open = self.open.get_mut(&day).expect("the partition is open");
        open.last_write = self.writes;
        if let Some(column) = self.day {
            open.sorted.look_at(rows.column(column));
        }
        open.file.write(rows)?;
        if open.file.is_full() { self.close(day) } else { Ok(()) }
    }

    fn begin(&mut self, day: Day) -> Result<OpenFile> {
        let name = self.prefix.file(self.files_begun);
        self.files_begun += 1;
        let base = self.metadata.location().trim_end_matches('/');
        let (path, location) = match self.day {
            None => (self.folder.join(&name), format!("{base}/data/{name}")),
            Some(_) => {
                let partition = self.partition_key(day).to_path();
                let location = format!("{base}/data/{partition}/{name}");
                (self.folder.join(partition).join(&name), location)
            }
        };
        let file = ParquetFile::create(path, self.schema.clone(), self.upload.clone())?;
        Ok(OpenFile { file, location, last_write: self.writes, sorted: PartitionOrder { holds: true, last: i64::MIN } })
    }

    fn close(&mut self, day: Day) -> Result<()> {
        let Some(open) = self.open.remove(&day) else { return Ok(()) };
        let order = self.metadata.default_sort_order();
        let sorted = self.day.is_some() && open.sorted.holds && !order.is_unsorted();
        let partition = if self.day.is_some() { self.partition(day) } else { Struct::empty() };
        let file = open.file.close(FilePlacement {
            location: open.location,
            schema: self.metadata.current_schema(),
            partition,
            spec_id: self.metadata.default_partition_spec_id(),
            sort_order_id: sorted.then_some(order.order_id as i32),
        })?;
        self.closed.push(file);
        Ok(())
    }

    fn partition(&self, day: Day) -> Struct {
        Struct::from_iter([day.map(Literal::date)])
    }

    fn partition_key(&self, day: Day) -> PartitionKey {
        let spec = self.metadata.default_partition_spec().as_ref().clone();
        PartitionKey::new(spec, self.metadata.current_schema().clone(), self.partition(day))
    }
}

impl Sink for TableWriter {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        self.write_rows(batch.columns())
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>> {
        self.finish(Some(checkpoint))
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(WriterPosition { table_uuid: self.metadata.uuid() }.to_bytes())
    }
}

impl PartitionOrder {
    fn look_at(&mut self, column: &ArrayRef) {
        let times = column.as_primitive::<TimestampMicrosecondType>();
        for time in times.iter().map(|time| time.unwrap_or(i64::MIN)) {
            self.holds &= self.last <= time;
            self.last = time;
        }
    }
}

fn names(schema: &SchemaRef) -> String {
    schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
}

/// The index of the column that cuts a table by day; `None` when it is not cut.
fn day_column(table: &TableName, metadata: &TableMetadataRef, spec: &PartitionSpecRef) -> Result<Option<usize>> {
    match spec.fields() {
        [] => Ok(None),
        [field] if field.transform == Transform::Day => {
            let fields = metadata.current_schema().as_struct().fields();
            let column = fields.iter().position(|column| column.id == field.source_id);
            column.map(Some).ok_or_else(|| {
                Error::invalid(format!("table \"{table}\": the column of partition \"{}\" is gone", field.name))
            })
        }
        _ => Err(Error::invalid(format!(
            "table \"{table}\" is partitioned by {}; writing is supported for tables without partitions or with the \
             day of one column",
            spec.fields().iter().map(|f| format!("{}({})", f.transform, f.name)).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The rows of each day, in the sequence in which days first appear, and of each day in their sequence.
fn by_day(rows: RecordBatch, column: usize) -> Result<Vec<(Day, RecordBatch)>> {
    let times = rows.column(column).as_primitive::<TimestampMicrosecondType>();
    let day_of = |row: usize| times.is_valid(row).then(|| times.value(row).div_euclid(DAY_MICROS) as i32);
    let mut runs: Vec<(Day, usize, usize)> = Vec::new();
    for row in 0..rows.num_rows() {
        let day = day_of(row);
        match runs.last_mut() {
            Some((last, _, to)) if *last == day => *to = row + 1,
            _ => runs.push((day, row, row + 1)),
        }
    }
    let mut order: HashMap<Day, usize> = HashMap::new();
    let mut days: Vec<(Day, Vec<(usize, usize)>)> = Vec::new();
    for (day, from, to) in runs {
        let at = *order.entry(day).or_insert_with(|| {
            days.push((day, Vec::new()));
            days.len() - 1
        });
        days[at].1.push((from, to));
    }
    let rows_of = |(day, runs): (Day, Vec<(usize, usize)>)| match runs.as_slice() {
        [(from, to)] => Ok((day, rows.slice(*from, to - from))),
        runs => {
            let indexes: UInt32Array = runs.iter().flat_map(|&(from, to)| from as u32..to as u32).collect();
            Ok((day, take_record_batch(&rows, &indexes)?))
        }
    };
    days.into_iter().map(rows_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::TimestampMicrosecondArray;
    use std::sync::Arc;

    #[test]
    fn rows_are_cut_by_the_day_they_are_in() {
        let times = TimestampMicrosecondArray::from(vec![Some(-1), Some(0), None, Some(DAY_MICROS - 1), Some(-2)]);
        let rows = RecordBatch::try_from_iter([("t", Arc::new(times) as ArrayRef)]).unwrap();
        let cut = by_day(rows, 0).unwrap();
        let seen: Vec<_> = cut
            .iter()
            .map(|(day, rows)| {
                let times = rows.column(0).as_primitive::<TimestampMicrosecondType>();
                (*day, times.iter().collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(
            seen,
            [(Some(-1), vec![Some(-1), Some(-2)]), (Some(0), vec![Some(0), Some(DAY_MICROS - 1)]), (None, vec![None])]
        );
    }
}
