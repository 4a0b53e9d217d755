//! The keys of ids: numbers, or canonical bytes.

use crate::Table;
use crate::arena::Arena;
use dataflow::{KeyGroup, Result, key_group};
use xxhash_rust::xxh3::xxh3_64;

/// The keys of ids, as they were when they were frozen.
#[derive(Clone, Debug)]
pub struct Keys(pub(crate) Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    // `null` is the id of the key NULL; its number means nothing.
    Integers { numbers: Table<i64>, null: Option<u32> },
    Bytes(Arena),
}

impl Keys {
    /// The canonical bytes of a key.
    pub fn bytes(&self, id: u32) -> Result<Vec<u8>> {
        match &self.0 {
            Kind::Integers { null, .. } if *null == Some(id) => Ok(vec![0]),
            Kind::Integers { numbers, .. } => {
                numbers.look_row(id, |row| integer_bytes(row.map_or(0, |row| row[0])).to_vec())
            }
            Kind::Bytes(arena) => arena.look(id),
        }
    }

    /// The canonical bytes of many keys; what lies on disk is read in its order.
    pub fn bytes_of(&self, ids: &[u32]) -> Result<Vec<Vec<u8>>> {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by_key(|&at| ids[at]);
        let mut all = vec![Vec::new(); ids.len()];
        for at in order {
            all[at] = self.bytes(ids[at])?;
        }
        Ok(all)
    }

    /// The group that a key belongs to.
    pub fn group(&self, id: u32) -> Result<KeyGroup> {
        Ok(key_group(xxh3_64(&self.bytes(id)?)))
    }

    /// The bytes of a key of an index over bytes that is in memory; empty for one over integers.
    pub(crate) fn raw(&self, id: u32) -> &[u8] {
        match &self.0 {
            Kind::Bytes(arena) => arena.get(id),
            Kind::Integers { .. } => &[],
        }
    }

    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Kind::Integers { numbers, .. } => numbers.size(),
            Kind::Bytes(arena) => arena.size(),
        }
    }

    /// How many ids a chunk has.
    pub(crate) fn chunk_rows(&self) -> u32 {
        match &self.0 {
            Kind::Integers { numbers, .. } => numbers.chunk_rows() as u32,
            Kind::Bytes(arena) => arena.chunk_rows() as u32,
        }
    }

    /// Brings a key back to memory.
    pub(crate) fn load(&mut self, id: u32) -> Result<()> {
        match &mut self.0 {
            Kind::Integers { numbers, .. } => numbers.load_one(id),
            Kind::Bytes(arena) if arena.is_aside(id) => arena.load(id),
            Kind::Bytes(_) => Ok(()),
        }
    }
}

/// The number of an id, which is in memory.
pub(crate) fn number_of(numbers: &Table<i64>, id: u32) -> i64 {
    numbers.row(id).map_or(0, |row| row[0])
}

/// The canonical bytes of an integer: its tag, then the number.
pub(crate) fn integer_bytes(number: i64) -> [u8; 9] {
    let mut bytes = [1; 9];
    bytes[1..].copy_from_slice(&number.to_le_bytes());
    bytes
}
