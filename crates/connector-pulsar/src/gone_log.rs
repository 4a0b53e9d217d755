//! A partition whose topic is not there any more.

use crate::contract::{MARGIN, time_of};
use dataflow::{LogEnd, Message, PartitionLog, Position, ProcessingTime, Result};
use std::task::Waker;
use std::time::{SystemTime, UNIX_EPOCH};

/// Nothing comes from it, and it is waited for no longer than a partition that is silent.
pub struct GoneLog {
    last: Option<Position>,
    told_ms: u64,
}

impl GoneLog {
    /// A partition that was read up to a message, or not at all.
    pub fn after(last: Option<Position>) -> GoneLog {
        GoneLog { last, told_ms: 0 }
    }
}

impl PartitionLog for GoneLog {
    fn read(&mut self, _messages_max: usize, _bytes_max: usize) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<LogEnd> {
        // No broker has the topic, so the time is that of this machine; it does not go back.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        self.told_ms = self.told_ms.max(now);
        Ok(LogEnd { last: self.last, drained_to: ProcessingTime(time_of(self.told_ms).0 - MARGIN.0) })
    }

    fn wake(&mut self, _waker: &Waker) -> Result<()> {
        Ok(())
    }
}
