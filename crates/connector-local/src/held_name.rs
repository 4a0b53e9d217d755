//! A producer's name, held by one run at a time on this machine, and what was published under it.
//!
//! ```text
//! <name>.lock     held until the run ends; says who holds it
//! <name>.input    what was published under the name, where it is one that goes on
//! ```

use crate::disk::io_error;
use crate::input_mark::PublishedInput;
use dataflow::{Error, ProcessingTime, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

const HOLDER_VERSION: u32 = 1;
/// How long a file's name may become; the system's limit is 255 bytes.
const FILE_NAME_BYTES_MAX: usize = 200;

/// A producer's name, held until this is dropped or the process ends.
pub struct HeldName {
    folder: PathBuf,
    file: String,
    // The system gives the lock back at a kill.
    lock: File,
}

/// Who holds a name; for messages to people only.
#[derive(Serialize, Deserialize)]
struct Holder {
    version: u32,
    producer: String,
    process: u32,
    since: i64,
}

impl HeldName {
    /// Takes the name of a producer of a topic, with files of a name of their own in a folder, which is made. A name that
    /// another run on this machine holds is an error that says who it is.
    pub fn hold(
        (folder, file): (PathBuf, &str),
        (topic, producer): (&str, &str),
        now: ProcessingTime,
    ) -> Result<HeldName> {
        std::fs::create_dir_all(&folder).map_err(|e| io_error("make the folder", &folder, e))?;
        let path = producer_path(folder.clone(), file, "lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| io_error("open", &path, e))?;
        let locked = locks::lock_file(&lock, |file| Some(holder(file)?.process));
        if !locked.map_err(|e| io_error("lock", &path, e))? {
            return Err(held(topic, producer, &lock));
        }
        let process = std::process::id();
        let holder = Holder { version: HOLDER_VERSION, producer: producer.to_owned(), process, since: now.0 };
        let text = serde_json::to_vec(&holder).map_err(|e| Error::internal("cannot name a holder").with_source(e))?;
        let written = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(&text));
        written.map_err(|e| io_error("write", &path, e))?;
        Ok(HeldName { folder, file: file.to_owned(), lock })
    }

    /// What was published under this name, if anything was.
    pub fn input(&self) -> Result<Option<PublishedInput>> {
        PublishedInput::read(&self.path("input"))
    }

    /// Records what is published under this name, durably.
    pub fn set_input(&self, input: &PublishedInput) -> Result<()> {
        input.write(&self.path("input"))
    }

    /// Shows that whoever holds the name runs.
    pub fn touch(&self, now: ProcessingTime) -> Result<()> {
        let since = Duration::from_micros(u64::try_from(now.0).unwrap_or(0));
        self.lock.set_modified(UNIX_EPOCH + since).map_err(|e| io_error("touch", &self.path("lock"), e))
    }

    fn path(&self, ending: &str) -> PathBuf {
        producer_path(self.folder.clone(), &self.file, ending)
    }
}

impl Drop for HeldName {
    fn drop(&mut self) {
        // A program that is being started at this moment has the file open too, and closing ours would not free the lock.
        let _ = self.lock.unlock();
    }
}

/// Who holds a name, or has held it last. The holder may be about to write this.
fn holder(mut file: &File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The name is held by another run.
fn held(topic: &str, producer: &str, file: &File) -> Error {
    let who = match holder(file) {
        Some(holder) => format!("process {} since {}", holder.process, ProcessingTime(holder.since)),
        None => "another process".to_owned(),
    };
    Error::invalid(format!(
        "topic \"{topic}\": producer \"{producer}\" is held by {who}, and only one run may write under a name: stop that \
         run, or wait until it ends"
    ))
}

/// A producer's name as a file's: bytes that a folder could not hold are written as %XX, a long name ends in its
/// checksum.
pub fn producer_path(folder: PathBuf, producer: &str, ending: &str) -> PathBuf {
    let mut name = String::new();
    for byte in producer.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.len() > FILE_NAME_BYTES_MAX {
        name.truncate(FILE_NAME_BYTES_MAX);
        name.push_str(&format!("%{:08x}", crc32c::crc32c(producer.as_bytes())));
    }
    folder.join(format!("{name}.{ending}"))
}
