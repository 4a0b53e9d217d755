//! The moment that a watermark which leaps leaves to streams that have shown no row yet.

use dataflow::{EventTime, ProcessingTime, Span};

/// How long a leap waits: long enough for producers that begin together, and a quarter of the silence by which a
/// partition with rows may hold others up where nothing else is declared.
const GRACE: Span = Span::millis(250);

/// By how much more than the time that has passed a watermark leaps at least: less is how rows are spread, wherever
/// silence and delay are short.
const LEAP_MIN: Span = Span::seconds(1);

/// Says whether a watermark that leaps waits.
///
/// A stream that shows its first row joins where steps have come without it. Of streams that begin in the same moment,
/// hours of event time apart, the one ahead would carry the steps with it, and the first rows of the others would be
/// moved there: which one that is would hang on whose row is read first. So a watermark that leaps waits for a moment, in
/// which the others may ask to join, and for the barrier of one that has asked; they begin where steps stood before the
/// leap. It is the watermark alone that waits: rows go out.
///
/// A leap is a move, after a rest or as the first one, by more than the time that has passed and the stream's pace: what
/// goes on at its pace, however far apart its rows lie, and what is read of a backlog, waits for nobody. So the moment is
/// no promise: none is left by a leap that is no longer than the silence before it, nor after a restart.
#[derive(Debug, Default)]
pub(crate) struct Grace {
    rested: bool,
    // When the watermark moved last.
    moved: Option<ProcessingTime>,
    // When the leap that waits moves on.
    until: Option<ProcessingTime>,
    // How many checkpoints have become durable since its moment was over; none is counted before.
    checkpoints: Option<u32>,
}

/// How many checkpoints a leap waits for at most after its moment: one that was on its way when another stream asked to
/// join, and its own. Streams whose partitions join one after another would hold it for as long as they do.
const CHECKPOINTS_MAX: u32 = 2;

impl Grace {
    /// Nothing was left to read.
    pub fn rest(&mut self) {
        self.rested = true;
    }

    /// The reader has joined: its first watermark of its own leaps, however long it has been silent.
    pub fn join(&mut self) {
        *self = Grace { rested: true, ..Grace::default() };
    }

    /// Whether a watermark stays at one level before it moves on to another. It does so once for each leap, and longer than
    /// the moment only while another stream has asked to join.
    pub fn holds(
        &mut self,
        (from, to): (EventTime, EventTime),
        pace: Span,
        now: ProcessingTime,
        others_join: bool,
    ) -> bool {
        let end = now.plus(GRACE);
        let passed = self.moved.map_or(0, |moved| now.0.saturating_sub(moved.0).max(0));
        let leaps = to.0.saturating_sub(from.0) > passed.saturating_add(pace.0.max(LEAP_MIN.0));
        if self.until.is_none() && self.rested && leaps {
            self.until = Some(end);
        }
        if self.until.is_some_and(|until| until <= now) {
            self.checkpoints.get_or_insert(0);
        }
        let others_join = others_join && self.checkpoints.is_none_or(|durable| durable < CHECKPOINTS_MAX);
        // Where the clock was set back the moment is over.
        self.until = self.until.filter(|&until| others_join || (now < until && until <= end));
        self.until.is_some()
    }

    /// When the moment of the leap that waits is over.
    pub fn until(&self) -> Option<ProcessingTime> {
        self.until
    }

    /// A checkpoint is durable: who asked before its barrier has joined.
    pub fn durable(&mut self) {
        self.checkpoints = self.checkpoints.map(|durable| durable.saturating_add(1));
    }

    /// The watermark leaps no more: what would have moved it on has been joined by something earlier.
    pub fn stand(&mut self) {
        (self.until, self.checkpoints) = (None, None);
    }

    /// The watermark has moved.
    pub fn moved(&mut self, now: ProcessingTime) {
        *self = Grace { moved: Some(now), ..Grace::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: ProcessingTime = ProcessingTime(3_600_000_000);
    const PACE: Span = Span::seconds(3);

    fn after(millis: i64) -> ProcessingTime {
        START.plus(Span::millis(millis))
    }

    fn at(seconds: i64) -> EventTime {
        EventTime(Span::seconds(seconds).0)
    }

    /// A watermark that has moved at the start, and rests.
    fn rested() -> Grace {
        let mut grace = Grace::default();
        grace.moved(START);
        grace.rest();
        grace
    }

    #[test]
    fn a_leap_after_a_rest_waits_for_a_moment_once() {
        let mut grace = rested();
        let end = after(10).plus(GRACE);
        assert!(grace.holds((at(0), at(60)), PACE, after(10), false));
        assert!(grace.holds((at(0), at(90)), PACE, after(200), false));
        assert_eq!(grace.until(), Some(end));
        assert!(!grace.holds((at(0), at(90)), PACE, end, false));
        grace.moved(end);
        assert!(!grace.holds((at(90), at(3_600)), PACE, end.plus(Span(1)), false), "more of a backlog");
    }

    #[test]
    fn a_leap_that_waits_does_so_until_those_that_have_asked_have_joined() {
        let mut grace = rested();
        assert!(grace.holds((at(0), at(60)), PACE, after(10), true));
        assert!(grace.holds((at(0), at(60)), PACE, after(5_000), true));
        assert!(!grace.holds((at(0), at(60)), PACE, after(5_001), false));
        let mut grace = rested();
        assert!(grace.holds((at(0), at(60)), PACE, after(10), true));
        (0..3).for_each(|_| grace.durable());
        assert!(grace.holds((at(0), at(60)), PACE, after(260), true), "who asks within the moment is waited for");
        grace.durable();
        assert!(grace.holds((at(0), at(60)), PACE, after(5_000), true));
        grace.durable();
        assert!(!grace.holds((at(0), at(60)), PACE, after(5_001), true), "others join one after another");
        assert!(!rested().holds((at(0), at(2)), PACE, START, true), "what does not leap waits for nobody");
    }

    #[test]
    fn what_goes_on_at_its_pace_waits_for_nobody() {
        assert!(!rested().holds((at(0), at(62)), PACE, after(60_000), false));
        assert!(!rested().holds((at(0), at(2)), PACE, START, false));
    }

    #[test]
    fn the_first_watermark_of_a_stream_that_joins_leaps() {
        let mut grace = Grace::default();
        assert!(!grace.holds((EventTime::MIN, at(0)), PACE, START, false), "rows that were there at the start");
        grace.moved(START);
        grace.join();
        assert!(grace.holds((at(0), at(60)), PACE, after(3_600_000), false), "it was silent for an hour");
    }

    #[test]
    fn a_leap_that_is_called_off_leaves_the_next_one_its_moment() {
        let mut grace = rested();
        assert!(grace.holds((at(0), at(60)), PACE, START, false));
        grace.stand();
        assert!(grace.holds((at(0), at(60)), PACE, after(1_000), false));
        assert_eq!(grace.until(), Some(after(1_250)));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_moment() {
        let mut grace = rested();
        assert!(grace.holds((at(0), at(60)), PACE, START, false));
        assert!(!grace.holds((at(0), at(60)), PACE, ProcessingTime(0), false));
    }
}
