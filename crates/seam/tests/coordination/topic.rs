//! A topic in memory that notes when its partitions are asked how far they are drained.

use crate::memory::MemoryTopic;
use dataflow::{LogEnd, Message, PartitionLog, Position, Result, Topic, TopicId};
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// The times of the questions, with the partition.
pub type Asks = Arc<Mutex<Vec<(u32, i64)>>>;

/// A topic and the questions that it was asked.
pub struct AskedTopic {
    pub inner: MemoryTopic,
    pub asks: Asks,
}

struct AskedLog {
    inner: Box<dyn PartitionLog>,
    partition: u32,
    asks: Asks,
}

impl AskedTopic {
    pub fn new(inner: MemoryTopic) -> AskedTopic {
        AskedTopic { inner, asks: Asks::default() }
    }
}

impl Topic for AskedTopic {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn id(&self) -> &TopicId {
        self.inner.id()
    }

    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    fn open(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        Ok(Box::new(AskedLog { inner: self.inner.open(partition, after)?, partition, asks: self.asks.clone() }))
    }
}

impl PartitionLog for AskedLog {
    fn read(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
        self.inner.read(messages_max, bytes_max)
    }

    fn end(&mut self) -> Result<LogEnd> {
        let end = self.inner.end()?;
        self.asks.lock().unwrap().push((self.partition, end.drained_to.0));
        Ok(end)
    }

    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.inner.wake(waker)
    }
}
