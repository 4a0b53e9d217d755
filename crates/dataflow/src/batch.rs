//! A batch: rows of declared columns, and beside them row time, order and lateness.

use crate::columns::{self, Columns};
use crate::{Error, EventTime, Result, RowOrder, key_hashes};
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute;
use arrow::datatypes::SchemaRef;
use std::sync::Arc;

/// Rows on their way through a job: a record batch of the declared columns, and beside it `_time`, `_ord`, `_late`
/// and, after an exchange, the hash of each row's key. Cloning copies no rows.
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
    columns: Columns,
    // Invariant: `times`, `orders`, `late` and `key_hashes` are as long as `columns`.
    times: ScalarBuffer<i64>,
    // The bits of a u128, because Arrow has no unsigned type of this width.
    orders: ScalarBuffer<i128>,
    late: Option<BooleanBuffer>,
    key_hashes: Option<KeyHashes>,
}

/// The hashes of the rows' keys, and the columns that are the key.
#[derive(Clone, Debug, PartialEq)]
struct KeyHashes {
    columns: Arc<[usize]>,
    hashes: ScalarBuffer<u64>,
}

impl KeyHashes {
    fn with(&self, hashes: ScalarBuffer<u64>) -> KeyHashes {
        KeyHashes { columns: self.columns.clone(), hashes }
    }
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
        let (columns, times, orders) = (Columns::Whole(columns), times.into(), orders.into());
        Ok(Batch { columns, times, orders, late: None, key_hashes: None })
    }

    /// A batch without rows.
    pub fn empty(schema: SchemaRef) -> Batch {
        Batch {
            columns: Columns::Whole(RecordBatch::new_empty(schema)),
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

    /// Carries the hash of each row's key in these columns, as [`crate::key_hashes`] gives it.
    pub fn with_key_hashes(mut self, columns: &[usize], hashes: Vec<u64>) -> Result<Batch> {
        if hashes.len() != self.rows() {
            return Err(Error::internal(format!("{} key hashes for {} rows", hashes.len(), self.rows())));
        }
        self.key_hashes = Some(KeyHashes { columns: columns.into(), hashes: hashes.into() });
        Ok(self)
    }

    /// Carries the hash of each row's key in these columns, which is worked out unless it is carried already.
    pub fn hash_keys(self, columns: &[usize]) -> Result<Batch> {
        if self.key_hashes_of(columns).is_some() {
            return Ok(self);
        }
        let keys: Vec<ArrayRef> = columns.iter().map(|&column| self.column(column).clone()).collect();
        let hashes = key_hashes(&keys, self.rows())?;
        self.with_key_hashes(columns, hashes)
    }

    /// The same rows with other columns; times, orders and lateness stay, key hashes go.
    pub fn with_columns(&self, columns: RecordBatch) -> Result<Batch> {
        if columns.num_rows() != self.rows() {
            return Err(Error::internal(format!("{} rows of columns for {} rows", columns.num_rows(), self.rows())));
        }
        Ok(Batch { columns: Columns::Whole(columns), key_hashes: None, ..self.clone() })
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
        self.columns.rows()
    }

    /// The declared columns.
    pub fn columns(&self) -> &RecordBatch {
        self.columns.whole()
    }

    /// One declared column.
    pub fn column(&self, index: usize) -> &ArrayRef {
        self.columns.whole().column(index)
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

    /// The columns of a key and the hash of each row's key in them, after an exchange.
    pub fn key_hashes(&self) -> Option<(&[usize], &[u64])> {
        self.key_hashes.as_ref().map(|keys| (&*keys.columns, &*keys.hashes))
    }

    /// The hash of each row's key in these columns, if it is carried.
    pub fn key_hashes_of(&self, columns: &[usize]) -> Option<&[u64]> {
        self.key_hashes().filter(|(of, _)| *of == columns).map(|(_, hashes)| hashes)
    }

    /// The approximate size of the rows in bytes.
    pub fn bytes(&self) -> usize {
        self.columns.bytes() + self.rows() * 24
    }

    /// Rows `from .. from + rows`.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> Batch {
        Batch {
            columns: self.columns.slice(from, rows),
            times: self.times.slice(from, rows),
            orders: self.orders.slice(from, rows),
            late: self.late.as_ref().map(|late| late.slice(from, rows)),
            key_hashes: self.key_hashes.as_ref().map(|keys| keys.with(keys.hashes.slice(from, rows))),
        }
    }

    /// The rows at the indexes, in the order of the indexes.
    pub fn take(&self, rows: &[u32]) -> Result<Batch> {
        let columns = columns::take(self.columns(), &UInt32Array::from(rows.to_vec()))?;
        Ok(self.with_rows(Columns::Whole(columns), rows))
    }

    /// The rows at the indexes, each named at most once. Their columns stay where they are until they are looked at, or
    /// are copied straight to where the rows are interleaved with others; until then the whole batch stays in memory. Rows
    /// that have to wait are detached from it.
    pub fn pick(&self, rows: &[u32]) -> Result<Batch> {
        Ok(self.with_rows(self.columns.pick(rows)?, rows))
    }

    /// Copies rows that were picked into columns of their own, so that nothing else stays in memory for them; free for
    /// all others.
    pub fn detach(&mut self) {
        self.columns.detach();
    }

    fn with_rows(&self, columns: Columns, rows: &[u32]) -> Batch {
        Batch {
            columns,
            times: rows.iter().map(|&row| self.times[row as usize]).collect(),
            orders: rows.iter().map(|&row| self.orders[row as usize]).collect(),
            late: self.late.as_ref().map(|late| rows.iter().map(|&row| late.value(row as usize)).collect()),
            key_hashes: self
                .key_hashes
                .as_ref()
                .map(|keys| keys.with(rows.iter().map(|&row| keys.hashes[row as usize]).collect())),
        }
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
        let mut pairs = self.times.windows(2).zip(self.orders.windows(2));
        pairs.all(|(times, orders)| {
            times[0] < times[1] || (times[0] == times[1] && orders[0] as u128 <= orders[1] as u128)
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

/// One batch of the rows of several, in their sequence. All have the schema given. Key hashes stay when all
/// carry those of the same columns.
pub fn concat(schema: &SchemaRef, batches: &[Batch]) -> Result<Batch> {
    if let [one] = batches {
        return Ok(one.clone());
    }
    let rows = batches.iter().map(Batch::rows).sum();
    let columns = if batches.iter().any(|batch| batch.columns.source().1.is_some()) {
        let places = batches.iter().enumerate().flat_map(|(at, batch)| (0..batch.rows()).map(move |row| (at, row)));
        interleave_columns(batches, &places.collect::<Vec<_>>())?
    } else {
        compute::concat_batches(schema, batches.iter().map(Batch::columns))?
    };
    let mut times = Vec::with_capacity(rows);
    let mut orders = Vec::with_capacity(rows);
    for batch in batches {
        times.extend_from_slice(&batch.times);
        orders.extend_from_slice(&batch.orders);
    }
    let late = batches.iter().any(|batch| batch.late.is_some()).then(|| {
        batches.iter().flat_map(|batch| (0..batch.rows()).map(|row| batch.is_late(row))).collect::<BooleanBuffer>()
    });
    let key_hashes = common_hashes(batches).map(|(keys, hashes)| keys.with(hashes.concat().into()));
    Ok(Batch { columns: Columns::Whole(columns), times: times.into(), orders: orders.into(), late, key_hashes })
}

/// The rows of several batches in the sequence of the places: a batch, and a row of it. All batches, of which there is at
/// least one, have the same schema. Key hashes stay when all
/// carry those of the same columns. Each row is copied once, also one that was picked.
pub fn interleave(batches: &[Batch], places: &[(usize, usize)]) -> Result<Batch> {
    let late = batches.iter().any(|batch| batch.late.is_some());
    let is_late = |place: usize| batches[places[place].0].is_late(places[place].1);
    let hashes = common_hashes(batches);
    let times: Vec<&[i64]> = batches.iter().map(|batch| &*batch.times).collect();
    let orders: Vec<&[i128]> = batches.iter().map(|batch| &*batch.orders).collect();
    Ok(Batch {
        columns: Columns::Whole(interleave_columns(batches, places)?),
        times: places.iter().map(|&(batch, row)| times[batch][row]).collect(),
        orders: places.iter().map(|&(batch, row)| orders[batch][row]).collect(),
        late: late.then(|| BooleanBuffer::collect_bool(places.len(), is_late)),
        key_hashes: hashes
            .map(|(keys, hashes)| keys.with(places.iter().map(|&(batch, row)| hashes[batch][row]).collect())),
    })
}

/// The hashes of all batches, where all carry those of the same columns.
fn common_hashes(batches: &[Batch]) -> Option<(&KeyHashes, Vec<&[u64]>)> {
    let first = batches.first()?.key_hashes.as_ref()?;
    let of = |batch| Batch::key_hashes_of(batch, &first.columns);
    Some((first, batches.iter().map(of).collect::<Option<_>>()?))
}

fn interleave_columns(batches: &[Batch], places: &[(usize, usize)]) -> Result<RecordBatch> {
    columns::interleave(&batches.iter().map(|batch| &batch.columns).collect::<Vec<_>>(), places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    fn batch(rows: usize) -> Batch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter((0..rows as i64).map(|n| (n % 3 > 0).then_some(n))));
        let words: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|n| "x".repeat(n % 5))));
        let columns = RecordBatch::try_from_iter([("number", numbers), ("word", words)]).unwrap();
        let orders = (0..rows).map(|n| RowOrder(n as u128)).collect();
        let late = (0..rows).map(|n| n % 4 == 0).collect();
        let batch = Batch::new(columns, (0..rows as i64).map(|n| 10 * n).collect(), orders).unwrap();
        batch.with_late(late).unwrap().with_key_hashes(&[0], (0..rows as u64).collect()).unwrap()
    }

    fn assert_same(one: &Batch, other: &Batch) {
        assert_eq!(one.columns(), other.columns());
        assert_eq!((one.times(), one.orders()), (other.times(), other.orders()));
        assert_eq!(one.key_hashes(), other.key_hashes());
        (0..one.rows()).for_each(|row| assert_eq!(one.is_late(row), other.is_late(row)));
    }

    proptest! {
        #[test]
        fn rows_that_are_picked_are_those_that_are_taken(
            mask in prop::collection::vec(any::<bool>(), 1..60),
            cut in any::<prop::sample::Index>(),
            looked_at: bool,
        ) {
            let all = batch(mask.len());
            let rows: Vec<u32> = (0..mask.len() as u32).filter(|&row| mask[row as usize]).collect();
            let (picked, taken) = (all.pick(&rows).unwrap(), all.take(&rows).unwrap());
            if looked_at {
                picked.columns();
            }
            let cut = cut.index(rows.len() + 1);
            let parts = |batch: &Batch| [batch.slice(0, cut), batch.slice(cut, rows.len() - cut)];
            let places: Vec<(usize, usize)> = (cut..rows.len()).map(|row| (1, row - cut)).chain((0..cut).map(|row| (0, row))).collect();
            assert_same(&concat(&all.schema(), &parts(&picked)).unwrap(), &taken);
            assert_same(&interleave(&parts(&picked), &places).unwrap(), &interleave(&parts(&taken), &places).unwrap());
            let again: Vec<u32> = (0..rows.len() as u32).rev().collect();
            assert_same(&picked.pick(&again).unwrap(), &taken.take(&again).unwrap());
            assert_same(&picked, &taken);
        }
    }
}
