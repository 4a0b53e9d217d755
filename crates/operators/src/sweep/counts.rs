//! Counts and exact integer sums per key.
//!
//! Cells change and are read without a branch on the kind of step, which no processor can guess: what is read after a
//! row has entered or left is written over by the next read.

use super::cells::Cells;
use super::paged_cells::StoredCell;
use super::steps::Step;
use dataflow::Result;
use state::{Decoder, Encoder};

/// How many rows of each key are in the frame.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) by_key: Vec<u32>,
    // Invariant: one entry more than there are reads.
    read: Vec<i64>,
    reads: usize,
}

impl Counts {
    /// Makes room for so many reads.
    pub(super) fn begin(&mut self, reads: usize) {
        self.read.resize(reads + 1, 0);
        self.reads = 0;
    }

    /// What was read.
    pub(super) fn read(&self) -> &[i64] {
        &self.read[..self.reads]
    }
}

impl Cells for Counts {
    #[inline(always)]
    fn prefetch(&self, key: u32, _: impl FnOnce() -> u64) {
        state::prefetch(&self.by_key, key as usize);
    }

    #[inline(always)]
    fn step(&mut self, step: Step, _: u64, _: u64, counts: bool) {
        let cell = &mut self.by_key[step.key() as usize];
        let change = step.kind().sign() * i32::from(counts);
        debug_assert!(i64::from(*cell) + i64::from(change) >= 0, "a row leaves a frame that it is not in");
        let changed = cell.wrapping_add_signed(change);
        *cell = changed;
        self.read[self.reads] = i64::from(changed);
        self.reads += usize::from(step.kind().is_read());
    }
}

/// The exact sum and count of integers of each key, and how many rows there are whatever their value: `count(*)` of the
/// frame goes along in the same cells.
#[derive(Debug, Default)]
pub(super) struct Integers<T> {
    pub(super) by_key: Vec<IntegerSum<T>>,
    // Invariant: one entry more than there are reads.
    read: Vec<IntegerSum<T>>,
    reads: usize,
}

/// What is kept of the integers of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IntegerSum<T> {
    pub(super) total: T,
    /// The values that count.
    pub(super) count: u32,
    /// All rows.
    pub(super) rows: u32,
}

/// A sum in which as many integers have room as a frame may have rows.
pub(super) trait Total: Copy + Default {
    /// Adds a value, takes it away, or neither: `change` is 1, -1 or 0.
    fn changed(self, value: u64, change: i32) -> Self;
    /// The sum, if it fits a BIGINT.
    fn as_integer(self) -> Option<i64>;
    /// The float nearest to the sum.
    fn as_float(self) -> f64;
    /// The sum as it is.
    fn exact(self) -> i128;
}

/// A sum of integers of at most 32 bits, of which a frame holds fewer than 2^32.
impl Total for i64 {
    #[inline(always)]
    fn changed(self, value: u64, change: i32) -> i64 {
        self.wrapping_add((value as i64).wrapping_mul(i64::from(change)))
    }

    #[inline(always)]
    fn as_integer(self) -> Option<i64> {
        Some(self)
    }

    #[inline(always)]
    fn as_float(self) -> f64 {
        self as f64
    }

    fn exact(self) -> i128 {
        i128::from(self)
    }
}

/// A sum of 128 bits as two words, so that it takes no alignment of 16.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WideTotal<const IS_UNSIGNED: bool> {
    low: u64,
    high: i64,
}

impl<const IS_UNSIGNED: bool> WideTotal<IS_UNSIGNED> {
    #[inline(always)]
    fn sum(self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }
}

impl<const IS_UNSIGNED: bool> Total for WideTotal<IS_UNSIGNED> {
    #[inline(always)]
    fn changed(self, value: u64, change: i32) -> Self {
        let value = if IS_UNSIGNED { i128::from(value) } else { i128::from(value as i64) };
        // The value, its negative, or 0; a product of 128 bits would take three multiplications.
        let (is_changed, is_negative) = (-i128::from(change & 1), i128::from(change >> 1));
        let sum = self.sum() + (((value & is_changed) ^ is_negative) - is_negative);
        WideTotal { low: sum as u64, high: (sum >> 64) as i64 }
    }

    #[inline(always)]
    fn as_integer(self) -> Option<i64> {
        i64::try_from(self.sum()).ok()
    }

    /// Processors turn 64 bits into a float, and 128 bits take a function call.
    #[inline(always)]
    fn as_float(self) -> f64 {
        self.as_integer().map_or_else(|| self.sum() as f64, |sum| sum as f64)
    }

    fn exact(self) -> i128 {
        self.sum()
    }
}

impl<const IS_UNSIGNED: bool> StoredCell for WideTotal<IS_UNSIGNED> {
    fn put(&self, out: &mut Encoder) {
        out.u64(self.low);
        out.i64(self.high);
    }

    fn get(state: &mut Decoder) -> Result<Self> {
        Ok(WideTotal { low: state.u64()?, high: state.i64()? })
    }
}

impl<T: StoredCell> StoredCell for IntegerSum<T> {
    fn put(&self, out: &mut Encoder) {
        self.total.put(out);
        out.u32(self.count);
        out.u32(self.rows);
    }

    fn get(state: &mut Decoder) -> Result<Self> {
        Ok(IntegerSum { total: T::get(state)?, count: state.u32()?, rows: state.u32()? })
    }
}

impl<T: Total> Integers<T> {
    /// Makes room for so many reads.
    pub(super) fn begin(&mut self, reads: usize) {
        self.read.resize(reads + 1, IntegerSum::default());
        self.reads = 0;
    }

    /// What was read.
    pub(super) fn read(&self) -> &[IntegerSum<T>] {
        &self.read[..self.reads]
    }
}

impl<T: Total> Cells for Integers<T> {
    #[inline(always)]
    fn prefetch(&self, key: u32, _: impl FnOnce() -> u64) {
        state::prefetch(&self.by_key, key as usize);
    }

    #[inline(always)]
    fn step(&mut self, step: Step, value: u64, _: u64, counts: bool) {
        let (rows, change) = (step.kind().sign(), step.kind().sign() * i32::from(counts));
        let cell = &mut self.by_key[step.key() as usize];
        debug_assert!(i64::from(cell.count) + i64::from(change) >= 0, "a row leaves a frame that it is not in");
        // Not read back from the cell: words that were just written are not yet there to be read together.
        let changed = IntegerSum {
            total: cell.total.changed(value, change),
            count: cell.count.wrapping_add_signed(change),
            rows: cell.rows.wrapping_add_signed(rows),
        };
        *cell = changed;
        self.read[self.reads] = changed;
        self.reads += usize::from(step.kind().is_read());
    }
}
