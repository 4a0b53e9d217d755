//! The files of one partition: its lock, its published end, and its segments.
//!
//! ```text
//! <topic>/<partition>/lock               held exclusively to append, and shared to ask for the end
//! <topic>/<partition>/end                the published end
//! <topic>/<partition>/epochs             the epochs that producers have claimed
//! <topic>/<partition>/000000000000.log   segments; only the last one grows, and the first ones may be trimmed
//! <topic>/<partition>/000000000001.producers   each producer's last sequence before that segment
//! ```
//!
//! A reader opens everything read-only, and writes nothing.

use crate::disk::io_error;
use crate::end::{END_BYTES_MAX, End, EndFile};
use crate::frame::Frames;
use dataflow::{Error, Result};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often, and with which pause, a lock is tried that somebody has for a moment.
const LOCK_TRIES: u32 = 2_000;
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// An opened partition.
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) number: u32,
    pub(crate) folder: PathBuf,
    pub(crate) lock: File,
    pub(crate) end: File,
}

impl Partition {
    /// A partition whose files were opened by the caller.
    pub fn of(topic: &str, folder: &Path, number: u32, lock: File, end: File) -> Partition {
        Partition { topic: topic.to_owned(), number, folder: folder.to_owned(), lock, end }
    }

    /// The path of a segment.
    pub fn segment_path(&self, ledger: u64) -> PathBuf {
        segment_path(&self.folder, ledger)
    }

    /// The path of the file with the producers' state before a segment.
    pub fn producers_path(&self, ledger: u64) -> PathBuf {
        self.folder.join(format!("{ledger:012}.producers"))
    }

    /// The ledgers of the segments that exist, in order.
    pub fn segments(&self) -> Result<Vec<u64>> {
        let failed = |e| io_error("list", &self.folder, e);
        let mut ledgers = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            ledgers
                .extend(name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|n| n.parse::<u64>().ok()));
        }
        ledgers.sort_unstable();
        Ok(ledgers)
    }

    /// Tries to take the lock until that succeeds. An append takes milliseconds: who holds the lock much longer has
    /// stopped, which is reported instead of waited for without a bound.
    #[expect(clippy::disallowed_methods, reason = "waits for another process, which has no other clock")]
    pub fn wait_for_lock<T>(&self, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        for _ in 0..LOCK_TRIES {
            if let Some(lock) = attempt()? {
                return Ok(lock);
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Err(Error::unavailable(format!(
            "{}: another process has held \"{}\" for {} s, as a producer does while it appends: it stands still; end or \
             continue it",
            self.describe(),
            self.folder.join("lock").display(),
            (LOCK_PAUSE * LOCK_TRIES).as_secs()
        )))
    }

    /// The topic and the partition, for messages to people.
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

    /// Every partition has a segment, so someone has removed them.
    pub fn without_segments(&self) -> Error {
        Error::corrupt(format!(
            "{}: \"{}\" has no segments: its messages are gone",
            self.describe(),
            self.folder.display()
        ))
    }

    /// The end file's content; `None` when it is not whole.
    pub fn read_end(&self) -> Result<Option<End>> {
        let mut bytes = [0; END_BYTES_MAX];
        let path = || self.folder.join("end");
        let size = loop {
            match self.end.read_at(&mut bytes, 0) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|e| io_error("read", &path(), e))?,
            }
        };
        match EndFile::parse(&bytes[..size]) {
            EndFile::Whole(end) => Ok(Some(end)),
            EndFile::Torn => Ok(None),
            EndFile::Later(version) => Err(Error::corrupt(format!(
                "{}: \"{}\" has format version {version}, which this riverrun does not know: it was written by a newer \
                 one",
                self.describe(),
                path().display()
            ))),
        }
    }

    /// Refuses a partition whose files were removed while it is read: a topic of the same name is another one.
    pub fn check_there(&self) -> Result<()> {
        let path = self.folder.join("lock");
        if self.lock.metadata().map_err(|e| io_error("look at", &path, e))?.nlink() > 0 {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "{}: the topic was removed while it was read, or made again under its name: what was read of it is gone, and \
             a new topic has messages of its own",
            self.describe()
        )))
    }

    /// Refuses a partition whose folder was removed, moved or made again while it is written to: segments are found by
    /// their paths, and those of a topic of the same name are not ours. The caller holds the lock.
    pub fn check_here(&self) -> Result<()> {
        let path = self.folder.join("lock");
        let own = self.lock.metadata().map_err(|e| io_error("look at", &path, e))?;
        match std::fs::metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => Ok(()),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("look at", &path, e)),
            _ => Err(Error::corrupt(format!(
                "{}: the topic was removed or moved while it was written to, or made again under its name: nothing more is \
                 written to it, and a new topic is left as it is; run this again to write to the new one",
                self.describe()
            ))),
        }
    }
}

pub(crate) fn segment_path(folder: &Path, ledger: u64) -> PathBuf {
    folder.join(format!("{ledger:012}.log"))
}
