//! The state of a partition's producers, from its log: the epoch and the sequence of the last message of each.

use crate::disk::{io_error, write_whole};
use crate::end::End;
use crate::frame::{Frames, Step};
use crate::partition::Partition;
use dataflow::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;

const PRODUCERS_VERSION: u32 = 1;

/// The last message of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastMessage {
    pub epoch: u64,
    pub sequence: u64,
}

/// The last message of each producer, up to a place in the log.
#[derive(Default)]
pub(crate) struct ProducerStates {
    producers: BTreeMap<String, LastMessage>,
    ledger: u64,
    entry: u64,
    // Zero until the log has been read.
    bytes: u64,
}

impl ProducerStates {
    /// The last message of a producer.
    pub fn last(&self, name: &str) -> Option<LastMessage> {
        self.producers.get(name).copied()
    }

    /// Records a message that was appended right after the last one read, up to an end.
    pub fn appended(&mut self, name: &str, last: LastMessage, end: &End) {
        self.note(name, last);
        (self.ledger, self.entry, self.bytes) = (end.ledger, end.entry, end.bytes);
    }

    fn note(&mut self, name: &str, last: LastMessage) {
        if name.is_empty() {
            return;
        }
        match self.producers.get_mut(name) {
            Some(known) => *known = last,
            None => {
                self.producers.insert(name.to_owned(), last);
            }
        }
    }

    /// Reads what anyone has appended to the last segment, up to the end. The producers before that segment are
    /// in a file, so segments between may be long gone.
    pub fn catch_up(&mut self, partition: &Partition, end: &End) -> Result<()> {
        if self.bytes == 0 || self.ledger != end.ledger {
            self.load(partition, end.ledger)?;
        }
        if self.bytes == end.bytes {
            return Ok(());
        }
        let path = partition.segment_path(self.ledger);
        let mut frames = if self.bytes == 0 {
            Frames::open(&path, self.ledger)?
        } else {
            let file = File::open(&path).map_err(|e| io_error("open the segment", &path, e))?;
            Frames::at(file, &path, self.ledger, self.entry, self.bytes)
        };
        loop {
            match frames.next(end.bytes)? {
                Step::Record(record) => {
                    let last = LastMessage { epoch: record.epoch, sequence: record.sequence };
                    let name = String::from_utf8_lossy(record.producer);
                    self.note(&name, last);
                }
                Step::Limit => break,
                Step::Bad(reason) => return Err(partition.corrupt(&frames, reason)),
            }
        }
        (self.entry, self.bytes) = (frames.entry(), frames.offset());
        Ok(())
    }

    /// Reads the list of producers before a segment.
    fn load(&mut self, partition: &Partition, ledger: u64) -> Result<()> {
        *self = ProducerStates { ledger, ..ProducerStates::default() };
        if ledger == 0 {
            return Ok(());
        }
        let path = partition.producers_path(ledger);
        let text = std::fs::read(&path).map_err(|e| io_error("read", &path, e))?;
        let saved: ProducersFile = serde_json::from_slice(&text)
            .map_err(|e| Error::corrupt(format!("\"{}\" does not list producers", path.display())).with_source(e))?;
        if saved.version != PRODUCERS_VERSION {
            return Err(Error::corrupt(format!(
                "\"{}\" has format version {}, expected {PRODUCERS_VERSION}",
                path.display(),
                saved.version
            )));
        }
        self.producers = saved
            .producers
            .into_iter()
            .map(|(name, epoch, sequence)| (name, LastMessage { epoch, sequence }))
            .collect();
        Ok(())
    }

    /// Writes the list of producers before a segment.
    pub fn save(&self, partition: &Partition, ledger: u64) -> Result<()> {
        let producers = self.producers.iter().map(|(name, last)| (name.clone(), last.epoch, last.sequence)).collect();
        let saved = serde_json::to_vec(&ProducersFile { version: PRODUCERS_VERSION, producers })
            .map_err(|e| Error::internal("cannot list producers").with_source(e))?;
        write_whole(&partition.producers_path(ledger), &saved)
    }
}

/// The file `<ledger>.producers`: name, epoch and last sequence of each.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProducersFile {
    version: u32,
    producers: Vec<(String, u64, u64)>,
}
