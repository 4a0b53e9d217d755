//! Rows that wait in an operator, in order, and how they are kept in state.

use arrow::datatypes::SchemaRef;
use dataflow::{Batch, Context, Error, EventTime, Fate, KeyGroup, Progress, Result, key_hashes};
use state::GroupBlobs;
use std::collections::VecDeque;

/// Rows that wait, first in, first out.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    batches: VecDeque<Waiting>,
    rows: usize,
    size: usize,
}

/// Batches that wait long are joined up to this size.
const COALESCED_ROWS: usize = 4096;

#[derive(Clone, Debug)]
struct Waiting {
    batch: Batch,
    row_size: usize,
}

impl Queue {
    /// Takes rows. What waits already when others come may wait long, and so is detached from what it was picked from;
    /// the last batch mostly goes on at the next watermark, where its rows are copied anyway.
    pub(crate) fn push(&mut self, batch: Batch) {
        if batch.rows() == 0 {
            return;
        }
        if let Some(last) = self.batches.back_mut() {
            last.batch.detach();
        }
        let row_size = batch.bytes() / batch.rows();
        self.rows += batch.rows();
        self.size += row_size * batch.rows();
        self.batches.push_back(Waiting { batch, row_size });
    }

    /// Takes rows that are in order after all that wait. They may wait long, so small batches become larger ones: each
    /// row is copied once per doubling.
    pub(crate) fn push_in_order(&mut self, batch: &Batch, operator: &str) -> Result<()> {
        let last = self.last_time().unwrap_or(i64::MIN);
        if !batch.times().is_sorted() || batch.times().first().is_some_and(|&first| first < last) {
            return Err(Error::internal(format!("rows came to {operator} out of order; it stands after a merge")));
        }
        let mut batch = batch.clone();
        while let Some(last) = self.batches.back() {
            let rows = last.batch.rows();
            if rows > batch.rows() || rows + batch.rows() > COALESCED_ROWS {
                break;
            }
            let last = self.batches.pop_back().map(|waiting| (waiting.row_size, waiting.batch));
            let Some((row_size, last)) = last else { break };
            self.rows -= rows;
            self.size -= rows * row_size;
            batch = dataflow::concat(&batch.schema(), &[last, batch])?;
        }
        self.push(batch);
        Ok(())
    }

    /// Brings restored rows into order: batches of several blobs may overlap.
    pub(crate) fn put_in_order(&mut self, schema: &SchemaRef) -> Result<()> {
        if self.is_unsorted() {
            let sorted = self.take_sorted(schema)?;
            self.push(sorted);
        }
        Ok(())
    }

    fn is_unsorted(&self) -> bool {
        let mut last = (i64::MIN, 0);
        self.batches().any(|batch| {
            let end = batch.rows() - 1;
            let first = (batch.times()[0], batch.orders()[0] as u128);
            let before = std::mem::replace(&mut last, (batch.times()[end], batch.orders()[end] as u128));
            first < before
        })
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes that the rows take.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The batches that wait, first to last.
    pub(crate) fn batches(&self) -> impl DoubleEndedIterator<Item = &Batch> {
        self.batches.iter().map(|waiting| &waiting.batch)
    }

    /// A batch that waits, by its place.
    pub(crate) fn get(&self, at: usize) -> Option<&Batch> {
        self.batches.get(at).map(|waiting| &waiting.batch)
    }

    /// The bytes that a row of a batch takes, by the place of the batch.
    pub(crate) fn row_size(&self, at: usize) -> Option<usize> {
        self.batches.get(at).map(|waiting| waiting.row_size)
    }

    /// The time of the first row.
    pub(crate) fn first_time(&self) -> Option<i64> {
        self.batches.front().map(|waiting| waiting.batch.times()[0])
    }

    /// The least time above a time.
    pub(crate) fn first_after(&self, above: EventTime) -> Option<EventTime> {
        let of_batch =
            |batch: &Batch| batch.times().get(batch.times().partition_point(|&time| time <= above.0)).copied();
        self.batches().find_map(of_batch).map(EventTime)
    }

    /// The time of the last row.
    pub(crate) fn last_time(&self) -> Option<i64> {
        self.batches.back().and_then(|waiting| waiting.batch.times().last().copied())
    }

    /// How many rows at the front have a time at or before `until`: all of them, or at least `enough`. No rows of equal
    /// time are parted.
    pub(crate) fn whole_moments(&self, until: i64, enough: usize) -> usize {
        let (mut rows, mut until) = (0, until);
        for batch in self.batches() {
            let due = batch.times().partition_point(|&time| time <= until);
            rows += due;
            if due < batch.rows() {
                break;
            }
            if rows >= enough {
                until = batch.times()[due - 1];
            }
        }
        rows
    }

    /// Takes rows of the first batch with a time at or before `until`, at most as many as there is room for.
    pub(crate) fn pop_until(&mut self, until: i64, cx: &mut Context) -> Option<Batch> {
        let first = self.batches.front()?;
        let due = first.batch.times().partition_point(|&time| time <= until);
        let room = cx.room_for(first.row_size);
        self.pop(due.min(room))
    }

    /// Takes at most so many rows of the first batch.
    pub(crate) fn pop(&mut self, rows_max: usize) -> Option<Batch> {
        let first = self.batches.front_mut()?;
        if rows_max == 0 {
            return None;
        }
        let rows = first.batch.rows().min(rows_max);
        self.rows -= rows;
        self.size -= rows * first.row_size;
        if rows == first.batch.rows() {
            return self.batches.pop_front().map(|waiting| waiting.batch);
        }
        let taken = first.batch.slice(0, rows);
        first.batch = first.batch.slice(rows, first.batch.rows() - rows);
        Some(taken)
    }

    /// Puts out as many rows as there is room for, and lets go of them.
    pub(crate) fn drain(&mut self, cx: &mut Context) -> Progress {
        while let Some(batch) = self.pop_until(i64::MAX, cx) {
            cx.count(Fate::Out, batch.rows());
            cx.release(batch.rows());
            cx.emit(dataflow::Port::MAIN, batch);
        }
        if self.rows == 0 { Progress::Done } else { Progress::More }
    }

    /// Takes all rows as one sorted batch.
    pub(crate) fn take_sorted(&mut self, schema: &SchemaRef) -> Result<Batch> {
        let batches: Vec<Batch> = std::mem::take(self).batches.into_iter().map(|waiting| waiting.batch).collect();
        if batches.is_empty() {
            return Ok(Batch::empty(schema.clone()));
        }
        dataflow::concat(schema, &batches)?.sorted()
    }

    /// The rows as they are now.
    pub(crate) fn freeze(&self) -> Vec<Batch> {
        self.batches().cloned().collect()
    }
}

/// Writes rows that wait into the blobs of the groups of their keys.
pub(crate) fn put_by_columns(blobs: &mut GroupBlobs, tag: u8, batches: &[Batch], keys: &[usize]) -> Result<()> {
    for batch in batches {
        let hashes = key_hashes(&crate::columns::arrays(batch, keys), batch.rows())?;
        state::put_rows_by_group(blobs, tag, batch, &hashes)?;
    }
    Ok(())
}

/// Writes rows that wait into the blobs of the groups that their carried hashes tell, or else of `home`.
pub(crate) fn put_by_hashes(blobs: &mut GroupBlobs, tag: u8, batches: &[Batch], home: KeyGroup) -> Result<()> {
    for batch in batches {
        match batch.key_hashes() {
            Some((_, hashes)) => state::put_rows_by_group(blobs, tag, batch, hashes)?,
            None => {
                let out = blobs.group(home);
                out.u8(tag);
                state::put_rows(out, batch)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Merge;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use dataflow::{Input, KeyGroups, Operator, RowOrder};
    use std::sync::Arc;

    /// Rows at the times given that were picked from a batch ten times as large, and a column of that batch.
    fn picked(from: i64) -> (Batch, ArrayRef) {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 100));
        let columns = RecordBatch::try_from_iter([("number", column.clone())]).unwrap();
        let orders = (0..100).map(RowOrder).collect();
        let all = Batch::new(columns, (from..from + 100).collect(), orders).unwrap();
        (all.pick(&(0..10).collect::<Vec<_>>()).unwrap(), column)
    }

    #[test]
    fn rows_that_wait_keep_no_more_than_themselves_in_memory() {
        for in_order in [false, true] {
            let mut queue = Queue::default();
            let mut sources = Vec::new();
            for from in [0, 100, 200] {
                let (batch, source) = picked(from);
                match in_order {
                    true => queue.push_in_order(&batch, "a test").unwrap(),
                    false => queue.push(batch),
                }
                sources.push(source);
            }
            let kept = sources.iter().filter(|source| Arc::strong_count(source) > 1).count();
            assert!(kept <= 1, "{kept} batches stay in memory for a few of their rows");
            assert_eq!(queue.rows(), 30);
            let times: Vec<i64> = queue.batches().flat_map(|batch| batch.times().to_vec()).collect();
            assert_eq!(times, [0, 100, 200].map(|from| (from..from + 10).collect::<Vec<_>>()).concat());
        }
    }

    #[test]
    fn rows_that_a_merge_puts_out_keep_no_more_than_themselves_in_memory() {
        let (batch, source) = picked(0);
        let (mut merge, mut cx) = (Merge::new(batch.schema()).unwrap(), Context::new(KeyGroups::ALL));
        cx.set_room(100, usize::MAX);
        merge.process(Input(0), &batch, &mut cx).unwrap();
        drop(batch);
        assert_eq!(merge.advance(EventTime(50), &mut cx).unwrap(), Progress::Done);
        let put_out = cx.take_emitted();
        assert_eq!(put_out.iter().map(|(_, batch)| batch.rows()).sum::<usize>(), 10);
        assert_eq!(Arc::strong_count(&source), 1);
    }
}
