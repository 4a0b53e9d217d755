//! Time that goes on while the machine is suspended.
//!
//! Messages arrive by the wall clock, which goes on through a suspend. What is promised of them is reckoned with a clock that
//! does so too, and that nobody sets.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::Duration;

/// How long the machine has been up, suspended or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub Duration);

impl Moment {
    /// The time since an earlier moment; none since a later one.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn plus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(span))
    }

    pub fn minus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(span))
    }
}

/// Tells how long the machine has been up.
pub(crate) trait Uptime: Send + Sync {
    /// How long it has been, suspended or not.
    fn now(&self) -> Moment;
    /// How long it was suspended meanwhile.
    fn suspended(&self) -> Duration;
}

/// The system's clocks.
#[derive(Debug)]
pub(crate) struct SystemUptime;

/// The clock that goes on through a suspend.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UPTIME: ClockId = ClockId::Boottime;
/// Elsewhere this one does.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const UPTIME: ClockId = ClockId::Monotonic;

impl Uptime for SystemUptime {
    fn now(&self) -> Moment {
        Moment(duration(clock_gettime(UPTIME)))
    }

    fn suspended(&self) -> Duration {
        let up = duration(clock_gettime(UPTIME));
        up.saturating_sub(duration(clock_gettime(ClockId::Monotonic)))
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    /// A clock that a test moves.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Hand(Arc<Mutex<(u64, u64)>>);

    impl Hand {
        /// Lets seconds pass.
        pub fn run(&self, seconds: u64) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += seconds;
        }

        /// Suspends the machine for seconds.
        pub fn suspend(&self, seconds: u64) {
            self.run(seconds);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).1 += seconds;
        }
    }

    impl Uptime for Hand {
        fn now(&self) -> Moment {
            Moment(Duration::from_secs(self.0.lock().unwrap_or_else(PoisonError::into_inner).0))
        }

        fn suspended(&self) -> Duration {
            Duration::from_secs(self.0.lock().unwrap_or_else(PoisonError::into_inner).1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_a_time_that_goes_on() {
        let (first, suspended) = (SystemUptime.now(), SystemUptime.suspended());
        let later = SystemUptime.now();
        assert!(later >= first && later.since(first) < Duration::from_secs(60), "{first:?} {later:?}");
        assert!(suspended <= later.0, "{suspended:?} of {later:?}");
    }
}
