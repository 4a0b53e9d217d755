//! A queue as a job reads it: messages are numbered as they come, and acknowledged when a checkpoint has them.

use super::machine::QueueStats;
use super::options::OPEN_MAX;
use super::received::{Shared, WAITING_BYTES};
use super::task::{Consuming, LEAVE_WITHIN, run};
use crate::position::MessageId;
use crate::runtime;
use dataflow::{Clock, LogEnd, Message, PartitionLog, Position, ProcessingTime, QueueFacts, Result, Span};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

/// Numbers of one opening have a ledger of their own, which is the time of it in milliseconds: a message that comes again
/// in another run is never taken for the one that had its number.
fn ledger_of(after: Option<Position>, now: ProcessingTime) -> u64 {
    let next = after.map_or(0, |after| after.ledger + 1);
    next.max(u64::try_from(now.0 / 1000).unwrap_or(0))
}

/// A queue that a job consumes.
pub struct QueueLog {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    /// The last message that was given out, in this run or before.
    given: Option<Position>,
    ledger: u64,
    next: u64,
    /// What was given out and is not durable, in the order of the numbers, with its partition.
    open: VecDeque<(Position, usize, MessageId)>,
    /// Everything that arrived up to this was given out.
    drained_to: ProcessingTime,
}

impl QueueLog {
    /// Begins to consume. Nothing waits for the broker here: what is wrong comes with a read.
    pub fn open(consuming: Consuming, after: Option<Position>, clock: Arc<dyn Clock>) -> Result<QueueLog> {
        let shared = Arc::new(Shared::default());
        runtime::handle()?.spawn(run(consuming, shared.clone()));
        let ledger = ledger_of(after, clock.now());
        let (open, drained_to) = (VecDeque::new(), ProcessingTime(i64::MIN));
        Ok(QueueLog { shared, clock, given: after, ledger, next: 0, open, drained_to })
    }

    /// When what is given out now has arrived: after everything that was said to be drained.
    fn arrival(&mut self) -> ProcessingTime {
        let arrival = self.clock.now().max(ProcessingTime(self.drained_to.0.saturating_add(1)));
        self.drained_to = arrival;
        arrival
    }
}

impl PartitionLog for QueueLog {
    fn read(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
        let (mut taken, mut bytes) = (Vec::new(), 0usize);
        let shared = self.shared.clone();
        let mut state = shared.state();
        let had_room = state.bytes < WAITING_BYTES;
        while taken.len() < messages_max && bytes < bytes_max {
            let Some(next) = state.messages.front() else { break };
            if !taken.is_empty() && bytes.saturating_add(next.payload.len()) > bytes_max {
                break;
            }
            let Some(next) = state.messages.pop_front() else { break };
            state.bytes = state.bytes.saturating_sub(next.bytes());
            bytes += next.payload.len();
            taken.push(next);
        }
        if let (Some(error), true) = (&state.failed, taken.is_empty()) {
            return Err(error.clone().into());
        }
        if !had_room && state.bytes < WAITING_BYTES {
            state.partitions.iter().for_each(|partition| partition.called.notify_one());
        }
        drop(state);
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        // Arrivals that are drained lie before this one, and those that come later after it.
        let arrival = self.arrival();
        let mut messages = Vec::with_capacity(taken.len());
        for queued in taken {
            let position = Position { ledger: self.ledger, entry: self.next, batch_index: 0 };
            self.next += 1;
            self.given = Some(position);
            self.open.push_back((position, queued.partition, queued.id));
            let (key, payload, unreadable) = (queued.key, queued.payload, queued.unreadable);
            messages.push(Message { position, arrival, key, payload, unreadable });
        }
        Ok(messages)
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<LogEnd> {
        let failed = Some(self.shared.state()).filter(|state| state.messages.is_empty());
        if let Some(error) = failed.and_then(|state| state.failed.clone()) {
            return Err(error.into());
        }
        // A message arrives when it is given out.
        self.drained_to = self.drained_to.max(self.clock.now());
        Ok(LogEnd { last: self.given, drained_to: self.drained_to })
    }

    fn arrived_by(&mut self, arrival: ProcessingTime) {
        self.drained_to = self.drained_to.max(arrival);
    }

    fn durable(&mut self, message: Position) {
        let mut by_partition: BTreeMap<usize, Vec<MessageId>> = BTreeMap::new();
        while let Some((_, partition, id)) = self.open.pop_front_if(|(position, ..)| *position <= message) {
            by_partition.entry(partition).or_default().push(id);
        }
        let mut state = self.shared.state();
        for (partition, mut ids) in by_partition {
            let of = &mut state.partitions[partition];
            of.acks.append(&mut ids);
            of.is_settled = false;
            of.called.notify_one();
        }
    }

    fn queue(&self) -> Option<QueueFacts> {
        let state = self.shared.state();
        let of_all = |is_so: fn(&QueueStats) -> bool| {
            !state.partitions.is_empty() && state.partitions.iter().all(|partition| is_so(&partition.stats))
        };
        Some(QueueFacts {
            is_used_up: state.messages.is_empty() && of_all(|stats| stats.is_used_up),
            is_blocked: state.partitions.iter().any(|partition| partition.stats.is_blocked),
            open_max: OPEN_MAX as u64,
        })
    }

    fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.shared.state().waker = Some(waker.clone());
        Ok(())
    }
}

impl Drop for QueueLog {
    fn drop(&mut self) {
        self.shared.close(LEAVE_WITHIN);
    }
}

/// A queue that nobody reads by its subscription: whoever looks at a job's topics takes nothing away from it.
pub struct UnreadQueue {
    pub given: Option<Position>,
    pub clock: Arc<dyn Clock>,
}

impl PartitionLog for UnreadQueue {
    fn read(&mut self, _: usize, _: usize) -> Result<Vec<Message>> {
        Ok(Vec::new())
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn wait(&mut self) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) -> Result<LogEnd> {
        Ok(LogEnd { last: self.given, drained_to: ProcessingTime(self.clock.now().0.saturating_sub(Span(1).0)) })
    }

    fn wake(&mut self, _: &Waker) -> Result<()> {
        Ok(())
    }
}
