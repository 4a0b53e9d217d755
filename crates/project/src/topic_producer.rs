//! What puts messages on a topic, wherever it is.

use connector_local::{Outgoing, Producer};
use connector_pulsar::{Guarantee, OutgoingMessage, PulsarTopic, TopicWriter};
use dataflow::{Clock, Result, Topic};
use std::sync::Arc;

/// Puts messages on a topic.
pub enum TopicProducer {
    /// On a local one.
    Local(Producer),
    /// On one of Pulsar.
    Pulsar(TopicWriter, Arc<dyn Clock>),
}

impl TopicProducer {
    /// A producer of a name that nobody has used.
    pub fn of_pulsar(topic: &PulsarTopic, clock: Arc<dyn Clock>) -> Result<TopicProducer> {
        let name = format!("riverrun-publish-{}-{}", clock.now().0, std::process::id());
        Ok(TopicProducer::Pulsar(TopicWriter::open(topic, &name, Guarantee::AtLeastOnce, &[])?, clock))
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> u32 {
        match self {
            TopicProducer::Local(producer) => producer.topic().partitions(),
            TopicProducer::Pulsar(writer, _) => writer.partitions(),
        }
    }

    /// Appends to several partitions, each named once; gives how many messages are new. All are stored on return.
    pub fn append_all(&mut self, batches: &[(u32, Vec<Outgoing<'_>>)]) -> Result<usize> {
        let (writer, clock) = match self {
            TopicProducer::Local(producer) => return producer.append_all(batches),
            TopicProducer::Pulsar(writer, clock) => (writer, clock),
        };
        let publish_time_ms = u64::try_from(clock.now().0 / 1000).unwrap_or(0);
        for (partition, messages) in batches {
            let message = |message: &Outgoing<'_>| OutgoingMessage {
                sequence: message.sequence,
                payload: Some(message.payload.to_vec().into()),
                key: None,
                properties: Vec::new(),
                event_time_ms: None,
                publish_time_ms,
            };
            writer.push(*partition, messages.iter().map(message).collect())?;
        }
        writer.flush()?;
        Ok(batches.iter().map(|(_, messages)| messages.len()).sum())
    }
}
