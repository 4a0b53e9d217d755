//! Tables in chunks that a snapshot shares: what is written after it is copied first, chunk by chunk. Chunks that nobody
//! uses go to disk where memory is short.
//!
//! ```text
//!   changed since the last snapshot      not changed, numbered               on disk, numbered
//!            Own          -- snapshot -->     Shared      -- put aside -->        Aside
//!             ^--------------- change -----------'  ^------------ load -------------'
//! ```

use crate::{AsideBytes, AsideFile, Decoder, Encoder, Resident};
use dataflow::{Error, Result, StateMemory};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// A chunk of a table has two to the power of this many rows; ids beyond it are in the next one.
const CHUNK_BITS: u32 = if cfg!(test) { 2 } else { 12 };

/// The number of the next page of stored state; no two pages of this process have the same.
static NEXT_PAGE: AtomicU64 = AtomicU64::new(1);

/// A number that no other page of this process has.
pub(crate) fn next_page_number() -> u64 {
    NEXT_PAGE.fetch_add(1, Relaxed)
}

/// What a chunk holds, as this process alone reads it again.
pub(crate) trait Chunk: Clone + Default {
    fn put(&self, out: &mut Encoder);
    fn get(state: &mut Decoder) -> Result<Self>;
    /// The bytes that it takes in memory, with what it points at.
    fn size(&self) -> usize;
}

/// Chunks that are copied when they change, as long as a snapshot shares them.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<C> {
    slots: Vec<Slot<C>>,
    bits: u32,
    aside: Option<Aside>,
    looked: LookedAt<C>,
}

#[derive(Clone, Debug)]
enum Slot<C> {
    /// Has changed since the last snapshot.
    Own(C),
    /// Has not, and has the number that it got then. It may be on disk, too.
    Shared(u64, Arc<C>, Option<Arc<AsideBytes>>),
    /// As `Shared`, and is on disk alone.
    Aside(u64, Arc<AsideBytes>),
}

/// What is known of chunks where memory has a bound.
#[derive(Clone, Debug)]
struct Aside {
    file: AsideFile,
    // The bytes of all chunks on disk alone.
    spilled: usize,
    now: u32,
    // By chunk: when it was used last, as far as anybody looked.
    used: Vec<u32>,
}

/// A chunk of a snapshot.
pub(crate) enum Look<'a, C> {
    Here(&'a C),
    Read(Arc<C>),
}

impl<C> Deref for Look<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        match self {
            Look::Here(chunk) => chunk,
            Look::Read(chunk) => chunk,
        }
    }
}

impl<C> Default for Chunks<C> {
    fn default() -> Self {
        Chunks { slots: Vec::new(), bits: CHUNK_BITS, aside: None, looked: LookedAt::default() }
    }
}

impl<C: Chunk> Chunks<C> {
    /// Shares a memory with other state. Only the first call has an effect, and only before the first chunk.
    pub(crate) fn spill_to(&mut self, memory: &Arc<StateMemory>) {
        if self.aside.is_none() && self.slots.is_empty() {
            self.bits = memory.page_rows().ilog2();
            self.aside = Some(Aside { file: AsideFile::new(memory), spilled: 0, now: 1, used: Vec::new() });
        }
    }

    /// The chunk of an id, and its row there.
    #[inline]
    pub(crate) fn place(&self, id: u32) -> (usize, usize) {
        (id as usize >> self.bits, id as usize & (self.rows() - 1))
    }

    /// How many rows a chunk has.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        1 << self.bits
    }

    /// A chunk that is in memory; `None` where there is none.
    #[inline]
    pub(crate) fn get(&self, chunk: usize) -> Option<&C> {
        Some(match self.slots.get(chunk)? {
            Slot::Own(own) => own,
            Slot::Shared(_, shared, _) => shared,
            Slot::Aside(..) => is_aside(),
        })
    }

    /// A chunk that is there and that no snapshot shares.
    #[inline]
    pub(crate) fn own(&self, chunk: usize) -> Option<&C> {
        match self.slots.get(chunk) {
            Some(Slot::Own(own)) => Some(own),
            _ => None,
        }
    }

    /// A chunk that is to change, and is in memory; those up to it are made.
    #[inline]
    pub(crate) fn get_mut(&mut self, chunk: usize) -> &mut C {
        if self.slots.len() <= chunk {
            self.slots.resize_with(chunk + 1, || Slot::Own(C::default()));
        }
        let slot = &mut self.slots[chunk];
        if let Slot::Shared(..) = slot {
            take_back(slot);
        }
        match slot {
            Slot::Own(own) => own,
            Slot::Shared(..) => unreachable!("a chunk was just taken back"),
            Slot::Aside(..) => is_aside(),
        }
    }

    /// A chunk as it is, wherever it is; for snapshots.
    pub(crate) fn look(&self, chunk: usize) -> Result<Option<Look<'_, C>>> {
        match self.slots.get(chunk) {
            None => Ok(None),
            Some(Slot::Own(own)) => Ok(Some(Look::Here(own))),
            Some(Slot::Shared(_, shared, _)) => Ok(Some(Look::Here(shared))),
            Some(Slot::Aside(number, bytes)) => Ok(Some(Look::Read(self.looked.read(*number, bytes)?))),
        }
    }

    /// Whether it is worth saying which chunks are used.
    pub(crate) fn is_watched(&self) -> bool {
        self.aside.as_ref().is_some_and(|aside| aside.spilled > 0 || aside.file.memory().is_short())
    }

    /// Whether a chunk is on disk alone.
    #[inline]
    pub(crate) fn is_aside(&self, chunk: usize) -> bool {
        matches!(self.slots.get(chunk), Some(Slot::Aside(..)))
    }

    /// A chunk is used.
    #[inline]
    pub(crate) fn touch(&mut self, chunk: usize) {
        if let Some(aside) = &mut self.aside {
            if aside.used.len() <= chunk {
                aside.used.resize(chunk + 1, 0);
            }
            aside.used[chunk] = aside.now;
        }
    }

    /// Brings a chunk back to memory; gives it if it was not there.
    pub(crate) fn load(&mut self, chunk: usize) -> Result<Option<&C>> {
        self.touch(chunk);
        let Some(slot) = self.slots.get_mut(chunk) else { return Ok(None) };
        let Slot::Aside(number, bytes) = slot else { return Ok(None) };
        let (number, bytes) = (*number, bytes.clone());
        let read = read(&bytes)?;
        if let Some(aside) = &mut self.aside {
            aside.spilled -= bytes.length();
        }
        *slot = Slot::Shared(number, Arc::new(read), Some(bytes));
        Ok(self.get(chunk))
    }

    /// Empties a chunk, wherever it is; gives what was in memory.
    pub(crate) fn clear(&mut self, chunk: usize) -> Option<Arc<C>> {
        let slot = self.slots.get_mut(chunk)?;
        match std::mem::replace(slot, Slot::Own(C::default())) {
            Slot::Own(own) => Some(Arc::new(own)),
            Slot::Shared(_, shared, _) => Some(shared),
            Slot::Aside(_, bytes) => {
                if let Some(aside) = &mut self.aside {
                    aside.spilled -= bytes.length();
                }
                None
            }
        }
    }

    /// A chunk will be loaded soon.
    pub(crate) fn fetch(&self, chunk: usize) {
        if let Some(Slot::Aside(_, bytes)) = self.slots.get(chunk) {
            bytes.fetch();
        }
    }

    /// Puts a chunk aside; gives the one that has left memory. It is written if it changed since it was.
    pub(crate) fn put_aside(&mut self, chunk: usize) -> Result<Option<Arc<C>>> {
        let (Some(slot), Some(aside)) = (self.slots.get_mut(chunk), &mut self.aside) else { return Ok(None) };
        share(slot);
        let Slot::Shared(number, shared, bytes) = slot else { return Ok(None) };
        let bytes = match bytes {
            Some(bytes) => bytes.clone(),
            None => {
                let mut out = Encoder::default();
                shared.put(&mut out);
                match aside.file.write(out.into_bytes())? {
                    Some(bytes) => Arc::new(bytes),
                    None => return Ok(None),
                }
            }
        };
        let gone = std::mem::take(shared);
        aside.spilled += bytes.length();
        *slot = Slot::Aside(*number, bytes);
        Ok(Some(gone))
    }

    /// The chunks that are in memory.
    pub(crate) fn residents(&self, tell: &mut dyn FnMut(Resident)) {
        let Some(aside) = &self.aside else { return };
        for piece in 0..self.slots.len() {
            let bytes = if self.is_aside(piece) { 0 } else { self.get(piece).map_or(0, C::size) };
            if bytes > 0 {
                let age = aside.now - aside.used.get(piece).copied().unwrap_or(0);
                tell(Resident { piece, age, bytes });
            }
        }
    }

    /// All chunks are older from now on.
    pub(crate) fn age(&mut self) {
        if let Some(aside) = &mut self.aside {
            aside.now = aside.now.saturating_add(1);
        }
    }

    /// Gives each chunk that has changed a new number; clones share all chunks from then on, until they change.
    pub(crate) fn share(&mut self) {
        self.slots.iter_mut().for_each(share);
    }

    /// The numbers of the chunks that are shared, with their places.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (usize, u64)> {
        self.slots.iter().enumerate().filter_map(|(chunk, slot)| match slot {
            Slot::Own(_) => None,
            Slot::Shared(number, ..) | Slot::Aside(number, _) => Some((chunk, *number)),
        })
    }

    /// The bytes of the list itself.
    pub(crate) fn list_size(&self) -> usize {
        let used = self.aside.as_ref().map_or(0, |aside| aside.used.capacity() * 4);
        self.slots.capacity() * size_of::<Slot<C>>() + used
    }

    /// The bytes on disk alone.
    pub(crate) fn spilled(&self) -> usize {
        self.aside.as_ref().map_or(0, |aside| aside.spilled)
    }
}

/// Whoever uses a chunk loads it first: then nothing here can fail, and each chunk is read once for a whole batch.
#[cold]
fn is_aside() -> ! {
    unreachable!("a chunk of state is used that was not brought back to memory")
}

fn read<C: Chunk>(bytes: &AsideBytes) -> Result<C> {
    let bytes = bytes.read()?;
    let mut state = Decoder::new(&bytes);
    let chunk = C::get(&mut state)?;
    match state.is_empty() {
        true => Ok(chunk),
        false => Err(Error::internal("a chunk of state has come back with more than it had")),
    }
}

fn share<C: Default>(slot: &mut Slot<C>) {
    if let Slot::Own(own) = slot {
        *slot = Slot::Shared(next_page_number(), Arc::new(std::mem::take(own)), None);
    }
}

/// Copies a chunk if a snapshot still has it.
#[cold]
fn take_back<C: Clone + Default>(slot: &mut Slot<C>) {
    if let Slot::Shared(_, shared, _) = slot {
        let own = Arc::try_unwrap(std::mem::take(shared)).unwrap_or_else(|shared| C::clone(&shared));
        *slot = Slot::Own(own);
    }
}

/// How many chunks a snapshot keeps in memory of those that it has read: rows of one time have keys of few chunks.
const LOOKED_AT_MAX: usize = 16;

/// The chunks that a snapshot has read last, by number.
struct LookedAt<C>(Mutex<VecDeque<(u64, Arc<C>)>>);

impl<C: Chunk> LookedAt<C> {
    fn read(&self, number: u64, bytes: &AsideBytes) -> Result<Arc<C>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, chunk)) = kept.iter().find(|(other, _)| *other == number) {
            return Ok(chunk.clone());
        }
        let chunk = Arc::new(read::<C>(bytes)?);
        if kept.len() == LOOKED_AT_MAX {
            kept.pop_front();
        }
        kept.push_back((number, chunk.clone()));
        Ok(chunk)
    }
}

impl<C> Default for LookedAt<C> {
    fn default() -> Self {
        LookedAt(Mutex::default())
    }
}

/// A snapshot begins with none.
impl<C> Clone for LookedAt<C> {
    fn clone(&self) -> Self {
        LookedAt::default()
    }
}

impl<C> fmt::Debug for LookedAt<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookedAt").finish_non_exhaustive()
    }
}
