//! Where messages lie in a partition, and where a reader goes on.

use crate::error::{Error, Result};
use crate::wire::protocol::{AckedEntry, MessageIdData};
use std::fmt;

/// Where an entry lies: its ledger, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    pub ledger: u64,
    pub entry: u64,
}

impl EntryId {
    /// The place in an answer of a broker, unless it stands for the place before all entries of a ledger or a topic.
    pub(crate) fn from_wire(id: &MessageIdData) -> Option<EntryId> {
        let is_place = i64::try_from(id.ledger_id).is_ok() && i64::try_from(id.entry_id).is_ok();
        is_place.then_some(EntryId { ledger: id.ledger_id, entry: id.entry_id })
    }

    pub(crate) fn to_wire(self) -> MessageIdData {
        MessageIdData { ledger_id: self.ledger, entry_id: self.entry, partition: None, batch_index: None }
    }

    /// The whole entry, acknowledged.
    pub(crate) fn acked(self) -> AckedEntry {
        AckedEntry { ledger_id: self.ledger, entry_id: self.entry, ..Default::default() }
    }

    /// The place to start at so that this entry comes first: with an index in a batch the broker includes the entry.
    pub(crate) fn to_wire_inclusive(self) -> MessageIdData {
        MessageIdData { batch_index: Some(0), ..self.to_wire() }
    }

    /// Whether an entry follows this one as far as its numbers tell: next in the ledger, or first of a later one.
    pub(crate) fn is_before(self, next: EntryId) -> bool {
        let in_ledger = next.ledger == self.ledger && next.entry == self.entry.saturating_add(1);
        in_ledger || (next.ledger > self.ledger && next.entry == 0)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ledger, self.entry)
    }
}

/// Where a message lies: its entry, and its index in the batch; 0 where there is no batch.
///
/// Of a message that was sent in chunks it is the place of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    pub entry: EntryId,
    pub index: u32,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.entry, self.index)
    }
}

/// Where a reader goes on: after a message, with the chunks of messages that are not yet whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The last message that was taken, or the last entry that gave none, such as a chunk.
    pub last: MessageId,
    /// The first chunk of the oldest message that is not whole at this place.
    pub oldest_chunk: Option<EntryId>,
}

const VERSION: u8 = 1;

impl Position {
    /// The position after a message, where nothing was sent in chunks.
    pub fn after(last: MessageId) -> Self {
        Position { last, oldest_chunk: None }
    }

    /// The oldest entry that a reader needs to go on from here.
    pub fn oldest_needed(&self) -> EntryId {
        self.oldest_chunk.map_or(self.last.entry, |chunk| chunk.min(self.last.entry))
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.last.entry.ledger.to_be_bytes());
        bytes.extend(self.last.entry.entry.to_be_bytes());
        bytes.extend(self.last.index.to_be_bytes());
        if let Some(chunk) = self.oldest_chunk {
            bytes.extend(chunk.ledger.to_be_bytes());
            bytes.extend(chunk.entry.to_be_bytes());
        }
        bytes
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let wrong = || Error::lost(format!("a stored position of {} bytes cannot be read", bytes.len()));
        let (version, rest) = bytes.split_first().ok_or_else(wrong)?;
        if *version != VERSION {
            return Err(Error::lost(format!("a stored position has version {version}, expected {VERSION}")));
        }
        let number = |at: usize| {
            let field = rest.get(at..at + 8).and_then(|field| field.try_into().ok()).map(u64::from_be_bytes);
            field.filter(|number| i64::try_from(*number).is_ok()).ok_or_else(wrong)
        };
        let index = rest.get(16..20).and_then(|field| field.try_into().ok()).map(u32::from_be_bytes);
        let last =
            MessageId { entry: EntryId { ledger: number(0)?, entry: number(8)? }, index: index.ok_or_else(wrong)? };
        match rest.len() {
            20 => Ok(Position { last, oldest_chunk: None }),
            36 => Ok(Position { last, oldest_chunk: Some(EntryId { ledger: number(20)?, entry: number(28)? }) }),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stored_position_comes_back(ledger in 0..i64::MAX as u64, entry in 0..9u64, index: u32, open: bool) {
            let last = MessageId { entry: EntryId { ledger, entry }, index };
            let oldest_chunk = open.then_some(EntryId { ledger: 0, entry: 3 });
            let position = Position { last, oldest_chunk };
            let bytes = position.to_bytes();
            prop_assert_eq!(Position::from_bytes(&bytes).unwrap(), position);
            for end in (0..bytes.len()).filter(|end| *end != 21) {
                prop_assert!(Position::from_bytes(&bytes[..end]).is_err());
            }
        }
    }
}
