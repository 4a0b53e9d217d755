//! A partition opened for writing, and its exclusive lock.
//!
//! Whoever takes the exclusive lock first settles what a crash left after the published end: whole messages become part
//! of the partition, a torn one is cut off. So no one sees an end, or a drained time, that such messages contradict.

use crate::disk::{io_error, sync_folder, write_whole};
use crate::end::End;
use crate::frame::{Frames, Step, segment_header};
use crate::partition::{Partition, segment_path};
use crate::rebuild::end_of_segments;
use dataflow::{Error, Result};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A partition opened for writing; only the holder of its exclusive lock writes to it.
pub(crate) struct WritablePartition(pub Partition);

impl WritablePartition {
    /// Creates the files of an empty partition.
    pub fn create(folder: &Path) -> Result<()> {
        std::fs::create_dir(folder).map_err(|e| io_error("make the folder", folder, e))?;
        write_whole(&folder.join("lock"), b"")?;
        write_whole(&segment_path(folder, 0), &segment_header(0))?;
        write_whole(&folder.join("end"), &End::at_start(0).to_bytes())
    }

    /// Opens a partition for writing. A missing end file is created; whoever locks the partition fills it.
    pub fn open(topic: &str, folder: &Path, number: u32) -> io::Result<WritablePartition> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let lock = options.open(folder.join("lock"))?;
        let end = options.create(true).truncate(false).open(folder.join("end"))?;
        Ok(WritablePartition(Partition::of(topic, folder, number, lock, end)))
    }

    /// Waits for the lock, but not for somebody who stands still: for those who are about to begin, and whom nobody hears
    /// while they wait.
    pub fn locked_soon(&self) -> Result<WriteLock<'_>> {
        self.0.wait_for_lock(|| self.try_locked())
    }

    /// Waits for the lock, however long that takes.
    pub fn locked(&self) -> Result<WriteLock<'_>> {
        loop {
            match self.0.lock.lock() {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(io_error("lock", &self.0.folder.join("lock"), e)),
            }
        }
        self.settled()
    }

    /// Takes the lock if no one has it.
    pub fn try_locked(&self) -> Result<Option<WriteLock<'_>>> {
        match self.0.lock.try_lock() {
            Ok(()) => self.settled().map(Some),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(io_error("lock", &self.0.folder.join("lock"), e)),
        }
    }

    /// The guard of a lock just taken, with everything after the published end settled.
    fn settled(&self) -> Result<WriteLock<'_>> {
        let mut locked = WriteLock { partition: &self.0, end: End::at_start(0) };
        self.0.check_here()?;
        match self.0.read_end()? {
            Some(end) => locked.end = end,
            None => {
                let end = end_of_segments(&self.0)?;
                locked.publish(end)?;
                locked.sync_end()?;
            }
        }
        locked.settle()?;
        Ok(locked)
    }
}

/// The exclusive lock of a partition; released when dropped.
pub(crate) struct WriteLock<'a> {
    partition: &'a Partition,
    /// The end, with nothing after it on disk.
    pub end: End,
}

impl WriteLock<'_> {
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
        let End { last, stamp, .. } = self.end;
        self.publish(End { last, stamp, ..End::at_start(ledger) })?;
        // Else a power failure could leave an end in the segment before beside messages in this one.
        self.sync_end()
    }

    fn sync_end(&self) -> Result<()> {
        let path = self.partition.folder.join("end");
        self.partition.end.sync_all().map_err(|e| io_error("sync", &path, e))?;
        sync_folder(&self.partition.folder)
    }

    /// Adopts whole messages after the end, and cuts off what follows them.
    fn settle(&mut self) -> Result<()> {
        let path = self.partition.segment_path(self.end.ledger);
        let bytes = std::fs::metadata(&path).map_err(|e| io_error("look at the segment", &path, e))?.len();
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
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|e| io_error("open the segment", &path, e))?;
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

impl Drop for WriteLock<'_> {
    fn drop(&mut self) {
        // Closing the file releases the lock as well, so a failure here loses nothing.
        let _ = self.partition.lock.unlock();
    }
}
