//! A topic as programs write it: a producer per partition.

use crate::error::Error;
use crate::live_topic::PulsarTopic;
use crate::output_schema::OutputSchema;
use crate::partition_writer::{PartitionWriter, WriterState};
use crate::producer::{EarlierMessages, Guarantee, OutgoingMessage, ProducerOptions};
use crate::wire::protocol::CompressionType;
use dataflow::{Result, Topic};

const BATCH_MESSAGES: usize = 1000;
const BATCH_BYTES: usize = 128 << 10;
/// What may wait to be stored, per partition.
const BUDGET_BYTES: usize = 8 << 20;

/// Writes the partitions of a topic.
pub struct TopicWriter {
    partitions: Vec<PartitionWriter>,
}

impl TopicWriter {
    /// Opens a producer for each partition, and waits until all may write. `name` is that of the producers before the
    /// number of the partition; `earlier` has per partition what an earlier run has left, and `schema` is what brokers are
    /// told that the messages look like.
    pub fn open(
        topic: &PulsarTopic,
        name: &str,
        guarantee: Guarantee,
        earlier: &[EarlierMessages],
        schema: Option<&OutputSchema>,
    ) -> Result<TopicWriter> {
        let open = |partition: u32| {
            let options = ProducerOptions {
                topic: topic.partition(partition)?,
                name: format!("{name}-{partition}"),
                guarantee,
                earlier: earlier.get(partition as usize).copied().unwrap_or_default(),
                schema: schema.map(|schema| schema.0.clone()),
                compression: CompressionType::Lz4,
                batch_messages_max: BATCH_MESSAGES,
                batch_bytes_max: BATCH_BYTES,
                budget_bytes: BUDGET_BYTES,
            };
            PartitionWriter::open(topic.settings().clone(), options)
        };
        Ok(TopicWriter { partitions: (0..topic.partitions()).map(open).collect::<Result<_>>()? })
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    /// Gives messages to the producer of a partition; waits while it has no room.
    pub fn push(&self, partition: u32, messages: Vec<OutgoingMessage>) -> Result<()> {
        let writer = self.partitions.get(partition as usize);
        let writer = writer.ok_or_else(|| Error::invalid(format!("there is no partition {partition}")))?;
        writer.push(messages)
    }

    /// Waits until all that was pushed is stored.
    pub fn flush(&self) -> Result<()> {
        let begun = self.partitions.iter().map(PartitionWriter::begin_flush).collect::<Result<Vec<_>>>()?;
        self.partitions.iter().zip(begun).try_for_each(|(partition, done)| partition.end_flush(done))
    }

    /// The greatest sequence that the broker had taken from the producers' names before.
    pub fn taken(&self) -> Option<u64> {
        self.states().filter_map(|state| state.taken).max()
    }

    /// Per partition the greatest sequence that the broker had taken from the producer's name before.
    pub fn taken_each(&self) -> Vec<Option<u64>> {
        self.states().map(|state| state.taken).collect()
    }

    /// Per partition the greatest sequence up to which all is stored, as of the last flush or failure.
    pub fn stored_each(&self) -> Vec<Option<u64>> {
        self.states().map(|state| state.stored).collect()
    }

    /// Whether the broker removes duplicates, once it has shown that it does or does not.
    pub fn is_deduplicated(&self) -> Option<bool> {
        self.states().filter_map(|state| state.is_deduplicated).min()
    }

    fn states(&self) -> impl Iterator<Item = WriterState> {
        self.partitions.iter().map(PartitionWriter::state)
    }
}
