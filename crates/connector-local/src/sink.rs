//! An output that goes to a topic.

use crate::frame::Outgoing;
use crate::producer::Producer;
use crate::topic_position::TopicPosition;
use dataflow::{Batch, Committable, Committer, Encode, Error, Result, Sink, Topic, key_group, key_hashes};
use std::sync::Arc;

/// Writes rows to a topic as they come: each is durable, and seen by readers, when `write` returns. A call appends
/// and syncs once per partition, so it pays to give it many rows.
///
/// A row's sequence is its number among the rows given to this output since its start. A replay that gives the same
/// rows in the same order under the same producer name and epoch therefore writes none of them twice.
/// Rows of one key go to one partition; with no key column all go to the first.
pub struct TopicSink {
    producer: Producer,
    encode: Arc<dyn Encode>,
    key: Option<usize>,
    position: TopicPosition,
}

impl TopicSink {
    /// Writes with a producer, from the output's start or from where the checkpoint is that the job goes on from.
    pub fn new(
        producer: Producer,
        encode: Arc<dyn Encode>,
        key: Option<usize>,
        position: TopicPosition,
    ) -> Result<TopicSink> {
        if producer.epoch() == position.epoch && producer.topic().partitions() as usize == position.last.len() {
            return Ok(TopicSink { producer, encode, key, position });
        }
        let (topic, epoch) = (producer.topic().name(), producer.epoch());
        Err(Error::internal(format!("topic \"{topic}\": a producer of epoch {epoch} cannot go on from {position:?}")))
    }

    fn partitions_of(&self, batch: &Batch) -> Result<Vec<u32>> {
        let partitions = self.producer.topic().partitions();
        match self.key {
            Some(key) if partitions > 1 => {
                let column = batch.columns().columns().get(key).ok_or_else(|| {
                    Error::internal(format!("topic \"{}\": there is no key column {key}", self.producer.topic().name()))
                })?;
                let hashes = key_hashes(std::slice::from_ref(column), batch.rows())?;
                Ok(hashes.into_iter().map(|hash| u32::from(key_group(hash).0) % partitions).collect())
            }
            _ => Ok(vec![0; batch.rows()]),
        }
    }
}

impl Sink for TopicSink {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let partitions = self.partitions_of(batch)?;
        let payloads = self.encode.encode(batch.columns())?;
        if payloads.len() != batch.rows() {
            return Err(Error::internal(format!("{} rows were encoded as {} payloads", batch.rows(), payloads.len())));
        }
        let mut by_partition = vec![Vec::new(); self.producer.topic().partitions() as usize];
        for (row, payload) in payloads.iter().enumerate() {
            let sequence = self.position.rows + row as u64;
            by_partition[partitions[row] as usize].push(Outgoing { sequence, key: None, payload, arrived: None });
        }
        let batches: Vec<_> = (0..).zip(by_partition).filter(|(_, messages)| !messages.is_empty()).collect();
        self.producer.append_all(&batches)?;
        self.position.rows += batch.rows() as u64;
        for (partition, messages) in &batches {
            self.position.last[*partition as usize] = messages.last().map(|message| message.sequence);
        }
        Ok(())
    }

    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        Ok(None)
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.position.to_bytes())
    }
}

/// The committer of a [`TopicSink`]: nothing is left to do, since what was written is there already.
pub struct TopicCommitter;

impl Committer for TopicCommitter {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Ok(())
    }
}
