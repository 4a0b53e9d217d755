//! Keys by their canonical bytes, numbered in the order in which they came.

use arrow::array::{ArrayRef, RecordBatch};
use dataflow::{Result, key_bytes};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// The keys of rows as bytes, and their hashes.
pub(crate) struct RowKeys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    pub hashes: Vec<u64>,
}

impl RowKeys {
    pub fn of(rows: &RecordBatch, columns: &[usize]) -> Result<RowKeys> {
        let columns: Vec<ArrayRef> = columns.iter().map(|&column| rows.column(column).clone()).collect();
        let (bytes, ends) = key_bytes(&columns, rows.num_rows())?;
        let hashes = ends.windows(2).map(|ends| xxh3_64(&bytes[ends[0] as usize..ends[1] as usize])).collect();
        Ok(RowKeys { bytes, ends, hashes })
    }

    pub fn bytes(&self, row: usize) -> &[u8] {
        &self.bytes[self.ends[row] as usize..self.ends[row + 1] as usize]
    }
}

/// Different keys, each with a number.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    numbers: HashTable<u32>,
    // The bytes of key n end at `ends[n]`.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    hashes: Vec<u64>,
}

impl KeyTable {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    fn key(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[number]]
    }

    /// The number of a key that is there.
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        self.numbers.find(hash, |&number| self.key(number) == key).copied()
    }

    /// The number of a key, and whether it is new.
    pub fn number(&mut self, hash: u64, key: &[u8]) -> (u32, bool) {
        if let Some(number) = self.find(hash, key) {
            return (number, false);
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.numbers.insert_unique(hash, number, |&number| hashes[number as usize]);
        (number, true)
    }

    /// About how many bytes it takes.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 16 + self.numbers.allocation_size()
    }
}
