//! What puts messages on a topic, wherever it is.

use connector_local::{Outgoing, Producer};
use connector_pulsar::{EarlierMessages, Guarantee, OutgoingMessage, PulsarTopic, TopicWriter};
use dataflow::{Clock, Result, Topic};
use std::sync::Arc;

/// Puts messages on a topic.
pub enum TopicProducer {
    /// On a local one.
    Local(Producer),
    /// On one of Pulsar.
    Pulsar(PulsarProducer),
}

/// Puts messages on a topic of Pulsar.
pub struct PulsarProducer {
    writer: TopicWriter,
    // Per partition the last sequence that was there before.
    taken: Vec<Option<u64>>,
    clock: Arc<dyn Clock>,
}

impl TopicProducer {
    /// A producer of a name that nobody has used, on a topic of Pulsar.
    pub fn of_pulsar(topic: &PulsarTopic, clock: Arc<dyn Clock>) -> Result<TopicProducer> {
        let name = format!("riverrun-publish-{}-{}", clock.now().0, std::process::id());
        Ok(TopicProducer::Pulsar(PulsarProducer::open(topic, &name, Guarantee::AtLeastOnce, &[], clock)?))
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> u32 {
        match self {
            TopicProducer::Local(producer) => producer.topic().partitions(),
            TopicProducer::Pulsar(producer) => producer.writer.partitions(),
        }
    }

    /// Per partition the sequence up to which all is known to be stored; a local topic says that itself.
    pub fn stored(&self) -> Option<Vec<Option<u64>>> {
        match self {
            TopicProducer::Local(_) => None,
            TopicProducer::Pulsar(producer) => Some(producer.writer.stored_each()),
        }
    }

    /// Appends to several partitions, each named once; gives how many messages are new. All are stored on return.
    pub fn append_all(&mut self, batches: &[(u32, Vec<Outgoing<'_>>)]) -> Result<usize> {
        match self {
            TopicProducer::Local(producer) => producer.append_all(batches),
            TopicProducer::Pulsar(producer) => producer.append_all(batches),
        }
    }
}

impl PulsarProducer {
    /// Opens the producers of a name; `stored` has per partition the last sequence that is known to be there of it.
    pub fn open(
        topic: &PulsarTopic,
        name: &str,
        guarantee: Guarantee,
        stored: &[Option<u64>],
        clock: Arc<dyn Clock>,
    ) -> Result<PulsarProducer> {
        let earlier = |stored: &Option<u64>| EarlierMessages { stored: *stored, ..EarlierMessages::default() };
        let earlier: Vec<EarlierMessages> = stored.iter().map(earlier).collect();
        let writer = TopicWriter::open(topic, name, guarantee, &earlier, None)?;
        Ok(PulsarProducer { taken: writer.taken_each(), writer, clock })
    }

    /// The greatest sequence that was there of the name before.
    pub fn taken(&self) -> Option<u64> {
        self.taken.iter().copied().flatten().max()
    }

    fn append_all(&mut self, batches: &[(u32, Vec<Outgoing<'_>>)]) -> Result<usize> {
        let publish_time_ms = u64::try_from(self.clock.now().0 / 1000).unwrap_or(0);
        let mut new = 0;
        for (partition, messages) in batches {
            let message = |message: &Outgoing<'_>| OutgoingMessage {
                sequence: message.sequence,
                payload: Some(message.payload.to_vec().into()),
                key: None,
                properties: Vec::new(),
                event_time_ms: None,
                publish_time_ms,
            };
            let taken = self.taken.get(*partition as usize).copied().flatten();
            new += messages.iter().filter(|message| Some(message.sequence) > taken).count();
            self.writer.push(*partition, messages.iter().map(message).collect())?;
        }
        self.writer.flush()?;
        Ok(new)
    }
}
