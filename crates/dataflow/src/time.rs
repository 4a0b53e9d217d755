//! Event time and processing time: two types, so that they cannot be mixed up.

use std::fmt;

/// A length of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// One day.
    pub const DAY: Span = Span(86_400_000_000);

    /// A span of whole seconds.
    pub const fn seconds(seconds: i64) -> Span {
        Span(seconds * 1_000_000)
    }

    /// A span of whole milliseconds.
    pub const fn millis(millis: i64) -> Span {
        Span(millis * 1_000)
    }
}

/// When something happened according to the data: microseconds since 1970-01-01 UTC.
///
/// ```
/// use dataflow::{EventTime, Span};
/// let at = EventTime(1_000_000);
/// assert_eq!(at.plus(Span::seconds(1)), EventTime(2_000_000));
/// assert_eq!(EventTime::MAX.plus(Span::DAY), EventTime::MAX);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before all rows: the watermark of an input that has promised nothing.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After all rows: the watermark of an input that has ended for good.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// This time and a span, kept within MIN and MAX.
    #[must_use]
    pub const fn plus(self, span: Span) -> EventTime {
        EventTime(self.0.saturating_add(span.0))
    }

    /// This time less a span, kept within MIN and MAX.
    #[must_use]
    pub const fn minus(self, span: Span) -> EventTime {
        EventTime(self.0.saturating_sub(span.0))
    }

    /// The microsecond before.
    #[must_use]
    pub const fn before(self) -> EventTime {
        self.minus(Span(1))
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            EventTime::MIN => f.write_str("before all rows"),
            EventTime::MAX => f.write_str("after all rows"),
            EventTime(micros) => write_instant(f, micros),
        }
    }
}

/// When something reached us according to a broker's or a host's clock: microseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessingTime(pub i64);

impl ProcessingTime {
    /// This time and a span, kept within the range of the type.
    #[must_use]
    pub const fn plus(self, span: Span) -> ProcessingTime {
        ProcessingTime(self.0.saturating_add(span.0))
    }
}

impl fmt::Display for ProcessingTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_instant(f, self.0)
    }
}

/// Writes `2013-04-18 19:04:00` with the fraction only where there is one.
fn write_instant(f: &mut fmt::Formatter<'_>, micros: i64) -> fmt::Result {
    f.write_str(&values::calendar::write_timestamp(micros))
}
