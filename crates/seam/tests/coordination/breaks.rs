//! Rules that are left out, one at a time, from outside: by what the network changes, delays or leaves out.

use crate::job::{Gathering, Job};
use crate::network::Channel;
use crate::stage::Wrong;
use dataflow::{CoordinatorEvent, CoordinatorState, Meeting, Order, ReaderId};

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The ceiling joins all streams of the job.
    CeilingAll,
}

pub const BREAKS: [Break; 0] = [];

/// What a break has to remember.
#[derive(Default)]
pub struct Memory {}

pub fn noticed(broken: Break, seeds: u64) -> Option<String> {
    (0..seeds).find_map(|seed| crate::play(seed, Some(broken)).err().map(|failure| format!("seed {seed}: {failure}")))
}

pub fn stage(_: Option<Break>) -> Wrong {
    Wrong::default()
}

pub fn meetings(job: &Job) -> Vec<Meeting> {
    job.meetings()
}

pub fn event(_: &mut Job, event: CoordinatorEvent) -> Option<CoordinatorEvent> {
    Some(event)
}

pub fn order(job: &mut Job, reader: ReaderId, order: Order) -> (Channel, i64, Order) {
    (Channel::Orders(reader), job.hop(), order)
}

pub fn persisted(_: &mut Job, _: &Gathering, state: CoordinatorState) -> CoordinatorState {
    state
}
