//! Keyed tables: one row per key, indexed by the key's dense id, in chunks that a snapshot shares and that go to disk where
//! memory is short.

use crate::chunks::{Chunk, Chunks, Look};
use crate::{Decoder, Encoder, Pieces, Resident, prefetch};
use dataflow::{Result, StateMemory};
use std::collections::VecDeque;
use std::sync::Arc;

/// A row of entries per key id; entries that were never set are empty.
///
/// Freezing it ([`Table::share`], then a clone) copies pointers. A chunk that changes afterwards is copied once. Where the
/// memory of the job has a bound ([`Table::spill_to`]), a batch first loads what it is going to use ([`Table::load`]).
#[derive(Clone, Debug)]
pub struct Table<T> {
    chunks: Chunks<Vec<T>>,
    // Entries of a row.
    width: usize,
    // What stands where nothing was set.
    empty: T,
    // The entries that all chunks in memory have room for.
    capacity: usize,
    // The bytes that entries point at that are on disk alone.
    heap_aside: usize,
}

/// What a table holds, as this process alone reads it again.
pub trait Entry: Clone {
    /// Writes it.
    fn put(&self, out: &mut Encoder);
    /// Reads it.
    fn get(state: &mut Decoder) -> Result<Self>;
    /// The bytes that it points at.
    fn heap(&self) -> usize;
}

impl Entry for u64 {
    fn put(&self, out: &mut Encoder) {
        out.u64(*self);
    }

    fn get(state: &mut Decoder) -> Result<u64> {
        state.u64()
    }

    fn heap(&self) -> usize {
        0
    }
}

impl Entry for i64 {
    fn put(&self, out: &mut Encoder) {
        out.i64(*self);
    }

    fn get(state: &mut Decoder) -> Result<i64> {
        state.i64()
    }

    fn heap(&self) -> usize {
        0
    }
}

/// Values with what each is, oldest first.
impl Entry for VecDeque<(u64, u8)> {
    fn put(&self, out: &mut Encoder) {
        out.u32(self.len() as u32);
        for (value, kind) in self {
            out.u64(*value);
            out.u8(*kind);
        }
    }

    fn get(state: &mut Decoder) -> Result<Self> {
        (0..state.u32()?).map(|_| Ok((state.u64()?, state.u8()?))).collect()
    }

    fn heap(&self) -> usize {
        self.len() * size_of::<(u64, u8)>()
    }
}

impl<T: Entry> Chunk for Vec<T> {
    fn put(&self, out: &mut Encoder) {
        out.u32(self.len() as u32);
        self.iter().for_each(|entry| entry.put(out));
    }

    fn get(state: &mut Decoder) -> Result<Vec<T>> {
        let count = state.u32()?;
        let mut entries = Vec::with_capacity(count as usize);
        for _ in 0..count {
            entries.push(T::get(state)?);
        }
        Ok(entries)
    }

    fn size(&self) -> usize {
        self.capacity() * size_of::<T>() + heap(self)
    }
}

fn heap<T: Entry>(entries: &[T]) -> usize {
    entries.iter().map(T::heap).sum()
}

impl<T: Entry> Table<T> {
    /// A table whose rows have so many entries side by side, which are `empty` until they are set.
    pub fn new(width: usize, empty: T) -> Table<T> {
        Table { chunks: Chunks::default(), width, empty, capacity: 0, heap_aside: 0 }
    }

    /// Shares a memory with other state. Only the first call has an effect, and only before the first row; without one, all
    /// rows stay in memory.
    pub fn spill_to(&mut self, memory: &Arc<StateMemory>) {
        self.chunks.spill_to(memory);
    }

    /// Brings the rows of keys back to memory, each chunk once, where they stay until [`crate::fit`]. Keys may be
    /// [`crate::NO_KEY`].
    pub fn load(&mut self, keys: impl Iterator<Item = u32>) -> Result<()> {
        if !self.chunks.is_watched() {
            return Ok(());
        }
        let mut missing = Vec::new();
        for key in keys {
            let (chunk, _) = self.chunks.place(key);
            if self.chunks.is_aside(chunk) {
                missing.push(chunk);
            } else if key != crate::NO_KEY {
                self.chunks.touch(chunk);
            }
        }
        missing.sort_unstable();
        missing.dedup();
        missing.iter().for_each(|&chunk| self.chunks.fetch(chunk));
        missing.into_iter().try_for_each(|chunk| self.load_chunk(chunk))
    }

    /// Brings the row of one key back to memory.
    #[inline]
    pub fn load_one(&mut self, key: u32) -> Result<()> {
        let (chunk, _) = self.chunks.place(key);
        if self.chunks.is_aside(chunk) { self.load_chunk(chunk) } else { Ok(()) }
    }

    /// How many keys a chunk has.
    pub fn chunk_rows(&self) -> usize {
        self.chunks.rows()
    }

    /// The row of a key, which is in memory, is used.
    pub fn touch(&mut self, key: u32) {
        if self.chunks.is_watched() {
            let (chunk, _) = self.chunks.place(key);
            self.chunks.touch(chunk);
        }
    }

    /// Empties the rows of a chunk of keys, the first of which has the number `chunk` times [`Table::chunk_rows`]. What is on
    /// disk is not read: entries point at nothing, which `T` promises by having no heap.
    pub fn clear_chunk(&mut self, chunk: usize)
    where
        T: Copy,
    {
        if let Some(entries) = self.chunks.clear(chunk) {
            self.capacity -= entries.capacity();
        }
    }

    #[cold]
    fn load_chunk(&mut self, chunk: usize) -> Result<()> {
        if let Some(entries) = self.chunks.load(chunk)? {
            self.capacity += entries.capacity();
            self.heap_aside -= heap(entries);
        }
        Ok(())
    }

    /// The row of a key, which is in memory; `None` when nothing was set at or near it.
    #[inline]
    pub fn row(&self, key: u32) -> Option<&[T]> {
        let (chunk, row) = self.chunks.place(key);
        self.chunks.get(chunk)?.get(row * self.width..(row + 1) * self.width)
    }

    /// The row of a key, which is in memory, to be changed.
    #[inline]
    pub fn row_mut(&mut self, key: u32) -> &mut [T] {
        let (chunk, row) = self.chunks.place(key);
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
        let most = self.chunks.rows() * self.width;
        let entries = self.chunks.get_mut(chunk);
        if entries.capacity() < end {
            let wanted = (entries.capacity() * 2).clamp(end, most);
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
        let (chunk, row) = self.chunks.place(key);
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

    /// The numbers of the chunks that are shared, with their places.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (usize, u64)> {
        self.chunks.numbers()
    }

    /// The rows of a chunk by key, wherever they are.
    pub(crate) fn look(&self, chunk: usize) -> Result<Rows<'_, T>> {
        let first = (chunk * self.chunks.rows()) as u32;
        Ok(Rows { entries: self.chunks.look(chunk)?, width: self.width, first })
    }

    /// The row of a key of a snapshot, wherever it is.
    pub(crate) fn look_row<R>(&self, key: u32, with: impl FnOnce(Option<&[T]>) -> R) -> Result<R> {
        let (chunk, row) = self.chunks.place(key);
        let entries = self.chunks.look(chunk)?;
        Ok(with(entries.as_deref().and_then(|entries| entries.get(row * self.width..(row + 1) * self.width))))
    }

    /// The bytes that the entries in memory take, without what they point at.
    pub fn size(&self) -> usize {
        self.capacity * size_of::<T>() + self.chunks.list_size()
    }

    /// The bytes on disk alone.
    pub fn spilled(&self) -> usize {
        self.chunks.spilled()
    }

    /// The bytes that entries on disk alone would point at in memory.
    pub fn heap_aside(&self) -> usize {
        self.heap_aside
    }
}

/// The rows of a chunk.
pub(crate) struct Rows<'a, T> {
    entries: Option<Look<'a, Vec<T>>>,
    width: usize,
    first: u32,
}

impl<T> Rows<'_, T> {
    /// The rows, each with its key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &[T])> {
        let entries = self.entries.as_deref().map_or(&[][..], Vec::as_slice);
        (self.first..).zip(entries.chunks_exact(self.width))
    }
}

impl<T: Entry> Pieces for Table<T> {
    fn residents(&self, tell: &mut dyn FnMut(Resident)) {
        self.chunks.residents(tell);
    }

    fn put_aside(&mut self, piece: usize) -> Result<()> {
        if let Some(entries) = self.chunks.put_aside(piece)? {
            self.capacity -= entries.capacity();
            self.heap_aside += heap(&entries);
        }
        Ok(())
    }

    fn age(&mut self) {
        self.chunks.age();
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
                        let numbers = |table: &Table<u64>| table.numbers().map(|(_, number)| number).collect();
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
            frozen.push((table.clone(), map.clone(), table.numbers().map(|(_, number)| number).collect()));
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
        let before: Vec<u64> = table.numbers().map(|(_, number)| number).collect();
        table.row_mut(5)[0] = 2;
        table.share();
        let after: Vec<u64> = table.numbers().map(|(_, number)| number).collect();
        assert_eq!((before.len(), before[0], before[2]), (3, after[0], after[2]));
        assert!(after[1] > before[1]);
    }
}
