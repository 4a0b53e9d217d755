//! Topics: durable, partitioned logs of raw messages with coordinates and arrival stamps.

use crate::{Position, ProcessingTime, Result, Span};
use std::task::Waker;

/// What makes a topic the same topic: a topic that was made again has another identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicId {
    /// The cluster, or the folder's own id for local topics.
    pub cluster: String,
    /// The topic's own id, given at creation.
    pub topic: String,
}

/// One message as it lies in its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it lies.
    pub position: Position,
    /// When the broker took it; never going back within a partition.
    pub arrival: ProcessingTime,
    /// The routing key, if the producer gave one.
    pub key: Option<Vec<u8>>,
    /// The undecoded row.
    pub payload: Vec<u8>,
    /// Why the payload is no row, where that is known before it is decoded: its bytes are not what was said of them.
    pub unreadable: Option<String>,
}

/// The end of a partition and the time up to which everything before that end is all there is, both taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnd {
    /// The last message's position; `None` when the partition has none.
    pub last: Option<Position>,
    /// `B`: nothing that lies after `last` arrived, or will arrive, at or before this time.
    pub drained_to: ProcessingTime,
}

/// How the consumers of a queue share its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueSharing {
    /// Whoever is free gets the next one.
    Any,
    /// Those of one key go to one consumer at a time, in their order.
    ByKey,
}

/// What is known of a queue that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFacts {
    /// Whether everything was given out that was there when it was opened, or what is left is with other consumers.
    pub is_used_up: bool,
    /// Whether it gives nothing more until some of what it gave is durable.
    pub is_blocked: bool,
    /// How many messages it gives at most before some of them are durable.
    pub open_max: u64,
}

/// A topic that can be opened partition by partition.
pub trait Topic: Send + Sync {
    /// The name, for messages to people.
    fn name(&self) -> &str;
    /// The identity, checked against frontiers.
    fn id(&self) -> &TopicId;
    /// How many partitions there are.
    fn partitions(&self) -> u32;
    /// Where the partition is a topic of another name than this, its name, for messages to people.
    fn partition_name(&self, _partition: u32) -> Option<String> {
        None
    }
    /// How long before now the times lie at least up to which its partitions say that they are drained: zero where
    /// messages are stamped and ends are told under one lock, else an allowance for messages on their way.
    fn margin(&self) -> Span;
    /// Whether its messages are shared with other consumers: it has one partition then, which gives each message to one
    /// of them, in any order, and again where it did not become durable. A position is a number of its own there, so
    /// that nothing can be read from one on.
    fn is_queue(&self) -> bool {
        false
    }
    /// Opens a partition at the message after the position given, or at its first. When a position is given the
    /// message there must still exist: an error of kind `Corrupt` names the gap when it was trimmed.
    fn open(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>>;
    /// The same for a job that goes on with what follows: where a topic keeps what the job has not read, the log moves
    /// that on with [`PartitionLog::durable`]. One may hold a partition at a time.
    fn hold(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        self.open(partition, after)
    }
}

/// One partition, read forward.
pub trait PartitionLog: Send {
    /// The next messages: at most so many, and about so many bytes; empty when none are here. Never waits.
    fn read(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>>;
    /// Whether messages are known to be there that were not read: they are on their way here, and a read that gave none
    /// says nothing. Never where messages lie on a disk.
    fn is_behind(&self) -> bool;
    /// Waits until the next message that is known to be there is here; returns at once where none is. Only for callers
    /// that may wait, which readers of a job may not.
    fn wait(&mut self) -> Result<()>;
    /// The end of the partition now, and the time up to which it is drained there. Asking writes nothing, and keeps a
    /// producer waiting for no longer than a copy takes. While a producer appends, an older answer is given again,
    /// which stays true; only the first call may wait for it.
    fn end(&mut self) -> Result<LogEnd>;
    /// Whether a newer answer is on its way that was asked for; it wakes, and `end` gives the one before until then. Never
    /// where messages lie on a disk.
    fn awaits_end(&self) -> bool {
        false
    }
    /// Says when the message had arrived, at the latest, after which the partition was opened. Where topics have no
    /// identity, one that was made again may have a message at the same position: reads are an error of kind `Corrupt`
    /// then, since it arrived later.
    fn arrived_by(&mut self, _arrival: ProcessingTime) {}
    /// Says that a job goes on after this message at the earliest, whatever happens: a checkpoint that has it is durable.
    fn durable(&mut self, _message: Position) {}
    /// What is known of it, where it is a queue.
    fn queue(&self) -> Option<QueueFacts> {
        None
    }
    /// Remembers whom to wake when there may be new messages. Called once.
    fn wake(&mut self, waker: &Waker) -> Result<()>;
}

/// Reads for a caller that may wait: nothing is given only where nothing is known to be there.
pub fn read_what_is_there(log: &mut dyn PartitionLog, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
    loop {
        let messages = log.read(messages_max, bytes_max)?;
        if !messages.is_empty() || !log.is_behind() {
            return Ok(messages);
        }
        log.wait()?;
    }
}
