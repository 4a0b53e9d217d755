//! Writes rows of an output into Parquet files that a commit names later.

use crate::commit::Fence;
use crate::data_name::DataPrefix;
use crate::file_settings::{FileSettings, data_location};
use crate::name::TableName;
use crate::parquet_file::{FilePlacement, ParquetFile, Upload};
use crate::partitions::{PartitionId, PartitionRows, Partitions};
use crate::prepared_files::PreparedFiles;
use crate::required::{self, WrittenFields};
use crate::storage::path_of;
use crate::table;
use crate::waiting_rows::{RowOrder, WaitingRows};
use crate::writer_position::WriterPosition;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use dataflow::{Batch, Committable, Error, Result, Sink};
use iceberg::spec::{DataFile, NullOrder, SortDirection, Struct, TableMetadataRef, Transform};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// How many files a writer has open at once; the one that was written longest ago is closed for another.
const OPEN_FILES_MAX: usize = 16;
/// How many bytes of row groups that are not full the open files have in memory; beyond that the largest one ends.
const OPEN_BYTES_MAX: usize = 256 << 20;
/// How many bytes of rows wait for a file, or for the rows that they are sorted with; beyond that those of the partition
/// with the most go into a file.
const WAITING_BYTES_MAX: usize = 128 << 20;
/// The rows of sorted ones that are written at once.
const SORTED_ROWS: usize = 8 << 10;

/// Writes the rows of one worker.
///
/// State: one file per open partition, each with at most one row group of rows in memory, and rows that wait. A table that
/// declares an order gets files whose rows are in it: rows wait until there are too many of them or a checkpoint comes,
/// are sorted, and become a file. Otherwise rows wait where more partitions than files are open, so that a batch with many
/// partitions becomes few files. Both are bounded in bytes, whatever the number of partitions. It needs the catalog only
/// when it is made.
pub struct TableWriter {
    table: TableName,
    metadata: TableMetadataRef,
    schema: SchemaRef,
    partitions: Partitions,
    settings: Arc<FileSettings>,
    // What rows are sorted by before they go into a file.
    order: Option<RowOrder>,
    // Index of the column by which files are in order if rows come so.
    rising: Option<usize>,
    folder: PathBuf,
    upload: Option<Upload>,
    prefix: DataPrefix,
    files_begun: usize,
    open: HashMap<PartitionId, OpenFile>,
    waiting: HashMap<PartitionId, (Struct, WaitingRows)>,
    waiting_bytes: usize,
    writes: u64,
    closed: Vec<DataFile>,
    // Of the rows since the last `prepare`.
    fields: WrittenFields,
}

/// The file that rows of a partition go to now.
struct OpenFile {
    values: Struct,
    file: ParquetFile,
    location: String,
    last_write: u64,
    rising: RisingOrder,
}

/// Whether rows came in the order of a column, NULL first.
struct RisingOrder {
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
        let partitions = Partitions::of(&table, &metadata)?;
        let settings = Arc::new(FileSettings::of(&table, metadata.properties())?);
        let order = RowOrder::of(&metadata);
        let rising = if order.is_none() { rising_column(&metadata, &schema) } else { None };
        let (folder, upload) = match store {
            Some((folder, upload)) => (folder, Some(upload)),
            None => (path_of(&data_location(&table, &metadata)?), None),
        };
        let prefix = DataPrefix::new(&fence.sink, fence.epoch, worker);
        Ok(TableWriter {
            table,
            metadata,
            schema,
            partitions,
            settings,
            order,
            rising,
            folder,
            upload,
            prefix,
            files_begun: 0,
            open: HashMap::new(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
            writes: 0,
            closed: Vec::new(),
            fields: WrittenFields::default(),
        })
    }

    /// Takes rows whose columns have the table's names and types, in any order.
    pub fn write_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let rows = self.arranged(rows)?;
        for part in self.partitions.cut(&self.table, rows)? {
            self.write_partition(part)?;
        }
        Ok(())
    }

    /// About how many bytes were written since the last `prepare`, in files and in memory.
    pub fn bytes(&self) -> u64 {
        let closed = self.closed.iter().map(DataFile::file_size_in_bytes).sum::<u64>();
        let open = self.open.values().map(|open| open.file.bytes() as u64).sum::<u64>();
        closed + open + self.waiting_bytes as u64
    }

    /// Ends all files and makes them durable, for a checkpoint if there is one. `None` when nothing was written.
    pub fn finish(&mut self, checkpoint: Option<u64>) -> Result<Option<Committable>> {
        self.prepared_files(checkpoint)?.map(|prepared| prepared.to_committable()).transpose()
    }

    pub(crate) fn prepared_files(&mut self, checkpoint: Option<u64>) -> Result<Option<PreparedFiles>> {
        let mut ids: Vec<PartitionId> = self.open.keys().chain(self.waiting.keys()).cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            self.release(&id)?;
            self.close(&id)?;
        }
        let (files, fields) = (std::mem::take(&mut self.closed), std::mem::take(&mut self.fields));
        if files.is_empty() {
            return Ok(None);
        }
        PreparedFiles::new(&self.metadata, (files, Some(fields)), checkpoint).map(Some)
    }

    /// The columns of the rows in the table's sequence; those that the rows lack are NULL.
    fn arranged(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
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
        required::check_rows(&self.table, &self.metadata, &columns)?;
        self.fields.add(&self.metadata, &columns)?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn write_partition(&mut self, part: PartitionRows) -> Result<()> {
        let PartitionRows { id, values, rows } = part;
        let has_room = self.open.len() < OPEN_FILES_MAX && !self.waiting.contains_key(&id);
        if self.order.is_none() && (has_room || self.open.contains_key(&id)) {
            return self.write_to_file(&id, &values, &rows);
        }
        let (_, waiting) = self.waiting.entry(id).or_insert_with(|| (values, WaitingRows::default()));
        self.waiting_bytes += waiting.add(rows)?;
        if self.waiting_bytes > WAITING_BYTES_MAX { self.release_largest() } else { Ok(()) }
    }

    /// Writes the rows of those partitions of which the most wait, until half as many may still come.
    fn release_largest(&mut self) -> Result<()> {
        let mut sizes: Vec<(usize, PartitionId)> =
            self.waiting.iter().map(|(id, (_, rows))| (rows.bytes(), id.clone())).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in sizes {
            if self.waiting_bytes <= WAITING_BYTES_MAX / 2 {
                break;
            }
            self.release(&id)?;
        }
        Ok(())
    }

    /// Writes the rows of a partition that wait; sorted ones become files of their own.
    fn release(&mut self, id: &PartitionId) -> Result<()> {
        let Some((values, mut waiting)) = self.waiting.remove(id) else { return Ok(()) };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(waiting.bytes());
        let Some(rows) = waiting.take(&self.schema, self.order.as_ref())? else { return Ok(()) };
        if self.order.is_none() {
            return self.write_to_file(id, &values, &rows);
        }
        for from in (0..rows.num_rows()).step_by(SORTED_ROWS) {
            self.write_to_file(id, &values, &rows.slice(from, SORTED_ROWS.min(rows.num_rows() - from)))?;
        }
        self.close(id)
    }

    fn write_to_file(&mut self, id: &PartitionId, values: &Struct, rows: &RecordBatch) -> Result<()> {
        self.writes += 1;
        if !self.open.contains_key(id) {
            let begun = self.begin(values)?;
            self.open.insert(id.clone(), begun);
        }
        let open = self.open.get_mut(id).expect("the partition has a file");
        open.last_write = self.writes;
        if let Some(column) = self.rising {
            open.rising.look_at(rows.column(column));
        }
        open.file.write(rows.clone())?;
        if open.file.is_full() { self.close(id) } else { self.bound_row_groups() }
    }

    /// Ends the row group with the most bytes in memory where those of all files are too many.
    fn bound_row_groups(&mut self) -> Result<()> {
        if self.open.values().map(|open| open.file.memory()).sum::<usize>() <= OPEN_BYTES_MAX {
            return Ok(());
        }
        let largest = self.open.values_mut().max_by_key(|open| open.file.memory());
        largest.map_or(Ok(()), |open| open.file.end_row_group())
    }

    /// Begins a file of a partition, and closes another one where as many are open as may be.
    fn begin(&mut self, values: &Struct) -> Result<OpenFile> {
        if self.open.len() >= OPEN_FILES_MAX {
            let oldest = self.open.iter().min_by_key(|(_, open)| open.last_write).map(|(id, _)| id.clone());
            oldest.map_or(Ok(()), |oldest| self.close(&oldest))?;
        }
        let name = self.prefix.file(self.files_begun);
        self.files_begun += 1;
        let base = data_location(&self.table, &self.metadata)?;
        let (path, location) = match self.partitions.is_none() {
            true => (self.folder.join(&name), format!("{base}/{name}")),
            false => {
                let partition = self.partitions.folder(values);
                let location = format!("{base}/{partition}/{name}");
                (self.folder.join(partition).join(&name), location)
            }
        };
        let file = ParquetFile::create(
            path,
            (self.schema.clone(), self.metadata.current_schema().clone()),
            self.settings.clone(),
            self.upload.clone(),
        )?;
        let rising = RisingOrder { holds: true, last: i64::MIN };
        Ok(OpenFile { values: values.clone(), file, location, last_write: self.writes, rising })
    }

    fn close(&mut self, id: &PartitionId) -> Result<()> {
        let Some(open) = self.open.remove(id) else { return Ok(()) };
        let is_sorted = self.order.is_some() || self.rising.is_some() && open.rising.holds;
        let order = self.metadata.default_sort_order();
        let file = open.file.close(FilePlacement {
            location: open.location,
            schema: self.metadata.current_schema(),
            partition: open.values,
            spec_id: self.metadata.default_partition_spec_id(),
            sort_order_id: is_sorted.then_some(order.order_id as i32),
        })?;
        self.closed.push(file);
        Ok(())
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

impl RisingOrder {
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

/// The index of the column by which a table that is not sorted declares its order: of such a one files say whether their
/// rows came so.
fn rising_column(metadata: &TableMetadataRef, schema: &SchemaRef) -> Option<usize> {
    let field = metadata.default_sort_order().fields.first()?;
    let columns = metadata.current_schema().as_struct().fields();
    let at = columns.iter().position(|column| column.id == field.source_id)?;
    let is_time = matches!(schema.field(at).data_type(), DataType::Timestamp(..));
    let is_alone = metadata.default_sort_order().fields.len() == 1;
    let is_plain = field.transform == Transform::Identity
        && (field.direction, field.null_order) == (SortDirection::Ascending, NullOrder::First);
    (is_time && is_alone && is_plain).then_some(at)
}
