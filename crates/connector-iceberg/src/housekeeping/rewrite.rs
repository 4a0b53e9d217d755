//! Writes the rows of a group of files anew: without those that are deleted, in the table's order, in files of their own.

use super::content::Content;
use super::plan::Group;
use super::sorted_rows::{RowOrder, SortedRows};
use crate::failure;
use crate::file_settings::{FileSettings, data_location};
use crate::files::TableFiles;
use crate::live_files::LiveFile;
use crate::name::TableName;
use crate::parquet_file::{FilePlacement, ParquetFile, Upload};
use crate::storage::path_of;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::compute::{SortOptions, cast};
use arrow::datatypes::{DataType, SchemaRef};
use dataflow::{Error, Result, TimedFiles};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::spec::{DataFile, NullOrder, SortDirection, TableMetadataRef, Transform};
use std::cell::Cell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use uuid::Uuid;

/// The rows that are read at once.
const BATCH_ROWS: usize = 8 << 10;

/// Writes groups of files of one table anew.
pub struct Rewriter {
    table: TableName,
    metadata: TableMetadataRef,
    // What they hold now.
    files: TableFiles,
    place_of: HashMap<String, usize>,
    schema: SchemaRef,
    columns: Vec<String>,
    // The table's order, and the number that files of it carry; `None` where it has none that is kept here.
    order: Option<(RowOrder, i32)>,
    target: u64,
    settings: Arc<FileSettings>,
    upload: Option<Upload>,
    // Files on their way to a store, and runs that are sorted on disk.
    uploads: PathBuf,
    scratch: PathBuf,
    name: Uuid,
    begun: Cell<usize>,
}

/// Where a rewriter puts what it writes on its way.
pub struct Scratch {
    /// The store, where files do not lie on this machine, and the folder for files on their way to it.
    pub upload: Option<Upload>,
    pub uploads: PathBuf,
    /// The folder for runs that are sorted.
    pub runs: PathBuf,
}

impl Rewriter {
    /// For a snapshot whose files are these, of a table without columns of types that are not known.
    pub fn new(
        table: &TableName,
        metadata: TableMetadataRef,
        files: TableFiles,
        target: u64,
        scratch: Scratch,
    ) -> Result<Rewriter> {
        let schema = schema_to_arrow_schema(metadata.current_schema());
        let schema = schema
            .map_err(|error| failure::iceberg(format!("table \"{table}\": its columns cannot be written"), error))?;
        let place_of = files.locations().iter().enumerate().map(|(at, location)| (location.clone(), at)).collect();
        Ok(Rewriter {
            table: table.clone(),
            columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
            schema: Arc::new(schema),
            order: order_of(&metadata),
            settings: Arc::new(FileSettings::of(table, metadata.properties())?),
            metadata,
            files,
            place_of,
            target,
            upload: scratch.upload,
            uploads: scratch.uploads,
            scratch: scratch.runs,
            name: Uuid::new_v4(),
            begun: Cell::new(0),
        })
    }

    /// Writes the rows of a group. What is written is durable and named by nobody. `read` is told of rows that were read,
    /// and says whether to go on; `None` when it says not to, and nothing is left then.
    pub fn rewrite(
        &self,
        content: &Content,
        group: &Group,
        read: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Vec<DataFile>>> {
        let inputs: Vec<&LiveFile> = group.files.iter().map(|&at| &content.data[at]).collect();
        let mut writer = GroupWriter { rewriter: self, like: inputs[0], open: None, closed: Vec::new() };
        match writer.copy(&inputs, read) {
            Ok(true) => Ok(Some(std::mem::take(&mut writer.closed))),
            other => {
                // No commit was tried that names them.
                let closed = std::mem::take(&mut writer.closed);
                writer.open = None;
                self.discard(&closed);
                other.map(|_| None)
            }
        }
    }

    /// Deletes files that this has written and no commit was tried of.
    pub fn discard(&self, files: &[DataFile]) {
        for file in files {
            match &self.upload {
                // What stays costs space and nothing else, and a sweep finds it.
                Some(upload) => drop(upload.runtime.block_on(upload.file_io.delete(file.file_path()))),
                None => drop(std::fs::remove_file(path_of(file.file_path()))),
            }
        }
    }

    /// The rows of a file that are not deleted, as the table's own types have them.
    fn rows_of(&self, file: &LiveFile) -> Result<impl Iterator<Item = Result<RecordBatch>> + '_> {
        let path = file.file.file_path();
        let at = self.place_of.get(path).copied().ok_or_else(|| {
            Error::internal(format!("table \"{}\": data file \"{path}\" is to be read and was not found", self.table))
        })?;
        let groups = self.files.files()[at].all_groups();
        let rows = self.files.open(at, groups, &self.columns, BATCH_ROWS)?;
        Ok(rows.map(|rows| rows.and_then(|rows| self.conformed(&rows))))
    }

    fn conformed(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().zip(rows.columns());
        let columns =
            columns.map(|(field, column)| conformed(column, field.data_type())).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(|error| {
            Error::corrupt(format!("table \"{}\": rows do not fit the columns of the table", self.table))
                .with_source(error)
        })
    }
}

/// Writes the rows of one group.
struct GroupWriter<'r> {
    rewriter: &'r Rewriter,
    // A file of the group: what is written is of its partition, and lies beside it.
    like: &'r LiveFile,
    open: Option<(ParquetFile, String)>,
    closed: Vec<DataFile>,
}

impl GroupWriter<'_> {
    fn copy(&mut self, inputs: &[&LiveFile], read: &mut dyn FnMut(u64) -> bool) -> Result<bool> {
        let mut sorter = match &self.rewriter.order {
            Some((order, _)) => {
                Some(SortedRows::new(self.rewriter.schema.clone(), order.clone(), &self.rewriter.scratch)?)
            }
            None => None,
        };
        let rewriter = self.rewriter;
        for input in inputs {
            for batch in rewriter.rows_of(input)? {
                let batch = batch?;
                if !read(batch.num_rows() as u64) {
                    return Ok(false);
                }
                match &mut sorter {
                    Some(sorter) => sorter.add(batch)?,
                    None => self.write(batch)?,
                }
            }
        }
        if let Some(sorter) = sorter {
            sorter.finish(|rows| self.write(rows))?;
        }
        self.close()?;
        Ok(true)
    }

    fn write(&mut self, rows: RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let (file, _) = match &mut self.open {
            Some(open) => open,
            open => {
                let begun = begin(self.rewriter, self.like)?;
                open.insert(begun)
            }
        };
        file.write(rows)?;
        // A little more than the target is better than a small file after it.
        if file.bytes() as u64 > self.rewriter.target / 4 * 5 { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<()> {
        let Some((file, location)) = self.open.take() else { return Ok(()) };
        let placed = FilePlacement {
            location,
            schema: self.rewriter.metadata.current_schema(),
            partition: self.like.file.partition().clone(),
            spec_id: self.like.spec,
            sort_order_id: self.rewriter.order.as_ref().map(|(_, id)| *id),
        };
        self.closed.push(file.close(placed)?);
        Ok(())
    }
}

/// Begins a file beside another one.
fn begin(rewriter: &Rewriter, like: &LiveFile) -> Result<(ParquetFile, String)> {
    let number = rewriter.begun.get();
    rewriter.begun.set(number + 1);
    let name = format!("compact-{}-{number:05}.parquet", rewriter.name);
    let base = data_location(&rewriter.table, &rewriter.metadata)?;
    let beside = like.file.file_path().rsplit_once('/').map_or(base.as_str(), |(folder, _)| folder);
    // Files that were added from elsewhere are not the table's own place.
    let is_below = beside.strip_prefix(&base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let folder = if is_below { beside } else { &base };
    let location = format!("{folder}/{name}");
    let path = match &rewriter.upload {
        Some(_) => rewriter.uploads.join(&name),
        None => path_of(&location),
    };
    let file = ParquetFile::create(
        path,
        (rewriter.schema.clone(), rewriter.metadata.current_schema().clone()),
        rewriter.settings.clone(),
        rewriter.upload.clone(),
    )?;
    Ok((file, location))
}

/// The same values as the table's own type has them.
fn conformed(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    if let (Some(given), DataType::Struct(fields)) = (column.as_struct_opt(), to) {
        let inner = fields.iter().zip(given.columns()).map(|(field, column)| conformed(column, field.data_type()));
        let inner = inner.collect::<Result<Vec<_>>>()?;
        return Ok(Arc::new(StructArray::try_new(fields.clone(), inner, given.nulls().cloned())?));
    }
    if let (Some(given), DataType::List(element)) = (column.as_list_opt::<i32>(), to) {
        let values = conformed(given.values(), element.data_type())?;
        let (offsets, nulls) = (given.offsets().clone(), given.nulls().cloned());
        return Ok(Arc::new(ListArray::try_new(element.clone(), offsets, values, nulls)?));
    }
    if let (Some(given), DataType::Map(entries, is_sorted)) = (column.as_map_opt(), to) {
        let pairs: ArrayRef = Arc::new(given.entries().clone());
        let pairs = conformed(&pairs, entries.data_type())?.as_struct().clone();
        let (offsets, nulls) = (given.offsets().clone(), given.nulls().cloned());
        return Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *is_sorted)?));
    }
    Ok(cast(column, to)?)
}

/// The order of a table, if all of it is by columns as they are.
fn order_of(metadata: &TableMetadataRef) -> Option<(RowOrder, i32)> {
    let order = metadata.default_sort_order();
    if order.is_unsorted() {
        return None;
    }
    let columns = metadata.current_schema().as_struct().fields();
    let key = |field: &iceberg::spec::SortField| {
        let column = columns.iter().position(|column| column.id == field.source_id)?;
        let is_plain = field.transform == Transform::Identity && columns[column].field_type.is_primitive();
        let options = SortOptions {
            descending: field.direction == SortDirection::Descending,
            nulls_first: field.null_order == NullOrder::First,
        };
        is_plain.then_some((column, options))
    };
    let keys = order.fields.iter().map(key).collect::<Option<RowOrder>>()?;
    Some((keys, i32::try_from(order.order_id).ok()?))
}
