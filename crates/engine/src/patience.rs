//! For how long, and how often, an outside system that does not answer is asked again.

use dataflow::{Clock, Error, ProcessingTime, Result, Span};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// For how long something is tried again while the outside cannot be reached.
const AGE: Span = Span::seconds(600);
/// The pauses between attempts: the first, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often it is looked whether the job is to end, while a pause lasts.
const LOOK: Duration = Duration::from_millis(50);
/// What fails for so long is given up when the job is to end. Less may be another process that has the catalog now.
const AGE_AT_END: Span = Span::seconds(1);

/// Attempts at one thing.
pub struct Patience {
    clock: Arc<dyn Clock>,
    // Whether the job was asked to end.
    ends: Arc<AtomicBool>,
    failing: Option<Failing>,
}

#[derive(Clone, Copy)]
struct Failing {
    since: ProcessingTime,
    // The last attempt, and the pause after it.
    last: ProcessingTime,
    pause: Duration,
}

impl Patience {
    pub fn new(clock: Arc<dyn Clock>, ends: Arc<AtomicBool>) -> Patience {
        Patience { clock, ends, failing: None }
    }

    /// An attempt succeeded.
    pub fn succeed(&mut self) {
        self.failing = None;
    }

    /// An attempt failed. The error comes back when attempts have failed for too long, or the job is to end; `what` begins
    /// its sentence, as in `lake.t could not be committed`.
    pub fn fail(&mut self, error: Error, what: &str) -> Result<()> {
        let now = self.clock.now();
        let (since, pause) = self.failing.map_or((now, PAUSE), |failing| (failing.since, failing.pause));
        if now > since.plus(AGE) {
            return Err(error.context(format!("{what} for {} s", AGE.0 / 1_000_000)));
        }
        if self.ends.load(Relaxed) && now >= since.plus(AGE_AT_END) {
            return Err(error.context(format!("{what} when the job was asked to end")));
        }
        self.failing = Some(Failing { since, last: now, pause: (pause * 2).min(PAUSE_MAX) });
        Ok(())
    }

    /// Whether the last attempt failed.
    pub fn is_failing(&self) -> bool {
        self.failing.is_some()
    }

    /// Whether the pause before the next attempt is over. A job that is to end makes it a short one.
    pub fn is_due(&self) -> bool {
        let Some(failing) = self.failing else { return true };
        let pause = if self.ends.load(Relaxed) { failing.pause.min(PAUSE) } else { failing.pause };
        self.clock.now() >= failing.last.plus(Span(pause.as_micros() as i64))
    }

    /// How long is waited before it is looked whether the next attempt is due.
    pub fn pause(&self) -> Duration {
        LOOK
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflow::ManualClock;

    #[test]
    fn attempts_go_on_for_a_time_and_end_with_the_job() {
        let (clock, ends) = (Arc::new(ManualClock::new(ProcessingTime(0))), Arc::new(AtomicBool::new(false)));
        let mut patience = Patience::new(clock.clone(), ends.clone());
        let fail = |patience: &mut Patience| patience.fail(Error::unavailable("no answer"), "t could not be committed");
        assert!(patience.is_due());
        for _ in 0..100 {
            assert!(fail(&mut patience).is_ok());
            assert!(!patience.is_due());
            clock.advance(Span::seconds(2));
            assert!(patience.is_due());
        }
        assert!(fail(&mut patience).is_ok());
        ends.store(true, Relaxed);
        clock.advance(Span(200_000));
        assert!(patience.is_due(), "a pause is cut short");
        let error = fail(&mut patience).unwrap_err().chain();
        assert_eq!(error, "t could not be committed when the job was asked to end: no answer");
        patience.succeed();
        assert!(fail(&mut patience).is_ok(), "what has failed just now is tried again");
    }
}
