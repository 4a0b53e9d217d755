//! What runs next.

use crate::BATCH_ROWS;
use dataflow::{ProcessingTime, Span};

/// Sources are polled after so many steps at least, since others may wait for their rows, watermarks and barriers.
const STEPS_MAX: u32 = 16;
/// Sources are polled after so long at least.
const STEPS_TIME: Span = Span::millis(5);

/// Which node runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// One of the steps that can run, in the order of the graph.
    Step(usize),
    /// One of the sources that are due, in the order of the graph.
    Source(usize),
}

/// Chooses among what could happen next. Barriers that were asked for have been sent before.
pub trait Schedule: Send {
    /// One of so many steps that can run and so many sources that are due; at least one of them is not zero.
    fn next(&mut self, steps: usize, sources: usize, now: ProcessingTime) -> Next;
    /// One of so many lanes that have events.
    fn lane(&mut self, lanes: usize) -> usize;
    /// The most rows that a source reads.
    fn rows_max(&mut self) -> usize;
}

/// The schedule of threads: the step furthest down the graph first, so that little waits in lanes; sources in turn
/// when no step can run, and after 16 steps or 5 ms all the same.
pub struct Downstream {
    turn: usize,
    source: usize,
    steps: u32,
    polled: ProcessingTime,
}

impl Downstream {
    pub fn new() -> Self {
        Downstream { turn: 0, source: 0, steps: 0, polled: ProcessingTime(i64::MIN) }
    }
}

impl Schedule for Downstream {
    fn next(&mut self, steps: usize, sources: usize, now: ProcessingTime) -> Next {
        let overdue = self.steps >= STEPS_MAX || now > self.polled.plus(STEPS_TIME);
        if sources > 0 && (steps == 0 || overdue) {
            self.source = self.source.wrapping_add(1);
            (self.steps, self.polled) = (0, now);
            return Next::Source(self.source % sources);
        }
        self.steps = self.steps.saturating_add(1);
        Next::Step(steps - 1)
    }

    fn lane(&mut self, lanes: usize) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.turn % lanes.max(1)
    }

    fn rows_max(&mut self) -> usize {
        BATCH_ROWS
    }
}
