//! The moment that a watermark which leaps leaves to streams that have shown no row yet.

use dataflow::{EventTime, ProcessingTime, Span};

/// How long a leap waits: long enough for producers that begin together, and a quarter of the silence by which a
/// partition with rows may hold others up where nothing else is declared.
const GRACE: Span = Span::millis(250);

/// By how much more than the time that has passed a watermark leaps at least: less is how rows are spread, wherever
/// silence and delay are short.
const LEAP_MIN: Span = Span::seconds(1);

/// Says when a watermark that leaps moves on.
///
/// A stream that shows its first row joins where steps have come without it. Of streams that begin in the same moment,
/// hours of event time apart, the one ahead would carry the steps with it, and the first rows of the others would be
/// moved there: which one that is would hang on whose row is read first. So a watermark that leaps waits for a moment,
/// in which the others may ask to join; they begin where steps stood before the leap. It is the watermark alone that
/// waits: rows go out.
///
/// A leap is a move, after a rest or as the first one, by more than the time that has passed and the window of the streams
/// that meet: what goes on at its pace, however far apart its rows lie, and what is read of a backlog, waits for nobody.
#[derive(Debug, Default)]
pub(crate) struct Grace {
    rested: bool,
    // When the watermark moved last.
    moved: Option<ProcessingTime>,
    // When the leap that waits moves on.
    until: Option<ProcessingTime>,
}

impl Grace {
    /// Nothing was left to read, or the reader has just joined.
    pub fn rest(&mut self) {
        self.rested = true;
    }

    /// When a watermark moves on from one level to another, if not now.
    pub fn until(
        &mut self,
        (from, to): (EventTime, EventTime),
        window: Span,
        now: ProcessingTime,
    ) -> Option<ProcessingTime> {
        let end = now.plus(GRACE);
        let passed = self.moved.map_or(0, |moved| now.0.saturating_sub(moved.0).max(0));
        let leaps = to.0.saturating_sub(from.0) > passed.saturating_add(window.0.max(LEAP_MIN.0));
        let until = self.until.or_else(|| (self.rested && leaps).then_some(end));
        // Where the clock was set back the moment is over.
        self.until = until.filter(|&until| now < until && until <= end);
        self.until
    }

    /// The watermark has moved.
    pub fn moved(&mut self, now: ProcessingTime) {
        *self = Grace { rested: false, moved: Some(now), until: None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: ProcessingTime = ProcessingTime(3_600_000_000);
    const WINDOW: Span = Span::seconds(3);

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
        assert_eq!(grace.until((at(0), at(60)), WINDOW, after(10)), Some(end));
        assert_eq!(grace.until((at(0), at(90)), WINDOW, after(200)), Some(end));
        assert_eq!(grace.until((at(0), at(90)), WINDOW, end), None);
        grace.moved(end);
        assert_eq!(grace.until((at(90), at(3_600)), WINDOW, end.plus(Span(1))), None, "more of a backlog");
    }

    #[test]
    fn what_goes_on_at_its_pace_waits_for_nobody() {
        assert_eq!(rested().until((at(0), at(62)), WINDOW, after(60_000)), None);
        assert_eq!(rested().until((at(0), at(2)), WINDOW, START), None);
    }

    #[test]
    fn the_first_watermark_of_a_stream_that_joins_leaps() {
        let mut grace = Grace::default();
        assert_eq!(grace.until((EventTime::MIN, at(0)), WINDOW, START), None, "rows that were there at the start");
        grace.rest();
        assert_eq!(grace.until((EventTime::MIN, at(0)), WINDOW, START), Some(START.plus(GRACE)));
    }

    #[test]
    fn a_clock_that_is_set_back_ends_the_moment() {
        let mut grace = rested();
        assert!(grace.until((at(0), at(60)), WINDOW, START).is_some());
        assert_eq!(grace.until((at(0), at(60)), WINDOW, ProcessingTime(0)), None);
    }
}
