//! Virtual time, and messages that take their time but keep their sequence in each channel.

use crate::stage::Lane;
use dataflow::{Command, CoordinatorEvent, CoordinatorState, ReaderId, StageId};
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};

/// What happens.
#[derive(Debug)]
pub enum Event {
    ToReader(ReaderId, Command),
    ToStage(StageId, ReaderId, Lane),
    ToCoordinator(CoordinatorEvent),
    /// Polls a reader, if nothing else has set another time since; 0: in any case.
    Wake(ReaderId, u64),
    /// A checkpoint is asked for from time to time.
    Periodic,
    Durable(CoordinatorState),
    Crash,
    Start,
}

/// A way on which messages keep their sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Orders(ReaderId),
    /// A channel of its own for some orders, where that rule is broken.
    OrdersApart(ReaderId),
    Lane(ReaderId, StageId),
    Reader(ReaderId),
    Stage(StageId),
}

struct Timed {
    time: i64,
    number: u64,
    // The run of the job that it belongs to; `None`: any.
    epoch: Option<u64>,
    event: Event,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Timed) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timed {}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timed {
    fn cmp(&self, other: &Timed) -> Ordering {
        (self.time, self.number).cmp(&(other.time, other.number))
    }
}

/// What is still to happen.
#[derive(Default)]
pub struct Network {
    heap: BinaryHeap<Reverse<Timed>>,
    last: HashMap<Channel, i64>,
    count: u64,
    pub now: i64,
    pub epoch: u64,
}

impl Network {
    /// At a time, in this run of the job.
    pub fn at(&mut self, time: i64, event: Event) {
        self.push(time, Some(self.epoch), event);
    }

    /// At a time, whichever run of the job there is then.
    pub fn always_at(&mut self, time: i64, event: Event) {
        self.push(time, None, event);
    }

    fn push(&mut self, time: i64, epoch: Option<u64>, event: Event) {
        self.count += 1;
        self.heap.push(Reverse(Timed { time, number: self.count, epoch, event }));
    }

    /// After a delay, and after what was sent on the same channel.
    pub fn send(&mut self, channel: Channel, delay: i64, event: Event) {
        let last = self.last.entry(channel).or_insert(i64::MIN);
        *last = (*last).max(self.now + delay);
        let time = *last;
        self.at(time, event);
    }

    /// Nothing of the runs before is on its way any more.
    pub fn next_epoch(&mut self) {
        self.epoch += 1;
        self.last.clear();
    }

    /// What happens next, up to a time.
    pub fn next(&mut self, end: i64) -> Option<Event> {
        while let Some(Reverse(timed)) = self.heap.pop() {
            if timed.time > end {
                return None;
            }
            if timed.epoch.is_none_or(|epoch| epoch == self.epoch) {
                self.now = timed.time;
                return Some(timed.event);
            }
        }
        None
    }
}
