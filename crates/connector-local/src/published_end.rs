//! What a reader asks of a partition: its published end, and the time up to which it is drained.

use crate::disk::io_error;
use crate::end::End;
use crate::partition::Partition;
use crate::write_lock::WritablePartition;
use dataflow::{Clock, LogEnd, ProcessingTime, Result};
use std::fs::File;
use std::io;
use std::path::Path;

impl Partition {
    /// Opens a partition for reading.
    pub fn open(topic: &str, folder: &Path, number: u32) -> Result<Partition> {
        let open = |name: &str| File::open(folder.join(name));
        let failed = |name: &str, e| io_error("open", &folder.join(name), e);
        let lock = open("lock").map_err(|e| failed("lock", e))?;
        let end = match open("end") {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                // The segments have everything that it said.
                WritablePartition::open(topic, folder, number).map_err(|e| failed("end", e))?.locked()?;
                open("end")
            }
            opened => opened,
        };
        let end = end.map_err(|e| failed("end", e))?;
        Ok(Partition { topic: topic.to_owned(), number, folder: folder.to_owned(), lock, end })
    }

    /// The same partition, opened to write.
    pub fn to_write(&self) -> io::Result<WritablePartition> {
        WritablePartition::open(&self.topic, &self.folder, self.number)
    }

    /// The published end: one small read. `None` while it is being overwritten. Rebuilds one that is damaged.
    pub fn published(&self) -> Result<Option<End>> {
        if let Some(end) = self.read_end()? {
            return Ok(Some(end));
        }
        let Some(lock) = self.try_read_lock()? else { return Ok(None) };
        if let Some(end) = self.read_end()? {
            return Ok(Some(end));
        }
        drop(lock);
        Ok(Some(self.rebuilt()?))
    }

    /// The published end, once no one is overwriting it.
    pub fn published_or_wait(&self) -> Result<End> {
        if let Some(end) = self.published()? {
            return Ok(end);
        }
        let lock = self.read_lock()?;
        if let Some(end) = self.read_end()? {
            return Ok(end);
        }
        drop(lock);
        self.rebuilt()
    }

    fn rebuilt(&self) -> Result<End> {
        let writable = self.to_write().map_err(|e| io_error("rebuild", &self.folder.join("end"), e))?;
        let end = writable.locked()?.end;
        Ok(end)
    }

    /// The end of a partition whose messages bring their arrivals from elsewhere, and the time up to which it is drained:
    /// what its producer has promised. Neither the clock nor a lock has a say, since what comes may have arrived long ago.
    ///
    /// A power failure may take back a promise, which is not synced; a row that arrived before it is then moved as a late
    /// one is.
    pub fn drained_as_promised(&self, before: Option<LogEnd>) -> Result<LogEnd> {
        let published = match before {
            Some(_) => self.published()?,
            None => Some(self.published_or_wait()?),
        };
        Ok(standing(published, before))
    }

    /// The end and the time up to which the partition is drained there.
    ///
    /// The end and the clock are read while no one can append, and whoever appends reads the clock after that: what
    /// comes has a later stamp. While someone appends, an answer is given that stays true without the lock; only the
    /// first question of a reader, which has no such answer before it, waits. When the clock is set back between a
    /// question and an append, the message gets a stamp that was called drained: nothing on disk remembers the
    /// question, so its reader moves such a row as it moves a late one.
    pub fn drained(&self, clock: &dyn Clock, before: Option<LogEnd>) -> Result<LogEnd> {
        let lock = match before {
            Some(_) => self.try_read_lock()?,
            None => Some(self.read_lock()?),
        };
        let Some(lock) = lock else {
            return Ok(standing(self.published()?, before));
        };
        let end = self.read_end()?;
        let now = clock.now();
        if let Some(end) = end
            && self.segment_bytes(end.ledger)? == end.bytes
        {
            return Ok(drained_at(&end, now, before));
        }
        drop(lock);
        // A crash left something after the end, or the end is damaged: it is settled first if this user may write.
        match self.to_write() {
            Ok(writable) => {
                let locked = match before {
                    Some(_) => writable.try_locked()?,
                    None => Some(writable.locked()?),
                };
                match locked {
                    Some(locked) => Ok(drained_at(&locked.end, clock.now(), before)),
                    None => Ok(standing(self.published()?, before)),
                }
            }
            Err(e) if cannot_write(&e) && end.is_some() => Ok(standing(end, before)),
            Err(e) => Err(io_error("settle what a crash left behind in", &self.folder, e)),
        }
    }

    fn segment_bytes(&self, ledger: u64) -> Result<u64> {
        let path = self.segment_path(ledger);
        Ok(std::fs::metadata(&path).map_err(|e| io_error("look at the segment", &path, e))?.len())
    }

    /// Waits until no one appends, and keeps appends out; not for somebody who stands still.
    fn read_lock(&self) -> Result<ReadLock<'_>> {
        self.wait_for_lock(|| self.try_read_lock())
    }

    /// Keeps everyone from appending, unless someone is.
    fn try_read_lock(&self) -> Result<Option<ReadLock<'_>>> {
        match self.lock.try_lock_shared() {
            Ok(()) => Ok(Some(ReadLock(self))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(io_error("lock", &self.folder.join("lock"), e)),
        }
    }
}

/// The answer while no one can append: what comes is stamped at `now` or later, and never before the last message.
fn drained_at(end: &End, now: ProcessingTime, before: Option<LogEnd>) -> LogEnd {
    let drained_to = ProcessingTime(now.0.max(end.stamp).saturating_sub(1));
    LogEnd { last: end.last, drained_to: before.map_or(drained_to, |before| before.drained_to.max(drained_to)) }
}

/// The answer without the lock: what comes is stamped no earlier than the last message.
fn standing(published: Option<End>, before: Option<LogEnd>) -> LogEnd {
    let answer =
        published.map(|end| LogEnd { last: end.last, drained_to: ProcessingTime(end.stamp.saturating_sub(1)) });
    match (answer, before) {
        (Some(answer), Some(before)) => {
            LogEnd { last: answer.last.max(before.last), drained_to: answer.drained_to.max(before.drained_to) }
        }
        (Some(answer), None) | (None, Some(answer)) => answer,
        (None, None) => LogEnd { last: None, drained_to: ProcessingTime(i64::MIN) },
    }
}

/// Whether an error says that this user, or anyone here, may only read.
fn cannot_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Keeps everyone from appending until it is dropped.
struct ReadLock<'a>(&'a Partition);

impl Drop for ReadLock<'_> {
    fn drop(&mut self) {
        // Closing the file releases the lock as well, so a failure here loses nothing.
        let _ = self.0.lock.unlock();
    }
}
