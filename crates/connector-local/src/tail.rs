//! A partition followed for people, with the producer of each message.

use crate::reader::{LogReader, message};
use dataflow::{Message, PartitionLog, Result};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

/// About how many bytes of messages are read at once; a larger message comes alone.
const READ_BYTES: usize = 4 << 20;

/// A partition read for people: each message with the producer and the epoch that wrote it.
pub struct Watch {
    log: LogReader,
    alarm: Option<Arc<Alarm>>,
}

impl Watch {
    pub(crate) fn new(log: LogReader) -> Watch {
        Watch { log, alarm: None }
    }

    /// The next messages, at most `messages_max` and about 4 MiB; empty when there are none yet. Never waits.
    pub fn next(&mut self, messages_max: usize) -> Result<Vec<(Message, String, u64)>> {
        let mut seen = Vec::new();
        self.log.each(messages_max, READ_BYTES, &mut |record| {
            seen.push((message(record), String::from_utf8_lossy(record.producer).into_owned(), record.epoch));
        })?;
        Ok(seen)
    }

    /// Waits until there are messages that were not read yet, or until the time is over; says whether there are.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool> {
        Watch::wait_any(std::slice::from_mut(self), timeout)
    }

    /// Waits until one of several partitions has messages that were not read yet, or until the time is over; says
    /// whether one has.
    pub fn wait_any(watches: &mut [Watch], timeout: Duration) -> Result<bool> {
        let alarm = watches.iter().find_map(|watch| watch.alarm.clone()).unwrap_or_default();
        for watch in watches.iter_mut() {
            if watch.alarm.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &alarm)) {
                watch.log.wake(&Waker::from(alarm.clone()))?;
                watch.alarm = Some(alarm.clone());
            }
        }
        // What rings from here on came after the look below, or is seen by it.
        alarm.clear();
        let mut has_more = || -> Result<bool> {
            for watch in watches.iter_mut() {
                if watch.log.has_more()? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        if has_more()? {
            return Ok(true);
        }
        alarm.wait(timeout);
        has_more()
    }
}

/// Rings once a watched partition has changed.
#[derive(Default)]
struct Alarm {
    rang: Mutex<bool>,
    changed: Condvar,
}

impl Alarm {
    fn clear(&self) {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn wait(&self, timeout: Duration) {
        let rang = self.rang.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(rang, timeout, |rang| !*rang));
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}
