//! A topic as jobs read it.

use crate::partition_log::{MARGIN, PulsarLog, message_id};
use crate::reader::Start;
use crate::settings::Settings;
use crate::topic::TopicName;
use dataflow::{Error, PartitionLog, Result, Span, Topic, TopicId};

/// A topic of a Pulsar cluster.
pub struct PulsarTopic {
    name: String,
    full_name: TopicName,
    id: TopicId,
    // None is a topic without partitions, which is read as if it had one.
    partitions: Option<u32>,
    settings: Settings,
}

impl PulsarTopic {
    /// A topic that is there, with so many partitions; 0 is one without.
    pub(crate) fn new(name: &str, full_name: TopicName, partitions: u32, settings: Settings) -> PulsarTopic {
        // A broker tells no id of a topic. One that was made again has other ledgers, so that the message that a reader goes
        // on after is not there; or, in a cluster that was made again, one that was stored later.
        let id = TopicId { cluster: "pulsar".to_owned(), topic: full_name.to_string() };
        let partitions = Some(partitions).filter(|&partitions| partitions > 0);
        PulsarTopic { name: name.to_owned(), full_name, id, partitions, settings }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The topic that a partition is.
    pub(crate) fn partition(&self, partition: u32) -> Result<TopicName> {
        match self.partitions {
            None if partition == 0 => Ok(self.full_name.clone()),
            Some(partitions) if partition < partitions => Ok(self.full_name.partition(partition)),
            _ => Err(Error::invalid(format!(
                "topic \"{}\" has {} partitions, numbered from 0: there is no partition {partition}",
                self.name,
                self.partitions()
            ))),
        }
    }
}

impl Topic for PulsarTopic {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &TopicId {
        &self.id
    }

    fn partitions(&self) -> u32 {
        self.partitions.unwrap_or(1)
    }

    fn margin(&self) -> Span {
        MARGIN
    }

    fn open(&self, partition: u32, after: Option<dataflow::Position>) -> Result<Box<dyn PartitionLog>> {
        let start = after.map_or(Start::Oldest, |after| Start::AfterMessage(message_id(after)));
        Ok(Box::new(PulsarLog::open(&self.settings, &self.partition(partition)?, start)?))
    }
}
