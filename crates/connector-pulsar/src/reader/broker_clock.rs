//! What time it is at the broker, from the stamps of the entries that it sends.
//!
//! Where a partition ends says nothing of time by itself: it takes the broker's time at the moment of the question to
//! say up to when there is nothing. The estimate is never later than the broker's own clock, since no entry is received
//! before it was stamped; it is earlier by the shortest way that an entry took of late.

use std::time::Duration;

/// How long an entry counts, at least; at most twice as long.
const RECENT: Duration = Duration::from_secs(300);

/// The broker's clock as one connection shows it. Another connection may be with another broker.
#[derive(Debug, Default)]
pub struct BrokerClock {
    since: Duration,
    /// The least time from a stamp to the receipt of its entry, in microseconds between two clocks.
    least: Option<i64>,
    least_before: Option<i64>,
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn smaller(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}

impl BrokerClock {
    /// Forgets what is older than it may be.
    fn pass(&mut self, now: Duration) {
        let age = now.saturating_sub(self.since);
        if age >= RECENT {
            self.least_before = if age >= 2 * RECENT { None } else { self.least };
            self.least = None;
            self.since = now;
        }
    }

    /// An entry with this stamp was received now.
    pub fn observe(&mut self, stamp_ms: u64, now: Duration) {
        self.pass(now);
        let stamp = i64::try_from(stamp_ms).unwrap_or(i64::MAX).saturating_mul(1000);
        self.least = smaller(self.least, Some(micros(now).saturating_sub(stamp)));
    }

    /// The broker's time at a moment of this connection, or a little earlier; none if no entry has told.
    pub fn at(&mut self, moment: Duration) -> Option<u64> {
        self.pass(moment);
        let least = smaller(self.least, self.least_before)?;
        u64::try_from(micros(moment).saturating_sub(least).div_euclid(1000)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_estimate_is_never_late_and_early_by_the_shortest_way(
            start_ms in 1_000_000u64..2_000_000,
            entries in proptest::collection::vec((0u64..200_000, 0u64..500_000), 1..30),
            question in 0u64..100_000_000,
        ) {
            // The broker's clock shows `start_ms` where ours shows zero; times here are in microseconds.
            let broker = |micros: u64| start_ms + micros / 1000;
            let mut clock = BrokerClock::default();
            let (mut now, mut shortest) = (0, u64::MAX);
            prop_assert_eq!(clock.at(Duration::ZERO), None);
            for (pause, way) in entries {
                now += pause;
                let stamp = broker(now);
                now += way;
                shortest = shortest.min(way);
                clock.observe(stamp, Duration::from_micros(now));
            }
            let moment = now + question;
            let estimate = clock.at(Duration::from_micros(moment)).unwrap();
            prop_assert!(estimate <= broker(moment), "{} is later than {}", estimate, broker(moment));
            prop_assert!(estimate + shortest / 1000 + 2 >= broker(moment));
        }
    }

    #[test]
    fn what_an_entry_told_is_forgotten() {
        let mut clock = BrokerClock::default();
        clock.observe(5000, Duration::from_secs(1));
        assert_eq!(clock.at(Duration::from_secs(2)), Some(6000));
        assert_eq!(clock.at(Duration::from_secs(310)), Some(314_000));
        assert_eq!(clock.at(Duration::from_secs(700)), None);
    }
}
