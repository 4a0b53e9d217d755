//! A batch: rows of declared columns, and beside them row time, order and lateness.

use crate::{Error, EventTime, Result, RowOrder};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Rows on their way through a job: a record batch of the declared columns, and beside it `_time`, `_ord`, `_late`
/// and, behind an exchange, the hash of each row's key. Cloning copies no rows.
///
/// ```
/// use arrow::array::{Int64Array, RecordBatch};
/// use dataflow::{Batch, EventTime, RowOrder};
/// use std::sync::Arc;
/// let columns = RecordBatch::try_from_iter([("user", Arc::new(Int64Array::from(vec![7, 8])) as _)])?;
/// let batch = Batch::new(columns, vec![10, 20], vec![RowOrder(1), RowOrder(2)])?;
/// assert_eq!(batch.rows(), 2);
/// assert_eq!(batch.time(1), EventTime(20));
/// # Ok::<(), dataflow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    columns: RecordBatch,
    // Invariant: `times`, `orders`, `late` and `key_hashes` are as long as `columns`.
    times: ScalarBuffer<i64>,
    // The bits of a u128, because Arrow has no unsigned type of this width.
    orders: ScalarBuffer<i128>,
    late: Option<BooleanBuffer>,
    key_hashes: Option<ScalarBuffer<u64>>,
}

impl Batch {
    /// Rows with their times (microseconds) and orders, none of them late.
    pub fn new(columns: RecordBatch, times: Vec<i64>, orders: Vec<RowOrder>) -> Result<Batch> {
        let orders: Vec<i128> = orders.into_iter().map(|order| order.0 as i128).collect();
        if times.len() != columns.num_rows() || orders.len() != columns.num_rows() {
            return Err(Error::internal(format!(
                "a batch of {} rows came with {} times and {} orders",
                columns.num_rows(),
                times.len(),
                orders.len()
            )));
        }
        Ok(Batch { columns, times: times.into(), orders: orders.into(), late: None, key_hashes: None })
    }

    /// A batch without rows.
    pub fn empty(schema: SchemaRef) -> Batch {
        Batch {
            columns: RecordBatch::new_empty(schema),
            times: Vec::new().into(),
            orders: Vec::new().into(),
            late: None,
            key_hashes: None,
        }
    }

    /// Marks rows as late.
    pub fn with_late(mut self, late: BooleanBuffer) -> Result<Batch> {
        if late.len() != self.rows() {
            return Err(Error::internal(format!("{} late marks for {} rows", late.len(), self.rows())));
        }
        self.late = Some(late);
        Ok(self)
    }

    /// Carries the hash of each row's key, as [`crate::key_hashes`] gives it.
    pub fn with_key_hashes(mut self, hashes: Vec<u64>) -> Result<Batch> {
        if hashes.len() != self.rows() {
            return Err(Error::internal(format!("{} key hashes for {} rows", hashes.len(), self.rows())));
        }
        self.key_hashes = Some(hashes.into());
        Ok(self)
    }

    /// The same rows with other columns; times, orders and lateness stay, key hashes go.
    pub fn with_columns(&self, columns: RecordBatch) -> Result<Batch> {
        if columns.num_rows() != self.rows() {
            return Err(Error::internal(format!("{} rows of columns for {} rows", columns.num_rows(), self.rows())));
        }
        Ok(Batch { columns, key_hashes: None, ..self.clone() })
    }

    /// The same rows with other times (labels: left + bound); their order is kept.
    pub fn with_times(&self, times: Vec<i64>) -> Result<Batch> {
        if times.len() != self.rows() {
            return Err(Error::internal(format!("{} times for {} rows", times.len(), self.rows())));
        }
        Ok(Batch { times: times.into(), ..self.clone() })
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.columns.num_rows()
    }

    /// The declared columns.
    pub fn columns(&self) -> &RecordBatch {
        &self.columns
    }

    /// One declared column.
    pub fn column(&self, index: usize) -> &ArrayRef {
        self.columns.column(index)
    }

    /// The schema of the declared columns.
    pub fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    /// The time of a row.
    pub fn time(&self, row: usize) -> EventTime {
        EventTime(self.times[row])
    }

    /// The times of all rows in microseconds.
    pub fn times(&self) -> &ScalarBuffer<i64> {
        &self.times
    }

    /// The order of a row among those of equal time.
    pub fn order(&self, row: usize) -> RowOrder {
        RowOrder(self.orders[row] as u128)
    }

    /// The orders of all rows, as the bits of a u128.
    pub fn orders(&self) -> &ScalarBuffer<i128> {
        &self.orders
    }

    /// Whether a row was late, and was therefore moved.
    pub fn is_late(&self, row: usize) -> bool {
        self.late.as_ref().is_some_and(|late| late.value(row))
    }

    /// The late marks; `None` when no row is late.
    pub fn late(&self) -> Option<&BooleanBuffer> {
        self.late.as_ref()
    }

    /// The hash of each row's key, behind an exchange.
    pub fn key_hashes(&self) -> Option<&ScalarBuffer<u64>> {
        self.key_hashes.as_ref()
    }

    /// The approximate size of the rows in bytes.
    pub fn bytes(&self) -> usize {
        let columns: usize =
            self.columns.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0)).sum();
        columns + self.rows() * 24
    }

    /// Rows `from .. from + rows`.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> Batch {
        Batch {
            columns: self.columns.slice(from, rows),
            times: self.times.slice(from, rows),
            orders: self.orders.slice(from, rows),
            late: self.late.as_ref().map(|late| late.slice(from, rows)),
            key_hashes: self.key_hashes.as_ref().map(|hashes| hashes.slice(from, rows)),
        }
    }

    /// The rows at the indexes, in the order of the indexes.
    pub fn take(&self, rows: &[u32]) -> Result<Batch> {
        let indexes = UInt32Array::from(rows.to_vec());
        let columns = take_columns(&self.columns, &indexes)?;
        Ok(Batch {
            columns,
            times: rows.iter().map(|&row| self.times[row as usize]).collect(),
            orders: rows.iter().map(|&row| self.orders[row as usize]).collect(),
            late: self.late.as_ref().map(|late| rows.iter().map(|&row| late.value(row as usize)).collect()),
            key_hashes: self.key_hashes.as_ref().map(|hashes| rows.iter().map(|&row| hashes[row as usize]).collect()),
        })
    }

    /// The rows for which the mask is true; NULL counts as false.
    pub fn filter(&self, mask: &BooleanArray) -> Result<Batch> {
        let kept = if mask.null_count() == 0 { mask.clone() } else { compute::prep_null_mask_filter(mask) };
        if kept.true_count() == kept.len() {
            return Ok(self.clone());
        }
        let rows: Vec<u32> = kept.values().set_indices().map(|row| row as u32).collect();
        self.take(&rows)
    }

    /// Whether the rows are in (`_time`, `_ord`) order.
    pub fn is_sorted(&self) -> bool {
        (1..self.rows()).all(|row| {
            (self.times[row - 1], self.orders[row - 1] as u128) <= (self.times[row], self.orders[row] as u128)
        })
    }

    /// The rows in (`_time`, `_ord`) order; stable, and free when they are in order already.
    pub fn sorted(&self) -> Result<Batch> {
        if self.is_sorted() {
            return Ok(self.clone());
        }
        let mut rows: Vec<u32> = (0..self.rows() as u32).collect();
        rows.sort_by_key(|&row| (self.times[row as usize], self.orders[row as usize] as u128));
        self.take(&rows)
    }

    /// `_time` as a column.
    pub fn time_column(&self) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::new(self.times.clone(), None))
    }

    /// `_late` as a column.
    pub fn late_column(&self) -> ArrayRef {
        let late = self.late.clone().unwrap_or_else(|| BooleanBuffer::new_unset(self.rows()));
        Arc::new(BooleanArray::new(late, None))
    }
}

fn take_columns(columns: &RecordBatch, indexes: &UInt32Array) -> Result<RecordBatch> {
    if columns.num_columns() == 0 {
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(indexes.len()));
        return Ok(RecordBatch::try_new_with_options(columns.schema(), vec![], &options)?);
    }
    Ok(compute::take_record_batch(columns, indexes)?)
}

/// One batch of the rows of several, in their sequence. All have the schema given. Key hashes stay when all have them.
pub fn concat(schema: &SchemaRef, batches: &[Batch]) -> Result<Batch> {
    if let [one] = batches {
        return Ok(one.clone());
    }
    let rows = batches.iter().map(Batch::rows).sum();
    let columns = compute::concat_batches(schema, batches.iter().map(|batch| &batch.columns))?;
    let mut times = Vec::with_capacity(rows);
    let mut orders = Vec::with_capacity(rows);
    for batch in batches {
        times.extend_from_slice(&batch.times);
        orders.extend_from_slice(&batch.orders);
    }
    let late = batches.iter().any(|batch| batch.late.is_some()).then(|| {
        batches.iter().flat_map(|batch| (0..batch.rows()).map(|row| batch.is_late(row))).collect::<BooleanBuffer>()
    });
    let key_hashes = batches
        .iter()
        .map(|batch| batch.key_hashes.as_deref())
        .collect::<Option<Vec<_>>>()
        .map(|all| all.concat().into());
    Ok(Batch { columns, times: times.into(), orders: orders.into(), late, key_hashes })
}

/// The rows of several batches in the sequence of the places: a batch, and a row of it. All batches, of which there is at
/// least one, have the same schema. Key hashes stay when all have them.
pub fn interleave(batches: &[Batch], places: &[(usize, usize)]) -> Result<Batch> {
    let columns: Vec<&RecordBatch> = batches.iter().map(|batch| &batch.columns).collect();
    let columns = match columns.first() {
        Some(first) if first.num_columns() == 0 => take_columns(first, &UInt32Array::from(vec![0; places.len()]))?,
        _ => compute::interleave_record_batch(&columns, places)?,
    };
    let late = batches.iter().any(|batch| batch.late.is_some());
    let is_late = |place: usize| batches[places[place].0].is_late(places[place].1);
    let hashes: Option<Vec<_>> = batches.iter().map(|batch| batch.key_hashes.as_deref()).collect();
    Ok(Batch {
        columns,
        times: places.iter().map(|&(batch, row)| batches[batch].times[row]).collect(),
        orders: places.iter().map(|&(batch, row)| batches[batch].orders[row]).collect(),
        late: late.then(|| BooleanBuffer::collect_bool(places.len(), is_late)),
        key_hashes: hashes.map(|hashes| places.iter().map(|&(batch, row)| hashes[batch][row]).collect()),
    })
}
