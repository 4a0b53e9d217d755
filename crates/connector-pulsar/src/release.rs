//! What a job that has read up to a message needs of its partition: that message's entry, or the first chunk of a message
//! that was not whole there.

use crate::position::EntryId;
use dataflow::Position;
use std::collections::VecDeque;

/// The messages that were given out since the last durable checkpoint, as far as their needs differ from their own
/// entries. Bounded by how many messages in chunks are open one after the other between two checkpoints.
#[derive(Debug, Default)]
pub struct Needs {
    /// The first message that was given out.
    first: Option<Position>,
    /// From a message to another, all of which need this entry.
    open: VecDeque<(Position, Position, EntryId)>,
}

impl Needs {
    /// A message was given out.
    pub fn give(&mut self, message: Position, oldest: EntryId) {
        self.first.get_or_insert(message);
        match self.open.back_mut().filter(|(_, _, needed)| *needed == oldest) {
            Some((_, last, _)) => *last = message,
            None if oldest < entry_of(message) => self.open.push_back((message, message, oldest)),
            None => {}
        }
    }

    /// The oldest entry that is needed by who goes on after a message. None for one that this reader did not give out: what
    /// was open there is not known, and what was let go of before stays so.
    pub fn after(&mut self, message: Position) -> Option<EntryId> {
        if self.first.is_none_or(|first| message < first) {
            return None;
        }
        while self.open.front().is_some_and(|(_, last, _)| *last < message) {
            self.open.pop_front();
        }
        let open = self.open.front().filter(|(first, ..)| *first <= message);
        Some(open.map_or_else(|| entry_of(message), |(_, _, oldest)| *oldest))
    }
}

fn entry_of(message: Position) -> EntryId {
    EntryId { ledger: message.ledger, entry: message.entry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_among_chunks_needs_the_first_of_them() {
        let at = |entry| Position { ledger: 1, entry, batch_index: 0 };
        let entry = |entry| EntryId { ledger: 1, entry };
        let mut needs = Needs::default();
        assert_eq!(needs.after(at(3)), None, "nothing was given out");
        // Of a message in chunks 5, 7 and 9 the first two lie before 6 and 8.
        for (message, oldest) in [(4, 4), (6, 5), (8, 5), (9, 9), (10, 10)] {
            needs.give(at(message), entry(oldest));
        }
        assert_eq!(needs.after(at(3)), None, "it was given out before");
        assert_eq!(needs.after(at(4)), Some(entry(4)));
        assert_eq!(needs.after(at(6)), Some(entry(5)));
        assert_eq!(needs.after(at(8)), Some(entry(5)));
        assert_eq!(needs.after(at(9)), Some(entry(9)));
        assert!(needs.open.is_empty());
        assert_eq!(needs.after(at(10)), Some(entry(10)));
    }
}
