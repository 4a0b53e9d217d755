//! Rows in the order of a table, in bounded memory: runs that are sorted in memory, put on disk where there are several,
//! and merged.

use crate::failure;
use crate::storage::create_folder;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use arrow::row::{RowConverter, Rows, SortField};
use dataflow::{Error, Result};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A run has about so many bytes in memory.
const RUN_BYTES: usize = 64 << 20;
/// The rows of a batch of a run on disk, and of what is merged.
const MERGED_ROWS: usize = 4 << 10;

/// By which columns rows are ordered.
pub type RowOrder = Vec<(usize, SortOptions)>;

/// Gathers rows and gives them in order. Rows that are equal in it stay in the order in which they came.
pub struct SortedRows {
    schema: SchemaRef,
    order: RowOrder,
    converter: RowConverter,
    folder: PathBuf,
    run_bytes: usize,
    gathered: Vec<RecordBatch>,
    gathered_bytes: usize,
    runs: Vec<RunFile>,
}

impl SortedRows {
    /// Rows of a schema; runs lie in a folder, if there are any.
    pub fn new(schema: SchemaRef, order: RowOrder, folder: &Path) -> Result<SortedRows> {
        SortedRows::with_runs_of(RUN_BYTES, schema, order, folder)
    }

    fn with_runs_of(run_bytes: usize, schema: SchemaRef, order: RowOrder, folder: &Path) -> Result<SortedRows> {
        let field = |(column, options): &(usize, SortOptions)| {
            SortField::new_with_options(schema.field(*column).data_type().clone(), *options)
        };
        let converter = RowConverter::new(order.iter().map(field).collect())?;
        let folder = folder.to_owned();
        Ok(SortedRows {
            schema,
            order,
            converter,
            folder,
            run_bytes,
            gathered: Vec::new(),
            gathered_bytes: 0,
            runs: Vec::new(),
        })
    }

    /// Takes rows.
    pub fn add(&mut self, rows: RecordBatch) -> Result<()> {
        self.gathered_bytes += rows.get_array_memory_size();
        self.gathered.push(rows);
        if self.gathered_bytes < self.run_bytes {
            return Ok(());
        }
        let run = self.sorted()?;
        self.runs.push(RunFile::write(&self.folder, &run)?);
        Ok(())
    }

    /// Gives all rows, some at a time.
    pub fn finish(mut self, mut give: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let last = self.sorted()?;
        if self.runs.is_empty() {
            return chunks(&last).try_for_each(give);
        }
        self.runs.push(RunFile::write(&self.folder, &last)?);
        let runs = std::mem::take(&mut self.runs);
        let mut heads = Vec::with_capacity(runs.len());
        for run in &runs {
            heads.extend(Head::open(run, &self.order, &self.converter)?);
        }
        while !heads.is_empty() {
            give(self.merged(&mut heads)?)?;
        }
        Ok(())
    }

    /// What was gathered, in order.
    fn sorted(&mut self) -> Result<RecordBatch> {
        let rows = concat_batches(&self.schema, &self.gathered)?;
        self.gathered.clear();
        self.gathered_bytes = 0;
        let keys = keys_of(&rows, &self.order, &self.converter)?;
        let mut places: Vec<u32> = (0..rows.num_rows() as u32).collect();
        if places.is_sorted_by(|&a, &b| keys.row(a as usize) <= keys.row(b as usize)) {
            return Ok(rows);
        }
        places.sort_by(|&a, &b| keys.row(a as usize).cmp(&keys.row(b as usize)));
        Ok(take_record_batch(&rows, &UInt32Array::from(places))?)
    }

    /// The next rows of all runs, until one of them needs its next batch. Runs that have ended are taken out.
    fn merged(&self, heads: &mut Vec<Head>) -> Result<RecordBatch> {
        let mut picks = Vec::with_capacity(MERGED_ROWS);
        let mut ended = None;
        while picks.len() < MERGED_ROWS && ended.is_none() {
            let least = heads.iter().enumerate().min_by(|(_, a), (_, b)| a.key().cmp(&b.key()));
            let Some((at, _)) = least else { break };
            picks.push((at, heads[at].next));
            heads[at].next += 1;
            ended = (heads[at].next == heads[at].rows.num_rows()).then_some(at);
        }
        let batches: Vec<&RecordBatch> = heads.iter().map(|head| &head.rows).collect();
        let merged = interleave_record_batch(&batches, &picks)?;
        if let Some(at) = ended
            && !heads[at].advance(&self.order, &self.converter)?
        {
            heads.remove(at);
        }
        Ok(merged)
    }
}

fn chunks(rows: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let starts = (0..rows.num_rows()).step_by(MERGED_ROWS);
    starts.map(|start| rows.slice(start, MERGED_ROWS.min(rows.num_rows() - start)))
}

fn keys_of(rows: &RecordBatch, order: &RowOrder, converter: &RowConverter) -> Result<Rows> {
    let columns: Vec<_> = order.iter().map(|(column, _)| rows.column(*column).clone()).collect();
    Ok(converter.convert_columns(&columns)?)
}

/// A run on disk, which goes when it is dropped.
struct RunFile(PathBuf);

impl RunFile {
    fn write(folder: &Path, rows: &RecordBatch) -> Result<RunFile> {
        let run = RunFile(folder.join(format!("{}.arrow", Uuid::new_v4())));
        let failed = |error| failure::file(format!("cannot write \"{}\"", run.0.display()), error);
        create_folder(folder).map_err(failed)?;
        let file = File::create_new(&run.0).map_err(failed)?;
        let mut writer =
            FileWriter::try_new_buffered(file, &rows.schema()).map_err(|error| run.broken("write", error))?;
        for part in chunks(rows) {
            writer.write(&part).map_err(|error| run.broken("write", error))?;
        }
        writer.finish().map_err(|error| run.broken("write", error))?;
        drop(writer);
        Ok(run)
    }

    fn broken(&self, doing: &str, error: arrow::error::ArrowError) -> Error {
        let doing = format!("cannot {doing} \"{}\"", self.0.display());
        match error {
            arrow::error::ArrowError::IoError(_, error) => failure::file(doing, error),
            other => Error::internal(doing).with_source(other),
        }
    }
}

impl Drop for RunFile {
    fn drop(&mut self) {
        // What stays is found by a sweep.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The place in a run.
struct Head {
    reader: FileReader<BufReader<File>>,
    path: PathBuf,
    rows: RecordBatch,
    keys: Rows,
    next: usize,
}

impl Head {
    /// The begin of a run; `None` if it has no rows.
    fn open(run: &RunFile, order: &RowOrder, converter: &RowConverter) -> Result<Option<Head>> {
        let file = File::open(&run.0).map_err(|e| failure::file(format!("cannot read \"{}\"", run.0.display()), e))?;
        let reader = FileReader::try_new_buffered(file, None).map_err(|error| run.broken("read", error))?;
        let rows = RecordBatch::new_empty(reader.schema());
        let keys = keys_of(&rows, order, converter)?;
        let mut head = Head { reader, path: run.0.clone(), rows, keys, next: 0 };
        Ok(head.advance(order, converter)?.then_some(head))
    }

    fn key(&self) -> arrow::row::Row<'_> {
        self.keys.row(self.next)
    }

    /// Goes on to the next rows; false when there are none.
    fn advance(&mut self, order: &RowOrder, converter: &RowConverter) -> Result<bool> {
        for rows in self.reader.by_ref() {
            let rows = rows.map_err(|error| {
                Error::corrupt(format!("cannot read \"{}\"", self.path.display())).with_source(error)
            })?;
            if rows.num_rows() > 0 {
                (self.keys, self.rows, self.next) = (keys_of(&rows, order, converter)?, rows, 0);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use std::sync::Arc;

    #[test]
    fn rows_come_in_order_however_many_runs_they_take_and_equal_ones_as_they_came() {
        let folder = tempfile::tempdir().unwrap();
        for run_bytes in [usize::MAX, 20_000, 1] {
            let batch = |from: i64| {
                let rows = from..from + 700;
                let keys = Int64Array::from_iter(rows.clone().map(|row| (row % 13 != 0).then_some(row * 7919 % 101)));
                let columns: [(&str, ArrayRef); 2] =
                    [("key", Arc::new(keys)), ("row", Arc::new(Int64Array::from_iter_values(rows)))];
                RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
            };
            let options = SortOptions { descending: false, nulls_first: true };
            let schema = batch(0).schema();
            let mut sorted = SortedRows::with_runs_of(run_bytes, schema, vec![(0, options)], folder.path()).unwrap();
            for from in [0, 700, 1400, 2100] {
                sorted.add(batch(from)).unwrap();
            }
            let mut seen = Vec::new();
            let give = |rows: RecordBatch| {
                let (keys, rows) = (rows.column(0).as_primitive::<Int64Type>().clone(), rows.column(1).clone());
                seen.extend(keys.iter().zip(rows.as_primitive::<Int64Type>().values().iter().copied()));
                Ok(())
            };
            sorted.finish(give).unwrap();
            assert_eq!(seen.len(), 2800);
            assert!(seen.is_sorted(), "{run_bytes}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no run stays");
        }
    }
}
