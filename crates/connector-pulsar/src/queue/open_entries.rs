//! Entries that were received from a queue and are not acknowledged yet.

use crate::position::{EntryId, MessageId};
use crate::wire::protocol::AckedEntry;
use std::collections::BTreeMap;

/// A bit per message of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits(Vec<u64>);

impl Bits {
    fn none(messages: u32) -> Bits {
        Bits(vec![0; (messages as usize).div_ceil(64)])
    }

    fn set(&mut self, index: u32) {
        if let Some(word) = self.0.get_mut(index as usize / 64) {
            *word |= 1 << (index % 64);
        }
    }

    /// Clears a bit; whether it was set.
    fn clear(&mut self, index: u32) -> bool {
        let Some(word) = self.0.get_mut(index as usize / 64) else { return false };
        let was_set = *word & (1 << (index % 64)) != 0;
        *word &= !(1 << (index % 64));
        was_set
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn to_wire(&self) -> Vec<i64> {
        self.0.iter().map(|word| word.cast_signed()).collect()
    }
}

/// Whether a message of an entry is still to be given out, as the broker's bits say; where it has none, all are.
pub fn is_open(ack_set: &[i64], index: u32) -> bool {
    ack_set.is_empty()
        || ack_set.get(index as usize / 64).is_some_and(|word| word.cast_unsigned() & (1 << (index % 64)) != 0)
}

/// How many of an entry's messages are still to be given out, which may be said to be any number.
pub fn count_open(ack_set: &[i64], messages: u32) -> u32 {
    if ack_set.is_empty() {
        return messages;
    }
    let of_word = |(at, word): (u32, &i64)| {
        let here = messages.saturating_sub(at.saturating_mul(64)).min(64);
        let mask = if here == 64 { u64::MAX } else { (1 << here) - 1 };
        (word.cast_unsigned() & mask).count_ones()
    };
    (0..).zip(ack_set).map(of_word).sum()
}

#[derive(Debug)]
struct OpenEntry {
    /// How many messages the entry has.
    messages: u32,
    /// Those that were received and are not to be acknowledged yet.
    open: Bits,
    /// The connection on which it came last.
    came: u64,
    /// The connection on which the broker has confirmed that all of it is acknowledged.
    confirmed: Option<u64>,
}

/// The entries of a partition that the broker takes for not acknowledged, as far as this consumer has them.
///
/// An entry stays here until the broker has said that all of it is acknowledged: what comes again before that is known.
/// One that had come on an earlier connection stays until the next one ends, too: a broker that sends again what a lost
/// connection took with it may have read some of that before it hears that it is acknowledged.
#[derive(Debug, Default)]
pub struct OpenEntries {
    entries: BTreeMap<EntryId, OpenEntry>,
    messages: usize,
    /// How many connections have ended.
    connection: u64,
}

impl OpenEntries {
    /// An entry has come. Whether it is here already; and if so, whether all of it was acknowledged.
    pub fn came_again(&mut self, id: EntryId) -> Option<bool> {
        let entry = self.entries.get_mut(&id)?;
        (entry.came, entry.confirmed) = (self.connection, None);
        Some(entry.open.is_empty())
    }

    /// A connection has ended.
    pub fn detached(&mut self) {
        self.connection += 1;
        let may_come = |entry: &OpenEntry| entry.confirmed.is_none_or(|confirmed| confirmed + 1 == self.connection);
        self.entries.retain(|_, entry| may_come(entry));
    }

    /// Takes an entry of so many messages of which these were received. One of none is to be acknowledged at once.
    pub fn insert(&mut self, id: EntryId, messages: u32, received: impl Iterator<Item = u32>) {
        let mut open = Bits::none(messages);
        received.for_each(|index| open.set(index));
        self.messages += open.count();
        self.entries.insert(id, OpenEntry { messages, open, came: self.connection, confirmed: None });
    }

    /// A message is to be acknowledged; false where it was before.
    pub fn close(&mut self, id: MessageId) -> bool {
        let was_open = self.entries.get_mut(&id.entry).is_some_and(|entry| entry.open.clear(id.index));
        self.messages -= usize::from(was_open);
        was_open
    }

    /// How an entry is acknowledged, as far as that may be, and whether all of it is.
    pub fn acked(&self, id: EntryId) -> Option<(AckedEntry, bool)> {
        let OpenEntry { messages, open, .. } = self.entries.get(&id)?;
        let whole = id.acked();
        if open.is_empty() {
            return Some((whole, true));
        }
        let (ack_set, batch_size) = (open.to_wire(), i32::try_from(*messages).ok());
        Some((AckedEntry { ack_set, batch_size, ..whole }, false))
    }

    /// The broker has taken the acknowledgement of all of an entry.
    pub fn confirmed(&mut self, id: EntryId) {
        let connection = self.connection;
        match self.entries.get_mut(&id) {
            Some(entry) if entry.came < connection => entry.confirmed = Some(connection),
            _ => drop(self.entries.remove(&id)),
        }
    }

    /// How many messages were received and are not to be acknowledged yet.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// How many entries have messages that are not to be acknowledged yet.
    pub fn unacknowledged(&self) -> usize {
        self.entries.values().filter(|entry| !entry.open.is_empty()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_acknowledged_in_part_and_then_whole() {
        let entry = EntryId { ledger: 1, entry: 2 };
        let mut open = OpenEntries::default();
        open.insert(entry, 70, 0..70);
        assert_eq!((open.messages(), open.came_again(entry), open.unacknowledged()), (70, Some(false), 1));
        for index in 0..65 {
            assert!(open.close(MessageId { entry, index }));
        }
        assert!(!open.close(MessageId { entry, index: 3 }), "it was acknowledged before");
        let (part, is_whole) = open.acked(entry).unwrap();
        assert_eq!((part.ack_set, part.batch_size, is_whole), (vec![0, 0b11_1110], Some(70), false));
        for index in 65..70 {
            assert!(open.close(MessageId { entry, index }));
        }
        let (whole, is_whole) = open.acked(entry).unwrap();
        assert_eq!((whole.ack_set, is_whole, open.came_again(entry)), (vec![], true, Some(true)));
        open.confirmed(entry);
        assert_eq!((open.came_again(entry), open.messages(), open.unacknowledged()), (None, 0, 0));
    }

    #[test]
    fn what_came_before_the_connection_is_known_for_one_more_after_it_is_acknowledged() {
        let [before, now] = [1, 2].map(|entry| EntryId { ledger: 1, entry });
        let mut open = OpenEntries::default();
        open.insert(before, 1, 0..1);
        open.detached();
        open.insert(now, 1, 0..1);
        for entry in [before, now] {
            assert!(open.close(MessageId { entry, index: 0 }));
            open.confirmed(entry);
        }
        assert_eq!((open.came_again(now), open.unacknowledged()), (None, 0));
        open.detached();
        assert_eq!(open.came_again(before), Some(true), "it is acknowledged again, and not given out");
        open.confirmed(before);
        assert_eq!(open.came_again(before), None, "it comes once on a connection");
        open.insert(before, 1, 0..1);
        open.detached();
        assert!(open.close(MessageId { entry: before, index: 0 }));
        open.confirmed(before);
        open.detached();
        open.detached();
        assert_eq!(open.came_again(before), None, "nothing is kept for ever");
    }

    #[test]
    fn a_broker_says_what_of_a_batch_is_left() {
        assert!(is_open(&[], 3));
        let set = [0, 0b10];
        assert_eq!([0, 64, 65, 128].map(|index| is_open(&set, index)), [false, false, true, false]);
        assert_eq!([1, 65, 66, u32::MAX].map(|messages| count_open(&set, messages)), [0, 0, 1, 1]);
        assert_eq!([0, 3, u32::MAX].map(|messages| count_open(&[], messages)), [0, 3, u32::MAX]);
        assert_eq!(count_open(&[-1, -1], 70), 70);
    }
}
