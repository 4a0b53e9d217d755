//! Keyed tables: one row per key, indexed by the key's dense id, in chunks that a snapshot shares.

use crate::chunks::{CHUNK_ROWS, Chunks, place};
use crate::prefetch;

/// A row of entries per key id; entries that were never set are empty.
///
/// Freezing it ([`Table::share`], then a clone) copies pointers. A chunk that changes afterwards is copied once.
#[derive(Clone, Debug)]
pub struct Table<T> {
    chunks: Chunks<Vec<T>>,
    // Entries of a row.
    width: usize,
    // What stands where nothing was set.
    empty: T,
    // The entries that all chunks have room for.
    capacity: usize,
}

impl<T: Clone> Table<T> {
    /// A table whose rows have so many entries side by side, which are `empty` until they are set.
    pub fn new(width: usize, empty: T) -> Table<T> {
        Table { chunks: Chunks::default(), width, empty, capacity: 0 }
    }

    /// The row of a key; `None` when nothing was set at or near it.
    #[inline]
    pub fn row(&self, key: u32) -> Option<&[T]> {
        let (chunk, row) = place(key);
        self.chunks.get(chunk)?.get(row * self.width..(row + 1) * self.width)
    }

    /// The row of a key, to be changed.
    #[inline]
    pub fn row_mut(&mut self, key: u32) -> &mut [T] {
        let (chunk, row) = place(key);
        let end = (row + 1) * self.width;
        if self.chunks.own(chunk).is_none_or(|entries| entries.len() < end) {
            self.make_room(chunk, end);
        }
        &mut self.chunks.get_mut(chunk)[row * self.width..end]
    }

    /// Takes a chunk back from snapshots and makes it at least so long; it doubles until it has all its rows, so that a
    /// table of a few keys stays small.
    #[cold]
    fn make_room(&mut self, chunk: usize, end: usize) {
        self.capacity -= self.chunks.get(chunk).map_or(0, Vec::capacity);
        let entries = self.chunks.get_mut(chunk);
        if entries.capacity() < end {
            let wanted = (entries.capacity() * 2).clamp(end, CHUNK_ROWS * self.width);
            entries.reserve_exact(wanted - entries.len());
        }
        if entries.len() < end {
            entries.resize(end, self.empty.clone());
        }
        self.capacity += entries.capacity();
    }

    /// The row of a key is needed soon; it may lie in two lines of a cache.
    #[inline]
    pub fn prefetch(&self, key: u32) {
        let (chunk, row) = place(key);
        if let Some(entries) = self.chunks.get(chunk) {
            prefetch(entries, row * self.width);
            if self.width > 1 {
                prefetch(entries, (row + 1) * self.width - 1);
            }
        }
    }

    /// Makes a clone cheap: it shares everything with the table until that changes.
    pub fn share(&mut self) {
        self.chunks.share();
    }

    /// The chunks that are shared, each with its number, and with its rows by key.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, impl Iterator<Item = (u32, &[T])> + Clone)> {
        self.chunks.numbered().enumerate().map(|(chunk, (number, entries))| {
            let rows = entries.chunks_exact(self.width).enumerate();
            (number, rows.map(move |(row, entries)| ((chunk * CHUNK_ROWS + row) as u32, entries)))
        })
    }

    /// The bytes that the entries take, without what they point at.
    pub fn size(&self) -> usize {
        self.capacity * size_of::<T>() + self.chunks.list_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_table_and_its_snapshots_hold_what_maps_hold(
            steps in proptest::collection::vec((0u32..40, any::<u64>(), 0u8..6), 1..80),
            width in 1usize..3,
        ) {
            let (mut table, mut map) = (Table::new(width, 0), BTreeMap::new());
            let mut frozen: Vec<(Table<u64>, BTreeMap<u32, u64>, Vec<u64>)> = Vec::new();
            for (key, value, what) in steps {
                match what {
                    0 => {
                        let numbers = |table: &Table<u64>| table.chunks.numbered().map(|(number, _)| number).collect();
                        table.share();
                        frozen.push((table.clone(), map.clone(), numbers(&table)));
                    }
                    1 => drop(frozen.pop()),
                    _ => {
                        table.row_mut(key).fill(value);
                        map.insert(key, value);
                    }
                }
            }
            table.share();
            frozen.push((table.clone(), map.clone(), table.chunks.numbered().map(|(number, _)| number).collect()));
            for (table, map, _) in &frozen {
                for key in 0..44 {
                    let wanted = map.get(&key).copied().unwrap_or_default();
                    let row = table.row(key).map(<[u64]>::to_vec);
                    prop_assert_eq!(row.unwrap_or(vec![0; width]), vec![wanted; width]);
                }
            }
            // A chunk that has the number of an earlier one has its rows.
            for pair in frozen.windows(2) {
                let [(before, _, old), (after, _, new)] = pair else { unreachable!() };
                for (chunk, (old, new)) in old.iter().zip(new).enumerate() {
                    let same = before.chunks.get(chunk) == after.chunks.get(chunk);
                    prop_assert!(old != new || same, "chunk {} has changed and kept its number", chunk);
                    prop_assert!(old == new || old < new);
                }
            }
        }
    }

    #[test]
    fn what_did_not_change_keeps_its_number() {
        let mut table = Table::<u64>::new(1, 0);
        (0..12).for_each(|key| table.row_mut(key)[0] = 1);
        table.share();
        let before: Vec<u64> = table.chunks.numbered().map(|(number, _)| number).collect();
        table.row_mut(5)[0] = 2;
        table.share();
        let after: Vec<u64> = table.chunks.numbered().map(|(number, _)| number).collect();
        assert_eq!((before.len(), before[0], before[2]), (3, after[0], after[2]));
        assert!(after[1] > before[1]);
    }
}
