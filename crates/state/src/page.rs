//! The pages of a log: rows in columns, in memory or put aside.

use crate::chunks::next_page_number;
use dataflow::{Error, Result, SpillFile, SpilledPiece};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

const CHECKSUM: usize = 4;

/// How many columns a log has beside time and key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Columns of eight bytes: values as [`crate::Values`] encodes them.
    pub values: usize,
    /// Columns of one byte: whether a value is there, whether a filter is true.
    pub flags: usize,
}

impl Shape {
    /// The bytes of a row.
    pub(crate) fn row_bytes(self) -> usize {
        8 + 4 + 8 * self.values + self.flags
    }
}

/// Rows in columns, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Times in microseconds, ascending.
    pub times: Vec<i64>,
    /// Key ids.
    pub keys: Vec<u32>,
    /// Value columns.
    pub values: Vec<Vec<u64>>,
    /// Flag columns.
    pub flags: Vec<Vec<u8>>,
}

impl Page {
    pub(crate) fn new(shape: Shape) -> Page {
        Page {
            times: Vec::new(),
            keys: Vec::new(),
            values: vec![Vec::new(); shape.values],
            flags: vec![Vec::new(); shape.flags],
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Its bytes as this process alone reads them again, with a checksum: a disk that gives other bytes back is noticed.
    fn to_bytes(&self, shape: Shape) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.rows() * shape.row_bytes() + CHECKSUM);
        self.times.iter().for_each(|time| out.extend_from_slice(&time.to_le_bytes()));
        self.keys.iter().for_each(|key| out.extend_from_slice(&key.to_le_bytes()));
        for column in &self.values {
            column.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        }
        self.flags.iter().for_each(|column| out.extend_from_slice(column));
        let checksum = crc32c::crc32c(&out);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8], shape: Shape) -> Result<Page> {
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().unwrap_or((&[], &[0; CHECKSUM]));
        if body.is_empty() || crc32c::crc32c(body).to_le_bytes() != *checksum {
            return Err(Error::corrupt(
                "state that was put aside on disk has come back with other bytes; the disk is damaged, and a run that \
                 begins from the checkpoint needs none of them",
            ));
        }
        let rows = body.len() / shape.row_bytes();
        let mut rest = body;
        let mut take = |bytes: usize| {
            let (taken, after) = rest.split_at(bytes);
            rest = after;
            taken
        };
        let times = wide(take(rows * 8)).map(|bits| bits as i64).collect();
        let keys = take(rows * 4).chunks_exact(4).map(|key| u32::from_le_bytes([key[0], key[1], key[2], key[3]]));
        let keys = keys.collect();
        let values = (0..shape.values).map(|_| wide(take(rows * 8)).collect()).collect();
        let flags = (0..shape.flags).map(|_| take(rows).to_vec()).collect();
        Ok(Page { times, keys, values, flags })
    }
}

fn wide(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A page that never changes any more. It is in memory, put aside, or both; snapshots share it, wherever it is.
pub(crate) struct FullPage {
    /// What no other page of this process has.
    pub(crate) number: u64,
    pub(crate) last_time: i64,
    rows: usize,
    shape: Shape,
    memory: Mutex<Option<Arc<Page>>>,
    aside: OnceLock<Box<dyn SpilledPiece>>,
}

impl FullPage {
    pub(crate) fn new(page: Page, shape: Shape) -> FullPage {
        FullPage {
            number: next_page_number(),
            last_time: page.times.last().copied().unwrap_or(i64::MIN),
            rows: page.rows(),
            shape,
            memory: Mutex::new(Some(Arc::new(page))),
            aside: OnceLock::new(),
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows; they stay where they are.
    pub(crate) fn look(&self) -> Result<Arc<Page>> {
        // The lock is not held while a disk is read: who wants to put the page aside does not wait for who looks at it.
        match self.memory().clone() {
            Some(page) => Ok(page),
            None => self.read().map(Arc::new),
        }
    }

    /// The rows, which are in memory afterwards.
    pub(crate) fn bring_back(&self) -> Result<Arc<Page>> {
        let page = self.look()?;
        *self.memory() = Some(page.clone());
        Ok(page)
    }

    /// The rows will be brought back soon.
    pub(crate) fn fetch(&self) {
        if let Some(aside) = self.aside.get() {
            aside.fetch();
        }
    }

    /// Takes the page out of memory; it is written if it never was.
    pub(crate) fn put_aside(&self, file: &dyn SpillFile) -> Result<()> {
        let Some(page) = self.memory().clone() else { return Ok(()) };
        if self.aside.get().is_none() {
            let piece = file.write(page.to_bytes(self.shape))?;
            // Nobody else writes it: a page belongs to one log.
            let _ = self.aside.set(piece);
        }
        *self.memory() = None;
        Ok(())
    }

    fn read(&self) -> Result<Page> {
        let aside = self.aside.get().ok_or_else(|| Error::internal("a page of state is nowhere"))?;
        let page = Page::from_bytes(&aside.read()?, self.shape)?;
        match page.rows() == self.rows {
            true => Ok(page),
            false => Err(Error::internal("a page of state has come back with other rows")),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Option<Arc<Page>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for FullPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FullPage").field("number", &self.number).field("rows", &self.rows).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::{ErrorKind, SpillInMemory, SpillStore};

    const SHAPE: Shape = Shape { values: 2, flags: 1 };

    fn page() -> Page {
        let values = vec![vec![1, u64::MAX, 3], vec![4, 5, 6]];
        Page { times: vec![i64::MIN, -1, 7], keys: vec![3, 0, u32::MAX - 1], values, flags: vec![vec![0, 1, 1]] }
    }

    #[test]
    fn a_page_that_was_put_aside_is_the_same_again() {
        let (full, file) = (FullPage::new(page(), SHAPE), SpillInMemory.file());
        full.put_aside(file.as_ref()).unwrap();
        assert!(full.memory().is_none());
        assert_eq!(*full.look().unwrap(), page());
        assert!(full.memory().is_none());
        assert_eq!(*full.bring_back().unwrap(), page());
        assert!(full.memory().is_some());
        assert_eq!((full.last_time, full.rows()), (7, 3));
    }

    #[test]
    fn bytes_that_a_disk_has_changed_are_noticed() {
        let bytes = page().to_bytes(SHAPE);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Page::from_bytes(&wrong, SHAPE).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Page::from_bytes(&bytes[..length], SHAPE).is_err(), "{length} bytes");
        }
    }
}
