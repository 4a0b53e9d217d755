//! The wall clock: the one place that reads it.

use dataflow::{Clock, ProcessingTime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the command line is an edge")]
    fn now(&self) -> ProcessingTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ProcessingTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// How long something takes, for people.
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the command line is an edge")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets a loop that found nothing to do rest for a moment.
#[expect(clippy::disallowed_methods, reason = "the command line is an edge, and a topic on disk cannot wake it")]
pub fn rest() {
    std::thread::sleep(Duration::from_millis(20));
}
