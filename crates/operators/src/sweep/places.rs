//! Whose a cell is.

/// Whose the cells are, by their place.
#[derive(Debug, Default)]
pub(super) struct Places {
    bits: u32,
    // By page of cells its page of keys. Invariant: empty as long as every key's cell is at its number.
    pub(super) pages: Vec<u32>,
}

impl Places {
    /// Places of pages of two to the power of this many keys.
    pub(super) fn new(bits: u32) -> Places {
        Places { bits, pages: Vec::new() }
    }

    /// The key of a cell.
    #[inline(always)]
    pub(super) fn key_at(&self, place: u32) -> u32 {
        match self.pages.get((place >> self.bits) as usize) {
            None => place,
            Some(page) => (page << self.bits) | (place & ((1 << self.bits) - 1)),
        }
    }
}
