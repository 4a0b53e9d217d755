//! The rows that a stream has given out and that the common watermark has not reached: what they wait for, and how
//! many they are.

use dataflow::{Batch, EventTime, Span};
use std::collections::BTreeMap;

/// How many rows one entry holds at most, so that it spans little time where rows come one by one.
const RUN_ROWS: usize = 64;
/// How many entries before a time are looked at for one that reaches past it.
const LOOK_BACK: usize = 8;
/// What a step holds longer than its row's own time is waited for in steps of this length.
const HOLD_STEP: i64 = 1_000_000;

/// Rows given out and not released.
///
/// State: the times of all rows that are out, in runs of at most 64, and one entry for all rows that steps hold longer.
#[derive(Debug, Default)]
pub(crate) struct UnreleasedRows {
    // By the first time of the run, and a number that tells runs of equal times apart.
    runs: BTreeMap<(i64, u64), Run>,
    next: u64,
    rows: usize,
    bytes: usize,
    // The longest that a step holds a row past its own time.
    hold: Span,
    held: Option<(i64, i64)>,
}

#[derive(Debug)]
struct Run {
    // In order, and not empty.
    times: Box<[i64]>,
    bytes: usize,
}

impl Run {
    /// The least time above a watermark.
    fn above(&self, watermark: i64) -> Option<i64> {
        self.times.get(self.times.partition_point(|&time| time <= watermark)).copied()
    }
}

impl UnreleasedRows {
    /// Says how long steps hold rows past their own time.
    pub fn set_hold(&mut self, hold: Span) {
        self.hold = hold;
    }

    /// How long steps hold rows past their own time.
    pub fn hold(&self) -> Span {
        self.hold
    }

    /// Takes note of rows given out.
    pub fn add(&mut self, batch: &Batch) {
        let rows = batch.rows();
        if rows == 0 {
            return;
        }
        let bytes = batch.bytes();
        for times in batch.times().chunks(RUN_ROWS) {
            let mut times: Box<[i64]> = times.into();
            times.sort_unstable();
            let (first, last) = (times[0], times[times.len() - 1]);
            let run = Run { bytes: bytes * times.len() / rows, times };
            self.rows += run.times.len();
            self.bytes += run.bytes;
            self.runs.insert((first, self.next), run);
            self.next += 1;
            if self.hold > Span::ZERO {
                let due = |time| EventTime(time).plus(self.hold).0;
                let held = self.held.get_or_insert((due(first), due(last)));
                *held = (held.0.min(due(first)), held.1.max(due(last)));
            }
        }
    }

    /// Forgets what a watermark has released.
    pub fn release(&mut self, watermark: EventTime) {
        let begun: Vec<_> = self.runs.range(..=(watermark.0, u64::MAX)).map(|(key, _)| *key).collect();
        for key in begun {
            let Some(run) = self.runs.remove(&key) else { continue };
            let passed = run.times.partition_point(|&time| time <= watermark.0);
            // What is left of a run counts from its own first time: a row far ahead neither keeps those that came with
            // it, nor is looked at again before its time.
            let left = Run {
                times: run.times[passed..].into(),
                bytes: run.bytes * (run.times.len() - passed) / run.times.len(),
            };
            self.rows -= passed;
            self.bytes -= run.bytes - left.bytes;
            if let Some(&first) = left.times.first() {
                self.runs.insert((first, key.1), left);
            }
        }
        self.held = self.held.filter(|(_, last)| *last > watermark.0);
    }

    /// Rows and bytes that are out.
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    /// The least time above a watermark at which something comes out that waits for it.
    pub fn due_above(&self, watermark: EventTime) -> Option<EventTime> {
        let above = (watermark.0.saturating_add(1), 0);
        // A time that no row has would be asked for again and again, until a row far ahead has been reached.
        let across = self.runs.range(..above).rev().take(LOOK_BACK).filter_map(|(_, run)| run.above(watermark.0));
        let next = self.runs.range(above..).next().map(|((first, _), _)| *first);
        across.chain(next).chain(self.held_above(watermark)).min().map(EventTime)
    }

    fn held_above(&self, watermark: EventTime) -> Option<i64> {
        let (first, last) = self.held.filter(|(_, last)| *last > watermark.0)?;
        if first > watermark.0 {
            return Some(first);
        }
        let step = watermark.0.saturating_add(HOLD_STEP);
        Some((step - step.rem_euclid(HOLD_STEP)).clamp(watermark.0.saturating_add(1), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{RecordBatch, RecordBatchOptions};
    use arrow::datatypes::Schema;
    use dataflow::RowOrder;
    use std::sync::Arc;

    fn batch(times: &[i64]) -> Batch {
        let options = RecordBatchOptions::new().with_row_count(Some(times.len()));
        let columns = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        Batch::new(columns, times.to_vec(), vec![RowOrder(0); times.len()]).unwrap()
    }

    #[test]
    fn the_next_row_above_a_watermark_is_what_is_due() {
        let mut given = UnreleasedRows::default();
        [5, 9, 30].iter().for_each(|&time| given.add(&batch(&[time])));
        given.add(&batch(&[12, 18]));
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
        given.add(&batch(&[10, 3_600_000_000, 20]));
        assert_eq!(given.due_above(EventTime(20)), Some(EventTime(3_600_000_000)));
        given.release(EventTime(20));
        assert_eq!(given.size().0, 1, "it does not keep the rows that came with it");
        assert_eq!(given.due_above(EventTime(20)), Some(EventTime(3_600_000_000)));
    }

    #[test]
    fn rows_that_a_step_holds_are_due_by_the_second() {
        let mut given = UnreleasedRows::default();
        given.set_hold(Span(10_000_000));
        given.add(&batch(&[0]));
        given.add(&batch(&[2_500_000]));
        given.release(EventTime(3_000_000));
        let due = |watermark| given.due_above(EventTime(watermark)).map(|due| due.0);
        assert_eq!(due(3_000_000), Some(10_000_000));
        assert_eq!(due(10_000_000), Some(11_000_000));
        assert_eq!(due(12_000_000), Some(12_500_000));
        assert_eq!(due(12_500_000), None);
    }
}
