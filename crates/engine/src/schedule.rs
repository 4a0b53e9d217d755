//! What runs next.

use dataflow::{BATCH_ROWS, ProcessingTime, Span};

/// Sources are polled after so many calls of stages at least, since others may wait for their rows, watermarks and barriers.
const CALLS_MAX: u32 = 16;
/// Sources are polled after so long at least.
const CALLS_TIME: Span = Span::millis(5);

/// What runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// One of the stages that can run, in their order.
    Stage(usize),
    /// One of the sources that are due.
    Source(usize),
}

/// Chooses among what could happen next. Barriers that were asked for have been sent before.
pub trait Schedule: Send {
    /// One of so many stages that can run and so many sources that are due; at least one of them is not zero.
    fn next(&mut self, stages: usize, sources: usize, now: ProcessingTime) -> Next;
    /// One of so many lanes that have events.
    fn lane(&mut self, lanes: usize) -> usize;
    /// The most rows that a source reads.
    fn rows_max(&mut self) -> usize;
}

/// The schedule of threads: the stage furthest down the graph first, so that little waits in lanes; sources in turn
/// when no stage can run, and after 16 calls or 5 ms all the same. After such a poll every stage that can run has one
/// turn, from the top of the graph down: else a source that always has something new could keep the stages of another
/// stream, which stand further up, from ever running.
pub struct Downstream {
    turn: usize,
    source: usize,
    calls: u32,
    polled: ProcessingTime,
    // The next stage of a round from the top down, while there is one.
    round: Option<usize>,
}

impl Downstream {
    pub fn new() -> Self {
        Downstream { turn: 0, source: 0, calls: 0, polled: ProcessingTime(i64::MIN), round: None }
    }
}

impl Schedule for Downstream {
    fn next(&mut self, stages: usize, sources: usize, now: ProcessingTime) -> Next {
        let overdue = self.calls >= CALLS_MAX || now > self.polled.plus(CALLS_TIME);
        if sources > 0 && (stages == 0 || overdue) {
            self.source = self.source.wrapping_add(1);
            (self.calls, self.polled) = (0, now);
            self.round = (stages > 0).then_some(0);
            return Next::Source(self.source % sources);
        }
        self.calls = self.calls.saturating_add(1);
        match self.round.filter(|&stage| stage < stages) {
            Some(stage) => {
                self.round = Some(stage + 1);
                Next::Stage(stage)
            }
            None => {
                self.round = None;
                Next::Stage(stages - 1)
            }
        }
    }

    fn lane(&mut self, lanes: usize) -> usize {
        self.turn = self.turn.wrapping_add(1);
        self.turn % lanes.max(1)
    }

    fn rows_max(&mut self) -> usize {
        BATCH_ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_further_up_have_their_turn_beside_a_source_that_always_has_something_new() {
        let mut schedule = Downstream::new();
        let mut runs = [0; 3];
        let mut polls = 0;
        for turn in 0..10_000 {
            // Three stages can always run, and a source is always due.
            match schedule.next(3, 1, ProcessingTime(turn)) {
                Next::Stage(stage) => runs[stage] += 1,
                Next::Source(_) => polls += 1,
            }
        }
        assert!(polls >= 10_000 / 18, "{polls} polls");
        assert!(runs[2] > runs[0] && runs[0] >= polls - 1 && runs[1] >= polls - 1, "{runs:?} runs, {polls} polls");
    }
}
