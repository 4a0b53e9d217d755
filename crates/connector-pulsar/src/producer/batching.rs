//! Messages to the entry that holds them.

use super::outgoing::OutgoingMessage;
use crate::error::Result;
use crate::keys::Key;
use crate::wire::protocol::{CompressionType, KeyValue, MessageMetadata, SingleMessageMetadata};
use crate::wire::{batch, compression, frame};
use bytes::{Bytes, BytesMut};

fn properties(message: &OutgoingMessage) -> Vec<KeyValue> {
    let pairs = message.properties.iter();
    pairs.map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}

fn key(message: &OutgoingMessage) -> (Option<String>, Option<bool>) {
    let is_base64 = matches!(message.key, Some(Key::Bytes(_)));
    (message.key.as_ref().map(Key::wire_text), is_base64.then_some(true))
}

/// The checksum, metadata and payload of an entry with these messages, of which there is at least one.
///
/// The broker compares the first and the greatest sequence of an entry with what it has, so both are said.
pub fn entry(producer: &str, messages: &[&OutgoingMessage], kind: CompressionType) -> Result<Bytes> {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(Bytes::new()) };
    let mut metadata = MessageMetadata {
        producer_name: producer.to_owned(),
        sequence_id: first.sequence,
        highest_sequence_id: Some(last.sequence),
        publish_time: first.publish_time_ms,
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
    if kind != CompressionType::None {
        metadata.compression = Some(kind as i32);
        metadata.uncompressed_size = u32::try_from(payload.len()).ok();
    }
    let payload = if kind == CompressionType::None { payload } else { compression::compress(kind, &payload)? };
    Ok(frame::encode_entry(&metadata, &payload))
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
