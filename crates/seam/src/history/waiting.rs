//! Rows of history that wait for rows of other row groups, and leave in (`_time`, `_ord`) order.

use super::share_rows::ShareRows;
use arrow::datatypes::SchemaRef;
use dataflow::Result;

/// Sorted batches that overlap in time.
pub(crate) struct WaitingRows {
    schema: SchemaRef,
    batches: Vec<WaitingBatch>,
    bytes: usize,
}

struct WaitingBatch {
    // Invariant: sorted, never empty; `first` and `last` are its least and greatest times.
    rows: ShareRows,
    first: i64,
    last: i64,
    // The bytes of the whole batch, which stay until its last row has left.
    bytes: usize,
}

impl WaitingRows {
    pub fn new(schema: SchemaRef) -> WaitingRows {
        WaitingRows { schema, batches: Vec::new(), bytes: 0 }
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The least time that waits.
    pub fn first(&self) -> Option<i64> {
        self.batches.iter().map(|batch| batch.first).min()
    }

    /// Takes rows in any order.
    pub fn push(&mut self, rows: ShareRows) -> Result<()> {
        if rows.rows().rows() == 0 {
            return Ok(());
        }
        let rows = rows.sorted()?;
        let bytes = rows.bytes();
        self.bytes += bytes;
        let times = rows.rows().times();
        let (first, last) = (times[0], times[times.len() - 1]);
        self.batches.push(WaitingBatch { rows, first, last, bytes });
        Ok(())
    }

    /// How many rows lie before a time.
    pub fn below(&self, bound: i64) -> usize {
        self.batches.iter().map(|batch| batch.below(bound)).sum()
    }

    /// A time at or before `bound` such that about `rows` rows lie before it, and at least one if any does.
    pub fn cut(&self, bound: i64, rows: usize) -> i64 {
        let all = self.below(bound);
        let Some(first) = self.first().filter(|_| all > 2 * rows) else {
            return bound;
        };
        let last = self.batches.iter().map(|batch| batch.last).max().unwrap_or(first).min(bound);
        // Invariant: too few rows lie before `low`, enough before `high`.
        let (mut low, mut high) = (first, last.saturating_add(1).min(bound));
        let share = rows as f64 / all as f64;
        let mut guess = first.saturating_add(((high as f64 - low as f64) * share) as i64);
        while low.checked_add(1).is_none_or(|next| next < high) {
            let middle = guess.clamp(low + 1, high - 1);
            let below = self.below(middle);
            if below >= rows / 2 && below <= 2 * rows && below > 0 {
                return middle;
            }
            if below < rows {
                low = middle;
            } else {
                high = middle;
            }
            guess = low.midpoint(high);
        }
        high
    }

    /// Takes out all rows before a time, in order.
    pub fn take_below(&mut self, bound: i64) -> Result<ShareRows> {
        let mut pieces: Vec<ShareRows> = Vec::new();
        let mut index = 0;
        while index < self.batches.len() {
            let batch = &mut self.batches[index];
            let below = batch.below(bound);
            if below == batch.rows.rows().rows() {
                let whole = self.batches.swap_remove(index);
                self.bytes -= whole.bytes;
                pieces.push(whole.rows);
                continue;
            }
            if below > 0 {
                pieces.push(batch.rows.slice(0, below));
                batch.rows = batch.rows.slice(below, batch.rows.rows().rows() - below);
                batch.first = batch.rows.rows().times()[0];
            }
            index += 1;
        }
        // In this sequence the rows of files that do not overlap need no sort.
        pieces.sort_by_key(|piece| (piece.rows().times()[0], piece.rows().order(0)));
        ShareRows::concat(&self.schema, &pieces)?.sorted()
    }
}

impl WaitingBatch {
    fn below(&self, bound: i64) -> usize {
        if self.first >= bound {
            0
        } else if self.last < bound {
            self.rows.rows().rows()
        } else {
            self.rows.rows().times().partition_point(|&time| time < bound)
        }
    }
}
