//! Opens an entry: decompresses it, and takes a batch apart.

use crate::error::{Error, Result};
use crate::keys::Key;
use crate::message::{EntryFacts, MESSAGE_BYTES_BESIDE, Message, Payload, pairs};
use crate::position::{EntryId, MessageId, Position};
use crate::wire::frame::WireEntry;
use crate::wire::protocol::{MessageMetadata, SingleMessageMetadata};
use crate::wire::{batch, compression};
use bytes::Bytes;
use std::sync::Arc;

/// How many messages an entry counts for, with permits and in the topic's index.
pub fn messages_of(metadata: &MessageMetadata) -> u32 {
    u32::try_from(metadata.num_messages_in_batch.unwrap_or(1)).unwrap_or(0).max(1)
}

/// Whether an entry is a chunk of a message.
pub fn is_chunk(metadata: &MessageMetadata) -> bool {
    metadata.num_chunks_from_msg.is_some_and(|chunks| chunks > 1)
}

/// Refuses what this client cannot read at all.
pub fn check_readable(metadata: &MessageMetadata) -> Result<()> {
    match metadata.encryption_keys.first() {
        Some(key) => Err(Error::invalid(format!(
            "its messages are encrypted with the key \"{}\", which is not supported; publish them in the clear",
            key.key
        ))),
        None => Ok(()),
    }
}

/// What is needed of an entry to open it.
pub struct Opening<'a> {
    pub id: EntryId,
    pub entry: &'a WireEntry,
    /// The payload, with all chunks of the message.
    pub payload: Bytes,
    /// How many bytes came in chunks, where they are too many, and the payload is their beginning.
    pub too_large: Option<usize>,
    pub oldest_chunk: Option<EntryId>,
    pub message_bytes_max: usize,
}

/// The messages of an entry. One that cannot be read comes whole, as one message.
pub fn open(opening: &Opening) -> Vec<Message> {
    let facts = facts_of(opening);
    let parts = match parts(opening) {
        Ok(parts) => parts,
        Err(error) => {
            let bytes = opening.payload.clone();
            return vec![unreadable(opening, Payload::Unreadable { reason: error.to_string(), bytes })];
        }
    };
    let mut messages = Vec::with_capacity(parts.len());
    for (at, (single, body)) in parts.into_iter().enumerate() {
        // A message that compaction took out has left its place in the batch.
        if single.compacted_out.unwrap_or_default() {
            continue;
        }
        let is_null = single.null_value.unwrap_or_default();
        let payload = if is_null { Payload::Null } else { Payload::Bytes(body) };
        messages.push(message(opening, &facts, u32::try_from(at).unwrap_or(u32::MAX), single, payload));
    }
    messages
}

/// An entry that cannot be read, as one message.
pub fn unreadable(opening: &Opening, payload: Payload) -> Message {
    message(opening, &facts_of(opening), 0, single_of(&opening.entry.metadata), payload)
}

fn facts_of(opening: &Opening) -> Arc<EntryFacts> {
    let metadata = &opening.entry.metadata;
    Arc::new(EntryFacts {
        producer_name: metadata.producer_name.clone(),
        publish_time_ms: metadata.publish_time,
        broker_time_ms: opening.entry.broker.and_then(|broker| broker.broker_timestamp),
        schema_version: metadata.schema_version.clone(),
        is_transactional: metadata.txnid_most_bits.is_some() || metadata.txnid_least_bits.is_some(),
    })
}

fn parts(opening: &Opening) -> Result<Vec<(SingleMessageMetadata, Bytes)>> {
    let metadata = &opening.entry.metadata;
    if let Some(bytes) = opening.too_large {
        return Err(Error::lost(format!(
            "it came in chunks of {bytes} bytes together, and a message may have {} and several at once twice that",
            opening.message_bytes_max
        )));
    }
    let kind = compression::by_number(metadata.compression)?;
    let declared = metadata.uncompressed_size.unwrap_or_default() as usize;
    let payload = compression::decompress(kind, opening.payload.clone(), declared, opening.message_bytes_max)?;
    // A batch of one is a batch still.
    match metadata.num_messages_in_batch {
        Some(count) => {
            let count = usize::try_from(count).unwrap_or_default();
            // What is empty takes memory too, and a few bytes unpack to very many messages.
            let most = opening.message_bytes_max / MESSAGE_BYTES_BESIDE;
            if count > most {
                return Err(Error::lost(format!(
                    "a batch of {count} messages, expected at most {most}: raise the greatest size of a message if it is \
                     wanted"
                )));
            }
            batch::split(payload, count)
        }
        None => Ok(vec![(single_of(metadata), payload)]),
    }
}

/// The metadata of a message that is no part of a batch.
fn single_of(metadata: &MessageMetadata) -> SingleMessageMetadata {
    SingleMessageMetadata {
        properties: metadata.properties.clone(),
        partition_key: metadata.partition_key.clone(),
        event_time: metadata.event_time,
        partition_key_b64_encoded: metadata.partition_key_b64_encoded,
        sequence_id: Some(metadata.sequence_id),
        null_value: metadata.null_value,
        null_partition_key: metadata.null_partition_key,
        ..Default::default()
    }
}

fn message(
    opening: &Opening,
    facts: &Arc<EntryFacts>,
    at: u32,
    single: SingleMessageMetadata,
    payload: Payload,
) -> Message {
    let metadata = &opening.entry.metadata;
    let id = MessageId { entry: opening.id, index: at };
    let last_index = opening.entry.broker.and_then(|broker| broker.index);
    let after = u64::from(messages_of(metadata).saturating_sub(1).saturating_sub(at));
    let is_base64 = single.partition_key_b64_encoded.unwrap_or_default();
    let key = single.partition_key.filter(|_| !single.null_partition_key.unwrap_or_default());
    Message {
        id,
        position: Position { last: id, oldest_chunk: opening.oldest_chunk },
        knows_chunks: true,
        payload,
        key: key.map(|key| Key::from_wire(key, is_base64)),
        properties: pairs(single.properties),
        event_time_ms: single.event_time.filter(|time| *time > 0),
        sequence: single.sequence_id.unwrap_or(metadata.sequence_id.saturating_add(u64::from(at))),
        index: last_index.map(|index| index.saturating_sub(after)),
        entry: Arc::clone(facts),
        given_up: Vec::new(),
    }
}
