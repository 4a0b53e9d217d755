//! Reads one partition forward.

use crate::copies::Copying;
use crate::end::End;
use crate::frame::{Frames, Record, Step};
use crate::partition::Partition;
use crate::watcher::{WatchGuard, watch};
use dataflow::{Clock, Error, LogEnd, Message, PartitionLog, Position, ProcessingTime, Result};
use std::sync::Arc;
use std::task::Waker;

/// The messages of a partition after a position, as far as they are synced. Reading takes no lock.
pub(crate) struct LogReader {
    partition: Partition,
    clock: Arc<dyn Clock>,
    frames: Frames,
    published: End,
    // The last answer about the end.
    answered: Option<LogEnd>,
    // Whether messages bring their arrivals from elsewhere.
    is_copied: bool,
    copying: Copying,
    watching: Option<WatchGuard>,
}

impl LogReader {
    /// Opens at the message after a position, which must be there, or at the first message that is there.
    pub fn open(partition: Partition, after: Option<Position>, clock: Arc<dyn Clock>) -> Result<LogReader> {
        let frames = match after {
            None => first_frames(&partition)?,
            Some(after) => Frames::open_if_there(&partition.segment_path(after.ledger), after.ledger)?,
        };
        // Read second: the segment just opened may be read no further than this.
        let published = partition.published_or_wait()?;
        let frames = match (frames, after) {
            (_, Some(after)) if after.ledger > published.ledger => return Err(gone(&partition, after, &published)),
            (None, Some(after)) => return Err(trimmed(&partition, after)?),
            (None, None) => return Err(partition.without_segments()),
            (Some(frames), _) => frames,
        };
        let (answered, is_copied, watching, copying) = (None, false, None, Copying::default());
        let mut reader = LogReader { partition, clock, frames, published, answered, is_copied, copying, watching };
        if let Some(after) = after {
            reader.skip_to(after)?;
        }
        Ok(reader)
    }

    /// The same for a partition whose messages bring their arrivals from elsewhere.
    pub fn of_copy(self) -> LogReader {
        LogReader { is_copied: true, ..self }
    }

    /// Skips to the message after a position.
    fn skip_to(&mut self, after: Position) -> Result<()> {
        let limit = self.limit()?;
        while self.frames.entry() <= after.entry && after.batch_index == 0 {
            match self.frames.next(limit)? {
                Step::Record(_) => {}
                Step::Limit => return Err(gone(&self.partition, after, &self.published)),
                Step::Bad(reason) => return Err(self.partition.corrupt(&self.frames, reason)),
            }
        }
        match after.batch_index {
            0 => Ok(()),
            _ => Err(gone(&self.partition, after, &self.published)),
        }
    }

    /// How far the opened segment may be read.
    fn limit(&self) -> Result<u64> {
        match self.published.ledger == self.frames.ledger() {
            true => Ok(self.published.bytes),
            false => self.frames.file_bytes(),
        }
    }

    /// Moves to the next segment, or to what was published since; false when there is nothing new.
    fn go_on(&mut self) -> Result<bool> {
        if self.frames.ledger() < self.published.ledger {
            let ledger = self.frames.ledger() + 1;
            self.frames = match Frames::open_if_there(&self.partition.segment_path(ledger), ledger)? {
                Some(frames) => frames,
                None => {
                    let entry = self.frames.entry().saturating_sub(1);
                    let last = Position { ledger: self.frames.ledger(), entry, batch_index: 0 };
                    return Err(trimmed(&self.partition, last)?);
                }
            };
            return Ok(true);
        }
        let Some(published) = self.partition.published()? else { return Ok(false) };
        let grown = (published.ledger, published.bytes) != (self.published.ledger, self.published.bytes);
        self.published = published;
        if !grown {
            self.partition.check_there()?;
        }
        Ok(grown)
    }

    /// Whether there may be messages that were not read yet. One small read at most.
    pub fn has_more(&mut self) -> Result<bool> {
        Ok(self.frames.offset() < self.limit()? || self.go_on()?)
    }

    /// Passes the next records to a function, up to limits of records and bytes; a larger record comes alone.
    pub fn each(&mut self, records_max: usize, bytes_max: usize, take: &mut dyn FnMut(&Record<'_>)) -> Result<()> {
        let (mut records, mut bytes) = (0, 0usize);
        let mut limit = self.limit()?;
        while records < records_max && bytes < bytes_max {
            let next = self.frames.next_bytes(limit)?.unwrap_or(0);
            if records > 0 && bytes.saturating_add(next) > bytes_max {
                break;
            }
            match self.frames.next(limit)? {
                Step::Record(record) => {
                    bytes += next;
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

/// The first segment; the one that was found may be trimmed before it is opened. `None` when there is none.
fn first_frames(partition: &Partition) -> Result<Option<Frames>> {
    let mut sought = None;
    loop {
        let first = partition.segments()?.first().copied();
        let Some(ledger) = first.filter(|_| first != sought) else { return Ok(None) };
        if let Some(frames) = Frames::open_if_there(&partition.segment_path(ledger), ledger)? {
            return Ok(Some(frames));
        }
        sought = first;
    }
}

fn shown(at: Position) -> String {
    format!("{}:{}:{}", at.ledger, at.entry, at.batch_index)
}

/// The message to continue after does not exist.
fn gone(partition: &Partition, after: Position, end: &End) -> Error {
    Error::corrupt(format!(
        "{}: message {} to go on after is not there, the partition ends at {}: the topic was cut, or replaced by an \
         older copy",
        partition.describe(),
        shown(after),
        end.last.map_or("its start".to_owned(), shown)
    ))
}

/// The message to continue after has been trimmed.
fn trimmed(partition: &Partition, after: Position) -> Result<Error> {
    let first = partition.segments()?.into_iter().find(|ledger| *ledger > after.ledger).unwrap_or(after.ledger + 1);
    Ok(Error::corrupt(format!(
        "{}: message {} to go on after is not there, the partition begins at {}: what came before was trimmed",
        partition.describe(),
        shown(after),
        shown(Position { ledger: first, entry: 0, batch_index: 0 })
    )))
}

/// A record as the contract has it.
pub(crate) fn message(record: &Record<'_>) -> Message {
    Message {
        position: record.position,
        arrival: ProcessingTime(record.arrival),
        key: record.key.map(<[u8]>::to_vec),
        payload: record.payload.to_vec(),
        unreadable: None,
    }
}

impl PartitionLog for LogReader {
    fn read(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        self.each(messages_max, bytes_max, &mut |record| messages.push(message(record)))?;
        Ok(messages)
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<LogEnd> {
        let topic = self.partition.folder.parent().unwrap_or(&self.partition.folder);
        let end = match self.is_copied || self.copying.is_on(topic, self.clock.now())? {
            true => self.partition.drained_as_promised(self.answered)?,
            false => self.partition.drained(self.clock.as_ref(), self.answered)?,
        };
        self.answered = Some(end);
        Ok(end)
    }

    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.watching = Some(watch(&self.partition.folder.join("end"), waker)?);
        Ok(())
    }
}
