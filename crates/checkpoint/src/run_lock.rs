//! The lock of a folder of checkpoints: one run at a time, as long as its process lives.

use crate::folder::io_error;
use dataflow::{Clock, Error, ProcessingTime, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

const LOCK: &str = "lock";

/// The right to put checkpoints into a folder, until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct RunLock {
    // The system gives the lock back at a kill.
    file: File,
}

impl RunLock {
    /// Takes the lock of a folder, or names who holds the checkpoints, which lie in `place`.
    pub fn take(folder: &Path, place: &str, clock: &dyn Clock) -> Result<RunLock> {
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(|e| io_error("open", &path, e))?;
        let locked = locks::lock_file(&file, |file| Some(read_holder(file)?.process));
        if !locked.map_err(|e| io_error("lock", &path, e))? {
            return Err(held(place, &file));
        }
        let holder = format!("{} {}\n", std::process::id(), clock.now().0);
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder.as_bytes()));
        written.map_err(|e| io_error("write", &path, e))?;
        Ok(RunLock { file })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // A program that is being started at this moment has the file open too, and closing ours would not free the lock.
        let _ = self.file.unlock();
    }
}

/// The process that has taken the lock of a folder last, which may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub process: u32,
    /// When it took the lock.
    pub since: ProcessingTime,
}

/// Who has taken the lock of a folder last; that he still holds it is not said.
pub fn holder(folder: &Path) -> Option<Holder> {
    read_holder(&File::open(folder.join(LOCK)).ok()?)
}

/// Whether a process holds the lock of a folder now: a run that starts, runs or ends, or one that makes a savepoint.
pub(crate) fn is_locked(folder: &Path) -> Result<bool> {
    let path = folder.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("open", &path, error)),
    };
    // Who takes the lock of a process that is over waits while ours is there; before anybody has signed it is not looked at,
    // so that nobody is refused for that.
    if read_holder(&file).is_none() {
        return Ok(false);
    }
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false).map_err(|error| io_error("unlock", &path, error)),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path, error)),
    }
}

fn read_holder(mut file: &File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
    let (process, since) = text.trim_end().split_once(' ')?;
    Some(Holder { process: process.parse().ok()?, since: ProcessingTime(since.parse().ok()?) })
}

/// The checkpoints are held by another run.
fn held(place: &str, file: &File) -> Error {
    // The holder may be about to write this; that it holds the lock is all that counts.
    let who = match read_holder(file) {
        Some(Holder { process, since }) => format!("process {process} since {since}"),
        None => "another process".to_owned(),
    };
    Error::invalid(format!(
        "the checkpoints in \"{place}\" are held by {who}, and only one run of a job may go on from them: stop that run, or \
         wait until it ends"
    ))
}
