//! The rows that a reader has given out and that the common watermark has not reached: what they wait for, and how
//! many they are.

use dataflow::{Batch, ByteReader, ByteWriter, EventTime, Result, Split};
use std::collections::{BTreeMap, HashMap};

/// How many rows one entry holds at most, so that it spans little time where rows come one by one.
const RUN_ROWS: usize = 64;
/// How many entries before a time are looked at for one that reaches past it.
const LOOK_BACK: usize = 8;

/// Rows given out and not released.
///
/// State: the times of all rows that are out, in runs of at most 64 of one split. Rows that were out when a split was
/// taken up again are one run, which is released when the last of them is.
#[derive(Debug, Default)]
pub(crate) struct UnreleasedRows {
    // By the first time of the run, and a number that tells runs of equal times apart.
    runs: BTreeMap<(i64, u64), Run>,
    next: u64,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Run {
    split: Split,
    // In order, and not empty.
    times: Box<[i64]>,
    rows: usize,
    bytes: usize,
}

/// How many rows of a split are out, and up to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutRows {
    pub rows: usize,
    pub bytes: usize,
    /// The greatest of their times; `MIN` when there are none.
    pub greatest: EventTime,
}

impl OutRows {
    /// None at all.
    pub const NONE: OutRows = OutRows { rows: 0, bytes: 0, greatest: EventTime::MIN };

    pub fn write(self, out: &mut ByteWriter) {
        out.u64(self.rows as u64);
        out.u64(self.bytes as u64);
        out.i64(self.greatest.0);
    }

    pub fn read(from: &mut ByteReader) -> Result<OutRows> {
        // So that no sum of them overflows.
        let mut count = || match from.u64()? {
            count if count < 1 << 48 => Ok(count as usize),
            count => Err(from.corrupt(&format!("{count} rows or bytes are out"))),
        };
        let (rows, bytes) = (count()?, count()?);
        Ok(OutRows { rows, bytes, greatest: EventTime(from.i64()?) })
    }
}

impl Run {
    /// The least time above a watermark.
    fn above(&self, watermark: i64) -> Option<i64> {
        self.times.get(self.times.partition_point(|&time| time <= watermark)).copied()
    }
}

impl UnreleasedRows {
    /// Takes note of rows of one split that are given out.
    pub fn add(&mut self, split: Split, batch: &Batch) {
        let (rows, bytes) = (batch.rows(), batch.bytes());
        for times in batch.times().chunks(RUN_ROWS) {
            let mut times: Box<[i64]> = times.into();
            times.sort_unstable();
            let bytes = bytes * times.len() / rows;
            self.insert(Run { split, rows: times.len(), bytes, times });
        }
    }

    /// Takes note of rows that were out when a split was taken up again.
    pub fn take_up(&mut self, split: Split, out: OutRows) {
        if out.rows > 0 {
            self.insert(Run { split, times: [out.greatest.0].into(), rows: out.rows, bytes: out.bytes });
        }
    }

    fn insert(&mut self, run: Run) {
        self.rows += run.rows;
        self.bytes += run.bytes;
        self.runs.insert((run.times[0], self.next), run);
        self.next += 1;
    }

    /// Forgets what a watermark has released.
    pub fn release(&mut self, watermark: EventTime) {
        while let Some(entry) = self.runs.first_entry().filter(|entry| entry.key().0 <= watermark.0) {
            let ((_, number), run) = entry.remove_entry();
            let passed = run.times.partition_point(|&time| time <= watermark.0);
            // What is left of a run counts from its own first time: a row far ahead neither keeps those that came with
            // it, nor is looked at again before its time.
            let times: Box<[i64]> = run.times[passed..].into();
            let share = |all: usize| all * times.len() / run.times.len();
            let left = Run { split: run.split, rows: share(run.rows), bytes: share(run.bytes), times };
            self.rows -= run.rows - left.rows;
            self.bytes -= run.bytes - left.bytes;
            if let Some(&first) = left.times.first() {
                self.runs.insert((first, number), left);
            }
        }
    }

    /// Rows and bytes that are out.
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    /// What is out of each split, where there is something.
    pub fn by_split(&self) -> HashMap<Split, OutRows> {
        let mut by_split = HashMap::new();
        for run in self.runs.values() {
            let out = by_split.entry(run.split).or_insert(OutRows::NONE);
            out.rows += run.rows;
            out.bytes += run.bytes;
            out.greatest = out.greatest.max(EventTime(run.times[run.times.len() - 1]));
        }
        by_split
    }

    /// The least time above a watermark at which something comes out that waits for it.
    pub fn due_above(&self, watermark: EventTime) -> Option<EventTime> {
        let above = (watermark.0.saturating_add(1), 0);
        // A time that no row has would be asked for again and again, until a row far ahead has been reached.
        let across = self.runs.range(..above).rev().take(LOOK_BACK).filter_map(|(_, run)| run.above(watermark.0));
        let next = self.runs.range(above..).next().map(|((first, _), _)| *first);
        across.chain(next).min().map(EventTime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{RecordBatch, RecordBatchOptions};
    use arrow::datatypes::Schema;
    use dataflow::RowOrder;
    use std::sync::Arc;

    const SPLIT: Split = Split::Partition(0);

    fn batch(times: &[i64]) -> Batch {
        let options = RecordBatchOptions::new().with_row_count(Some(times.len()));
        let columns = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        Batch::new(columns, times.to_vec(), vec![RowOrder(0); times.len()]).unwrap()
    }

    #[test]
    fn the_next_row_above_a_watermark_is_what_is_due() {
        let mut given = UnreleasedRows::default();
        [5, 9, 30].iter().for_each(|&time| given.add(SPLIT, &batch(&[time])));
        given.add(SPLIT, &batch(&[12, 18]));
        let due = |given: &UnreleasedRows, watermark| given.due_above(EventTime(watermark)).map(|due| due.0);
        assert_eq!(due(&given, i64::MIN), Some(5));
        assert_eq!(due(&given, 5), Some(9));
        assert_eq!(due(&given, 9), Some(12));
        assert_eq!(due(&given, 12), Some(18), "of a run that reaches past the watermark the next row is due");
        assert_eq!(due(&given, 18), Some(30));
        assert_eq!(due(&given, 30), None);
        given.release(EventTime(12));
        assert_eq!(given.size().0, 2, "released rows are out no more, also those of a run that is not through");
        given.release(EventTime(18));
        assert_eq!(given.size().0, 1);
    }

    #[test]
    fn a_row_far_ahead_that_came_with_others_is_due_at_its_own_time() {
        let mut given = UnreleasedRows::default();
        given.add(SPLIT, &batch(&[10, 3_600_000_000, 20]));
        assert_eq!(given.due_above(EventTime(20)), Some(EventTime(3_600_000_000)));
        given.release(EventTime(20));
        assert_eq!(given.size().0, 1, "it does not keep the rows that came with it");
        assert_eq!(given.due_above(EventTime(20)), Some(EventTime(3_600_000_000)));
    }

    #[test]
    fn what_is_out_is_told_by_split_and_taken_up_as_one_run() {
        let mut given = UnreleasedRows::default();
        let other = Split::Partition(1);
        given.add(SPLIT, &batch(&[1, 7, 3]));
        given.add(other, &batch(&[4]));
        given.release(EventTime(1));
        let out = given.by_split();
        assert_eq!((out[&SPLIT].rows, out[&SPLIT].greatest, out[&other].rows), (2, EventTime(7), 1));
        let mut again = UnreleasedRows::default();
        out.iter().for_each(|(&split, &out)| again.take_up(split, out));
        assert_eq!((again.size(), again.by_split()), (given.size(), out));
        again.release(EventTime(6));
        assert_eq!(again.size().0, 2, "which of them are released is not known before all are");
        again.release(EventTime(7));
        assert_eq!(again.size(), (0, 0));
    }
}
