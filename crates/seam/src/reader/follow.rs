//! How far a reader goes that has nothing of its own to wait for, and how rows come again that an earlier run put out.

use super::{LEAP_MIN, StreamReader};
use dataflow::{EventTime, ProcessingTime, Span};

/// How long nothing comes before rows that are to come again go past a partition that waits for them.
const STANDS: Span = Span::seconds(1);

impl StreamReader {
    /// Goes on with whoever leads. Where nobody does, what is due comes out when so much time has passed that a partition
    /// which was silent would hold nobody back any more; a bounded run ends before that, unless rows are to come again.
    pub(super) fn follow(&mut self, now: ProcessingTime) -> Option<ProcessingTime> {
        if let Some(follow) = self.bounds.follow {
            self.leap = LEAP_MIN;
            self.move_to(follow, now);
            return self.replay_due(now);
        }
        if self.source.bounded && !self.bounds.replays { None } else { self.reach_due(now) }
    }

    /// Where its partitions have ended, goes on to rows that an earlier run put out later, whoever leads: that one may wait
    /// for a checkpoint, which partitions join at only once these rows have come again. Gives when silence lets it.
    fn replay_due(&mut self, now: ProcessingTime) -> Option<ProcessingTime> {
        let is_replaying = self.bounds.replays && self.switched;
        let due = self.bounds.due.filter(|&due| is_replaying && due > self.given)?;
        let at = ProcessingTime(due.plus(self.bounds.window).0);
        if now < at {
            return Some(at);
        }
        self.move_to(due, now);
        None
    }

    /// A partition whose next message lies below a watermark that was given may join only once the rows have come again that
    /// outputs had before a restart. These wait for it in turn where the run before had gone on through its silence: after
    /// a moment in which nothing else came the watermark goes on to what is due, as silence and the other partitions let
    /// it. Gives when that may be.
    pub(super) fn pass_below(&mut self, now: ProcessingTime) -> Option<ProcessingTime> {
        let is_replaying = self.bounds.replaying && (!self.source.bounded || self.bounds.replays);
        let live = self.live.as_ref().filter(|live| is_replaying && self.switched && live.has_below());
        let due = self.bounds.due.filter(|&due| due > self.given);
        let (Some(live), Some(due)) = (live, due) else {
            self.stands_since = None;
            return None;
        };
        let history = (!self.history_is_finished()).then(|| self.history_watermark());
        let others = history.into_iter().chain(live.watermark_beside_below()).min();
        if others.is_some_and(|others| others < due) {
            self.stands_since = None;
            return None;
        }
        // A clock that was set back begins anew.
        let since = self.stands_since.filter(|&since| since <= now).unwrap_or(now);
        self.stands_since = Some(since);
        let at = since.plus(STANDS).max(ProcessingTime(due.plus(self.bounds.window).0));
        if now < at {
            return Some(at);
        }
        self.move_to(due, now);
        None
    }

    /// Whether it has given out everything while outputs have rows that an earlier run put out later: that one did not end
    /// here, and went on through silence. Partitions that are absent wait for these rows to come again.
    pub(super) fn replays_after_end(&self) -> bool {
        self.bounds.replays && self.is_finished()
    }

    /// Goes on towards what is due, as far as silence allows. Gives when it may do so next.
    pub(super) fn reach_due(&mut self, now: ProcessingTime) -> Option<ProcessingTime> {
        let due = self.bounds.due.filter(|&due| due > self.given)?;
        let passed = EventTime(now.0).minus(self.bounds.window);
        if due > passed {
            return Some(ProcessingTime(due.plus(self.bounds.window).0));
        }
        // Only so far that what waits comes out in a few steps: a partition that joins begins where steps have come.
        self.move_to(passed.min(due.plus(self.leap)), now);
        self.leap = Span(self.leap.0.saturating_mul(2));
        None
    }
}
