//! A topic followed for people, with the producer of each message.

use crate::live_topic::PulsarTopic;
use crate::partition_log::PulsarLog;
use crate::reader::{ProducerClocks, Start};
use dataflow::{Message, PartitionLog, Result, Topic};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

/// About how many bytes of messages are read at once; a larger message comes alone.
const READ_BYTES: usize = 4 << 20;

/// The partitions of a topic, read for people.
pub struct Tail {
    logs: Vec<PulsarLog>,
    alarm: Arc<Alarm>,
}

impl Tail {
    /// Opens a topic at the first message that is there, or at its end.
    pub fn open(topic: &PulsarTopic, from_start: bool) -> Result<Tail> {
        let start = if from_start { Start::Oldest } else { Start::End };
        let alarm = Arc::new(Alarm::default());
        let open = |partition| {
            let mut log = PulsarLog::open(
                topic.settings(),
                &topic.partition(partition)?,
                start,
                None,
                ProducerClocks::default(),
            )?;
            log.wake(&Waker::from(alarm.clone()))?;
            Ok(log)
        };
        let logs = (0..topic.partitions()).map(open).collect::<Result<_>>()?;
        Ok(Tail { logs, alarm })
    }

    /// The next messages with their partitions and producers, at most so many per partition. Waits for those that were
    /// there when the topic was opened; empty when there are no others yet.
    pub fn next(&mut self, messages_max: usize) -> Result<Vec<(usize, Message, String)>> {
        self.alarm.clear();
        let mut seen = Vec::new();
        for (partition, log) in self.logs.iter_mut().enumerate() {
            let mut read = log.take(messages_max, READ_BYTES)?;
            if read.is_empty() && log.is_behind() {
                log.wait()?;
                read = log.take(messages_max, READ_BYTES)?;
            }
            seen.extend(read.into_iter().map(|read| (partition, read.message, read.producer)));
        }
        Ok(seen)
    }

    /// Waits until messages have come since the last look, or until the time is over.
    pub fn wait(&self, at_most: Duration) {
        self.alarm.wait(at_most);
    }
}

/// Rings once a partition has more.
#[derive(Default)]
struct Alarm {
    rang: Mutex<bool>,
    changed: Condvar,
}

impl Alarm {
    fn clear(&self) {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn wait(&self, at_most: Duration) {
        let rang = self.rang.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(rang, at_most, |rang| !*rang));
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
