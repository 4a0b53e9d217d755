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

/// What a producer is told.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// A topic without partitions, or one partition of a topic.
    pub topic: TopicName,
    /// Held by one producer at a time; what the broker knows of sequences is known by it.
    pub name: String,
    pub guarantee: Guarantee,
    /// The greatest sequence that an earlier run is known to have stored under this name.
    pub stored: Option<u64>,
    /// What its messages look like, which brokers register; none where nothing is said of that.
    pub schema: Option<Schema>,
    pub compression: CompressionType,
    pub batch_messages_max: usize,
    pub batch_bytes_max: usize,
    /// How much may wait to be stored, and one message more. A message in chunks counts whole until its last is stored.
    pub budget_bytes: usize,
}
