//! Exact counts of different values per key.

use super::cells::{Cells, at};
use hashbrown::HashTable;
use state::Values;

/// How often each value of each key is in the frame, and how many different ones there are.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    occurrences: HashTable<Occurrence>,
    pub(super) by_key: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Occurrence {
    value: u64,
    key: u32,
    count: u32,
}

impl Occurrence {
    #[inline]
    fn hash(key: u32, value: u64) -> u64 {
        let mixed = value.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(key) << 17;
        let wide = u128::from(mixed ^ u64::from(key)) * 0xd6e8_feb8_6659_fd93;
        (wide >> 64) as u64 ^ wide as u64
    }
}

impl Distinct {
    pub(super) fn size(&self) -> usize {
        self.occurrences.allocation_size() + self.by_key.capacity() * 4
    }
}

/// The occurrences with what tells equal values.
pub(super) struct DistinctCells<'a> {
    pub(super) distinct: &'a mut Distinct,
    pub(super) values: &'a Values,
    pub(super) read: &'a mut Vec<i64>,
}

impl Cells for DistinctCells<'_> {
    #[inline(always)]
    fn prefetch(&self, key: u32) {
        state::prefetch(&self.distinct.by_key, key as usize);
    }

    #[inline]
    fn add(&mut self, key: u32, value: u64, _: u64) {
        let value = self.values.canonical(value);
        let distinct = &mut *self.distinct;
        let hash = Occurrence::hash(key, value);
        match distinct.occurrences.find_mut(hash, |other| other.key == key && other.value == value) {
            Some(found) => found.count += 1,
            None => {
                distinct.by_key[key as usize] += 1;
                distinct.occurrences.insert_unique(hash, Occurrence { value, key, count: 1 }, |other| {
                    Occurrence::hash(other.key, other.value)
                });
            }
        }
    }

    #[inline]
    fn remove(&mut self, key: u32, value: u64, _: u64) {
        let value = self.values.canonical(value);
        let hash = Occurrence::hash(key, value);
        let found = self.distinct.occurrences.find_entry(hash, |other| other.key == key && other.value == value);
        if let Ok(mut entry) = found {
            entry.get_mut().count -= 1;
            if entry.get().count == 0 {
                entry.remove();
                self.distinct.by_key[key as usize] -= 1;
            }
        }
    }

    #[inline]
    fn read(&mut self, key: u32) {
        self.read.push(at(&self.distinct.by_key, key).map_or(0, |&count| i64::from(count)));
    }
}
