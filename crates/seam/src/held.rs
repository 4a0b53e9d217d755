//! Rows of history that wait for rows of other files, and leave in (`_time`, `_ord`) order.

use arrow::datatypes::SchemaRef;
use dataflow::{Batch, Result, concat};

/// Sorted batches that overlap in time.
pub(crate) struct Held {
    schema: SchemaRef,
    batches: Vec<HeldBatch>,
    rows: usize,
    bytes: usize,
}

struct HeldBatch {
    // Invariant: sorted, never empty; `first` and `last` are its least and greatest times.
    rows: Batch,
    first: i64,
    last: i64,
    // The bytes of the whole batch, which stay until its last row has left.
    bytes: usize,
}

impl Held {
    pub fn new(schema: SchemaRef) -> Held {
        Held { schema, batches: Vec::new(), rows: 0, bytes: 0 }
    }

    /// The bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The least time held.
    pub fn first(&self) -> Option<i64> {
        self.batches.iter().map(|batch| batch.first).min()
    }

    /// Takes rows in any order.
    pub fn push(&mut self, batch: Batch) -> Result<()> {
        if batch.rows() == 0 {
            return Ok(());
        }
        let rows = sorted(batch)?;
        let bytes = rows.bytes();
        self.rows += rows.rows();
        self.bytes += bytes;
        let (first, last) = (rows.times()[0], rows.times()[rows.rows() - 1]);
        self.batches.push(HeldBatch { rows, first, last, bytes });
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
    pub fn take_below(&mut self, bound: i64) -> Result<Batch> {
        let mut pieces = Vec::new();
        let mut index = 0;
        while index < self.batches.len() {
            let batch = &mut self.batches[index];
            let below = batch.below(bound);
            if below == batch.rows.rows() {
                let whole = self.batches.swap_remove(index);
                self.bytes -= whole.bytes;
                pieces.push(whole.rows);
                continue;
            }
            if below > 0 {
                pieces.push(batch.rows.slice(0, below));
                batch.rows = batch.rows.slice(below, batch.rows.rows() - below);
                batch.first = batch.rows.times()[0];
            }
            index += 1;
        }
        // In this sequence the rows of files that do not overlap need no sort.
        pieces.sort_by_key(|piece| (piece.times()[0], piece.order(0)));
        let rows = if pieces.is_empty() { Batch::empty(self.schema.clone()) } else { concat(&self.schema, &pieces)? };
        self.rows -= rows.rows();
        sorted(rows)
    }
}

impl HeldBatch {
    fn below(&self, bound: i64) -> usize {
        if self.first >= bound {
            0
        } else if self.last < bound {
            self.rows.rows()
        } else {
            self.rows.times().partition_point(|&time| time < bound)
        }
    }
}

/// The rows in (`_time`, `_ord`) order; free when they are in order already, and cheap when they are sorted in runs.
fn sorted(batch: Batch) -> Result<Batch> {
    if batch.is_sorted() {
        return Ok(batch);
    }
    let mut rows: Vec<(i64, u32)> = batch.times().iter().copied().zip(0..).collect();
    rows.sort_by_key(|&(time, _)| time);
    for peers in rows.chunk_by_mut(|a, b| a.0 == b.0).filter(|peers| peers.len() > 1) {
        peers.sort_by_key(|&(_, row)| batch.order(row as usize));
    }
    batch.take(&rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>())
}
