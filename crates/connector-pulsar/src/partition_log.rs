//! One partition as a job reads it: messages that have come wait in memory, and nothing but opening waits for the broker.
//!
//! ```text
//! job's thread:     open .. read, end, read, ..            (a waker says that there is more)
//!                            |  ^
//!                   questions v  | messages, answers, the error that ends it
//! thread of Pulsar: reader.next / reader.end / reader.keep
//! ```

use crate::client::chance;
use crate::contract::{coordinate, message_id, time_of};
use crate::hold::Hold;
use crate::partition_task::run;
use crate::reader::{ProducerClocks, ReaderOptions, Start, made_again};
use crate::release::Needs;
use crate::runtime::{self, OnPanic, panicked};
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::waiting::{ReadMessage, Shared};
use dataflow::{LogEnd, PartitionLog, Position, ProcessingTime};
use std::sync::Arc;
use std::task::Waker;

/// What may wait in memory at the reader.
const READER_BYTES: usize = 4 << 20;

/// One partition, read forward.
pub struct PulsarLog {
    shared: Arc<Shared>,
    given: Option<Position>,
    /// When the message had arrived, at the latest, after which it was opened.
    arrived_by: Option<ProcessingTime>,
    needs: Needs,
}

impl PulsarLog {
    /// Opens a partition at the message after a position, at the first that is there, or at its end. With an anchor it
    /// waits for another holder to leave it, for 90 s at most. Where brokers do not stamp, producers have some time to show
    /// that their clocks are not right.
    pub fn open(
        settings: &Settings,
        topic: &TopicName,
        start: Start,
        hold: Option<Hold>,
        producer_clocks: ProducerClocks,
    ) -> dataflow::Result<PulsarLog> {
        let options = ReaderOptions {
            topic: topic.clone(),
            start,
            anchor: hold.as_ref().map(|hold| hold.anchor.clone()),
            name: format!("riverrun-{:08x}", chance() as u32),
            budget_bytes: READER_BYTES,
            allows_gaps: false,
            producer_clocks,
        };
        let given = match start {
            Start::After(position) => Some(coordinate(position.last)),
            Start::AfterMessage(last) => Some(coordinate(last)),
            Start::Oldest | Start::Beginning | Start::End => None,
        };
        let shared = Arc::new(Shared::default());
        // The reader has a timer from the start, which belongs to that thread.
        let (settings, topic, of_task) = (settings.clone(), topic.clone(), shared.clone());
        runtime::handle()?.spawn(async move {
            let _guard = OnPanic(|| of_task.tell(|state| state.failed = Some(panicked(&topic))));
            run((settings, options, &topic), hold.as_ref(), &of_task).await;
        });
        let mut log = PulsarLog { shared, given, arrived_by: None, needs: Needs::default() };
        log.shared.wait_until(|state| state.end.is_some())?;
        if start == Start::End {
            log.given = log.shared.state().end.and_then(|end| end.last);
        }
        Ok(log)
    }

    /// The next messages with their producers, as [`PartitionLog::read`] gives them.
    pub fn take(&mut self, messages_max: usize, bytes_max: usize) -> dataflow::Result<Vec<ReadMessage>> {
        let mut state = self.shared.state();
        if let (Some(by), Some(stamp), Some(given)) = (self.arrived_by, state.begun_after_ms, self.given)
            && time_of(stamp) > by
        {
            let error = made_again(message_id(given).entry, stamp, (by.0 / 1000).max(0) as u64);
            state.failed = Some(error.clone());
            return Err(error.into());
        }
        let (mut taken, mut bytes, mut freed) = (Vec::<ReadMessage>::new(), 0usize, 0);
        while taken.len() < messages_max && bytes < bytes_max {
            let Some(next) = state.messages.front() else { break };
            let size = next.message.payload.len();
            if !taken.is_empty() && bytes.saturating_add(size) > bytes_max {
                break;
            }
            bytes += size;
            freed += next.bytes();
            taken.extend(state.messages.pop_front());
        }
        state.bytes = state.bytes.saturating_sub(freed);
        // An arrival never goes back, over restarts either.
        for read in &mut taken {
            read.message.arrival = self.arrived_by.map_or(read.message.arrival, |by| read.message.arrival.max(by));
        }
        match (&state.failed, taken.last()) {
            (Some(error), None) => return Err(error.clone().into()),
            (_, Some(last)) => self.given = Some(last.message.position),
            (None, None) => {}
        }
        drop(state);
        for read in &taken {
            read.oldest.iter().for_each(|oldest| self.needs.give(read.message.position, *oldest));
        }
        if !taken.is_empty() {
            self.shared.called.notify_one();
        }
        Ok(taken)
    }
}

impl PartitionLog for PulsarLog {
    fn read(&mut self, messages_max: usize, bytes_max: usize) -> dataflow::Result<Vec<dataflow::Message>> {
        Ok(self.take(messages_max, bytes_max)?.into_iter().map(|read| read.message).collect())
    }

    fn is_behind(&self) -> bool {
        self.shared.state().is_behind(self.given)
    }

    fn wait(&mut self) -> dataflow::Result<()> {
        let given = self.given;
        self.shared.wait_until(|state| !state.messages.is_empty() || !state.is_behind(given))
    }

    fn end(&mut self) -> dataflow::Result<LogEnd> {
        let mut state = self.shared.state();
        if let Some(error) = &state.failed {
            return Err(error.clone().into());
        }
        let mut end = state.end.ok_or_else(|| dataflow::Error::internal("a partition of Pulsar has no end"))?;
        if end.last > self.given && !state.is_behind(self.given) {
            // The last entries have come and give no message, such as chunks whose rest is not there.
            end.last = self.given;
        }
        if !std::mem::take(&mut state.end_is_new) && !state.asks_end {
            state.asks_end = true;
            drop(state);
            self.shared.called.notify_one();
        }
        Ok(end)
    }

    fn awaits_end(&self) -> bool {
        self.shared.state().asks_end
    }

    fn arrived_by(&mut self, arrival: ProcessingTime) {
        self.arrived_by = Some(arrival);
        self.shared.state().arrived_by_ms = u64::try_from(arrival.0 / 1000).unwrap_or(0);
    }

    fn durable(&mut self, message: Position) {
        let Some(needed) = self.needs.after(message) else { return };
        self.shared.state().released = Some(needed);
        self.shared.called.notify_one();
    }

    fn wake(&mut self, waker: &Waker) -> dataflow::Result<()> {
        self.shared.state().waker = Some(waker.clone());
        Ok(())
    }
}

impl Drop for PulsarLog {
    fn drop(&mut self) {
        self.shared.state().is_closed = true;
        self.shared.called.notify_one();
    }
}
