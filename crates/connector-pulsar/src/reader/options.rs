//! What a reader is told, and what it tells of the end of its partition.

use crate::anchor::Anchor;
use crate::position::{MessageId, Position};
use crate::topic::TopicName;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the oldest message that is there.
    Oldest,
    /// At the first message that the partition ever had; it is an error if that is gone.
    Beginning,
    /// After the message that is the last when the reader begins.
    End,
    /// Where another reader has come to; it is an error if that place is gone.
    After(Position),
    /// After a message that another reader had; it is an error if that is gone. Which messages in chunks were not whole
    /// there is found out when more of them comes.
    AfterMessage(MessageId),
}

/// What a reader is told.
#[derive(Clone, Debug)]
pub struct ReaderOptions {
    /// A topic without partitions, or one partition of a topic.
    pub topic: TopicName,
    pub start: Start,
    /// The durable subscription that keeps messages from being taken away while they are needed.
    pub anchor: Option<Anchor>,
    /// What the fresh names of the reader's subscriptions begin with. No other reader may have it.
    pub name: String,
    /// What may wait in memory, but for one read of the broker.
    pub budget_bytes: usize,
    /// The topic has entries that are never given out, so gaps are no loss.
    pub allows_gaps: bool,
}

/// Where a partition ended when the broker was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The last message; none if there is none.
    pub last: Option<MessageId>,
    /// The broker's time at the question, or a little earlier; none where the broker does not tell its time, or messages
    /// become visible later than they are stamped, since they belong to transactions.
    ///
    /// What is not there yet is stamped later, except for what was on its way into storage at that moment.
    pub broker_time_ms: Option<u64>,
}
