//! A topic in memory whose messages may show later than they arrive, and that notes when its partitions are asked how far
//! they are drained.

use crate::memory::MemoryTopic;
use dataflow::{LogEnd, Message, PartitionLog, Position, ProcessingTime, Result, Span, Topic, TopicId};
use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::task::Waker;

/// What a topic was asked, and what it answered wrongly.
#[derive(Default)]
pub struct Answers {
    /// The times of the questions, with the partition.
    pub asks: Vec<(u32, i64)>,
    /// Messages that had arrived by a time up to which their partition was said to be drained, and that showed later.
    pub missed: BTreeSet<(u32, usize)>,
}

/// A topic and its answers.
pub struct AskedTopic {
    pub inner: MemoryTopic,
    pub answers: Arc<Mutex<Answers>>,
    // When each message shows.
    shown: Arc<Vec<Vec<i64>>>,
    margin: i64,
}

struct AskedLog {
    inner: Box<dyn PartitionLog>,
    partition: u32,
    topic: Shown,
    next: usize,
}

/// What the logs of a topic share.
struct Shown {
    partitions: Arc<Mutex<Vec<Vec<Message>>>>,
    now: Arc<AtomicI64>,
    answers: Arc<Mutex<Answers>>,
    shown: Arc<Vec<Vec<i64>>>,
    margin: i64,
}

impl AskedTopic {
    pub fn new(inner: MemoryTopic, shown: Vec<Vec<i64>>, margin: i64) -> AskedTopic {
        AskedTopic { inner, answers: Arc::default(), shown: Arc::new(shown), margin }
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

    fn margin(&self) -> Span {
        Span(self.margin)
    }

    fn open(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn PartitionLog>> {
        let topic = Shown {
            partitions: self.inner.partitions.clone(),
            now: self.inner.now.clone(),
            answers: self.answers.clone(),
            shown: self.shown.clone(),
            margin: self.margin,
        };
        let next = after.map_or(0, |after| after.entry as usize + 1);
        let inner = self.inner.open(partition, after)?;
        Ok(Box::new(AskedLog { inner, partition, topic, next }))
    }
}

impl AskedLog {
    /// How many messages show by now.
    fn visible(&self, now: i64) -> usize {
        let shown = &self.topic.shown[self.partition as usize];
        shown.iter().position(|&shown| shown > now).unwrap_or(shown.len())
    }
}

impl PartitionLog for AskedLog {
    fn read(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
        let visible = self.visible(self.topic.now.load(SeqCst));
        let messages = self.inner.read(messages_max.min(visible - self.next), bytes_max)?;
        self.next += messages.len();
        Ok(messages)
    }

    fn is_behind(&self) -> bool {
        self.inner.is_behind()
    }

    fn wait(&mut self) -> Result<()> {
        self.inner.wait()
    }

    fn end(&mut self) -> Result<LogEnd> {
        let now = self.topic.now.load(SeqCst);
        let (visible, drained_to) = (self.visible(now), now - self.topic.margin);
        let log = &self.topic.partitions.lock().unwrap()[self.partition as usize];
        let mut answers = self.topic.answers.lock().unwrap();
        answers.asks.push((self.partition, now));
        let missed = (visible..log.len()).take_while(|&message| log[message].arrival.0 <= drained_to);
        answers.missed.extend(missed.map(|message| (self.partition, message)));
        let last = log[..visible].last().map(|message| message.position);
        Ok(LogEnd { last, drained_to: ProcessingTime(drained_to) })
    }

    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.inner.wake(waker)
    }
}
