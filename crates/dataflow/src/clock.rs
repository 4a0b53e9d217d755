//! Processing time as a component, so that a simulation can turn it by hand.

use crate::{ProcessingTime, Span};
use std::sync::atomic::{AtomicI64, Ordering};

/// Tells processing time. Event time never comes from here.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> ProcessingTime;
}

/// A clock that moves only when it is told to.
///
/// ```
/// use dataflow::{Clock, ManualClock, ProcessingTime, Span};
/// let clock = ManualClock::new(ProcessingTime(0));
/// clock.advance(Span::seconds(1));
/// assert_eq!(clock.now(), ProcessingTime(1_000_000));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at a time.
    pub const fn new(now: ProcessingTime) -> Self {
        ManualClock(AtomicI64::new(now.0))
    }

    /// Moves the clock on by a span.
    pub fn advance(&self, span: Span) {
        self.0.fetch_add(span.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> ProcessingTime {
        ProcessingTime(self.0.load(Ordering::SeqCst))
    }
}
