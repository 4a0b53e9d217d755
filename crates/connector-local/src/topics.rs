//! A folder of topics.

use crate::claim::Claim;
use crate::disk::{io_error, sync_folder, write_whole};
use crate::notices::silent;
use crate::producer::Producer;
use crate::topic::LocalTopic;
use crate::trim::{TrimSummary, trim};
use crate::watcher::polling_reason;
use crate::write_lock::WritablePartition;
use dataflow::{Clock, Error, Position, ProcessingTime, Result, TopicId};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSION: u32 = 1;
/// A partition's number has 16 bits in a row's order.
const PARTITIONS_MAX: u32 = 1 << 16;
const NAME_BYTES_MAX: usize = 200;

/// The file `topic.json` of a topic.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicDescription {
    version: u32,
    id: String,
    partitions: u32,
}

/// A folder of topics. Several processes may use it at once.
#[derive(Clone)]
pub struct Topics {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
}

impl Topics {
    /// Uses a folder, which is created with the first topic. The clock stamps messages and answers for drained times.
    pub fn open(folder: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Result<Topics> {
        let folder = folder.into();
        if folder.exists() && !folder.is_dir() {
            return Err(Error::invalid(format!("\"{}\" is a file, expected a folder of topics", folder.display())));
        }
        Ok(Topics { folder, clock })
    }

    /// Creates a topic with an identity of its own. An error when one of this name exists.
    pub fn create(&self, name: &str, partitions: u32) -> Result<Arc<LocalTopic>> {
        match self.try_create(name, partitions)? {
            Some(topic) => Ok(topic),
            None => Err(Error::invalid(format!("topic \"{name}\" exists already in \"{}\"", self.folder.display()))),
        }
    }

    /// The topic of this name, created if it does not exist. Another process may do so at the same time.
    pub fn topic_or_create(&self, name: &str, partitions: u32) -> Result<Arc<LocalTopic>> {
        if let Some(topic) = self.topic(name)? {
            return Ok(topic);
        }
        if let Some(topic) = self.try_create(name, partitions)? {
            return Ok(topic);
        }
        self.topic(name)?.ok_or_else(|| missing(name, &self.folder))
    }

    /// The topic of this name, if there is one.
    pub fn topic(&self, name: &str) -> Result<Option<Arc<LocalTopic>>> {
        check_topic_name(name)?;
        let folder = self.folder.join(name);
        let path = folder.join("topic.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("read", &path, e)),
        };
        let described: TopicDescription = serde_json::from_slice(&text)
            .map_err(|e| Error::corrupt(format!("\"{}\" does not describe a topic", path.display())).with_source(e))?;
        if described.version != VERSION {
            return Err(Error::corrupt(format!(
                "topic \"{name}\": \"{}\" has format version {}, expected {VERSION}: it was written by a newer riverrun",
                path.display(),
                described.version
            )));
        }
        let id = TopicId { cluster: "local".to_owned(), topic: described.id };
        Ok(Some(Arc::new(LocalTopic::new(name, id, described.partitions, folder, self.clock.clone()))))
    }

    /// The names of all topics, in alphabetical order.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(io_error("list", &self.folder, e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|e| io_error("list", &self.folder, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if check_topic_name(&name).is_ok() && entry.path().join("topic.json").is_file() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// A producer for a topic that exists. Producers of one name are told apart by their epoch: once a higher epoch
    /// has written to a partition, lower ones are refused there. A producer without a name is not deduplicated.
    pub fn producer(&self, topic: &str, producer: &str, epoch: u64) -> Result<Producer> {
        Producer::open(self.existing(topic)?, producer, epoch)
    }

    /// Takes a producer's name on a topic that exists, with a new epoch, until the claim is dropped. An error that
    /// names the holder when another run has it.
    pub fn claim(&self, topic: &str, producer: &str) -> Result<Claim> {
        Claim::take(self.existing(topic)?, producer)
    }

    /// Takes a producer's name on a topic that exists, to go on under it where it stopped. An error that names the holder
    /// when another run has it.
    pub fn go_on(&self, topic: &str, producer: &str) -> Result<Claim> {
        Claim::go_on(self.existing(topic)?, producer)
    }

    /// Takes a producer's name on a topic that exists, with the epoch under which a checkpoint has written. An error that
    /// names the holder when another run has it, and one when a later epoch was begun.
    pub fn resume(&self, topic: &str, producer: &str, epoch: u64) -> Result<Claim> {
        Claim::resume(self.existing(topic)?, producer, epoch)
    }

    /// Removes the oldest messages of a topic, in whole segments: those that arrived before a time and lie before the
    /// position in `keep_after` of their partition, which the topic's archive goes on after (`Some` with `None` for a
    /// partition that it has nothing of; `None` when no archive holds messages back). The last message of a partition
    /// is never removed. Where messages are copied from elsewhere, a segment also has to be written before that time.
    pub fn trim(
        &self,
        topic: &str,
        before: ProcessingTime,
        keep_after: Option<&[Option<Position>]>,
    ) -> Result<TrimSummary> {
        trim(self.existing(topic)?.as_ref(), before, keep_after)
    }

    /// Why new messages in this folder are found by polling every 50 ms; `None` when the system reports them.
    pub fn watched_by_polling(&self) -> Option<String> {
        polling_reason(&self.folder).or_else(|| silent(&self.folder).ok().flatten())
    }

    fn existing(&self, topic: &str) -> Result<Arc<LocalTopic>> {
        self.topic(topic)?.ok_or_else(|| missing(topic, &self.folder))
    }

    fn try_create(&self, name: &str, partitions: u32) -> Result<Option<Arc<LocalTopic>>> {
        check_topic_name(name)?;
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(Error::invalid(format!(
                "topic \"{name}\" cannot have {partitions} partitions, expected 1 to {PARTITIONS_MAX}"
            )));
        }
        std::fs::create_dir_all(&self.folder).map_err(|e| io_error("make the folder", &self.folder, e))?;
        let id = uuid::Uuid::new_v4().to_string();
        let unfinished = self.folder.join(format!(".{id}.unfinished"));
        let made = self.fill(&unfinished, id, partitions).and_then(|()| {
            let folder = self.folder.join(name);
            match std::fs::rename(&unfinished, &folder) {
                Ok(()) => sync_folder(&self.folder).map(|()| true),
                Err(_) if folder.join("topic.json").exists() => Ok(false),
                Err(_) if folder.exists() => Err(Error::invalid(format!(
                    "cannot make the topic \"{name}\": \"{}\" already exists and is not a topic (it has no topic.json): move it \
                     away",
                    folder.display()
                ))),
                Err(e) => Err(io_error("make the topic", &folder, e)),
            }
        });
        if !matches!(made, Ok(true)) {
            // No one knows of this folder; if it stays it only takes up space.
            let _ = std::fs::remove_dir_all(&unfinished);
        }
        if made? { self.topic(name) } else { Ok(None) }
    }

    fn fill(&self, folder: &Path, id: String, partitions: u32) -> Result<()> {
        std::fs::create_dir(folder).map_err(|e| io_error("make the folder", folder, e))?;
        for partition in 0..partitions {
            WritablePartition::create(&folder.join(partition.to_string()))?;
        }
        let described = serde_json::to_vec(&TopicDescription { version: VERSION, id, partitions })
            .map_err(|e| Error::internal("cannot describe a topic").with_source(e))?;
        write_whole(&folder.join("topic.json"), &described)
    }
}

fn missing(topic: &str, folder: &Path) -> Error {
    Error::invalid(format!("there is no topic \"{topic}\" in \"{}\"", folder.display()))
}

/// Refuses a name that no topic can have: it is a folder on disk and part of messages, so it is kept simple.
pub fn check_topic_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with(['.', '-']) || !name.chars().all(allowed) {
        return Err(Error::invalid(format!(
            "\"{name}\" cannot name a topic, expected 1 to {NAME_BYTES_MAX} letters, digits, '_', '-' or '.', not \
             beginning with '-' or '.'"
        )));
    }
    Ok(())
}
