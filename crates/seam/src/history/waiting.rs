//! Rows of history that wait for rows of other row groups, and leave in (`_time`, `_ord`) order.

use super::share_rows::ShareRows;
use arrow::datatypes::SchemaRef;
use dataflow::{Result, RowOrder};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Batches that overlap in time. Their rows stay where they were read until they leave, and are copied once then.
pub(crate) struct WaitingRows {
    schema: SchemaRef,
    batches: Vec<WaitingBatch>,
    bytes: usize,
}

struct WaitingBatch {
    rows: ShareRows,
    // The rows in order; `None`: as they lie.
    sequence: Option<Vec<u32>>,
    // How many rows of the sequence have left. Invariant: not all of them.
    left: usize,
    // The least time that waits, and the greatest.
    first: i64,
    last: i64,
    // The bytes of the whole batch, which stay until its last row has left.
    bytes: usize,
}

/// Rows that leave: the places `from .. to` in the sequence of a batch.
struct Leaving {
    batch: usize,
    from: usize,
    to: usize,
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
    pub fn push(&mut self, rows: ShareRows) {
        if rows.rows().rows() == 0 {
            return;
        }
        let sequence = rows.sequence();
        let bytes = rows.bytes() + sequence.as_ref().map_or(0, |sequence| sequence.len() * size_of::<u32>());
        self.bytes += bytes;
        let mut batch = WaitingBatch { rows, sequence, left: 0, first: 0, last: 0, bytes };
        (batch.first, batch.last) = (batch.time(0), batch.time(batch.rows.rows().rows() - 1));
        self.batches.push(batch);
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
        let leaving = self.batches.iter().enumerate().map(|(at, batch)| Leaving {
            batch: at,
            from: batch.left,
            to: batch.left + batch.below(bound),
        });
        let mut leaving: Vec<Leaving> = leaving.filter(|leaving| leaving.from < leaving.to).collect();
        // In this sequence the rows of files that do not overlap need no sort.
        leaving.sort_by_key(|leaving| self.batches[leaving.batch].place(leaving.from));
        let rows = self.gather(&leaving)?;
        leaving.sort_unstable_by_key(|leaving| leaving.batch);
        for Leaving { batch, to, .. } in leaving.into_iter().rev() {
            let from = &mut self.batches[batch];
            if to == from.rows.rows().rows() {
                self.bytes -= from.bytes;
                self.batches.swap_remove(batch);
            } else {
                (from.left, from.first) = (to, from.time(to));
            }
        }
        Ok(rows)
    }

    /// The rows that leave, in order.
    fn gather(&self, leaving: &[Leaving]) -> Result<ShareRows> {
        let lies_in_order = |leaving: &Leaving| self.batches[leaving.batch].sequence.is_none();
        let follow = |pair: &[Leaving]| {
            self.batches[pair[0].batch].place(pair[0].to - 1) <= self.batches[pair[1].batch].place(pair[1].from)
        };
        if leaving.iter().all(lies_in_order) && leaving.windows(2).all(follow) {
            let slice =
                |leaving: &Leaving| self.batches[leaving.batch].rows.slice(leaving.from, leaving.to - leaving.from);
            return ShareRows::concat(&self.schema, &leaving.iter().map(slice).collect::<Vec<_>>());
        }
        let pieces: Vec<ShareRows> = leaving.iter().map(|leaving| self.batches[leaving.batch].rows.clone()).collect();
        let mut places = Vec::with_capacity(leaving.iter().map(|leaving| leaving.to - leaving.from).sum());
        let head = |piece: usize, at: usize| {
            let Leaving { batch, to, .. } = leaving[piece];
            (at < to).then(|| Reverse((self.batches[batch].place(at), piece, at)))
        };
        let mut heads: BinaryHeap<_> =
            leaving.iter().enumerate().filter_map(|(piece, leaving)| head(piece, leaving.from)).collect();
        // Files overlap little, mostly: a stretch goes on to where the next one begins.
        while let Some(Reverse((_, piece, from))) = heads.pop() {
            let batch = &self.batches[leaving[piece].batch];
            let end = heads.peek().map(|Reverse((place, ..))| *place);
            let belongs = |at: &usize| *at == from || end.is_none_or(|end| batch.place(*at) < end);
            let stretch = (from..leaving[piece].to).take_while(belongs).map(|at| (piece, batch.row(at)));
            let before = places.len();
            places.extend(stretch);
            heads.extend(head(piece, from + places.len() - before));
        }
        ShareRows::interleave(&pieces, &places)
    }
}

impl WaitingBatch {
    /// The row at a place of the sequence.
    fn row(&self, at: usize) -> usize {
        self.sequence.as_ref().map_or(at, |sequence| sequence[at] as usize)
    }

    fn time(&self, at: usize) -> i64 {
        self.rows.rows().times()[self.row(at)]
    }

    fn place(&self, at: usize) -> (i64, RowOrder) {
        (self.time(at), self.rows.rows().order(self.row(at)))
    }

    /// How many rows that wait lie before a time.
    fn below(&self, bound: i64) -> usize {
        let rows = self.rows.rows().rows();
        if self.first >= bound {
            return 0;
        }
        if self.last < bound {
            return rows - self.left;
        }
        let times = self.rows.rows().times();
        match &self.sequence {
            None => times[self.left..].partition_point(|&time| time < bound),
            Some(sequence) => sequence[self.left..].partition_point(|&row| times[row as usize] < bound),
        }
    }
}
