//! Counts and exact integer sums per key.

use super::cells::{Cells, at};

/// How many rows of each key are in the frame.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) by_key: Vec<u32>,
    pub(super) read: Vec<i64>,
}

impl Cells for Counts {
    #[inline(always)]
    fn prefetch(&self, key: u32, _: u64) {
        state::prefetch(&self.by_key, key as usize);
    }

    #[inline]
    fn add(&mut self, key: u32, _: u64, _: u64) {
        self.by_key[key as usize] += 1;
    }

    #[inline]
    fn remove(&mut self, key: u32, _: u64, _: u64) {
        self.by_key[key as usize] -= 1;
    }

    #[inline]
    fn read(&mut self, key: u32) {
        self.read.push(at(&self.by_key, key).map_or(0, |&count| i64::from(count)));
    }
}

/// The exact sum and count of integers of each key.
#[derive(Debug, Default)]
pub(super) struct Integers {
    pub(super) by_key: Vec<IntegerSum>,
    pub(super) is_unsigned: bool,
    pub(super) sums: Vec<i128>,
    pub(super) counts: Vec<i64>,
}

/// A sum of 128 bits as two words, so that it takes no alignment of 16.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IntegerSum {
    low: u64,
    high: i64,
    count: u32,
}

impl IntegerSum {
    #[inline]
    fn get(&self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }

    #[inline]
    fn set(&mut self, sum: i128) {
        (self.low, self.high) = (sum as u64, (sum >> 64) as i64);
    }
}

impl Integers {
    #[inline]
    fn value(&self, bits: u64) -> i128 {
        if self.is_unsigned { i128::from(bits) } else { i128::from(bits as i64) }
    }
}

impl Cells for Integers {
    #[inline(always)]
    fn prefetch(&self, key: u32, _: u64) {
        state::prefetch(&self.by_key, key as usize);
    }

    #[inline]
    fn add(&mut self, key: u32, value: u64, _: u64) {
        let value = self.value(value);
        let cell = &mut self.by_key[key as usize];
        cell.set(cell.get() + value);
        cell.count += 1;
    }

    #[inline]
    fn remove(&mut self, key: u32, value: u64, _: u64) {
        let value = self.value(value);
        let cell = &mut self.by_key[key as usize];
        cell.set(cell.get() - value);
        cell.count -= 1;
    }

    #[inline]
    fn read(&mut self, key: u32) {
        let cell = at(&self.by_key, key).copied().unwrap_or_default();
        self.sums.push(cell.get());
        self.counts.push(i64::from(cell.count));
    }
}
