//! A topic that a job reads as a queue.

use super::log::{QueueLog, UnreadQueue};
use super::options::QueueOptions;
use super::task::Consuming;
use crate::client::chance;
use crate::hold::AnchorShown;
use crate::live_topic::{HeldAnchors, PulsarTopic};
use dataflow::{Clock, PartitionLog, Position, QueueSharing, Result, Span, Topic, TopicId};
use std::sync::Arc;

/// What may wait in memory at the consumer of each partition.
const CONSUMER_BYTES: usize = 4 << 20;

/// A topic that a job reads by a durable subscription which it may share with other consumers.
///
/// It has one partition, whatever the topic has: messages of all partitions come as they are received.
pub struct QueueTopic {
    topic: Arc<PulsarTopic>,
    id: TopicId,
    subscription: String,
    sharing: QueueSharing,
    shown: Vec<AnchorShown>,
    clock: Arc<dyn Clock>,
}

impl QueueTopic {
    /// Nothing is subscribed before it is read.
    pub fn new(
        topic: Arc<PulsarTopic>,
        subscription: String,
        sharing: QueueSharing,
        clock: Arc<dyn Clock>,
    ) -> QueueTopic {
        // Its positions are numbers, and not those of the topic.
        let id = TopicId { cluster: "pulsar queue".to_owned(), topic: topic.full_name().to_string() };
        let shown = (0..topic.partitions()).map(|_| AnchorShown::default()).collect();
        QueueTopic { topic, id, subscription, sharing, shown, clock }
    }

    /// What is known of its subscription.
    pub fn subscription(&self) -> HeldAnchors {
        HeldAnchors::of_queue(self.topic.name(), &self.subscription, self.shown.clone())
    }
}

impl Topic for QueueTopic {
    fn name(&self) -> &str {
        self.topic.name()
    }

    fn id(&self) -> &TopicId {
        &self.id
    }

    fn partitions(&self) -> u32 {
        1
    }

    fn margin(&self) -> Span {
        Span::ZERO
    }

    fn is_queue(&self) -> bool {
        true
    }

    fn open(&self, _: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        Ok(Box::new(UnreadQueue { given: after, clock: self.clock.clone() }))
    }

    fn hold(&self, _: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        let options = QueueOptions {
            topic: self.topic.full_name().clone(),
            subscription: self.subscription.clone(),
            sharing: self.sharing,
            name: format!("riverrun-{:08x}", chance() as u32),
            budget_bytes: CONSUMER_BYTES,
        };
        let consuming = Consuming {
            settings: self.topic.settings().clone(),
            options,
            topic: self.topic.full_name().clone(),
            partitions: self.topic.partitions_if_any(),
            shown: self.shown.clone(),
        };
        Ok(Box::new(QueueLog::open(consuming, after, self.clock.clone())?))
    }
}
