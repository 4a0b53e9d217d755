//! What a consumer of a queue is told.

use crate::topic::TopicName;
use dataflow::QueueSharing;

/// How many messages of a partition a consumer has at most that are not acknowledged: fewer than the 50,000 for which a
/// broker stops by itself (`maxUnackedMessagesPerConsumer`).
pub const OPEN_MAX: usize = 40_000;

/// What is read, and by which subscription.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// The topic, or one partition of it.
    pub topic: TopicName,
    /// The durable subscription, which is made before the first message where it is not there.
    pub subscription: String,
    /// How its consumers share the messages.
    pub sharing: QueueSharing,
    /// What the consumer is called in the broker's statistics.
    pub name: String,
    /// About how many bytes of messages may wait to be taken.
    pub budget_bytes: usize,
}
