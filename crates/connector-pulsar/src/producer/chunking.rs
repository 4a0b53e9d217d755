//! A message that is larger than an entry may be, cut into several.
//!
//! Every chunk is sent under the sequence of its message, and the broker asks for duplicates with the last one alone. When
//! it loads a topic, though, it takes the sequence in the metadata of whatever entry comes last for one that is stored. So
//! the chunks before the last have the sequence before their message's there: a message of which only some chunks are
//! stored is sent again, and not taken for a duplicate.
//!
//! ```text
//!                command           metadata
//! chunk 0 of 3   sequence 7        sequence 6, chunk 0
//! chunk 1 of 3   sequence 7        sequence 6, chunk 1
//! chunk 2 of 3   sequence 7        sequence 7, chunk 2      stored: message 7 is stored
//! ```
//!
//! What is sent again begins with the first chunk, under another id, so that no reader takes chunks of two attempts for
//! parts of one message.

use super::batching::Entry;
use crate::wire::frame;
use crate::wire::protocol::MessageMetadata;
use bytes::Bytes;

/// One attempt to send a message in chunks.
#[derive(Debug)]
pub struct Chunking {
    metadata: MessageMetadata,
    payload: Bytes,
    sequence: u64,
    /// What a chunk holds of the payload.
    room: usize,
    chunks: usize,
    next: usize,
}

impl Chunking {
    /// Cuts an entry that is one message into entries of at most so many bytes. None where its metadata leaves no room.
    pub fn new(entry: Entry, uuid: String, entry_bytes_max: usize) -> Option<Chunking> {
        let Entry { mut metadata, payload } = entry;
        let sequence = metadata.sequence_id;
        metadata.uuid = Some(uuid);
        metadata.total_chunk_msg_size = i32::try_from(payload.len()).ok();
        let largest = MessageMetadata {
            sequence_id: u64::MAX,
            highest_sequence_id: Some(u64::MAX),
            num_chunks_from_msg: Some(i32::MAX),
            chunk_id: Some(i32::MAX),
            ..metadata.clone()
        };
        let room = entry_bytes_max.checked_sub(frame::entry_bytes(&largest, 0)).filter(|room| *room > 0)?;
        let chunks = payload.len().div_ceil(room).max(1);
        metadata.num_chunks_from_msg = i32::try_from(chunks).ok();
        Some(Chunking { metadata, payload, sequence, room, chunks, next: 0 })
    }

    /// Leaves out all chunks but the last: it alone is asked for when it is to be seen whether the message is stored.
    pub fn skip_to_last(&mut self) {
        self.next = self.chunks - 1;
    }

    /// Whether all chunks were given.
    pub fn is_done(&self) -> bool {
        self.next == self.chunks
    }

    /// The next chunk, as what follows its command; nothing after the last.
    pub fn next_entry(&mut self) -> Option<Bytes> {
        if self.is_done() {
            return None;
        }
        let is_last = self.next + 1 == self.chunks;
        // A broker reads these as signed numbers, so what comes before the first sequence is -1.
        let sequence = if is_last { self.sequence } else { self.sequence.wrapping_sub(1) };
        self.metadata.sequence_id = sequence;
        self.metadata.highest_sequence_id = Some(sequence);
        self.metadata.chunk_id = i32::try_from(self.next).ok();
        let begin = self.next * self.room;
        let end = (begin + self.room).min(self.payload.len());
        self.next += 1;
        Some(frame::encode_entry(&self.metadata, &self.payload[begin..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::decode_entry;
    use proptest::prelude::*;

    fn chunking(payload: &[u8], sequence: u64, entry_bytes_max: usize) -> Option<Chunking> {
        let metadata = MessageMetadata {
            producer_name: "p".into(),
            sequence_id: sequence,
            highest_sequence_id: Some(sequence),
            ..Default::default()
        };
        let entry = Entry { metadata, payload: Bytes::copy_from_slice(payload) };
        Chunking::new(entry, "p-1".into(), entry_bytes_max)
    }

    proptest! {
        #[test]
        fn chunks_are_entries_that_fit_and_make_up_the_message(
            payload in proptest::collection::vec(any::<u8>(), 1..3000),
            sequence: u64,
            most in 100usize..1000,
        ) {
            let mut chunking = chunking(&payload, sequence, most).unwrap();
            let (mut whole, mut number) = (Vec::new(), 0);
            while let Some(entry) = chunking.next_entry() {
                prop_assert!(entry.len() <= most);
                let entry = decode_entry(entry).unwrap();
                whole.extend_from_slice(&entry.payload);
                let metadata = entry.metadata;
                prop_assert_eq!((metadata.chunk_id, metadata.uuid.as_deref()), (Some(number), Some("p-1")));
                prop_assert_eq!(metadata.total_chunk_msg_size, i32::try_from(payload.len()).ok());
                let is_last = metadata.num_chunks_from_msg == Some(number + 1);
                prop_assert_eq!(is_last, chunking.is_done());
                let known = if is_last { sequence } else { sequence.wrapping_sub(1) };
                prop_assert_eq!((metadata.sequence_id, metadata.highest_sequence_id), (known, Some(known)));
                number += 1;
            }
            prop_assert_eq!(&whole, &payload);
        }
    }

    #[test]
    fn metadata_that_fills_an_entry_leaves_no_room() {
        assert!(chunking(&[0; 100], 7, 40).is_none());
    }

    #[test]
    fn the_last_chunk_can_be_had_alone() {
        let mut chunking = chunking(&[1; 1000], 7, 200).unwrap();
        chunking.skip_to_last();
        let entry = decode_entry(chunking.next_entry().unwrap()).unwrap();
        assert_eq!(entry.metadata.chunk_id.map(|id| id + 1), entry.metadata.num_chunks_from_msg);
        assert_eq!(entry.metadata.sequence_id, 7);
        assert!(chunking.next_entry().is_none());
    }
}
