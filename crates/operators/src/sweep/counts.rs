//! Counts and exact integer sums per key.
//!
//! Cells change and are read without a branch on the kind of step, which no processor can guess: what is read after a
//! row has entered or left is written over by the next read.

use super::cells::Cells;
use super::steps::Step;

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
        let cell = &mut self.by_key[step.key as usize];
        let change = step.kind.sign() * i32::from(counts);
        debug_assert!(i64::from(*cell) + i64::from(change) >= 0, "a row leaves a frame that it is not in");
        let changed = cell.wrapping_add_signed(change);
        *cell = changed;
        self.read[self.reads] = i64::from(changed);
        self.reads += usize::from(step.kind.is_read());
    }
}

/// The exact sum and count of integers of each key.
#[derive(Debug, Default)]
pub(super) struct Integers {
    pub(super) by_key: Vec<IntegerSum>,
    pub(super) is_unsigned: bool,
    // Invariant: one entry more than there are reads.
    read: Vec<IntegerSum>,
    reads: usize,
}

/// A sum of 128 bits as two words, so that it takes no alignment of 16.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IntegerSum {
    low: u64,
    high: i64,
    pub(super) count: i64,
}

impl IntegerSum {
    #[inline]
    pub(super) fn sum(&self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }
}

impl Integers {
    pub(super) fn new(is_unsigned: bool) -> Integers {
        Integers { is_unsigned, ..Integers::default() }
    }

    /// Makes room for so many reads.
    pub(super) fn begin(&mut self, reads: usize) {
        self.read.resize(reads + 1, IntegerSum::default());
        self.reads = 0;
    }

    /// What was read.
    pub(super) fn read(&self) -> &[IntegerSum] {
        &self.read[..self.reads]
    }
}

impl Cells for Integers {
    #[inline(always)]
    fn prefetch(&self, key: u32, _: impl FnOnce() -> u64) {
        state::prefetch(&self.by_key, key as usize);
    }

    #[inline(always)]
    fn step(&mut self, step: Step, value: u64, _: u64, counts: bool) {
        let value = if self.is_unsigned { i128::from(value) } else { i128::from(value as i64) };
        let change = step.kind.sign() * i32::from(counts);
        // The value, its negative, or 0; a product of 128 bits would take three multiplications.
        let (is_changed, is_negative) = (-i128::from(change & 1), i128::from(change >> 1));
        let cell = &mut self.by_key[step.key as usize];
        let sum = cell.sum() + (((value & is_changed) ^ is_negative) - is_negative);
        // Not read back from the cell: words that were just written are not yet there to be read together.
        let changed = IntegerSum { low: sum as u64, high: (sum >> 64) as i64, count: cell.count + i64::from(change) };
        debug_assert!(changed.count >= 0, "a row leaves a frame that it is not in");
        *cell = changed;
        self.read[self.reads] = changed;
        self.reads += usize::from(step.kind.is_read());
    }
}
