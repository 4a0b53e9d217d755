//! An output that goes to a topic.

use crate::keys::{Hashing, Key};
use crate::producer::{EarlierMessages, OutgoingMessage};
use crate::topic_writer::TopicWriter;
use arrow::array::{Array, AsArray};
use dataflow::{Batch, ByteReader, ByteWriter, Clock, Committable, Encode, Error, Result, Sink};
use std::sync::Arc;

/// The first version knows nothing of partitions that are added, and neither it nor the second of deduplication.
const VERSION: u8 = 3;
/// The property of a message that tells its row among all of its output: a replay gives the row the same one.
const ROW_PROPERTY: &str = "riverrun.row";

/// What an output to a topic of Pulsar leaves in a checkpoint: how many rows it has written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkPosition {
    /// Tells one beginning of the output from another; it is part of the names of its producers.
    pub generation: u64,
    /// How many rows were written.
    pub rows: u64,
    /// Per partition the sequence of the last message, which is the number of its row.
    pub last: Vec<Option<u64>>,
    /// Rows before a number went to so many partitions, which were all at the time; the numbers and those of partitions
    /// grow. Such a row that comes again goes where it went, for there the broker knows it.
    pub fewer: Vec<(u64, u32)>,
    /// Whether the broker removes duplicates, where it has shown that.
    pub is_deduplicated: Option<bool>,
}

impl SinkPosition {
    /// Before the first row of a generation.
    pub fn start(generation: u64, partitions: u32) -> SinkPosition {
        let last = vec![None; partitions as usize];
        SinkPosition { generation, rows: 0, last, fewer: Vec::new(), is_deduplicated: None }
    }

    /// What the producer of each of so many partitions is told that goes on from here; what the output was promised holds
    /// for those that were added too. `is_all` says that no row was written after it, and `accepts_duplicates` that those
    /// which were may be there twice.
    pub fn earlier(&self, partitions: u32, is_all: bool, accepts_duplicates: bool) -> Vec<EarlierMessages> {
        let is_deduplicated = self.is_deduplicated.filter(|_| !accepts_duplicates);
        let is_all = is_all || accepts_duplicates;
        let stored = self.last.iter().copied().chain(std::iter::repeat(None)).take(partitions as usize);
        stored.map(|stored| EarlierMessages { stored, is_deduplicated, is_all }).collect()
    }

    /// The same without what brokers have forgotten that remove duplicates, by what they have taken of each partition;
    /// nothing where they know all. Only producers for which that does no harm are open then, and a later run is not to
    /// miss it again.
    #[must_use]
    pub fn without_forgotten(&self, taken: &[Option<u64>]) -> Option<SinkPosition> {
        let known = |(last, taken): (&Option<u64>, &Option<u64>)| last.filter(|_| taken >= last);
        let last: Vec<Option<u64>> = self.last.iter().zip(taken).map(known).collect();
        let has_forgotten = last != self.last && self.is_deduplicated != Some(false);
        has_forgotten.then(|| SinkPosition { last, ..self.clone() })
    }

    /// The same where the topic has more partitions now: rows up to the greatest sequence that brokers have taken may have
    /// gone to those that there were.
    #[must_use]
    pub fn with_partitions(mut self, partitions: u32, taken: Option<u64>) -> SinkPosition {
        let before = self.last.len() as u32;
        let until = taken.map_or(0, |taken| taken + 1);
        if partitions > before {
            if until > self.fewer.last().map_or(self.rows, |(until, _)| *until) {
                self.fewer.push((until, before));
            }
            self.last.resize(partitions as usize, None);
        }
        self
    }

    /// To how many partitions a row goes.
    fn partitions_of(&self, row: u64) -> u32 {
        let fewer = self.fewer.iter().find(|(until, _)| row < *until);
        fewer.map_or(self.last.len() as u32, |(_, partitions)| *partitions)
    }

    /// The byte form, for checkpoints.
    pub fn to_bytes(&self) -> Vec<u8> {
        let fewer: Vec<&(u64, u32)> = self.fewer.iter().filter(|(until, _)| *until > self.rows).collect();
        let mut out = ByteWriter::new(VERSION);
        out.u64(self.generation);
        out.u64(self.rows);
        out.u64(self.last.len() as u64);
        for last in &self.last {
            out.u8(u8::from(last.is_some()));
            out.u64(last.unwrap_or(0));
        }
        out.u64(fewer.len() as u64);
        for (until, partitions) in fewer {
            out.u64(*until);
            out.u64(u64::from(*partitions));
        }
        out.u8(match self.is_deduplicated {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        });
        out.finish()
    }

    /// Reads the byte form; an error of kind `Corrupt` says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<SinkPosition> {
        let version = bytes.first().copied().filter(|version| (1..VERSION).contains(version)).unwrap_or(VERSION);
        let mut from = ByteReader::new("the position of the writer of a Pulsar topic", bytes, version)?;
        let (generation, rows, partitions) = (from.u64()?, from.u64()?, from.u64()?);
        let mut last = Vec::new();
        for _ in 0..partitions {
            let (is_there, sequence) = (from.u8()?, from.u64()?);
            last.push(match is_there {
                0 => None,
                1 if sequence < rows => Some(sequence),
                _ => return Err(from.corrupt(&format!("sequence {sequence} among {rows} rows"))),
            });
        }
        let mut fewer: Vec<(u64, u32)> = Vec::new();
        for _ in 0..if version > 1 { from.u64()? } else { 0 } {
            let (until, all) = (from.u64()?, from.u64()?);
            let before = fewer.last().map_or((rows, 0), |last| *last);
            fewer.push(match u32::try_from(all) {
                Ok(all) if until > before.0 && all > before.1 && (all as usize) < last.len() => (until, all),
                _ => return Err(from.corrupt(&format!("rows before {until} on {all} of {} partitions", last.len()))),
            });
        }
        let is_deduplicated = match if version > 2 { from.u8()? } else { 0 } {
            0 => None,
            1 => Some(false),
            2 => Some(true),
            _ => return Err(from.corrupt("it does not say whether the broker removes duplicates")),
        };
        from.end()?;
        Ok(SinkPosition { generation, rows, last, fewer, is_deduplicated })
    }
}

/// Writes rows to a topic. A barrier waits until all rows before it are stored.
///
/// A row's sequence is its number among the rows given to this output since its start. A replay gives the same rows in
/// the same order under the same producers' names, so that a broker that removes duplicates stores each once; where
/// brokers do not, what was written after the last checkpoint is there twice, with the same property `riverrun.row`.
/// Rows of one key go to one partition, which is the one that the Java client would choose; with no key column all go to
/// the first.
pub struct TopicSink {
    writer: Arc<TopicWriter>,
    encode: Arc<dyn Encode>,
    key: Option<usize>,
    position: SinkPosition,
    clock: Arc<dyn Clock>,
}

impl TopicSink {
    /// Writes with producers that are open, from the output's start or from where the checkpoint is that the job goes on
    /// from.
    pub fn new(
        writer: Arc<TopicWriter>,
        encode: Arc<dyn Encode>,
        key: Option<usize>,
        position: SinkPosition,
        clock: Arc<dyn Clock>,
    ) -> TopicSink {
        TopicSink { writer, encode, key, position, clock }
    }

    fn keys_of(&self, batch: &Batch) -> Result<Vec<Option<Key>>> {
        let Some(key) = self.key else { return Ok(vec![None; batch.rows()]) };
        let column = batch.columns().columns().get(key);
        let column = column.ok_or_else(|| Error::internal(format!("there is no key column {key}")))?;
        let texts = values::texts(column)?;
        let texts = texts.as_string::<i32>();
        Ok((0..texts.len()).map(|row| texts.is_valid(row).then(|| Key::Text(texts.value(row).to_owned()))).collect())
    }
}

impl Sink for TopicSink {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let (keys, payloads) = (self.keys_of(batch)?, self.encode.encode(batch.columns())?);
        if payloads.len() != batch.rows() {
            return Err(Error::internal(format!("{} rows were encoded as {} payloads", batch.rows(), payloads.len())));
        }
        let publish_time_ms = u64::try_from(self.clock.now().0 / 1000).unwrap_or(0);
        let mut by_partition = vec![Vec::new(); self.position.last.len()];
        for (sequence, (payload, key)) in (self.position.rows..).zip(payloads.into_iter().zip(keys)) {
            let partitions = self.position.partitions_of(sequence);
            let partition = key.as_ref().map_or(0, |key| key.partition(Hashing::JavaString, partitions)) as usize;
            let row = format!("{:016x}:{sequence}", self.position.generation);
            by_partition[partition].push(OutgoingMessage {
                sequence,
                payload: Some(payload.into()),
                key,
                properties: vec![(ROW_PROPERTY.to_owned(), row)],
                event_time_ms: None,
                publish_time_ms,
            });
            self.position.last[partition] = Some(sequence);
        }
        self.position.rows += batch.rows() as u64;
        for (partition, messages) in (0..).zip(by_partition).filter(|(_, messages)| !messages.is_empty()) {
            self.writer.push(partition, messages)?;
        }
        Ok(())
    }

    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        self.writer.flush()?;
        self.position.is_deduplicated = self.writer.is_deduplicated().or(self.position.is_deduplicated);
        Ok(None)
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.position.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_comes_back() {
        let start = SinkPosition::start(u64::MAX, 2);
        let position = SinkPosition { rows: 9, last: vec![None, Some(8)], ..start };
        let more = position.clone().with_partitions(3, Some(20)).with_partitions(5, Some(24));
        let [with, without] = [true, false].map(|there| SinkPosition { is_deduplicated: Some(there), ..more.clone() });
        for position in [position, more, with, without] {
            let bytes = position.to_bytes();
            assert_eq!(SinkPosition::parse(&bytes).unwrap(), position);
            for end in 0..bytes.len() {
                assert!(SinkPosition::parse(&bytes[..end]).is_err(), "{end}");
            }
        }
        let beyond = SinkPosition { rows: 8, last: vec![Some(8)], ..SinkPosition::start(1, 1) };
        let error = SinkPosition::parse(&beyond.to_bytes()).unwrap_err().chain();
        assert!(error.contains("sequence 8 among 8 rows"), "{error}");
    }

    #[test]
    fn positions_of_earlier_versions_are_read() {
        let written = |version: u8, last: u64, fewer: Option<(u64, u64)>| {
            let mut out = ByteWriter::new(version);
            [7, 9, 2].into_iter().for_each(|number| out.u64(number));
            for (is_there, sequence) in [(0, 0), (1, last)] {
                out.u8(is_there);
                out.u64(sequence);
            }
            if let Some((until, partitions)) = fewer {
                [1, until, partitions].into_iter().for_each(|number| out.u64(number));
            }
            SinkPosition::parse(&out.finish())
        };
        let first = SinkPosition { rows: 9, last: vec![None, Some(8)], ..SinkPosition::start(7, 2) };
        let second = SinkPosition { fewer: vec![(20, 1)], ..first.clone() };
        assert_eq!(written(1, 8, None).unwrap(), first);
        assert_eq!(written(2, 8, Some((20, 1))).unwrap(), second);
        assert!(written(1, 8, Some((20, 1))).is_err());
    }

    #[test]
    fn a_partition_that_was_added_is_promised_what_the_output_was() {
        let start = SinkPosition { rows: 9, last: vec![Some(8)], ..SinkPosition::start(1, 1) };
        let position = SinkPosition { is_deduplicated: Some(true), ..start };
        let of = |stored| EarlierMessages { stored, is_deduplicated: Some(true), is_all: false };
        assert_eq!(position.earlier(2, false, false), [of(Some(8)), of(None)]);
    }

    #[test]
    fn what_a_broker_has_forgotten_is_not_asked_of_it_again() {
        let position = SinkPosition { rows: 9, last: vec![None, Some(8), Some(5)], ..SinkPosition::start(1, 3) };
        assert_eq!(position.without_forgotten(&[None, Some(8), Some(7)]), None);
        let forgotten = position.without_forgotten(&[None, None, Some(7)]);
        assert_eq!(forgotten.map(|position| position.last), Some(vec![None, None, Some(5)]));
        // It never knew.
        let without = SinkPosition { is_deduplicated: Some(false), ..position };
        assert_eq!(without.without_forgotten(&[None, None, None]), None);
    }

    #[test]
    fn rows_that_come_again_go_where_they_went_when_there_were_fewer_partitions() {
        let position = SinkPosition { rows: 10, ..SinkPosition::start(1, 2) };
        // Nothing is there from after the checkpoint.
        let rested = position.clone().with_partitions(3, Some(9));
        assert_eq!((rested.partitions_of(9), rested.partitions_of(10)), (3, 3));
        let first = position.with_partitions(3, Some(14));
        assert_eq!([10, 14, 15, 90].map(|row| first.partitions_of(row)), [2, 2, 3, 3]);
        // A kill while these came again, and another partition.
        let second = first.clone().with_partitions(4, Some(17));
        assert_eq!([10, 14, 15, 17, 18].map(|row| second.partitions_of(row)), [2, 2, 3, 3, 4]);
        assert_eq!(first.clone().with_partitions(4, Some(12)).partitions_of(14), 2, "what was taken may be less");
        // Once they have come, nothing is left of it.
        let later = SinkPosition { rows: 18, ..second };
        assert_eq!(SinkPosition::parse(&later.to_bytes()).unwrap().fewer, []);
    }
}
