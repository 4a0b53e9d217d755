//! ORDER BY: sorted runs in files, merged; where only the first rows are wanted, no more than those are kept.

use crate::plan::SortKey;
use crate::spill::{Run, RunWriter, Spill, bytes_of};
use crate::stop::{BATCH_ROWS, StopCheck};
use crate::weight::{BATCH_BYTES, Weights};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::compute::{SortOptions, interleave_record_batch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use dataflow::{Error, RecordBatches, Result};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

/// Rows that are sorted at once; parts of so many are then merged.
const SORTED_ROWS: usize = 65_536;
/// Runs that are merged at once: each has a file open.
const MERGED_MAX: usize = 64;

/// What is sorted how.
pub(crate) struct Sort {
    pub schema: SchemaRef,
    pub keys: Vec<SortKey>,
    pub limit: Option<usize>,
    pub memory: usize,
    pub spill: Spill,
}

/// Brings the columns of keys to bytes whose order is SQL's.
struct KeyOrder {
    keys: Vec<SortKey>,
    converter: RowConverter,
}

impl KeyOrder {
    fn new(schema: &SchemaRef, keys: &[SortKey]) -> Result<KeyOrder> {
        let field = |key: &SortKey| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            SortField::new_with_options(schema.field(key.column).data_type().clone(), options)
        };
        let converter = RowConverter::new(keys.iter().map(field).collect())?;
        Ok(KeyOrder { keys: keys.to_vec(), converter })
    }

    fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> = self.keys.iter().map(|key| canonical(batch.column(key.column))).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }
}

/// Floats of one kind where SQL has one: the order of bytes tells -0.0 from 0.0, and NaNs from each other.
fn canonical(column: &ArrayRef) -> ArrayRef {
    fn of<T: ArrowPrimitiveType>(column: &ArrayRef, value: impl Fn(T::Native) -> T::Native) -> ArrayRef {
        Arc::new(column.as_primitive::<T>().unary::<_, T>(value)) as Arc<PrimitiveArray<T>>
    }
    match column.data_type() {
        DataType::Float64 => of::<Float64Type>(column, |value| if value.is_nan() { f64::NAN } else { value + 0.0 }),
        DataType::Float32 => of::<Float32Type>(column, |value| if value.is_nan() { f32::NAN } else { value + 0.0 }),
        _ => column.clone(),
    }
}

impl Sort {
    /// The rows in order.
    pub fn run(self, input: RecordBatches) -> Result<RecordBatches> {
        let order = KeyOrder::new(&self.schema, &self.keys)?;
        let (mut held, mut runs) = (Held::default(), Vec::new());
        for batch in input {
            let batch = batch?;
            if batch.num_rows() == 0 {
                continue;
            }
            held.push(batch, &order)?;
            if held.bytes <= self.memory {
                continue;
            }
            // Where only the first rows are wanted they may all stay.
            let wanted = held.rows.min(self.limit.unwrap_or(usize::MAX));
            if wanted <= held.rows / 2 {
                held = held.first(wanted, &order, &self.spill.stop)?;
            }
            if held.bytes > self.memory / 2 {
                runs.push(held.write(&self)?);
                held = Held::default();
            }
        }
        if runs.is_empty() {
            return Ok(Box::new(held.into_sorted(self.limit, &self.spill.stop)?));
        }
        if held.rows > 0 {
            runs.push(held.write(&self)?);
        }
        while runs.len() > MERGED_MAX {
            let mut merged = Vec::with_capacity(runs.len().div_ceil(MERGED_MAX));
            let mut rest = runs.into_iter();
            loop {
                let some: Vec<Run> = rest.by_ref().take(MERGED_MAX).collect();
                if some.is_empty() {
                    break;
                }
                let mut writer = self.spill.writer(&self.schema)?;
                for rows in Merge::new(some, KeyOrder::new(&self.schema, &self.keys)?)? {
                    writer.write(&rows?)?;
                }
                merged.push(writer.finish()?);
            }
            runs = merged;
        }
        Ok(self.spill.stop.watch(Box::new(Merge::new(runs, order)?)))
    }
}

/// Rows in memory with their keys.
#[derive(Default)]
struct Held {
    batches: Vec<RecordBatch>,
    weights: Vec<Weights>,
    keys: Vec<Arc<Rows>>,
    rows: usize,
    bytes: usize,
}

/// A row by its batch and its place there.
type Place = (usize, usize);

impl Held {
    fn push(&mut self, batch: RecordBatch, order: &KeyOrder) -> Result<()> {
        let keys = order.rows(&batch)?;
        self.rows += batch.num_rows();
        self.bytes += bytes_of(&batch) + keys.size() + batch.num_rows() * size_of::<Place>();
        self.weights.push(Weights::of(&batch));
        self.batches.push(batch);
        self.keys.push(Arc::new(keys));
        Ok(())
    }

    /// The first of its rows alone.
    fn first(self, rows: usize, order: &KeyOrder, stop: &StopCheck) -> Result<Held> {
        let mut first = Held::default();
        for some in self.into_sorted(Some(rows), stop)? {
            first.push(some?, order)?;
        }
        Ok(first)
    }

    /// Its rows in order, as they are taken. The sort is stable.
    fn into_sorted(self, limit: Option<usize>, stop: &StopCheck) -> Result<SortedRows> {
        let left = self.rows.min(limit.unwrap_or(usize::MAX));
        let rows = |(batch, rows): (usize, &RecordBatch)| (0..rows.num_rows()).map(move |row| (batch, row));
        let mut places = self.batches.iter().enumerate().flat_map(rows);
        let (mut parts, mut heads) = (Vec::new(), Vec::new());
        loop {
            stop.look()?;
            let mut part: Vec<Place> = places.by_ref().take(SORTED_ROWS).collect();
            let key = |&(batch, row): &Place| self.keys[batch].row(row);
            part.sort_by(|one, other| key(one).cmp(&key(other)));
            part.truncate(left);
            let mut rest = part.into_iter();
            let Some((batch, row)) = rest.next() else { break };
            heads.push(Head { run: parts.len(), keys: self.keys[batch].clone(), row, batch });
            parts.push(rest);
        }
        drop(places);
        Ok(SortedRows { held: self, parts, heads: heads.into(), left, stop: stop.clone() })
    }

    /// Its first rows in order, in a file.
    fn write(self, sort: &Sort) -> Result<Run> {
        let mut writer: RunWriter = sort.spill.writer(&sort.schema)?;
        for rows in self.into_sorted(sort.limit, &sort.spill.stop)? {
            writer.write(&rows?)?;
        }
        writer.finish()
    }
}

/// Sorted parts of rows in memory as one; of equal rows those of earlier parts come first.
struct SortedRows {
    held: Held,
    /// The places after the head of each part.
    parts: Vec<std::vec::IntoIter<Place>>,
    heads: BinaryHeap<Head>,
    /// How many rows are still to come.
    left: usize,
    stop: StopCheck,
}

impl SortedRows {
    fn take(&mut self) -> Result<Option<RecordBatch>> {
        self.stop.look()?;
        let (mut places, mut bytes) = (Vec::with_capacity(BATCH_ROWS.min(self.left)), 0);
        while places.len() < self.left.min(BATCH_ROWS) && bytes < BATCH_BYTES {
            let Some(mut head) = self.heads.peek_mut() else { break };
            places.push((head.batch, head.row));
            bytes += self.held.weights[head.batch].row(head.row);
            match self.parts[head.run].next() {
                Some((batch, row)) => {
                    *head = Head { run: head.run, keys: self.held.keys[batch].clone(), row, batch };
                }
                None => drop(PeekMut::pop(head)),
            }
        }
        self.left -= places.len();
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.held.batches.iter().collect();
        Ok(Some(interleave_record_batch(&batches, &places)?))
    }
}

impl Iterator for SortedRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.take();
        if rows.is_err() {
            self.left = 0;
            self.heads.clear();
        }
        rows.transpose()
    }
}

/// Sorted runs as one; of equal rows those of earlier runs come first.
struct Merge {
    order: KeyOrder,
    runs: Vec<RecordBatches>,
    /// The files, which go with the merge.
    _files: Vec<Run>,
    heads: BinaryHeap<Head>,
    /// Batches that rows which come out next are taken from.
    batches: Vec<(RecordBatch, Weights)>,
    failed: bool,
}

/// The next row of a run.
struct Head {
    run: usize,
    keys: Arc<Rows>,
    row: usize,
    /// Among the batches of the merge.
    batch: usize,
}

impl Ord for Head {
    /// The greatest head of the heap is the row that comes first.
    fn cmp(&self, other: &Head) -> Ordering {
        other.keys.row(other.row).cmp(&self.keys.row(self.row)).then_with(|| other.run.cmp(&self.run))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Head) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Head) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}

impl Merge {
    fn new(files: Vec<Run>, order: KeyOrder) -> Result<Merge> {
        let runs = files.iter().map(Run::read).collect::<Result<Vec<_>>>()?;
        let count = runs.len();
        let (heads, batches) = (BinaryHeap::with_capacity(count), Vec::new());
        let mut merge = Merge { order, runs, _files: files, heads, batches, failed: false };
        (0..count).try_for_each(|run| merge.open(run))?;
        Ok(merge)
    }

    /// Takes the next batch of a run.
    fn open(&mut self, run: usize) -> Result<()> {
        let Some(batch) = self.runs[run].next().transpose()? else { return Ok(()) };
        if batch.num_rows() == 0 {
            return Err(Error::internal("a sorted run has an empty batch"));
        }
        let keys = Arc::new(self.order.rows(&batch)?);
        self.heads.push(Head { run, keys, row: 0, batch: self.batches.len() });
        let weights = Weights::of(&batch);
        self.batches.push((batch, weights));
        Ok(())
    }

    fn take(&mut self) -> Result<Option<RecordBatch>> {
        let (mut places, mut bytes) = (Vec::with_capacity(BATCH_ROWS), 0);
        while places.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            let Some(head) = self.heads.pop() else { break };
            places.push((head.batch, head.row));
            bytes += self.batches[head.batch].1.row(head.row);
            if head.row + 1 < head.keys.num_rows() {
                self.heads.push(Head { row: head.row + 1, ..head });
            } else {
                self.open(head.run)?;
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let batches: Vec<&RecordBatch> = self.batches.iter().map(|(batch, _)| batch).collect();
        let rows = interleave_record_batch(&batches, &places)?;
        // Only batches that a head stands in are needed again.
        let mut heads = std::mem::take(&mut self.heads).into_vec();
        let mut before: Vec<_> = std::mem::take(&mut self.batches).into_iter().map(Some).collect();
        // A run has one head, and a batch is of one run.
        self.batches = heads.iter().filter_map(|head| before[head.batch].take()).collect();
        heads.iter_mut().enumerate().for_each(|(at, head)| head.batch = at);
        self.heads = heads.into();
        Ok(Some(rows))
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let rows = self.take();
        self.failed = rows.is_err();
        rows.transpose()
    }
}
