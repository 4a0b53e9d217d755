//! An output that goes to a topic.

use crate::frame::Outgoing;
use crate::producer::Producer;
use dataflow::{Batch, Committable, Committer, Encode, Error, Result, Sink, Topic, key_group, key_hashes};
use std::sync::Arc;

const COMMITTABLE_VERSION: u8 = 1;

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
    rows: u64,
    prepared: u64,
}

impl TopicSink {
    /// Writes with a producer. `rows` is how many rows were written before the place at which this job resumes: 0 at
    /// the output's start, else [`TopicSink::rows_of`] the last committable.
    pub fn new(producer: Producer, encode: Arc<dyn Encode>, key: Option<usize>, rows: u64) -> TopicSink {
        TopicSink { producer, encode, key, rows, prepared: rows }
    }

    /// How many rows had been written when a committable was prepared.
    pub fn rows_of(committable: &Committable) -> Result<u64> {
        match committable.0.as_slice() {
            [COMMITTABLE_VERSION, rows @ ..] if rows.len() == 8 => {
                Ok(u64::from_le_bytes(rows.try_into().expect("eight bytes")))
            }
            _ => Err(Error::corrupt("what a topic output left in a checkpoint cannot be read")),
        }
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
            let sequence = self.rows + row as u64;
            by_partition[partitions[row] as usize].push(Outgoing { sequence, key: None, payload });
        }
        let batches: Vec<_> = (0..).zip(by_partition).filter(|(_, messages)| !messages.is_empty()).collect();
        self.producer.append_all(&batches)?;
        self.rows += batch.rows() as u64;
        Ok(())
    }

    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        if self.rows == self.prepared {
            return Ok(None);
        }
        self.prepared = self.rows;
        let mut bytes = vec![COMMITTABLE_VERSION];
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        Ok(Some(Committable(bytes)))
    }
}

/// The committer of a [`TopicSink`]: nothing is left to do, since what was written is there already.
pub struct TopicCommitter;

impl Committer for TopicCommitter {
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()> {
        committables.iter().try_for_each(|committable| TopicSink::rows_of(committable).map(|_| ()))
    }
}
