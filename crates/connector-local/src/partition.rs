//! The files of one partition, its lock, and its end.
//!
//! ```text
//! <topic>/<partition>/lock               held by whoever appends, or asks for the end
//! <topic>/<partition>/end                the published end
//! <topic>/<partition>/000000000000.log   segments; only the last one grows
//! <topic>/<partition>/000000000001.producers   each producer's last sequence before that segment
//! ```
//!
//! Whoever takes the lock first settles what a crash left behind the published end: whole messages become part of
//! the partition, a torn one is cut off. So no one is told an end, or a drained time, that such messages contradict.

use crate::end::{END_BYTES, End};
use crate::errors::{io_error, sync_folder, write_whole};
use crate::frame::{Frames, Step, segment_header};
use dataflow::{Error, LogEnd, ProcessingTime, Result};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An opened partition.
pub(crate) struct Partition {
    topic: String,
    number: u32,
    folder: PathBuf,
    lock: File,
    end: File,
}

impl Partition {
    /// Makes the files of a partition without messages.
    pub fn create(folder: &Path) -> Result<()> {
        std::fs::create_dir(folder).map_err(|e| io_error("make the folder", folder, e))?;
        write_whole(&folder.join("lock"), b"")?;
        write_whole(&segment_path(folder, 0), &segment_header(0))?;
        write_whole(&folder.join("end"), &End::at_start(0).to_bytes())
    }

    /// Opens a partition.
    pub fn open(topic: &str, folder: &Path, number: u32) -> Result<Partition> {
        let open = |name: &str| {
            let path = folder.join(name);
            OpenOptions::new().read(true).write(true).open(&path).map_err(|e| io_error("open", &path, e))
        };
        let (lock, end) = (open("lock")?, open("end")?);
        Ok(Partition { topic: topic.to_owned(), number, folder: folder.to_owned(), lock, end })
    }

    /// The path of a segment.
    pub fn segment_path(&self, ledger: u64) -> PathBuf {
        segment_path(&self.folder, ledger)
    }

    /// The path of the file with the producers' state before a segment.
    pub fn producers_path(&self, ledger: u64) -> PathBuf {
        self.folder.join(format!("{ledger:012}.producers"))
    }

    /// Says which partition it is, for messages to people.
    pub fn describe(&self) -> String {
        format!("topic \"{}\": partition {}", self.topic, self.number)
    }

    /// A message that cannot be read.
    pub fn corrupt(&self, frames: &Frames, reason: &str) -> Error {
        Error::corrupt(format!(
            "{}: message {}:{}:0 at byte {} of \"{}\" cannot be read: {reason}",
            self.describe(),
            frames.ledger(),
            frames.entry(),
            frames.offset(),
            frames.path().display()
        ))
    }

    /// The published end, without the lock.
    pub fn published(&self) -> Result<End> {
        match self.read_end()? {
            Some(end) => Ok(end),
            // It was being overwritten; under the lock it is not.
            None => Ok(self.locked()?.end),
        }
    }

    /// Waits for the lock.
    pub fn locked(&self) -> Result<Locked<'_>> {
        loop {
            match self.lock.lock() {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io_error("lock", &self.folder.join("lock"), e)),
            }
        }
        self.settled()
    }

    /// Takes the lock if no one has it.
    pub fn try_locked(&self) -> Result<Option<Locked<'_>>> {
        match self.lock.try_lock() {
            Ok(()) => self.settled().map(Some),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(io_error("lock", &self.folder.join("lock"), e)),
        }
    }

    /// The guard of a lock just taken, with everything behind the published end settled.
    fn settled(&self) -> Result<Locked<'_>> {
        let mut locked = Locked { partition: self, end: End::at_start(0) };
        let Some(end) = self.read_end()? else {
            return Err(Error::corrupt(format!(
                "{}: \"{}\" is damaged; restore the topic's folder from a copy",
                self.describe(),
                self.folder.join("end").display()
            )));
        };
        locked.end = end;
        locked.settle()?;
        Ok(locked)
    }

    fn read_end(&self) -> Result<Option<End>> {
        let mut bytes = [0; END_BYTES];
        match self.end.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(End::parse(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(io_error("read", &self.folder.join("end"), e)),
        }
    }
}

fn segment_path(folder: &Path, ledger: u64) -> PathBuf {
    folder.join(format!("{ledger:012}.log"))
}

/// A partition whose lock is held; given back when dropped.
pub(crate) struct Locked<'a> {
    partition: &'a Partition,
    /// The end, with nothing behind it on disk.
    pub end: End,
}

impl Locked<'_> {
    /// Publishes an end, whose messages are synced.
    pub fn publish(&mut self, end: End) -> Result<()> {
        let path = self.partition.folder.join("end");
        self.partition.end.write_all_at(&end.to_bytes(), 0).map_err(|e| io_error("write", &path, e))?;
        self.end = end;
        Ok(())
    }

    /// Begins the next segment, durably.
    pub fn begin_segment(&mut self) -> Result<()> {
        let ledger = self.end.ledger + 1;
        write_whole(&self.partition.segment_path(ledger), &segment_header(ledger))?;
        let End { last, stamp, floor, .. } = self.end;
        self.publish(End { last, stamp, floor, ..End::at_start(ledger) })?;
        // Else a power failure could leave an end in the segment before beside messages in this one.
        let path = self.partition.folder.join("end");
        self.partition.end.sync_all().map_err(|e| io_error("sync", &path, e))?;
        sync_folder(&self.partition.folder)
    }

    /// The end and the time up to which the partition is drained there. No message is stamped at or before that
    /// time from here on, even if the clock is set back.
    pub fn drained(&mut self, now: ProcessingTime) -> Result<LogEnd> {
        let floor = now.0.max(self.end.stamp).max(self.end.floor);
        if floor != self.end.floor {
            self.publish(End { floor, ..self.end })?;
        }
        Ok(LogEnd { last: self.end.last, drained_to: ProcessingTime(floor.saturating_sub(1)) })
    }

    /// Takes up whole messages behind the end, and cuts off what follows them.
    fn settle(&mut self) -> Result<()> {
        let path = self.partition.segment_path(self.end.ledger);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| io_error("open the segment", &path, e))?;
        let bytes = file.metadata().map_err(|e| io_error("look at", &path, e))?.len();
        if bytes == self.end.bytes {
            return Ok(());
        }
        if bytes < self.end.bytes {
            return Err(Error::corrupt(format!(
                "{}: \"{}\" has {bytes} bytes, expected at least {}: messages that were acknowledged are gone",
                self.partition.describe(),
                path.display(),
                self.end.bytes
            )));
        }
        let reading = file.try_clone().map_err(|e| io_error("open the segment", &path, e))?;
        let mut frames = Frames::at(reading, &path, self.end.ledger, self.end.entry, self.end.bytes);
        let mut end = self.end;
        while let Step::Record(record) = frames.next(bytes)? {
            (end.last, end.stamp) = (Some(record.position), record.arrival);
        }
        (end.bytes, end.entry) = (frames.offset(), frames.entry());
        file.set_len(end.bytes)
            .and_then(|()| file.sync_all())
            .map_err(|e| io_error("cut off what a crash left behind in", &path, e))?;
        self.publish(end)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Closing the file gives the lock back as well, so a failure here loses nothing.
        let _ = self.partition.lock.unlock();
    }
}
