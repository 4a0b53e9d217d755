//! Exact counts of different values per key.

use super::cells::Cells;
use super::places::Places;
use super::steps::{Step, StepKind};
use state::Values;

/// How often each value of each key is in the frame, and how many different ones there are.
#[derive(Debug, Default)]
pub(super) struct Distinct {
    occurrences: Occurrences,
    pub(super) by_key: Vec<u32>,
}

impl Distinct {
    pub(super) fn size(&self) -> usize {
        self.occurrences.entries.capacity() * size_of::<Occurrence>() + self.by_key.capacity() * 4
    }
}

/// A table of occurrences by key and value: a power of two of entries, each at or after the place that its hash tells,
/// without a gap between. Unlike the usual tables it can be asked for a place ahead of time.
#[derive(Debug, Default)]
struct Occurrences {
    entries: Vec<Occurrence>,
    used: usize,
}

/// Invariant: the count is 0 only where there is no occurrence.
#[derive(Clone, Copy, Debug, Default)]
struct Occurrence {
    value: u64,
    key: u32,
    count: u32,
}

const ENTRIES_MIN: usize = 64;

#[inline]
fn hash(key: u32, value: u64) -> usize {
    let mixed = value.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(key).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    let wide = u128::from(mixed) * 0xd6e8_feb8_6659_fd93;
    ((wide >> 64) as u64 ^ wide as u64) as usize
}

impl Occurrences {
    #[inline]
    fn mask(&self) -> usize {
        self.entries.len() - 1
    }

    #[inline]
    fn prefetch(&self, key: u32, value: u64) {
        if !self.entries.is_empty() {
            state::prefetch(&self.entries, hash(key, value) & self.mask());
        }
    }

    /// The place of an occurrence, or the free one where it would be. There is always a free entry.
    #[inline]
    fn place(&self, key: u32, value: u64) -> usize {
        let mut at = hash(key, value) & self.mask();
        loop {
            let entry = &self.entries[at];
            if entry.count == 0 || (entry.value == value && entry.key == key) {
                return at;
            }
            at = (at + 1) & self.mask();
        }
    }

    /// Adds an occurrence; true when it is the first one of its value.
    #[inline]
    fn add(&mut self, key: u32, value: u64) -> bool {
        if self.used * 3 >= self.entries.len() * 2 {
            self.grow();
        }
        let at = self.place(key, value);
        let entry = &mut self.entries[at];
        let count = entry.count;
        *entry = Occurrence { value, key, count: count + 1 };
        self.used += usize::from(count == 0);
        count == 0
    }

    /// Takes an occurrence away; true when it was the last one of its value.
    #[inline]
    fn remove(&mut self, key: u32, value: u64) -> bool {
        let at = self.place(key, value);
        let entry = &mut self.entries[at];
        if entry.count > 1 {
            entry.count -= 1;
            return false;
        }
        self.close(at);
        true
    }

    /// Frees a place and moves those after it up that would not be found otherwise.
    fn close(&mut self, at: usize) {
        let mask = self.mask();
        let (mut hole, mut next) = (at, (at + 1) & mask);
        while self.entries[next].count > 0 {
            let home = hash(self.entries[next].key, self.entries[next].value) & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.entries[hole] = self.entries[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.entries[hole] = Occurrence::default();
        self.used -= 1;
    }

    #[cold]
    fn grow(&mut self) {
        let entries = vec![Occurrence::default(); (self.entries.len() * 2).max(ENTRIES_MIN)];
        let old = std::mem::replace(&mut self.entries, entries);
        for entry in old.into_iter().filter(|entry| entry.count > 0) {
            let at = self.place(entry.key, entry.value);
            self.entries[at] = entry;
        }
    }
}

/// The occurrences with what tells equal values.
pub(super) struct DistinctCells<'a> {
    pub(super) distinct: &'a mut Distinct,
    pub(super) values: &'a Values,
    pub(super) places: &'a Places,
    pub(super) read: &'a mut Vec<i64>,
}

impl Cells for DistinctCells<'_> {
    #[inline(always)]
    fn prefetch(&self, key: u32, value: impl FnOnce() -> u64) {
        state::prefetch(&self.distinct.by_key, key as usize);
        let key = self.places.key_at(key);
        self.distinct.occurrences.prefetch(key, self.values.canonical(value()));
    }

    #[inline(always)]
    fn step(&mut self, step: Step, value: u64, _: u64, counts: bool) {
        let Distinct { occurrences, by_key } = &mut *self.distinct;
        let count = &mut by_key[step.key() as usize];
        let (key, value) = (self.places.key_at(step.key()), self.values.canonical(value));
        match step.kind() {
            _ if !counts => {}
            StepKind::Leave => *count -= u32::from(occurrences.remove(key, value)),
            StepKind::Enter | StepKind::EnterAndRead => *count += u32::from(occurrences.add(key, value)),
            StepKind::Read => {}
        }
        if step.kind().is_read() {
            self.read.push(i64::from(*count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_table_counts_as_a_map_does() {
        let (mut table, mut map) = (Occurrences::default(), BTreeMap::<(u32, u64), u32>::new());
        let mut state = 7u64;
        for step in 0..200_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (key, value) = ((state >> 40) as u32 % 5, (state >> 50) % 200);
            let count = map.entry((key, value)).or_default();
            // The table fills, empties and fills again.
            let is_added = (state >> 20) % 100 < if step / 20_000 % 2 == 0 { 70 } else { 30 };
            if is_added {
                assert_eq!(table.add(key, value), *count == 0);
                *count += 1;
            } else if *count > 0 {
                *count -= 1;
                assert_eq!(table.remove(key, value), *count == 0);
            }
        }
        assert_eq!(table.used, map.values().filter(|count| **count > 0).count());
    }
}
