//! What a reader is told, and what it tells of the end of its partition.

use crate::anchor::Anchor;
use crate::position::{MessageId, Position};
use crate::topic::TopicName;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

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
    /// What is known of the clocks of those who write the topic.
    pub producer_clocks: ProducerClocks,
}

/// What readers of a topic know of the clocks of its producers, where brokers do not stamp; they tell each other.
#[derive(Clone, Debug, Default)]
pub struct ProducerClocks {
    /// For so long after a reader's beginning producers have time to show that their clocks are not right.
    pub doubted_for: Duration,
    /// By how many milliseconds those of each partition are behind.
    behind_ms: Arc<Mutex<Vec<Weak<AtomicU64>>>>,
}

impl ProducerClocks {
    /// The same for a reader that takes nothing for known at first.
    pub fn doubted_for(&self, doubted_for: Duration) -> ProducerClocks {
        ProducerClocks { doubted_for, ..self.clone() }
    }

    /// Where a reader tells by how much the producers of its partition are behind, for as long as it keeps that.
    pub fn of_partition(&self) -> Arc<AtomicU64> {
        let of_partition = Arc::new(AtomicU64::new(0));
        let mut all = self.behind_ms.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(&of_partition));
        of_partition
    }

    /// By how much those of a partition are behind at most.
    pub fn behind_ms(&self) -> u64 {
        let all = self.behind_ms.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).map(|behind| behind.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}

/// Where a partition ended when the broker was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionEnd {
    /// The last message; none if there is none.
    pub last: Option<MessageId>,
    /// Up to when nothing more was there; none where that is not known, or messages become visible later than they are
    /// stamped, since they belong to transactions.
    ///
    /// What is not there yet arrives later, except for what was on its way into storage at that moment.
    pub drained: Option<Drained>,
}

/// A time by the clock that messages arrive by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// The broker's time at the question in milliseconds, or a little earlier.
    BrokerTime(u64),
    /// Where brokers do not stamp: for how long nothing had come at the question.
    Silence {
        /// The time of the last message by its producer's clock, in milliseconds.
        published_ms: u64,
        /// How long ago that was at the question, or less.
        silence: Duration,
    },
}
