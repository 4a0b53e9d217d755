//! Least and greatest values per key.

use super::cells::Cells;
use super::paged_cells::PagedCells;
use super::steps::{Step, StepKind};
use dataflow::Result;
use state::{Decoder, Encoder, Values};
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

/// Per key the rows of the frame that could still become the extreme: each is more extreme than all that follow it,
/// so the first one is the answer. Rows leave in the order in which they came, so this suffices.
#[derive(Debug, Default)]
pub(super) struct Extreme {
    pub(super) by_key: Vec<VecDeque<(u64, u64)>>,
    entries: usize,
}

impl Extreme {
    pub(super) fn size(&self) -> usize {
        self.by_key.capacity() * size_of::<VecDeque<(u64, u64)>>() + self.entries * 16
    }
}

impl PagedCells for Extreme {
    fn grow(&mut self, cells: usize) {
        self.by_key.grow(cells);
    }

    fn shrink(&mut self, cells: usize) {
        self.by_key.shrink(cells);
    }

    fn put(&self, cells: Range<usize>, out: &mut Encoder) -> bool {
        PagedCells::put(&self.by_key, cells, out)
    }

    fn clear(&mut self, cells: Range<usize>) {
        self.entries -= self.by_key[cells.clone()].iter().map(VecDeque::len).sum::<usize>();
        PagedCells::clear(&mut self.by_key, cells);
    }

    fn put_back(&mut self, cells: Range<usize>, state: &mut Decoder) -> Result<()> {
        self.by_key.put_back(cells.clone(), state)?;
        self.entries += self.by_key[cells].iter().map(VecDeque::len).sum::<usize>();
        Ok(())
    }

    fn swap(&mut self, from: usize, to: usize, cells: usize) {
        PagedCells::swap(&mut self.by_key, from, to, cells);
    }

    fn cell_bytes(&self) -> usize {
        // About so much of what all point at.
        self.by_key.cell_bytes() + self.entries * size_of::<(u64, u64)>() / self.by_key.len().max(1)
    }
}

/// The rows with what compares their values.
pub(super) struct ExtremeCells<'a> {
    pub(super) extreme: &'a mut Extreme,
    pub(super) values: &'a Values,
    /// `Greater` keeps the greatest value, `Less` the least.
    pub(super) wanted: Ordering,
    pub(super) bits: &'a mut Vec<u64>,
    pub(super) there: &'a mut Vec<u8>,
}

impl Cells for ExtremeCells<'_> {
    #[inline(always)]
    fn prefetch(&self, key: u32, _: impl FnOnce() -> u64) {
        state::prefetch(&self.extreme.by_key, key as usize);
    }

    #[inline(always)]
    fn step(&mut self, step: Step, value: u64, row: u64, counts: bool) {
        match step.kind() {
            _ if !counts => {}
            StepKind::Leave => self.remove(step.key(), row),
            StepKind::Enter | StepKind::EnterAndRead => self.add(step.key(), value, row),
            StepKind::Read => {}
        }
        if step.kind().is_read() {
            self.read(step.key());
        }
    }
}

impl ExtremeCells<'_> {
    fn add(&mut self, key: u32, value: u64, row: u64) {
        let queue = &mut self.extreme.by_key[key as usize];
        while queue.back().is_some_and(|&(_, last)| self.values.compare(last, value) != self.wanted) {
            queue.pop_back();
            self.extreme.entries -= 1;
        }
        queue.push_back((row, value));
        self.extreme.entries += 1;
    }

    fn remove(&mut self, key: u32, row: u64) {
        let queue = &mut self.extreme.by_key[key as usize];
        if queue.front().is_some_and(|&(first, _)| first == row) {
            queue.pop_front();
            self.extreme.entries -= 1;
            if queue.is_empty() {
                // A key may never come back, and its id may go to one that needs less.
                *queue = VecDeque::new();
            }
        }
    }

    fn read(&mut self, key: u32) {
        let first = self.extreme.by_key[key as usize].front();
        self.bits.push(first.map_or(0, |&(_, value)| value));
        self.there.push(u8::from(first.is_some()));
    }
}
