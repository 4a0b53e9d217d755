//! The consumer that gets no messages: it holds the anchor of a job, and tells where the partition ends.
//!
//! The anchor is a durable subscription that keeps the broker from taking away what the job still needs. It stands at
//! the entry before the oldest one that is needed, never inside a batch. A reader without an anchor has a subscription
//! that ends with the connection in its place.

use crate::error::{Error, Result};
use crate::position::EntryId;
use crate::wire::protocol::{Ack, Command, GetLastMessageIdResponse, MessageIdData, Subscribe};

/// The consumer's number on its connection.
pub const CONSUMER: u64 = 1;

const EXCLUSIVE: i32 = 0;
const EARLIEST: i32 = 1;
const CUMULATIVE: i32 = 1;

/// The place before all others.
pub const BEFORE_ALL: MessageIdData =
    MessageIdData { ledger_id: u64::MAX, entry_id: u64::MAX, partition: None, batch_index: None };

#[derive(Debug)]
pub struct Watch {
    /// The anchor's subscription.
    anchor: Option<String>,
    /// The oldest entry that is needed, as far as is known.
    needed: Option<EntryId>,
}

impl Watch {
    pub fn new(anchor: Option<String>, needed: Option<EntryId>) -> Self {
        Watch { anchor, needed }
    }

    /// The name of the subscription as messages show it.
    pub fn name(&self) -> &str {
        self.anchor.as_deref().unwrap_or("of a reader")
    }

    /// Opens the consumer. A topic that is not there is not made: it may have been deleted.
    pub fn subscribe(&self, topic: String, fresh_name: String, request_id: u64) -> Command {
        Command::Subscribe(Subscribe {
            topic,
            subscription: self.anchor.clone().unwrap_or(fresh_name),
            sub_type: EXCLUSIVE,
            consumer_id: CONSUMER,
            request_id,
            consumer_name: None,
            durable: Some(self.anchor.is_some()),
            start_message_id: self.anchor.is_none().then_some(BEFORE_ALL),
            initial_position: Some(EARLIEST),
            force_topic_creation: Some(false),
        })
    }

    /// From now on nothing before this entry is needed.
    pub fn release_before(&mut self, needed: EntryId) {
        self.needed = self.needed.max(Some(needed));
    }

    /// Moves the anchor, if it may move.
    ///
    /// What stands before the first entry of a ledger is not known, so there it stays where it is until the next time.
    pub fn acknowledge(&self) -> Option<Command> {
        let needed = self.needed.filter(|_| self.anchor.is_some())?;
        let before = EntryId { entry: needed.entry.checked_sub(1)?, ..needed };
        let message_id = vec![before.to_wire()];
        Some(Command::Ack(Ack { consumer_id: CONSUMER, ack_type: CUMULATIVE, message_id, request_id: None }))
    }

    /// Compares where the anchor stands with what is needed.
    pub fn check(&self, answer: &GetLastMessageIdResponse) -> Result<()> {
        let (Some(anchor), Some(needed)) = (&self.anchor, self.needed) else { return Ok(()) };
        let stands_at = answer.consumer_mark_delete_position.as_ref().and_then(EntryId::from_wire);
        match stands_at {
            Some(stands_at) if stands_at >= needed => Err(Error::lost(format!(
                "the subscription \"{anchor}\" stands at {stands_at}, and {needed} is still needed: messages expired, \
                 were evicted or skipped, or were acknowledged by somebody else"
            ))),
            _ => Ok(()),
        }
    }
}
