//! Appends to a topic, durably, each message of a named producer once.

use crate::end::End;
use crate::errors::{io_error, write_whole};
use crate::frame::{Frames, MESSAGE_BYTES_MAX, Stamp, Step, put};
use crate::partition::Partition;
use crate::topics::LocalTopic;
use dataflow::{Clock, Error, Result, Topic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A segment gets no more messages when it has reached this size.
const SEGMENT_BYTES: u64 = 64 << 20;
const PRODUCER_NAME_BYTES_MAX: usize = 255;
const PRODUCERS_VERSION: u32 = 1;

/// A message to append.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Its number among those of its producer and epoch in this partition; they rise, with gaps where it likes.
    pub sequence: u64,
    /// The routing key.
    pub key: Option<&'a [u8]>,
    /// The encoded row.
    pub payload: &'a [u8],
}

/// Appends messages to a topic under a name and an epoch.
///
/// The last sequence of each producer is found in the log itself, so a message that was written before a crash is
/// not written again after it. State: a name, an epoch and a sequence per producer that ever wrote to the topic.
pub struct Producer {
    topic: Arc<LocalTopic>,
    name: String,
    epoch: u64,
    segment_bytes: u64,
    partitions: Vec<Option<Appender>>,
}

impl Producer {
    pub(crate) fn open(topic: Arc<LocalTopic>, name: &str, epoch: u64) -> Result<Producer> {
        if name.len() > PRODUCER_NAME_BYTES_MAX {
            return Err(Error::invalid(format!(
                "producer \"{name}\" has a name of {} bytes, expected at most {PRODUCER_NAME_BYTES_MAX}",
                name.len()
            )));
        }
        let partitions = (0..topic.partitions()).map(|_| None).collect();
        Ok(Producer { topic, name: name.to_owned(), epoch, segment_bytes: SEGMENT_BYTES, partitions })
    }

    /// The topic that it appends to.
    pub fn topic(&self) -> &Arc<LocalTopic> {
        &self.topic
    }

    /// The same producer with smaller or larger segments.
    #[must_use]
    pub fn with_segment_bytes(mut self, segment_bytes: u64) -> Producer {
        self.segment_bytes = segment_bytes;
        self
    }

    /// Appends messages to a partition and returns how many were new: those of this producer and epoch with a
    /// sequence at or below the last one written are there already. All are durable on return, and have one stamp.
    /// After an error the same messages may be appended again.
    pub fn append(&mut self, partition: u32, messages: &[Outgoing<'_>]) -> Result<usize> {
        self.check(messages)?;
        let topic = &self.topic;
        let slot = match self.partitions.get_mut(partition as usize) {
            Some(slot) => slot,
            None => return topic.partition(partition).map(|_| 0),
        };
        if slot.is_none() {
            *slot = Some(Appender::new(topic.partition(partition)?));
        }
        let appender = slot.as_mut().expect("made above");
        let who = Who { name: &self.name, epoch: self.epoch };
        appender.append(who, messages, topic.clock().as_ref(), self.segment_bytes)
    }

    /// The last sequence of this producer and epoch in a partition, if it has written there.
    pub fn last_sequence(&mut self, partition: u32) -> Result<Option<u64>> {
        let mut appender = Appender::new(self.topic.partition(partition)?);
        let locked = appender.partition.locked()?;
        appender.known.catch_up(&appender.partition, &locked.end)?;
        let last = appender.known.producers.get(&self.name);
        Ok(last.filter(|last| last.epoch == self.epoch).map(|last| last.sequence))
    }

    /// The greatest epoch under which this producer's name has written to the topic, if it has.
    pub fn last_epoch(&self) -> Result<Option<u64>> {
        let mut greatest = None;
        for partition in 0..self.topic.partitions() {
            let mut appender = Appender::new(self.topic.partition(partition)?);
            let locked = appender.partition.locked()?;
            appender.known.catch_up(&appender.partition, &locked.end)?;
            greatest = greatest.max(appender.known.producers.get(&self.name).map(|last| last.epoch));
        }
        Ok(greatest)
    }

    fn check(&self, messages: &[Outgoing<'_>]) -> Result<()> {
        let topic = self.topic.name();
        for message in messages {
            let bytes = message.key.map_or(0, <[u8]>::len) + message.payload.len();
            if bytes > MESSAGE_BYTES_MAX {
                return Err(Error::invalid(format!(
                    "topic \"{topic}\": a message has {bytes} bytes, expected at most {MESSAGE_BYTES_MAX}"
                )));
            }
        }
        match messages.windows(2).find(|pair| pair[0].sequence >= pair[1].sequence) {
            Some(pair) if !self.name.is_empty() => Err(Error::invalid(format!(
                "topic \"{topic}\": producer \"{}\" appends sequence {} after {}, expected a greater one",
                self.name, pair[1].sequence, pair[0].sequence
            ))),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
struct Who<'a> {
    name: &'a str,
    epoch: u64,
}

/// Appends to one partition.
struct Appender {
    partition: Partition,
    known: Known,
    segment: Option<(u64, File)>,
}

impl Appender {
    fn new(partition: Partition) -> Appender {
        Appender { partition, known: Known::default(), segment: None }
    }

    fn append(&mut self, who: Who<'_>, messages: &[Outgoing<'_>], clock: &dyn Clock, segment: u64) -> Result<usize> {
        let mut locked = self.partition.locked()?;
        self.known.catch_up(&self.partition, &locked.end)?;
        let fresh = match self.known.last_sequence(&self.partition, who)? {
            Some(last) => &messages[messages.partition_point(|message| message.sequence <= last)..],
            None => messages,
        };
        let Some(newest) = fresh.last() else { return Ok(0) };
        if locked.end.bytes >= segment {
            self.known.save(&self.partition, locked.end.ledger + 1)?;
            locked.begin_segment()?;
        }
        let end = locked.end;
        let arrival = clock.now().0.max(end.stamp).max(end.floor);
        let mut bytes = Vec::new();
        let mut stamp = Stamp { ledger: end.ledger, entry: end.entry, arrival, producer: who.name, epoch: who.epoch };
        for message in fresh {
            put(&mut bytes, &stamp, message);
            stamp.entry += 1;
        }
        write(&self.partition, &mut self.segment, &end, &bytes)?;
        let last = dataflow::Position { ledger: end.ledger, entry: stamp.entry - 1, batch_index: 0 };
        let bytes = end.bytes + bytes.len() as u64;
        locked.publish(End { bytes, entry: stamp.entry, last: Some(last), stamp: arrival, ..end })?;
        self.known.note(who.name, who.epoch, newest.sequence);
        self.known.ledger = end.ledger;
        self.known.entry = stamp.entry;
        self.known.bytes = bytes;
        Ok(fresh.len())
    }
}

/// Writes behind the end and syncs. When that fails nothing is left there.
fn write(partition: &Partition, segment: &mut Option<(u64, File)>, end: &End, bytes: &[u8]) -> Result<()> {
    let path = partition.segment_path(end.ledger);
    if segment.as_ref().is_none_or(|(ledger, _)| *ledger != end.ledger) {
        let file = OpenOptions::new().write(true).open(&path).map_err(|e| io_error("open the segment", &path, e))?;
        *segment = Some((end.ledger, file));
    }
    let (_, file) = segment.as_ref().expect("opened above");
    file.write_all_at(bytes, end.bytes).and_then(|()| file.sync_data()).map_err(|e| {
        // If this fails too, whoever takes the lock next settles it.
        let _ = file.set_len(end.bytes);
        io_error("append to", &path, e)
    })
}

/// The last message of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    epoch: u64,
    sequence: u64,
}

/// What the log says about producers, up to a place in it.
#[derive(Default)]
struct Known {
    producers: BTreeMap<String, Last>,
    ledger: u64,
    entry: u64,
    // Zero until the log was looked at.
    bytes: u64,
}

impl Known {
    /// The last sequence of a producer and epoch; an error when a higher epoch has written.
    fn last_sequence(&self, partition: &Partition, who: Who<'_>) -> Result<Option<u64>> {
        match self.producers.get(who.name) {
            Some(last) if last.epoch > who.epoch => Err(Error::invalid(format!(
                "{}: producer \"{}\" with epoch {} is fenced: epoch {} has taken over",
                partition.describe(),
                who.name,
                who.epoch,
                last.epoch
            ))),
            Some(last) if last.epoch == who.epoch => Ok(Some(last.sequence)),
            _ => Ok(None),
        }
    }

    fn note(&mut self, name: &str, epoch: u64, sequence: u64) {
        if name.is_empty() {
            return;
        }
        match self.producers.get_mut(name) {
            Some(last) => *last = Last { epoch, sequence },
            None => {
                self.producers.insert(name.to_owned(), Last { epoch, sequence });
            }
        }
    }

    /// Reads what was appended since, by whomever, up to the end. At first that is the last segment, whose producers
    /// before it are in a file.
    fn catch_up(&mut self, partition: &Partition, end: &End) -> Result<()> {
        if self.bytes == 0 {
            self.load(partition, end.ledger)?;
        }
        while (self.ledger, self.bytes) != (end.ledger, end.bytes) {
            let path = partition.segment_path(self.ledger);
            let mut frames = if self.bytes == 0 {
                Frames::open(&path, self.ledger)?
            } else {
                let file = File::open(&path).map_err(|e| io_error("open the segment", &path, e))?;
                Frames::at(file, &path, self.ledger, self.entry, self.bytes)
            };
            let limit = if self.ledger == end.ledger { end.bytes } else { frames.file_bytes()? };
            loop {
                match frames.next(limit)? {
                    Step::Record(record) => {
                        let (epoch, sequence) = (record.epoch, record.sequence);
                        let name = String::from_utf8_lossy(record.producer);
                        self.note(&name, epoch, sequence);
                    }
                    Step::Limit => break,
                    Step::Bad(reason) => return Err(partition.corrupt(&frames, reason)),
                }
            }
            (self.entry, self.bytes) = (frames.entry(), frames.offset());
            if self.ledger < end.ledger {
                (self.ledger, self.entry, self.bytes) = (self.ledger + 1, 0, 0);
            }
        }
        Ok(())
    }

    /// The producers before a segment.
    fn load(&mut self, partition: &Partition, ledger: u64) -> Result<()> {
        self.ledger = ledger;
        if ledger == 0 {
            return Ok(());
        }
        let path = partition.producers_path(ledger);
        let text = std::fs::read(&path).map_err(|e| io_error("read", &path, e))?;
        let saved: Saved = serde_json::from_slice(&text)
            .map_err(|e| Error::corrupt(format!("\"{}\" does not list producers", path.display())).with_source(e))?;
        if saved.version != PRODUCERS_VERSION {
            return Err(Error::corrupt(format!(
                "\"{}\" has format version {}, expected {PRODUCERS_VERSION}",
                path.display(),
                saved.version
            )));
        }
        self.producers =
            saved.producers.into_iter().map(|(name, epoch, sequence)| (name, Last { epoch, sequence })).collect();
        Ok(())
    }

    fn save(&self, partition: &Partition, ledger: u64) -> Result<()> {
        let producers = self.producers.iter().map(|(name, last)| (name.clone(), last.epoch, last.sequence)).collect();
        let saved = serde_json::to_vec(&Saved { version: PRODUCERS_VERSION, producers })
            .map_err(|e| Error::internal("cannot list producers").with_source(e))?;
        write_whole(&partition.producers_path(ledger), &saved)
    }
}

/// The file `<ledger>.producers`: name, epoch and last sequence of each.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    producers: Vec<(String, u64, u64)>,
}
