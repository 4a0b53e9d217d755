//! The subscription of a queue at the scripted broker: what is acknowledged, and what a consumer has yet to get.

use super::broker::StoredEntry;
use super::harness::Chance;
use crate::position::EntryId;
use crate::wire::frame::decode_entry;
use crate::wire::protocol::Ack;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub struct SharedSubscription {
    /// The indexes of each batch that are acknowledged, where the broker keeps them.
    parts: BTreeMap<EntryId, BTreeSet<u32>>,
    acknowledged: BTreeSet<EntryId>,
    pub keeps_parts: bool,
    /// What the consumer that is connected has yet to get, the next at the end.
    pub to_give: Vec<usize>,
}

impl SharedSubscription {
    /// A consumer comes: all that is not acknowledged is given, in any order.
    pub fn begin(&mut self, log: &[StoredEntry], chance: &mut Chance) {
        self.to_give = (0..log.len()).filter(|&at| !self.acknowledged.contains(&log[at].id)).collect();
        for at in (1..self.to_give.len()).rev() {
            let other = chance.below(at as u64 + 1) as usize;
            self.to_give.swap(at, other);
        }
    }

    pub fn take(&mut self, ack: &Ack) {
        for acked in &ack.message_id {
            let id = EntryId { ledger: acked.ledger_id, entry: acked.entry_id };
            if acked.ack_set.is_empty() {
                self.acknowledged.insert(id);
            } else if self.keeps_parts {
                let is_acked = |index: &u32| acked.ack_set[*index as usize / 64] & (1 << (index % 64)) == 0;
                let part = (0..acked.batch_size.unwrap() as u32).filter(is_acked);
                self.parts.entry(id).or_default().extend(part);
            }
        }
    }

    /// What an entry is given with, where a part of it is acknowledged.
    pub fn ack_set(&self, id: EntryId) -> Vec<i64> {
        let Some(part) = self.parts.get(&id) else { return Vec::new() };
        vec![part.iter().fold(-1i64, |set, index| set & !(1 << index))]
    }

    pub fn backlog(&self, log: &[StoredEntry]) -> u64 {
        log.iter().filter(|entry| !self.acknowledged.contains(&entry.id)).count() as u64
    }

    /// Whether all of an entry is acknowledged.
    pub fn is_whole(&self, id: EntryId) -> bool {
        self.acknowledged.contains(&id)
    }

    /// Whether a message is acknowledged.
    pub fn is_acknowledged(&self, id: EntryId, index: u32) -> bool {
        self.acknowledged.contains(&id) || self.parts.get(&id).is_some_and(|part| part.contains(&index))
    }
}

/// How many messages an entry has.
pub fn messages_of(entry: &StoredEntry) -> u32 {
    let metadata = decode_entry(entry.rest.clone()).unwrap().metadata;
    u32::try_from(metadata.num_messages_in_batch.unwrap_or(1)).unwrap()
}
