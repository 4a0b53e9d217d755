//! What a producer is told.

use crate::topic::TopicName;
use crate::wire::protocol::{CompressionType, Schema};

/// What happens when a message is sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// It may be there twice.
    AtLeastOnce,
    /// It is there once if the broker removes duplicates, which is found out with the first message.
    AsTheBrokerHas,
    /// It is there once; a broker that does not remove duplicates is an error.
    EffectivelyOnce,
}

/// What is known of the messages that an earlier run has sent under the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlierMessages {
    /// The greatest sequence that it has stored.
    pub stored: Option<u64>,
    /// Whether the broker removed duplicates, where it has shown that.
    pub is_deduplicated: Option<bool>,
    /// Whether the run has sent none after those that are stored, so that nothing can come again.
    pub is_all: bool,
}

/// What a producer is told.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// A topic without partitions, or one partition of a topic.
    pub topic: TopicName,
    /// Held by one producer at a time; what the broker knows of sequences is known by it.
    pub name: String,
    pub guarantee: Guarantee,
    /// What an earlier run has left under this name.
    pub earlier: EarlierMessages,
    /// What its messages look like, which brokers register; none where nothing is said of that.
    pub schema: Option<Schema>,
    pub compression: CompressionType,
    pub batch_messages_max: usize,
    pub batch_bytes_max: usize,
    /// How much may wait to be stored, and one message more. A message in chunks counts whole until its last is stored.
    pub budget_bytes: usize,
}
