//! What an output to a topic leaves in a checkpoint: how many rows it has written, and where.

use crate::producer::Producer;
use dataflow::{ByteReader, ByteWriter, Error, Result, Topic};

const VERSION: u8 = 1;

/// Where the writer of a topic goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPosition {
    /// The epoch of its producer.
    pub epoch: u64,
    /// How many rows were written.
    pub rows: u64,
    // Per partition the sequence of the last message, which is the number of its row.
    pub(crate) last: Vec<Option<u64>>,
}

impl TopicPosition {
    /// Before the first row of an epoch.
    pub fn start(producer: &Producer) -> TopicPosition {
        let partitions = producer.topic().partitions() as usize;
        TopicPosition { epoch: producer.epoch(), rows: 0, last: vec![None; partitions] }
    }

    /// The byte form, for checkpoints.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = ByteWriter::new(VERSION);
        out.u64(self.epoch);
        out.u64(self.rows);
        out.u64(self.last.len() as u64);
        for last in &self.last {
            out.u8(u8::from(last.is_some()));
            out.u64(last.unwrap_or(0));
        }
        out.finish()
    }

    /// Reads the byte form; an error of kind `Corrupt` says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<TopicPosition> {
        let mut from = ByteReader::new("the position of a topic's writer", bytes, VERSION)?;
        let (epoch, rows, partitions) = (from.u64()?, from.u64()?, from.u64()?);
        let mut last = Vec::new();
        for _ in 0..partitions {
            let (is_there, sequence) = (from.u8()?, from.u64()?);
            last.push(match is_there {
                0 => None,
                1 if sequence < rows => Some(sequence),
                _ => return Err(from.corrupt(&format!("sequence {sequence} among {rows} rows"))),
            });
        }
        from.end()?;
        Ok(TopicPosition { epoch, rows, last })
    }

    /// How many rows after this position the topic has already, since its writer went on until it was killed: a run that
    /// goes on from here gives those again, and its producer writes none of them twice.
    ///
    /// A topic that lacks messages from before the position is an error, and so is one with other partitions.
    pub fn replay(&self, producer: &Producer) -> Result<u64> {
        let topic = producer.topic();
        let wrong = |what: String| {
            Error::invalid(format!(
                "topic \"{}\" {what}; restore the topic, or start over with --fresh, which writes all messages again under \
                 a new epoch",
                topic.name()
            ))
        };
        if self.last.len() != topic.partitions() as usize {
            let (found, expected) = (topic.partitions(), self.last.len());
            return Err(wrong(format!("has {found} partitions, and the checkpoint has written to {expected}")));
        }
        let mut written = self.rows;
        for (partition, &expected) in (0..).zip(&self.last) {
            let found = producer.last_sequence(partition)?;
            if found < expected {
                let shown = |row: Option<u64>| row.map_or_else(|| "none".to_owned(), |row| format!("up to row {row}"));
                return Err(wrong(format!(
                    "lacks messages in partition {partition}: it has {} of this job's epoch {}, and the checkpoint has \
                     written {}",
                    shown(found),
                    self.epoch,
                    shown(expected)
                )));
            }
            written = written.max(found.map_or(0, |last| last.saturating_add(1)));
        }
        Ok(written - self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ErrorKind;

    #[test]
    fn version_one_is_read_for_as_long_as_there_are_checkpoints() {
        let mut stored = vec![1];
        for number in [7u64, 300, 3] {
            stored.extend(number.to_le_bytes());
        }
        for (is_there, sequence) in [(1, 299u64), (0, 0), (1, 0)] {
            stored.push(is_there);
            stored.extend(sequence.to_le_bytes());
        }
        let position = TopicPosition { epoch: 7, rows: 300, last: vec![Some(299), None, Some(0)] };
        assert_eq!(TopicPosition::parse(&stored).unwrap(), position);
        assert_eq!(position.to_bytes(), stored);
        for end in 0..stored.len() {
            assert_eq!(TopicPosition::parse(&stored[..end]).unwrap_err().kind(), ErrorKind::Corrupt, "{end}");
        }
        // More partitions than there are bytes, and a sequence that no row has.
        stored[17] = 0xff;
        assert_eq!(TopicPosition::parse(&stored).unwrap_err().kind(), ErrorKind::Corrupt);
        stored[17] = 3;
        stored[26] = 0xff;
        assert_eq!(TopicPosition::parse(&stored).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
