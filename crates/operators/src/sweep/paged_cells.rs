//! Arrays of cells whose parts leave and come back.

use dataflow::Result;
use state::{Decoder, Encoder};
use std::collections::VecDeque;
use std::ops::Range;

/// What an accumulator keeps of a key, as this process alone reads it again. The default has no byte but 0.
pub(super) trait StoredCell: Default {
    fn put(&self, out: &mut Encoder);
    fn get(state: &mut Decoder) -> Result<Self>;
}

/// Cells by place.
pub(super) trait PagedCells {
    /// Makes cells up to a place, and the one of no key there.
    fn grow(&mut self, cells: usize);
    /// Lets go of the cells after a place, which are empty but for the one of no key there.
    fn shrink(&mut self, cells: usize);
    /// Writes cells; whether all of them are empty.
    fn put(&self, cells: Range<usize>, out: &mut Encoder) -> bool;
    /// Empties cells.
    fn clear(&mut self, cells: Range<usize>);
    /// Reads cells that [`PagedCells::put`] wrote.
    fn put_back(&mut self, cells: Range<usize>, state: &mut Decoder) -> Result<()>;
    /// Exchanges as many cells from one place on with those from another on, which come first.
    fn swap(&mut self, from: usize, to: usize, cells: usize);
    /// The bytes of one cell, with what it points at.
    fn cell_bytes(&self) -> usize;
}

/// Arrays of more bytes than this grow by an eighth of them, and not to twice as many: where memory has a bound, room that
/// nothing is in would be counted.
const DOUBLED_BYTES_MAX: usize = 1 << 20;

impl<T: StoredCell> PagedCells for Vec<T> {
    fn grow(&mut self, cells: usize) {
        let cells = cells + 1;
        if self.capacity() < cells && self.capacity() * size_of::<T>() > DOUBLED_BYTES_MAX {
            self.reserve_exact((cells - self.len()).max(self.len() / 8));
        }
        if self.len() < cells {
            self.resize_with(cells, T::default);
        }
    }

    fn shrink(&mut self, cells: usize) {
        self.truncate(cells + 1);
        self.shrink_to(cells + 1);
    }

    fn put(&self, cells: Range<usize>, out: &mut Encoder) -> bool {
        let mut bytes = Encoder::default();
        self[cells].iter().for_each(|cell| cell.put(&mut bytes));
        let is_empty = bytes.bytes().iter().all(|&byte| byte == 0);
        out.sized(if is_empty { &[] } else { bytes.bytes() });
        is_empty
    }

    fn clear(&mut self, cells: Range<usize>) {
        self[cells].fill_with(T::default);
    }

    fn put_back(&mut self, cells: Range<usize>, state: &mut Decoder) -> Result<()> {
        let mut state = Decoder::new(state.sized()?);
        if state.is_empty() {
            return Ok(());
        }
        for cell in &mut self[cells] {
            *cell = T::get(&mut state)?;
        }
        Ok(())
    }

    fn swap(&mut self, from: usize, to: usize, cells: usize) {
        let (first, last) = self.split_at_mut(from);
        first[to..to + cells].swap_with_slice(&mut last[..cells]);
    }

    fn cell_bytes(&self) -> usize {
        size_of::<T>()
    }
}

impl StoredCell for u32 {
    fn put(&self, out: &mut Encoder) {
        out.u32(*self);
    }

    fn get(state: &mut Decoder) -> Result<u32> {
        state.u32()
    }
}

impl StoredCell for i64 {
    fn put(&self, out: &mut Encoder) {
        out.i64(*self);
    }

    fn get(state: &mut Decoder) -> Result<i64> {
        state.i64()
    }
}

impl StoredCell for VecDeque<(u64, u64)> {
    fn put(&self, out: &mut Encoder) {
        out.u32(self.len() as u32);
        for (row, value) in self {
            out.u64(*row);
            out.u64(*value);
        }
    }

    fn get(state: &mut Decoder) -> Result<Self> {
        (0..state.u32()?).map(|_| Ok((state.u64()?, state.u64()?))).collect()
    }
}
