//! Numbers to ids: a table that can be asked for a place before it is needed.

use crate::prefetch;

/// Stands for no key: it was not found, or it has a NULL where NULLs match nothing.
pub const NO_KEY: u32 = u32::MAX;

/// Ids by number: a power of two of entries, each at or after the place that its hash tells, without a gap between.
/// Unlike the usual tables it can be asked for a place ahead of time.
#[derive(Debug, Default)]
pub(crate) struct NumberTable {
    entries: Vec<Entry>,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    number: i64,
    // NO_KEY where there is no entry.
    id: u32,
}

const FREE: Entry = Entry { number: 0, id: NO_KEY };
const ENTRIES_MIN: usize = 64;

/// Spreads a number over all bits; only for the table in memory.
#[inline]
fn hash(number: i64) -> usize {
    let wide = u128::from(number as u64 ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    ((wide >> 64) as u64 ^ wide as u64) as usize
}

impl NumberTable {
    #[inline]
    fn mask(&self) -> usize {
        self.entries.len() - 1
    }

    /// A number will be asked for soon.
    #[inline]
    pub(crate) fn prefetch(&self, number: i64) {
        if !self.entries.is_empty() {
            prefetch(&self.entries, hash(number) & self.mask());
        }
    }

    /// The id of a number that is there.
    #[inline]
    pub(crate) fn get(&self, number: i64) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = self.entries[self.place(number)];
        (entry.id != NO_KEY).then_some(entry.id)
    }

    /// The place of a number, or the free one where it would be. There is always a free entry.
    #[inline]
    fn place(&self, number: i64) -> usize {
        let mut at = hash(number) & self.mask();
        loop {
            let entry = &self.entries[at];
            if entry.id == NO_KEY || entry.number == number {
                return at;
            }
            at = (at + 1) & self.mask();
        }
    }

    /// Adds a number that is not there.
    pub(crate) fn insert(&mut self, number: i64, id: u32) {
        if self.used * 3 >= self.entries.len() * 2 {
            self.grow();
        }
        let at = self.place(number);
        self.entries[at] = Entry { number, id };
        self.used += 1;
    }

    /// Takes a number out that is there.
    pub(crate) fn remove(&mut self, number: i64) {
        let mask = self.mask();
        let mut hole = self.place(number);
        debug_assert!(self.entries[hole].id != NO_KEY, "a number is taken out that is not there");
        // Those after it move up that would not be found otherwise.
        let mut next = (hole + 1) & mask;
        while self.entries[next].id != NO_KEY {
            let home = hash(self.entries[next].number) & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.entries[hole] = self.entries[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.entries[hole] = FREE;
        self.used -= 1;
    }

    #[cold]
    fn grow(&mut self) {
        let entries = vec![FREE; (self.entries.len() * 2).max(ENTRIES_MIN)];
        let old = std::mem::replace(&mut self.entries, entries);
        for entry in old.into_iter().filter(|entry| entry.id != NO_KEY) {
            let at = self.place(entry.number);
            self.entries[at] = entry;
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_table_finds_what_a_map_finds() {
        let (mut table, mut map) = (NumberTable::default(), BTreeMap::<i64, u32>::new());
        let mut state = 7u64;
        for step in 0..200_000u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = ((state >> 40) % 1_000) as i64 - 500;
            assert_eq!(table.get(number), map.get(&number).copied());
            // The table fills, empties and fills again.
            let is_added = (state >> 20) % 100 < if step / 20_000 % 2 == 0 { 70 } else { 30 };
            if is_added && !map.contains_key(&number) {
                table.insert(number, step);
                map.insert(number, step);
            } else if !is_added && map.remove(&number).is_some() {
                table.remove(number);
            }
        }
        assert_eq!(table.used, map.len());
        assert!(table.entries.len() < 4_096, "{} entries for at most 1000 numbers", table.entries.len());
    }
}
