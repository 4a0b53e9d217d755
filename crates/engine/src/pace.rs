//! How soon checkpoints follow one another, and how long one may take.

use dataflow::{CheckpointPurpose, ProcessingTime, Span};

/// Bounds on the checkpoints of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointPace {
    /// How long after one is durable, or given up, the next one that somebody asks for begins at the earliest. Those that a
    /// job needs to go on, the first and the last one, and those at which a partition joins, wait for nothing.
    pub pause: Span,
    /// How long one may take that the store does not take; then it is given up, and the next one is tried.
    pub timeout: Span,
}

impl Default for CheckpointPace {
    fn default() -> Self {
        CheckpointPace { pause: Span::ZERO, timeout: Span::seconds(120) }
    }
}

/// Holds back what is asked for too soon.
#[derive(Debug, Default)]
pub struct Pause {
    pause: Span,
    is_running: bool,
    // When the last one was durable or given up.
    ended: Option<ProcessingTime>,
    waiting: Option<CheckpointPurpose>,
}

impl Pause {
    pub fn new(pause: Span) -> Pause {
        Pause { pause, ..Pause::default() }
    }

    /// A checkpoint has begun.
    pub fn begun(&mut self) {
        self.is_running = true;
    }

    /// It is durable, or given up.
    pub fn ended(&mut self, now: ProcessingTime) {
        (self.is_running, self.ended) = (false, Some(now));
    }

    /// Somebody asks for a checkpoint.
    pub fn ask(&mut self, purpose: CheckpointPurpose) {
        self.waiting = self.waiting.max(Some(purpose));
    }

    /// What is asked for, once it may begin.
    pub fn take_due(&mut self, now: ProcessingTime) -> Option<CheckpointPurpose> {
        // Where the clock was set back the pause is over.
        let rests = |ended: ProcessingTime| ended <= now && now < ended.plus(self.pause);
        let waits = self.is_running || self.ended.is_some_and(rests);
        if waits && self.waiting != Some(CheckpointPurpose::End) { None } else { self.waiting.take() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> ProcessingTime {
        ProcessingTime(0).plus(Span::seconds(seconds))
    }

    #[test]
    fn what_is_asked_for_too_soon_waits_and_the_end_does_not() {
        let mut pause = Pause::new(Span::seconds(5));
        pause.ask(CheckpointPurpose::GoOn);
        assert_eq!(pause.take_due(at(0)), Some(CheckpointPurpose::GoOn));
        assert_eq!(pause.take_due(at(0)), None);
        pause.begun();
        pause.ask(CheckpointPurpose::Commit);
        pause.ask(CheckpointPurpose::GoOn);
        assert_eq!(pause.take_due(at(100)), None, "one is on its way");
        pause.ended(at(100));
        assert_eq!(pause.take_due(at(104)), None);
        assert_eq!(pause.take_due(at(105)), Some(CheckpointPurpose::Commit));
        pause.ask(CheckpointPurpose::GoOn);
        assert_eq!(pause.take_due(at(99)), Some(CheckpointPurpose::GoOn), "the clock was set back");
        pause.begun();
        pause.ask(CheckpointPurpose::End);
        assert_eq!(pause.take_due(at(101)), Some(CheckpointPurpose::End));
    }
}
