//! Where the cells of keys are: in accumulators, by the number of the key, or on disk.
//!
//! Accumulators are arrays without gaps, which is what makes them fast. As long as all cells fit in memory, a key's cell is
//! at its number. Where they do not, the pages of keys that were not used for longest leave, other pages move into their
//! place, and rows that pass a cursor are told the places of their keys:
//!
//! ```text
//!   keys     | page 0 | page 1 | page 2 | page 3 | page 4 |
//!   cells    | page 0 | page 4 | page 3 |                      page 1: on disk, page 2: empty, so nowhere
//! ```

use super::accumulator::Accumulator;
use super::places::Places;
use dataflow::{Result, StateMemory};
use state::{AsideBytes, AsideFile, Decoder, Encoder, Pieces, Resident};
use std::sync::Arc;

/// A page has two to the power of this many keys at most.
const PAGE_BITS_MAX: u32 = 10;

/// The pages of the cells of a sweep.
#[derive(Debug, Default)]
pub(super) struct CellPages {
    // `None`: nothing ever leaves.
    file: Option<AsideFile>,
    bits: u32,
    // The keys that have cells.
    keys: usize,
    // Keys may have their cells elsewhere than at their numbers. Invariant: as long as they have not, there are no pages.
    is_moved: bool,
    // By page of keys.
    pages: Vec<CellPage>,
    places: Places,
    free: Vec<u32>,
    // By page of keys: when it was used last, as far as anybody looked.
    used: Vec<u64>,
    now: u64,
    spilled: usize,
    // The bytes that were brought back since somebody asked.
    loaded: usize,
}

/// Where the cells of a page of keys are.
#[derive(Debug)]
enum CellPage {
    /// In the accumulators, this many pages from their beginning on.
    At(u32),
    /// On disk.
    Aside(AsideBytes),
    /// Nothing in them.
    Empty,
}

impl CellPages {
    /// Shares a memory with other state; only the first call has an effect, and only before the first key.
    pub(super) fn spill_to(&mut self, memory: &Arc<StateMemory>) {
        if self.file.is_none() && self.keys == 0 {
            self.file = Some(AsideFile::new(memory));
            self.bits = memory.page_rows().ilog2().min(PAGE_BITS_MAX);
            self.places = Places::new(self.bits);
            self.now = 1;
        }
    }

    /// Whose the cells are.
    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// Whether keys have their cells elsewhere than at their numbers.
    pub(super) fn is_moved(&self) -> bool {
        self.is_moved
    }

    /// The place of the cell of no key, which stays empty.
    pub(super) fn no_key(&self) -> u32 {
        if self.is_moved { (self.places.pages.len() << self.bits) as u32 } else { self.keys as u32 }
    }

    /// Makes cells for so many keys.
    pub(super) fn grow(&mut self, keys: usize, accumulators: &mut [Accumulator]) {
        if !self.is_moved && self.is_too_much(keys, accumulators) {
            self.begin_to_move(accumulators);
        }
        self.keys = keys;
        if !self.is_moved {
            return accumulators.iter_mut().for_each(|accumulator| accumulator.cells_mut().grow(keys));
        }
        while self.pages.len() << self.bits < keys {
            self.pages.push(CellPage::Empty);
        }
    }

    /// Whether memory has no room for the cells of so many keys. A cell that is made when it is used takes none before.
    fn is_too_much(&self, keys: usize, accumulators: &[Accumulator]) -> bool {
        let Some(file) = self.file.as_ref().filter(|_| keys > self.keys) else { return false };
        let memory = file.memory();
        memory.used().saturating_add((keys - self.keys) * cell_bytes(accumulators)) > memory.limit()
    }

    /// Brings the cells of keys back to memory. Keys may be of nobody.
    pub(super) fn load<'a>(
        &mut self,
        keys: impl Iterator<Item = &'a [u32]>,
        accumulators: &mut [Accumulator],
    ) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if !self.is_moved && !file.memory().is_short() {
            return Ok(());
        }
        self.used.resize(self.keys.div_ceil(1 << self.bits), 0);
        let mut missing = Vec::new();
        for &key in keys.flatten() {
            let page = (key >> self.bits) as usize;
            let Some(used) = self.used.get_mut(page) else { continue };
            if std::mem::replace(used, self.now) != self.now && self.is_moved {
                missing.push(page);
            }
        }
        missing.retain(|&page| !matches!(self.pages[page], CellPage::At(_)));
        missing.sort_unstable();
        for &page in &missing {
            if let CellPage::Aside(bytes) = &self.pages[page] {
                bytes.fetch();
            }
        }
        missing.into_iter().try_for_each(|page| self.bring_back(page, accumulators))
    }

    fn bring_back(&mut self, page: usize, accumulators: &mut [Accumulator]) -> Result<()> {
        let bytes = match &self.pages[page] {
            CellPage::At(_) => return Ok(()),
            CellPage::Empty => None,
            CellPage::Aside(bytes) => Some(bytes.read()?),
        };
        self.loaded += cell_bytes(accumulators) << self.bits;
        let at = self.free.pop().unwrap_or(self.places.pages.len() as u32);
        if at as usize == self.places.pages.len() {
            self.places.pages.push(page as u32);
            let cells = self.places.pages.len() << self.bits;
            accumulators.iter_mut().for_each(|accumulator| accumulator.cells_mut().grow(cells));
        }
        if let Some(bytes) = bytes {
            let mut state = Decoder::new(&bytes);
            let (first, rows) = ((at as usize) << self.bits, 1 << self.bits);
            for accumulator in accumulators {
                accumulator.cells_mut().put_back(first..first + rows, &mut state)?;
            }
        }
        if let CellPage::Aside(bytes) = std::mem::replace(&mut self.pages[page], CellPage::At(at)) {
            self.spilled -= bytes.length();
        }
        self.places.pages[at as usize] = page as u32;
        Ok(())
    }

    /// The places of the cells of keys, which were loaded; the place of no key for keys of nobody.
    pub(super) fn place(&self, keys: &mut [u32]) {
        let (no_key, rest) = (self.no_key(), (1 << self.bits) - 1);
        for key in keys {
            *key = match self.pages.get((*key >> self.bits) as usize) {
                Some(CellPage::At(at)) => (at << self.bits) | (*key & rest),
                Some(CellPage::Aside(_) | CellPage::Empty) => unreachable!("cells are used that were not brought back"),
                None => no_key,
            };
        }
    }

    /// The pages that are in memory.
    fn residents(&self, accumulators: &[Accumulator], tell: &mut dyn FnMut(Resident)) {
        if self.file.is_none() || accumulators.is_empty() {
            return;
        }
        let bytes = cell_bytes(accumulators) << self.bits;
        for piece in 0..self.keys.div_ceil(1 << self.bits) {
            let is_here = !self.is_moved || matches!(self.pages[piece], CellPage::At(_));
            if is_here {
                let age = self.now - self.used.get(piece).copied().unwrap_or(0);
                tell(Resident { piece, age: u32::try_from(age).unwrap_or(u32::MAX), bytes });
            }
        }
    }

    /// Puts a page aside, and nothing on disk where all of its cells are empty. If the disk takes nothing, it stays.
    fn put_aside(&mut self, page: usize, accumulators: &mut [Accumulator]) -> Result<()> {
        self.begin_to_move(accumulators);
        let (Some(CellPage::At(at)), Some(file)) = (self.pages.get(page), &mut self.file) else { return Ok(()) };
        let (at, mut out, mut is_empty) = (*at, Encoder::default(), true);
        let (first, rows) = ((at as usize) << self.bits, 1 << self.bits);
        for accumulator in accumulators.iter() {
            is_empty &= accumulator.cells().put(first..first + rows, &mut out);
        }
        let aside = match is_empty {
            true => CellPage::Empty,
            false => match file.write(out.into_bytes())? {
                None => return Ok(()),
                Some(bytes) => {
                    self.spilled += bytes.length();
                    CellPage::Aside(bytes)
                }
            },
        };
        for accumulator in accumulators {
            accumulator.cells_mut().clear(first..first + rows);
        }
        self.pages[page] = aside;
        self.free.push(at);
        Ok(())
    }

    /// From now on keys may have their cells elsewhere than at their numbers.
    fn begin_to_move(&mut self, accumulators: &mut [Accumulator]) {
        if self.is_moved {
            return;
        }
        self.is_moved = true;
        let pages = self.keys.div_ceil(1 << self.bits) as u32;
        self.pages = (0..pages).map(CellPage::At).collect();
        self.places.pages = (0..pages).collect();
        let cells = (pages as usize) << self.bits;
        accumulators.iter_mut().for_each(|accumulator| accumulator.cells_mut().grow(cells));
    }

    /// Moves the last pages of cells to where others have left, and gives back the room at the end.
    fn close_gaps(&mut self, accumulators: &mut [Accumulator]) {
        if self.free.is_empty() {
            return;
        }
        self.free.sort_unstable();
        let mut free = std::mem::take(&mut self.free).into_iter();
        let rows = 1 << self.bits;
        while let Some(to) = free.as_slice().first().copied() {
            let last = self.places.pages.len() as u32 - 1;
            if free.as_slice().last() == Some(&last) {
                free.next_back();
            } else {
                free.next();
                let page = self.places.pages[last as usize];
                for accumulator in accumulators.iter_mut() {
                    accumulator.cells_mut().swap((last as usize) << self.bits, (to as usize) << self.bits, rows);
                }
                self.pages[page as usize] = CellPage::At(to);
                self.places.pages[to as usize] = page;
            }
            self.places.pages.pop();
        }
        let cells = self.places.pages.len() << self.bits;
        accumulators.iter_mut().for_each(|accumulator| accumulator.cells_mut().shrink(cells));
    }

    /// The bytes that were brought back since the last call.
    pub(super) fn take_loaded(&mut self) -> usize {
        std::mem::take(&mut self.loaded)
    }

    /// The bytes on disk.
    pub(super) fn spilled(&self) -> usize {
        self.spilled
    }

    pub(super) fn size(&self) -> usize {
        self.pages.capacity() * size_of::<CellPage>()
            + (self.places.pages.capacity() + self.free.capacity()) * 4
            + self.used.capacity() * 8
    }
}

/// The bytes of the cells of one key.
fn cell_bytes(accumulators: &[Accumulator]) -> usize {
    accumulators.iter().map(|accumulator| accumulator.cells().cell_bytes()).sum()
}

/// The pages with the accumulators whose cells they are of.
pub(super) struct PagedAccumulators<'a> {
    pub(super) pages: &'a mut CellPages,
    pub(super) accumulators: &'a mut [Accumulator],
}

impl Pieces for PagedAccumulators<'_> {
    fn residents(&self, tell: &mut dyn FnMut(Resident)) {
        self.pages.residents(self.accumulators, tell);
    }

    fn put_aside(&mut self, piece: usize) -> Result<()> {
        self.pages.put_aside(piece, self.accumulators)
    }

    fn age(&mut self) {
        self.pages.close_gaps(self.accumulators);
        self.pages.now = self.pages.now.saturating_add(1);
    }
}
