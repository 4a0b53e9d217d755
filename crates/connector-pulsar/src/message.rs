//! A message as it was read.

use crate::keys::Key;
use crate::position::{EntryId, MessageId, Position};
use crate::wire::protocol::KeyValue;
use bytes::Bytes;
use std::sync::Arc;

/// What a message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Bytes(Bytes),
    /// The producer sent a message without a value.
    Null,
    /// The bytes are there, but are not what their metadata says.
    Unreadable {
        reason: String,
        bytes: Bytes,
    },
}

impl Payload {
    /// The bytes, whatever they are.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Payload::Bytes(bytes) | Payload::Unreadable { bytes, .. } => bytes,
            Payload::Null => &[],
        }
    }
}

/// What producers and brokers say of an entry, and so of all its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryFacts {
    pub producer_name: String,
    /// By the producer's clock.
    pub publish_time_ms: u64,
    /// By the broker's clock, where the broker is set to stamp.
    pub broker_time_ms: Option<u64>,
    pub schema_version: Option<Bytes>,
    pub is_transactional: bool,
}

/// A message in chunks that never became whole, and was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompleteMessage {
    pub producer_name: String,
    pub uuid: String,
    /// The first of its chunks that was found.
    pub first: EntryId,
    pub reason: &'static str,
}

/// A message of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: MessageId,
    /// Where a reader goes on after this message.
    pub position: Position,
    /// Whether no other message was begun in chunks before it and is not whole than its position has.
    pub knows_chunks: bool,
    pub payload: Payload,
    pub key: Option<Key>,
    pub properties: Vec<(String, String)>,
    /// By the application, where it says one.
    pub event_time_ms: Option<u64>,
    pub sequence: u64,
    /// The number of messages before this one in the partition, where the broker is set to count.
    pub index: Option<u64>,
    pub entry: Arc<EntryFacts>,
    /// What was given up since the message before this one.
    pub given_up: Vec<IncompleteMessage>,
}

/// What a message takes in memory beside its parts.
pub const MESSAGE_BYTES_BESIDE: usize = 256;

impl Message {
    /// About what the message takes in memory.
    pub fn bytes(&self) -> usize {
        let key = match &self.key {
            Some(Key::Text(text)) => text.len(),
            Some(Key::Bytes(bytes)) => bytes.len(),
            None => 0,
        };
        let properties = self.properties.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>();
        MESSAGE_BYTES_BESIDE + self.payload.bytes().len() + key + properties
    }
}

/// Properties as pairs.
pub(crate) fn pairs(properties: Vec<KeyValue>) -> Vec<(String, String)> {
    properties.into_iter().map(|KeyValue { key, value }| (key, value)).collect()
}
