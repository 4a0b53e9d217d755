//! How long to wait between attempts: longer each time, and not as long as others do.

use std::time::Duration;

const WAIT_MIN: Duration = Duration::from_millis(100);

/// The waits of one link.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
    chance: u64,
}

impl Backoff {
    /// Waits that double up to the longest; the seed spreads those of many links over time.
    pub fn new(longest: Duration, seed: u64) -> Self {
        Backoff { next: WAIT_MIN, longest, chance: seed | 1 }
    }

    /// How long to wait after a failure.
    pub fn wait(&mut self) -> Duration {
        // A quarter of the wait is chance, so that links that broke together do not come back together.
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let wait = self.next - self.next / 4 * ((self.chance % 1024) as u32) / 1024;
        self.next = (2 * self.next).min(self.longest);
        wait
    }

    /// The next failure is a new one.
    pub fn begin_anew(&mut self) {
        self.next = WAIT_MIN;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let longest = Duration::from_secs(10);
        let mut backoff = Backoff::new(longest, 1);
        let waits: Vec<Duration> = (0..12).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= WAIT_MIN && waits[11] <= longest && waits[11] > longest / 2, "{waits:?}");
        assert!(waits[..7].windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        backoff.begin_anew();
        assert!(backoff.wait() <= WAIT_MIN);
    }
}
