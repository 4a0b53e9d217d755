//! Messages to the entry that holds them.

use super::outgoing::OutgoingMessage;
use crate::keys::Key;
use crate::wire::protocol::{CompressionType, KeyValue, MessageMetadata, SingleMessageMetadata};
use crate::wire::{batch, compression, frame};
use bytes::{Bytes, BytesMut};

/// An entry before it is written out.
#[derive(Debug)]
pub struct Entry {
    pub metadata: MessageMetadata,
    /// Compressed, where the metadata says so.
    pub payload: Bytes,
}

impl Entry {
    /// What the broker counts of it.
    pub fn bytes(&self) -> usize {
        frame::entry_bytes(&self.metadata, self.payload.len())
    }

    /// Its checksum, metadata and payload.
    pub fn encode(&self) -> Bytes {
        frame::encode_entry(&self.metadata, &self.payload)
    }
}

fn properties(message: &OutgoingMessage) -> Vec<KeyValue> {
    let pairs = message.properties.iter();
    pairs.map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}

fn key(message: &OutgoingMessage) -> (Option<String>, Option<bool>) {
    let is_base64 = matches!(message.key, Some(Key::Bytes(_)));
    (message.key.as_ref().map(Key::wire_text), is_base64.then_some(true))
}

/// The entry with these messages; none without any. `schema_version` is that of the schema that they are written with.
///
/// The broker compares the first and the greatest sequence of an entry with what it has, so both are said. A payload that
/// compression does not make smaller stays as it is.
pub fn entry(
    producer: &str,
    messages: &[&OutgoingMessage],
    kind: CompressionType,
    schema_version: Option<Bytes>,
) -> Option<Entry> {
    let (first, last) = (messages.first()?, messages.last()?);
    let mut metadata = MessageMetadata {
        producer_name: producer.to_owned(),
        sequence_id: first.sequence,
        highest_sequence_id: Some(last.sequence),
        publish_time: first.publish_time_ms,
        schema_version,
        ..Default::default()
    };
    let payload = if messages.len() == 1 {
        let (partition_key, partition_key_b64_encoded) = key(first);
        metadata.properties = properties(first);
        metadata.partition_key = partition_key;
        metadata.partition_key_b64_encoded = partition_key_b64_encoded;
        metadata.event_time = first.event_time_ms;
        metadata.null_value = first.payload.is_none().then_some(true);
        first.payload.clone().unwrap_or_default()
    } else {
        metadata.num_messages_in_batch = i32::try_from(messages.len()).ok();
        let mut batch = BytesMut::new();
        for message in messages {
            append(message, &mut batch);
        }
        batch.freeze()
    };
    metadata.uncompressed_size = u32::try_from(payload.len()).ok();
    let compressed = match kind {
        CompressionType::None => None,
        kind => compression::compress(kind, &payload).ok().filter(|compressed| compressed.len() < payload.len()),
    };
    if compressed.is_some() {
        metadata.compression = Some(kind as i32);
    }
    Some(Entry { metadata, payload: compressed.unwrap_or(payload) })
}

fn append(message: &OutgoingMessage, batch: &mut BytesMut) {
    let payload = message.payload.clone().unwrap_or_default();
    let (partition_key, partition_key_b64_encoded) = key(message);
    let single = SingleMessageMetadata {
        properties: properties(message),
        partition_key,
        partition_key_b64_encoded,
        payload_size: i32::try_from(payload.len()).unwrap_or(i32::MAX),
        event_time: message.event_time_ms,
        sequence_id: Some(message.sequence),
        null_value: message.payload.is_none().then_some(true),
        ..Default::default()
    };
    batch::append(&single, &payload, batch);
}
