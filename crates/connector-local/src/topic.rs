//! One topic: its identity, and its partitions opened to read or to write.

use crate::copies::{copiers, is_copied_now};
use crate::disk::io_error;
use crate::partition::Partition;
use crate::reader::LogReader;
use crate::tail::Watch;
use crate::write_lock::WritablePartition;
use dataflow::{Clock, Error, LogEnd, PartitionLog, Position, Result, Span, Topic, TopicId};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How long before now the times lie at least that the one who copies messages into a topic promises: what is on its
/// way for so long arrives as what it is.
pub const COPY_MARGIN: Span = Span(5_000_000);

/// A topic on a local disk.
pub struct LocalTopic {
    name: String,
    id: TopicId,
    partitions: u32,
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    is_copied: bool,
}

impl LocalTopic {
    /// A topic whose description has been read from its folder.
    pub(crate) fn new(name: &str, id: TopicId, partitions: u32, folder: PathBuf, clock: Arc<dyn Clock>) -> LocalTopic {
        LocalTopic { name: name.to_owned(), id, partitions, folder, clock, is_copied: false }
    }

    /// The same topic, into which messages are copied from elsewhere with the arrivals that they had there: how far a
    /// partition is drained is known from what the one who copies has promised, and not from the clock.
    #[must_use]
    pub fn of_copy(&self) -> LocalTopic {
        let LocalTopic { name, id, partitions, folder, clock, .. } = self;
        LocalTopic { is_copied: true, ..LocalTopic::new(name, id.clone(), *partitions, folder.clone(), clock.clone()) }
    }

    /// Whether messages are copied into it from elsewhere, or ever were.
    pub fn was_copied(&self) -> Result<bool> {
        Ok(!copiers(&self.folder)?.is_empty())
    }

    /// The end of each partition now, and the time up to which it is drained there.
    pub fn ends(&self) -> Result<Vec<LogEnd>> {
        (0..self.partitions).map(|partition| self.partition(partition)?.drained(self.clock.as_ref(), None)).collect()
    }

    /// The last message of each partition that is published. Waits for no producer, as [`LocalTopic::ends`] does.
    pub fn last_messages(&self) -> Result<Vec<Option<Position>>> {
        let last = |partition| Ok(self.partition(partition)?.published_or_wait()?.last);
        (0..self.partitions).map(last).collect()
    }

    /// Opens a partition for people, at the message after a position or at its first.
    pub fn watch(&self, partition: u32, after: Option<Position>) -> Result<Watch> {
        Ok(Watch::new(LogReader::open(self.partition(partition)?, after, self.clock.clone())?))
    }

    /// The clock that stamps.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The folder that the topic lies in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens the files of a partition to read them.
    pub(crate) fn partition(&self, partition: u32) -> Result<Partition> {
        Partition::open(&self.name, &self.partition_folder(partition)?, partition)
    }

    /// Opens the files of a partition to write.
    pub(crate) fn to_write(&self, partition: u32) -> Result<WritablePartition> {
        let folder = self.partition_folder(partition)?;
        WritablePartition::open(&self.name, &folder, partition).map_err(|e| io_error("open to write", &folder, e))
    }

    fn partition_folder(&self, partition: u32) -> Result<PathBuf> {
        if partition >= self.partitions {
            return Err(Error::invalid(format!(
                "topic \"{}\" has {} partitions, numbered from 0: there is no partition {partition}",
                self.name, self.partitions
            )));
        }
        Ok(self.folder.join(partition.to_string()))
    }
}

impl Topic for LocalTopic {
    fn name(&self) -> &str {
        &self.name
    }

    fn id(&self) -> &TopicId {
        &self.id
    }

    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn margin(&self) -> Span {
        let is_copied = self.is_copied || is_copied_now(&self.folder, self.clock.now()).unwrap_or(false);
        if is_copied { COPY_MARGIN } else { Span::ZERO }
    }

    fn open(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        let reader = LogReader::open(self.partition(partition)?, after, self.clock.clone())?;
        Ok(Box::new(if self.is_copied { reader.of_copy() } else { reader }))
    }
}
