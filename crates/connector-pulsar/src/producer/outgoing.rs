//! A message that is to be written.

use crate::keys::Key;
use bytes::Bytes;

/// A message, under a sequence that its producer has not used before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Rises from message to message; with the producer's name it says which message this is.
    pub sequence: u64,
    /// None is a message without a value.
    pub payload: Option<Bytes>,
    pub key: Option<Key>,
    pub properties: Vec<(String, String)>,
    pub event_time_ms: Option<u64>,
    /// By the clock of whoever publishes. It is part of the message, so that sending again sends the same.
    pub publish_time_ms: u64,
}

impl OutgoingMessage {
    /// At least what the message takes in a frame.
    pub fn bytes(&self) -> usize {
        self.payload_bytes() + self.metadata_bytes()
    }

    /// What its value takes.
    pub fn payload_bytes(&self) -> usize {
        self.payload.as_ref().map_or(0, Bytes::len)
    }

    /// What its key and its properties take, of which each chunk of a message has its own.
    pub fn metadata_bytes(&self) -> usize {
        let properties = self.properties.iter().map(|(name, value)| name.len() + value.len() + 12).sum::<usize>();
        let key = self.key.as_ref().map_or(0, |key| key.wire_text().len());
        key + properties + 64
    }
}
