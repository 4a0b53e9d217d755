//! For how long, and how often, an outside system that does not answer is asked again.

use dataflow::{Clock, Error, ProcessingTime, Result, Span};
use std::sync::Arc;
use std::time::Duration;

/// For how long something is tried again while the outside cannot be reached.
const AGE: Span = Span::seconds(600);
/// The pauses between attempts: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Attempts at one thing.
pub struct Patience {
    clock: Arc<dyn Clock>,
    // Since when it fails, and the pause before the next attempt.
    failing: Option<(ProcessingTime, Duration)>,
}

impl Patience {
    pub fn new(clock: Arc<dyn Clock>) -> Patience {
        Patience { clock, failing: None }
    }

    /// An attempt succeeded.
    pub fn succeed(&mut self) {
        self.failing = None;
    }

    /// An attempt failed. The error comes back when attempts have failed for too long; `what` begins its sentence, as in
    /// `lake.t could not be committed`.
    pub fn fail(&mut self, error: Error, what: &str) -> Result<()> {
        let now = self.clock.now();
        let (since, pause) = self.failing.unwrap_or((now, PAUSE));
        if now > since.plus(AGE) {
            return Err(error.context(format!("{what} for {} s", AGE.0 / 1_000_000)));
        }
        self.failing = Some((since, (pause * 2).min(PAUSE_MAX)));
        Ok(())
    }

    /// Whether the last attempt failed.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// How long the pause before the next attempt is.
    pub fn pause(&self) -> Duration {
        self.failing.map_or(PAUSE, |(_, pause)| pause)
    }
}
