//! Reads one partition forward.

use crate::end::End;
use crate::frame::{Frames, Record, Step};
use crate::partition::Partition;
use dataflow::{Clock, Error, LogEnd, Message, PartitionLog, Position, ProcessingTime, Result, Span};
use std::sync::Arc;
use std::task::Waker;

/// For how long the end last seen is given again while an appender holds the lock. It stays true, it only gets old.
const END_REUSE: Span = Span::millis(100);

/// The messages of a partition after a position, as far as they are synced. Reading takes no lock.
pub(crate) struct LogReader {
    partition: Partition,
    clock: Arc<dyn Clock>,
    frames: Frames,
    published: End,
    seen: Option<(LogEnd, ProcessingTime)>,
}

impl LogReader {
    /// Opens at the message after a position, which must be there, or at the first message.
    pub fn open(partition: Partition, after: Option<Position>, clock: Arc<dyn Clock>) -> Result<LogReader> {
        let published = partition.published()?;
        let ledger = after.map_or(0, |after| after.ledger);
        if ledger > published.ledger {
            return Err(gone(&partition, after, &published));
        }
        let frames = Frames::open(&partition.segment_path(ledger), ledger)?;
        let mut reader = LogReader { partition, clock, frames, published, seen: None };
        if let Some(after) = after {
            reader.skip_to(after)?;
        }
        Ok(reader)
    }

    /// Passes the message at a position.
    fn skip_to(&mut self, after: Position) -> Result<()> {
        let limit = self.limit()?;
        while self.frames.entry() <= after.entry && after.batch_index == 0 {
            match self.frames.next(limit)? {
                Step::Record(_) => {}
                Step::Limit => return Err(gone(&self.partition, Some(after), &self.published)),
                Step::Bad(reason) => return Err(self.partition.corrupt(&self.frames, reason)),
            }
        }
        match after.batch_index {
            0 => Ok(()),
            _ => Err(gone(&self.partition, Some(after), &self.published)),
        }
    }

    /// How far the opened segment may be read.
    fn limit(&self) -> Result<u64> {
        match self.published.ledger == self.frames.ledger() {
            true => Ok(self.published.bytes),
            false => self.frames.file_bytes(),
        }
    }

    /// Goes on to the next segment, or to what was published since; false when there is nothing new.
    fn go_on(&mut self) -> Result<bool> {
        if self.frames.ledger() < self.published.ledger {
            let ledger = self.frames.ledger() + 1;
            self.frames = Frames::open(&self.partition.segment_path(ledger), ledger)?;
            return Ok(true);
        }
        let published = self.partition.published()?;
        let grown = (published.ledger, published.bytes) != (self.published.ledger, self.published.bytes);
        self.published = published;
        Ok(grown)
    }
}

/// The message to go on after is not there.
fn gone(partition: &Partition, after: Option<Position>, end: &End) -> Error {
    let show = |at: Option<Position>| match at {
        Some(at) => format!("{}:{}:{}", at.ledger, at.entry, at.batch_index),
        None => "its start".to_owned(),
    };
    Error::corrupt(format!(
        "{}: message {} to go on after is not there, the partition ends at {}: the topic was cut, or replaced by an \
         older copy",
        partition.describe(),
        show(after),
        show(end.last)
    ))
}

impl LogReader {
    /// Hands the next records over: at most so many, and about so many bytes.
    fn each(&mut self, records_max: usize, bytes_max: usize, take: &mut dyn FnMut(&Record<'_>)) -> Result<()> {
        let (mut records, mut bytes) = (0, 0);
        let mut limit = self.limit()?;
        while records < records_max && bytes < bytes_max {
            match self.frames.next(limit)? {
                Step::Record(record) => {
                    bytes += record.payload.len() + record.key.map_or(0, <[u8]>::len);
                    records += 1;
                    take(&record);
                }
                Step::Limit => {
                    if !self.go_on()? {
                        break;
                    }
                    limit = self.limit()?;
                }
                Step::Bad(reason) => return Err(self.partition.corrupt(&self.frames, reason)),
            }
        }
        Ok(())
    }
}

fn message(record: &Record<'_>) -> Message {
    Message {
        position: record.position,
        arrival: ProcessingTime(record.arrival),
        key: record.key.map(<[u8]>::to_vec),
        payload: record.payload.to_vec(),
    }
}

/// A partition read for people: each message with the producer and the epoch that wrote it.
pub struct Watch(pub(crate) LogReader);

impl Watch {
    /// The next messages, at most so many; empty when there are none yet. Never waits.
    pub fn next(&mut self, messages_max: usize) -> Result<Vec<(Message, String, u64)>> {
        let mut seen = Vec::new();
        self.0.each(messages_max, usize::MAX, &mut |record| {
            seen.push((message(record), String::from_utf8_lossy(record.producer).into_owned(), record.epoch));
        })?;
        Ok(seen)
    }
}

impl PartitionLog for LogReader {
    fn wake(&mut self, _: &Waker) -> Result<()> {
        Ok(())
    }

    fn read(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        self.each(messages_max, bytes_max, &mut |record| messages.push(message(record)))?;
        Ok(messages)
    }

    fn end(&mut self) -> Result<LogEnd> {
        let mut locked = match (self.partition.try_locked()?, self.seen) {
            (Some(locked), _) => locked,
            (None, Some((end, at))) if self.clock.now() < at.plus(END_REUSE) => return Ok(end),
            (None, _) => self.partition.locked()?,
        };
        let now = self.clock.now();
        let end = locked.drained(now)?;
        drop(locked);
        self.seen = Some((end, now));
        Ok(end)
    }
}
