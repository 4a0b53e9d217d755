//! Tables in chunks that a snapshot shares: what is written after it is copied first, chunk by chunk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many rows a chunk of a table has; ids beyond it are in the next one.
pub(crate) const CHUNK_ROWS: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = if cfg!(test) { 2 } else { 12 };

/// The number of the next page of stored state; no two pages of this process have the same.
static NEXT_PAGE: AtomicU64 = AtomicU64::new(1);

/// A number that no other page of this process has.
pub(crate) fn next_page_number() -> u64 {
    NEXT_PAGE.fetch_add(1, Relaxed)
}

/// The chunk of an id, and its row there.
#[inline]
pub(crate) fn place(id: u32) -> (usize, usize) {
    (id as usize >> CHUNK_BITS, id as usize & (CHUNK_ROWS - 1))
}

/// Chunks that are copied when they change, as long as a snapshot shares them.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<C> {
    slots: Vec<Slot<C>>,
}

#[derive(Clone, Debug)]
enum Slot<C> {
    /// Has changed since the last snapshot.
    Own(C),
    /// Has not, and has the number that it got then.
    Shared(u64, Arc<C>),
}

impl<C> Default for Chunks<C> {
    fn default() -> Self {
        Chunks { slots: Vec::new() }
    }
}

impl<C: Clone + Default> Chunks<C> {
    #[inline]
    pub(crate) fn get(&self, chunk: usize) -> Option<&C> {
        Some(match self.slots.get(chunk)? {
            Slot::Own(own) => own,
            Slot::Shared(_, shared) => shared,
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

    /// A chunk that is to change; those up to it are made.
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
        }
    }

    /// Gives each chunk that has changed a new number; clones share all chunks from then on, until they change.
    pub(crate) fn share(&mut self) {
        for slot in &mut self.slots {
            if let Slot::Own(own) = slot {
                *slot = Slot::Shared(next_page_number(), Arc::new(std::mem::take(own)));
            }
        }
    }

    /// The chunks that are shared, each with its number.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &C)> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Own(_) => None,
            Slot::Shared(number, chunk) => Some((*number, chunk.as_ref())),
        })
    }

    /// The bytes of the list itself.
    pub(crate) fn list_size(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<C>>()
    }
}

/// Copies a chunk if a snapshot still has it.
#[cold]
fn take_back<C: Clone + Default>(slot: &mut Slot<C>) {
    if let Slot::Shared(_, shared) = slot {
        let own = Arc::try_unwrap(std::mem::take(shared)).unwrap_or_else(|shared| C::clone(&shared));
        *slot = Slot::Own(own);
    }
}
