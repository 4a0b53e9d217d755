//! Messages that are larger than an entry: their chunks are put together again.
//!
//! Whether a message is given up is a rule of the partition's log alone, so that every run gives up the same.

use crate::message::IncompleteMessage;
use crate::position::EntryId;
use crate::wire::protocol::MessageMetadata;
use bytes::{Bytes, BytesMut};

/// How long, by the stamps of entries, a message may take to become whole.
const OPEN_MS_MAX: u64 = 10 * 60 * 1000;

#[derive(Debug)]
struct OpenMessage {
    producer_name: String,
    uuid: String,
    first: EntryId,
    stamp_ms: u64,
    next_chunk: i32,
    bytes: BytesMut,
}

/// The messages of which some chunks are there.
#[derive(Debug)]
pub struct Chunks {
    open: Vec<OpenMessage>,
    bytes_max: usize,
}

impl Chunks {
    /// Nothing is open; so many bytes may wait together.
    pub fn new(bytes_max: usize) -> Self {
        Chunks { open: Vec::new(), bytes_max }
    }

    /// The first chunk of the oldest open message.
    pub fn oldest(&self) -> Option<EntryId> {
        self.open.iter().map(|message| message.first).min()
    }

    /// The bytes that wait.
    pub fn bytes(&self) -> usize {
        self.open.iter().map(|message| message.bytes.len()).sum()
    }

    fn give_up(&mut self, at: usize, reason: &'static str, given_up: &mut Vec<IncompleteMessage>) {
        let OpenMessage { producer_name, uuid, first, .. } = self.open.remove(at);
        given_up.push(IncompleteMessage { producer_name, uuid, first, reason });
    }

    /// Gives up what has been open for too long when an entry has this stamp.
    pub fn pass(&mut self, stamp_ms: u64, given_up: &mut Vec<IncompleteMessage>) {
        while let Some(at) = self.open.iter().position(|open| stamp_ms > open.stamp_ms.saturating_add(OPEN_MS_MAX)) {
            self.give_up(at, "no chunk came for ten minutes", given_up);
        }
    }

    /// Takes a chunk; gives the whole payload with the last one.
    pub fn take(
        &mut self,
        id: EntryId,
        metadata: &MessageMetadata,
        payload: &Bytes,
        stamp_ms: u64,
        given_up: &mut Vec<IncompleteMessage>,
    ) -> Option<Bytes> {
        let uuid = metadata.uuid.clone().unwrap_or_default();
        let producer_name = metadata.producer_name.clone();
        let chunk = metadata.chunk_id.unwrap_or_default();
        let last = metadata.num_chunks_from_msg.unwrap_or_default() - 1;
        let is_same = |open: &OpenMessage| open.producer_name == producer_name && open.uuid == uuid;
        let at = match self.open.iter().position(is_same) {
            Some(at) => at,
            None if chunk == 0 => {
                while let Some(at) = self.open.iter().position(|open| open.producer_name == producer_name) {
                    self.give_up(at, "its producer began another message", given_up);
                }
                let bytes = BytesMut::new();
                self.open.push(OpenMessage { producer_name, uuid, first: id, stamp_ms, next_chunk: 0, bytes });
                self.open.len() - 1
            }
            None => {
                if chunk == last {
                    let reason = "its first chunk is not there";
                    given_up.push(IncompleteMessage { producer_name, uuid, first: id, reason });
                }
                return None;
            }
        };
        self.append(at, chunk, last, payload, given_up)
    }

    fn append(
        &mut self,
        at: usize,
        chunk: i32,
        last: i32,
        payload: &Bytes,
        given_up: &mut Vec<IncompleteMessage>,
    ) -> Option<Bytes> {
        let open = &mut self.open[at];
        // A producer that came back sends chunks again.
        if chunk < open.next_chunk {
            return None;
        }
        if chunk > open.next_chunk {
            self.give_up(at, "a chunk in its middle is not there", given_up);
            return None;
        }
        open.bytes.extend_from_slice(payload);
        open.next_chunk += 1;
        if chunk == last {
            return Some(self.open.remove(at).bytes.freeze());
        }
        if self.bytes() > self.bytes_max {
            let oldest = (0..self.open.len()).min_by_key(|at| self.open[*at].first)?;
            self.give_up(oldest, "messages in chunks exceed the greatest size", given_up);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of chunks that are written as "producer uuid chunk/chunks", one an entry and a minute.
    fn outcome(chunks: &[&str]) -> Vec<String> {
        let mut state = Chunks::new(20);
        let mut outcome = Vec::new();
        for (at, text) in chunks.iter().enumerate() {
            let parts: Vec<&str> = text.split([' ', '/']).collect();
            let number = |part: &str| part.parse::<i32>().ok();
            let metadata = MessageMetadata {
                producer_name: parts[0].into(),
                uuid: Some(parts[1].into()),
                chunk_id: number(parts[2]),
                num_chunks_from_msg: number(parts[3]),
                ..Default::default()
            };
            let (id, stamp) = (EntryId { ledger: 0, entry: at as u64 }, 60_000 * at as u64);
            let mut given_up = Vec::new();
            state.pass(stamp, &mut given_up);
            let payload = Bytes::from(format!("{}{} ", parts[1], parts[2]));
            if let Some(whole) = state.take(id, &metadata, &payload, stamp, &mut given_up) {
                outcome.push(String::from_utf8(whole.to_vec()).unwrap());
            }
            outcome.extend(given_up.iter().map(|one| format!("{} from {}: {}", one.uuid, one.first, one.reason)));
        }
        outcome.push(state.oldest().map_or("none open".to_owned(), |oldest| format!("open from {oldest}")));
        outcome
    }

    #[test]
    fn chunks_become_messages_or_are_given_up() {
        assert_eq!(outcome(&["p a 0/2", "q b 0/2", "p a 1/2"]), ["a0 a1 ", "open from 0:1"]);
        assert_eq!(outcome(&["p a 0/2", "p a 0/2", "p a 1/2"]), ["a0 a1 ", "none open"]);
        let other = "a from 0:0: its producer began another message";
        assert_eq!(outcome(&["p a 0/2", "p b 0/1"]), ["b0 ", other, "none open"]);
        assert_eq!(outcome(&["p a 1/2"]), ["a from 0:0: its first chunk is not there", "none open"]);
        assert_eq!(outcome(&["p a 0/3", "p a 2/3"])[0], "a from 0:0: a chunk in its middle is not there");
        let mut late = vec!["p a 0/2"];
        late.extend(["q b 0/1"; 11]);
        assert!(outcome(&late).contains(&"a from 0:0: no chunk came for ten minutes".to_owned()));
        let many: Vec<String> = (0..8).map(|at| format!("{at} m{at} 0/2")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(outcome(&many)[0], "m0 from 0:0: messages in chunks exceed the greatest size");
    }
}
