//! Byte strings by dense id, in one allocation that a clone copies at once.

/// Byte strings by id. Ids of strings that were removed are free to be set again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arena {
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

const COMPACT_AT_LEAST: usize = 64 * 1024;

impl Arena {
    pub(crate) fn get(&self, id: u32) -> &[u8] {
        let span = self.spans[id as usize];
        &self.bytes[span.start as usize..][..span.length as usize]
    }

    /// Sets the string of an id that has none.
    pub(crate) fn set(&mut self, id: u32, value: &[u8]) {
        let id = id as usize;
        if id >= self.spans.len() {
            self.spans.resize(id + 1, Span::default());
        }
        self.spans[id] = Span { start: self.bytes.len() as u64, length: value.len() as u32 };
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn remove(&mut self, id: u32) {
        let span = std::mem::take(&mut self.spans[id as usize]);
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

    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_stay_through_a_compaction_and_memory_is_given_back() {
        let mut arena = Arena::default();
        for id in 0..10_000u32 {
            arena.set(id, format!("string number {id}").as_bytes());
        }
        let full = arena.bytes.capacity();
        for id in (0..10_000).filter(|id| id % 10 != 0) {
            arena.remove(id);
        }
        assert!(arena.bytes.capacity() < full / 2);
        for id in (0..10_000u32).step_by(10) {
            assert_eq!(arena.get(id), format!("string number {id}").as_bytes());
        }
    }
}
