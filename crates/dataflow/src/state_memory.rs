//! What the state of a job may take in memory, and where it goes beyond that.

use crate::Result;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many rows a page of state has.
const PAGE_ROWS: usize = 4096;

/// The bound that all steps of a job share, and the store that takes what lies beyond it.
///
/// The bound holds for what can be put aside: pages that nobody looks at soon. What a job needs at every row stays in
/// memory, and a job that needs more of that than its bound goes on all the same.
///
/// ```
/// use dataflow::StateMemory;
/// let unbounded = StateMemory::unbounded();
/// unbounded.count(0, 1 << 40);
/// assert_eq!((unbounded.used(), unbounded.over()), (1 << 40, 0));
/// ```
pub struct StateMemory {
    // `None`: nothing is put aside.
    store: Option<Box<dyn SpillStore>>,
    limit: usize,
    page_rows: usize,
    used: AtomicUsize,
    spilled: AtomicUsize,
}

/// Where state goes that does not fit in memory. Nothing in it outlives the process.
pub trait SpillStore: Send + Sync {
    /// A place for pieces that are as long as each other, and are mostly let go in the order in which they came.
    fn file(&self) -> Box<dyn SpillFile>;
}

/// Takes pieces of one length.
pub trait SpillFile: Send + Sync {
    /// Puts a piece aside; its room is free again when what is returned is dropped.
    fn write(&self, bytes: Vec<u8>) -> Result<Box<dyn SpilledPiece>>;
}

/// A piece that was put aside.
pub trait SpilledPiece: Send + Sync {
    /// It will be read soon. Nobody waits for that.
    fn fetch(&self);
    /// Its bytes, as they were written.
    fn read(&self) -> Result<Vec<u8>>;
}

impl StateMemory {
    /// State may take all memory that there is.
    pub fn unbounded() -> Arc<StateMemory> {
        Arc::new(StateMemory::new(usize::MAX, None, PAGE_ROWS))
    }

    /// State beyond so many bytes goes to a store.
    pub fn bounded(limit: usize, store: Box<dyn SpillStore>) -> Arc<StateMemory> {
        Arc::new(StateMemory::new(limit, Some(store), PAGE_ROWS))
    }

    /// As [`StateMemory::bounded`], with pages of another size: of a few rows, tests have many pages.
    pub fn with_pages_of(page_rows: usize, limit: usize, store: Box<dyn SpillStore>) -> Arc<StateMemory> {
        Arc::new(StateMemory::new(limit, Some(store), page_rows.max(1)))
    }

    fn new(limit: usize, store: Option<Box<dyn SpillStore>>, page_rows: usize) -> StateMemory {
        StateMemory { store, limit, page_rows, used: AtomicUsize::new(0), spilled: AtomicUsize::new(0) }
    }

    /// How many rows a page has.
    pub fn page_rows(&self) -> usize {
        self.page_rows
    }

    /// A place for the pieces of one log; `None` where nothing is ever put aside.
    pub fn file(&self) -> Option<Box<dyn SpillFile>> {
        self.store.as_ref().map(|store| store.file())
    }

    /// How many bytes all steps together have in memory beyond the bound.
    pub fn over(&self) -> usize {
        self.used.load(Relaxed).saturating_sub(self.limit)
    }

    /// The bound.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether more than half of the bound is used: from then on it is worth knowing what is used how often.
    pub fn is_short(&self) -> bool {
        self.used() > self.limit / 2
    }

    /// How many bytes all steps together have in memory, as they and their logs told last.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// How many bytes all steps together have put aside.
    pub fn spilled(&self) -> usize {
        self.spilled.load(Relaxed)
    }

    /// A step or a log has so many bytes in memory where it had others before.
    pub fn count(&self, before: usize, now: usize) {
        replace(&self.used, before, now);
    }

    /// A log has so many bytes put aside where it had others before.
    pub fn count_spilled(&self, before: usize, now: usize) {
        replace(&self.spilled, before, now);
    }
}

/// Adds first, so that no reader sees a number below zero.
fn replace(sum: &AtomicUsize, before: usize, now: usize) {
    if now != before {
        sum.fetch_add(now, Relaxed);
        sum.fetch_sub(before, Relaxed);
    }
}

impl fmt::Debug for StateMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StateMemory { store: _, limit, page_rows, used, spilled } = self;
        let mut shown = f.debug_struct("StateMemory");
        shown.field("limit", limit).field("page_rows", page_rows).field("used", used).field("spilled", spilled);
        shown.finish()
    }
}

/// Keeps what is put aside in memory: for tests, and for worlds without a disk.
///
/// ```
/// use dataflow::{SpillInMemory, SpillStore};
/// let file = SpillInMemory.file();
/// assert_eq!(file.write(vec![1, 2])?.read()?, [1, 2]);
/// # Ok::<(), dataflow::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SpillInMemory;

struct InMemory(Vec<u8>);

impl SpillStore for SpillInMemory {
    fn file(&self) -> Box<dyn SpillFile> {
        Box::new(SpillInMemory)
    }
}

impl SpillFile for SpillInMemory {
    fn write(&self, bytes: Vec<u8>) -> Result<Box<dyn SpilledPiece>> {
        Ok(Box::new(InMemory(bytes)))
    }
}

impl SpilledPiece for InMemory {
    fn fetch(&self) {}

    fn read(&self) -> Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}
