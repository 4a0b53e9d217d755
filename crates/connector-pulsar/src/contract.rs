//! Places and times of a partition as the contract with jobs has them.

use crate::position::{EntryId, MessageId};
use dataflow::{Position, ProcessingTime, Span};

/// An allowance for messages that are stamped and not yet stored, and for brokers whose clocks differ.
pub const MARGIN: Span = Span::millis(250);

/// A time of the broker as the contract has it.
pub fn time_of(millis: u64) -> ProcessingTime {
    ProcessingTime(i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1000))
}

/// A place in a partition as the contract has it.
pub fn coordinate(id: MessageId) -> Position {
    Position { ledger: id.entry.ledger, entry: id.entry.entry, batch_index: id.index }
}

/// The same place as the client has it.
pub fn message_id(at: Position) -> MessageId {
    MessageId { entry: EntryId { ledger: at.ledger, entry: at.entry }, index: at.batch_index }
}
