//! Byte strings by dense id, in chunks that a clone shares and that go to disk where memory is short.

use crate::chunks::{Chunk, Chunks};
use crate::{Decoder, Encoder, Resident};
use dataflow::{Error, Result, StateMemory};
use std::sync::Arc;

/// Byte strings by id. Ids of strings that were removed are free to be set again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena {
    chunks: Chunks<Strings>,
    // The bytes that all chunks in memory take.
    bytes: usize,
}

/// The strings of a chunk of ids.
#[derive(Clone, Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    // Bytes that belong to no id any more.
    dead: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u64,
    length: u32,
}

const COMPACT_AT_LEAST: usize = 4 * 1024;

impl Arena {
    /// Shares a memory with other state.
    pub(crate) fn spill_to(&mut self, memory: &Arc<StateMemory>) {
        self.chunks.spill_to(memory);
    }

    /// Whether the string of an id is on disk alone.
    #[inline]
    pub(crate) fn is_aside(&self, id: u32) -> bool {
        self.chunks.is_aside(self.chunks.place(id).0)
    }

    /// Whether it is worth saying which strings are used.
    pub(crate) fn is_watched(&self) -> bool {
        self.chunks.is_watched()
    }

    /// A string is used.
    #[inline]
    pub(crate) fn touch(&mut self, id: u32) {
        let (chunk, _) = self.chunks.place(id);
        self.chunks.touch(chunk);
    }

    /// How many ids a chunk has.
    pub(crate) fn chunk_rows(&self) -> usize {
        self.chunks.rows()
    }

    /// Brings the string of an id back to memory.
    pub(crate) fn load(&mut self, id: u32) -> Result<()> {
        let (chunk, _) = self.chunks.place(id);
        if let Some(strings) = self.chunks.load(chunk)? {
            self.bytes += strings.size();
        }
        Ok(())
    }

    pub(crate) fn put_aside(&mut self, chunk: usize) -> Result<()> {
        if let Some(strings) = self.chunks.put_aside(chunk)? {
            self.bytes -= strings.size();
        }
        Ok(())
    }

    pub(crate) fn residents(&self, tell: &mut dyn FnMut(Resident)) {
        self.chunks.residents(tell);
    }

    pub(crate) fn age(&mut self) {
        self.chunks.age();
    }

    /// The bytes on disk alone.
    pub(crate) fn spilled(&self) -> usize {
        self.chunks.spilled()
    }

    /// The string of an id of a snapshot, wherever it is.
    pub(crate) fn look(&self, id: u32) -> Result<Vec<u8>> {
        let (chunk, at) = self.chunks.place(id);
        Ok(self.chunks.look(chunk)?.map_or_else(Vec::new, |strings| strings.get(at).to_vec()))
    }

    /// The string of an id, which is in memory; empty where there is none.
    #[inline]
    pub(crate) fn get(&self, id: u32) -> &[u8] {
        let (chunk, at) = self.chunks.place(id);
        self.chunks.get(chunk).map_or(&[], |strings| strings.get(at))
    }

    /// Sets the string of an id that has none.
    pub(crate) fn set(&mut self, id: u32, value: &[u8]) {
        self.change(id, |strings, at| strings.set(at, value));
    }

    pub(crate) fn remove(&mut self, id: u32) {
        self.change(id, Strings::remove);
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Strings, usize)) {
        let (chunk, at) = self.chunks.place(id);
        let before = self.chunks.get(chunk).map_or(0, Strings::size);
        let strings = self.chunks.get_mut(chunk);
        change(strings, at);
        self.bytes = self.bytes + strings.size() - before;
    }

    /// Makes a clone cheap, until something changes.
    pub(crate) fn share(&mut self) {
        self.chunks.share();
    }

    pub(crate) fn size(&self) -> usize {
        self.bytes + self.chunks.list_size()
    }
}

impl Chunk for Strings {
    fn put(&self, out: &mut Encoder) {
        out.u64(self.dead as u64);
        out.u32(self.spans.len() as u32);
        for span in &self.spans {
            out.u64(span.start);
            out.u32(span.length);
        }
        out.sized(&self.bytes);
    }

    fn get(state: &mut Decoder) -> Result<Strings> {
        let dead = state.u64()? as usize;
        let spans = (0..state.u32()?).map(|_| Ok(Span { start: state.u64()?, length: state.u32()? }));
        let strings = Strings { spans: spans.collect::<Result<_>>()?, bytes: state.sized()?.to_vec(), dead };
        let fits = |span: &Span| span.start + u64::from(span.length) <= strings.bytes.len() as u64;
        match strings.spans.iter().all(fits) {
            true => Ok(strings),
            false => Err(Error::internal("strings of state have come back without their bytes")),
        }
    }

    fn size(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

impl Strings {
    #[inline]
    fn get(&self, at: usize) -> &[u8] {
        let span = self.spans.get(at).copied().unwrap_or_default();
        &self.bytes[span.start as usize..][..span.length as usize]
    }

    fn set(&mut self, at: usize, value: &[u8]) {
        if at >= self.spans.len() {
            self.spans.resize(at + 1, Span::default());
        }
        self.spans[at] = Span { start: self.bytes.len() as u64, length: value.len() as u32 };
        self.bytes.extend_from_slice(value);
    }

    fn remove(&mut self, at: usize) {
        let span = std::mem::take(&mut self.spans[at]);
        self.dead += span.length as usize;
        if self.dead >= COMPACT_AT_LEAST && self.dead * 2 > self.bytes.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.dead);
        for span in &mut self.spans {
            let start = bytes.len() as u64;
            bytes.extend_from_slice(&self.bytes[span.start as usize..][..span.length as usize]);
            span.start = start;
        }
        self.bytes = bytes;
        self.dead = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stay_through_a_compaction_and_memory_is_given_back() {
        let mut arena = Arena::default();
        // Long ones, as chunks of tests have few.
        let text = |id: u32| format!("string number {id}").repeat(200);
        for id in 0..1_000 {
            arena.set(id, text(id).as_bytes());
        }
        arena.share();
        let (before, full) = (arena.clone(), arena.size());
        for id in (0..1_000).filter(|id| id % 10 != 0) {
            arena.remove(id);
        }
        assert!(arena.size() < full / 2);
        for id in (0..1_000).step_by(10) {
            assert_eq!(arena.get(id), text(id).as_bytes());
        }
        for id in 0..1_000 {
            assert_eq!(before.get(id), text(id).as_bytes());
        }
    }
}
