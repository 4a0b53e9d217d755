//! A producer's name, held by one run at a time, and its epoch.
//!
//! ```text
//! <topic>/producers/<name>.lock      held until the run ends; says who holds it
//! <topic>/producers/<name>.promise   how far one of several that copy into the topic has promised
//! <topic>/producers/<name>.input     what was published under it, where the name is one that goes on
//! <topic>/<partition>/epochs         what fences an older run that did not see the lock
//! ```

use crate::disk::io_error;
use crate::epochs::Epochs;
use crate::input_mark::PublishedInput;
use crate::producer::{Appender, Producer};
use crate::producer_states::ProducerStates;
use crate::topic::LocalTopic;
use dataflow::{Error, ProcessingTime, Result, Topic};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const HOLDER_VERSION: u32 = 1;
/// How long a file's name may become; the system's limit is 255 bytes.
const FILE_NAME_BYTES_MAX: usize = 200;

/// A producer's name on a topic, held until this is dropped or the process ends, and an epoch that no one has used.
///
/// Anyone else on this machine who claims the name is refused. Where locks are not seen, the younger claim has the
/// greater epoch on every partition, and appends of the older one fail from then on.
pub struct Claim {
    topic: Arc<LocalTopic>,
    producer: String,
    epoch: u64,
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

impl Claim {
    /// Takes the name, then a new epoch.
    pub(crate) fn take(topic: Arc<LocalTopic>, producer: &str) -> Result<Claim> {
        if producer.is_empty() {
            return Err(Error::invalid(format!(
                "topic \"{}\": a producer without a name cannot be claimed",
                topic.name()
            )));
        }
        Producer::open(topic.clone(), producer, 0)?;
        let lock = lock(&topic, producer)?;
        let epoch = new_epoch(&topic, producer)?;
        Ok(Claim { topic, producer: producer.to_owned(), epoch, lock })
    }

    /// Takes the name again, with the epoch under which it has written: a message whose sequence is there already is
    /// not written again. Two runs that do not see each other's locks give rows once all the same.
    pub(crate) fn go_on(topic: Arc<LocalTopic>, producer: &str) -> Result<Claim> {
        let claimed = Producer::open(topic.clone(), producer, 0)?;
        let lock = lock(&topic, producer)?;
        let epoch = claimed.last_epoch()?.unwrap_or(1);
        Ok(Claim { topic, producer: producer.to_owned(), epoch, lock })
    }

    /// Takes the name again, with the epoch of a checkpoint. A later epoch, under which all was begun anew, is an error.
    pub(crate) fn resume(topic: Arc<LocalTopic>, producer: &str, epoch: u64) -> Result<Claim> {
        let claimed = Producer::open(topic.clone(), producer, epoch)?;
        let lock = lock(&topic, producer)?;
        match claimed.greatest_epoch()? {
            Some(greatest) if greatest > epoch => Err(Error::invalid(format!(
                "topic \"{}\": producer \"{producer}\" was begun anew with epoch {greatest}, and the checkpoint goes on \
                 with epoch {epoch}: start over with --fresh, which writes all messages again",
                topic.name()
            ))),
            _ => Ok(Claim { topic, producer: producer.to_owned(), epoch, lock }),
        }
    }

    /// What was published under this name, if anything was.
    pub fn input(&self) -> Result<Option<PublishedInput>> {
        PublishedInput::read(&self.input_path())
    }

    /// Records what is published under this name, durably.
    pub fn set_input(&self, input: &PublishedInput) -> Result<()> {
        input.write(&self.input_path())
    }

    fn input_path(&self) -> PathBuf {
        producer_path(self.topic.folder().join("producers"), &self.producer, "input")
    }

    /// The epoch: greater than any before it on any partition.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Shows that whoever holds the name runs.
    pub fn touch(&self) -> Result<()> {
        let since = Duration::from_micros(u64::try_from(self.topic.clock().now().0).unwrap_or(0));
        let path = producer_path(self.topic.folder().join("producers"), &self.producer, "lock");
        self.lock.set_modified(UNIX_EPOCH + since).map_err(|e| io_error("touch", &path, e))
    }

    /// Tells the others who copy into the topic that what this one brings from now on has arrived after a time. A crash
    /// of the machine may take it back.
    pub fn set_promise(&self, drained_to: ProcessingTime) -> Result<()> {
        let path = producer_path(self.topic.folder().join("producers"), &self.producer, "promise");
        std::fs::write(&path, format!("{}\n", drained_to.0)).map_err(|e| io_error("write", &path, e))
    }

    /// What another producer of the topic has told in this way, if it has.
    pub fn promise_of(&self, producer: &str) -> Option<ProcessingTime> {
        let path = producer_path(self.topic.folder().join("producers"), producer, "promise");
        // One that is being written has no end of the line yet, and is whole a moment later.
        let text = std::fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.parse().ok().map(ProcessingTime)
    }

    /// A producer that appends under this claim.
    pub fn producer(&self) -> Result<Producer> {
        Producer::open(self.topic.clone(), &self.producer, self.epoch)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // A program that is being started at this moment has the file open too, and closing ours would not free the lock.
        let _ = self.lock.unlock();
    }
}

/// The lock file of a producer, locked.
fn lock(topic: &LocalTopic, producer: &str) -> Result<File> {
    let folder = topic.folder().join("producers");
    std::fs::create_dir_all(&folder).map_err(|e| io_error("make the folder", &folder, e))?;
    let path = producer_path(folder, producer, "lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|e| io_error("open", &path, e))?;
    let locked = locks::lock_file(&file, |file| Some(holder(file)?.process));
    if !locked.map_err(|e| io_error("lock", &path, e))? {
        return Err(held(topic, producer, &file));
    }
    let holder = Holder {
        version: HOLDER_VERSION,
        producer: producer.to_owned(),
        process: std::process::id(),
        since: topic.clock().now().0,
    };
    let text = serde_json::to_vec(&holder).map_err(|e| Error::internal("cannot name a holder").with_source(e))?;
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&text));
    written.map_err(|e| io_error("write", &path, e))?;
    Ok(file)
}

/// Who holds a name, or has held it last. The holder may be about to write this.
fn holder(mut file: &File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut text)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The name is held by another run.
fn held(topic: &LocalTopic, producer: &str, file: &File) -> Error {
    let who = match holder(file) {
        Some(holder) => format!("process {} since {}", holder.process, ProcessingTime(holder.since)),
        None => "another process".to_owned(),
    };
    Error::invalid(format!(
        "topic \"{}\": producer \"{producer}\" is held by {who}, and only one run may write under a name: stop that run, \
         or wait until it ends",
        topic.name()
    ))
}

/// A producer's name as a file's: bytes that a folder could not hold are written as %XX, a long name ends in its
/// checksum.
fn producer_path(folder: PathBuf, producer: &str, ending: &str) -> PathBuf {
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

/// Finds an epoch above all that were written or claimed, and records it on every partition. The first partition is
/// locked throughout, so that of two who claim at once, one sees what the other recorded.
fn new_epoch(topic: &LocalTopic, producer: &str) -> Result<u64> {
    let first = topic.to_write(0)?;
    let locked = first.locked_soon()?;
    let (mut known, mut epochs) = (ProducerStates::default(), Epochs::default());
    known.catch_up(&first.0, &locked.end)?;
    epochs.refresh(&first.0)?;
    let mut greatest = known.last(producer).map(|last| last.epoch).max(epochs.of(producer));
    for partition in 1..topic.partitions() {
        greatest = greatest.max(Appender::new(topic.to_write(partition)?).greatest_epoch(producer)?);
    }
    let epoch = greatest.unwrap_or(0).checked_add(1).ok_or_else(|| {
        Error::invalid(format!("topic \"{}\": producer \"{producer}\" has used the last epoch", topic.name()))
    })?;
    for partition in 1..topic.partitions() {
        Appender::new(topic.to_write(partition)?).claim(producer, epoch)?;
    }
    epochs.claim(&first.0, producer, epoch)?;
    Ok(epoch)
}
