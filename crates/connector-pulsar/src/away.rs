//! Which connections wait for their cluster, for whoever tells people what the process waits for.

use crate::error::Error;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A connection that is made anew within this is nothing to tell.
const TOLD_AFTER: Duration = Duration::from_secs(3);

static AWAY: Mutex<BTreeMap<u64, (Instant, Error)>> = Mutex::new(BTreeMap::new());
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What the process waits for, where connections to a cluster are away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterWait {
    /// Why the connection that has waited longest was not made when it was tried last: its topic, the address, and the reason.
    pub why: String,
    /// For how long that one has been away.
    pub since: Duration,
    /// How many connections are away, that one among them.
    pub connections: usize,
}

/// What the process waits for; none while all connections are there, or are back within 3 s.
pub fn cluster_wait() -> Option<ClusterWait> {
    longest(&AWAY.lock().unwrap_or_else(PoisonError::into_inner), TOLD_AFTER)
}

fn longest(all: &BTreeMap<u64, (Instant, Error)>, told_after: Duration) -> Option<ClusterWait> {
    let (since, error) = all.values().min_by_key(|(since, _)| *since)?;
    let since = since.elapsed();
    (since >= told_after).then(|| ClusterWait { why: error.to_string(), since, connections: all.len() })
}

/// A connection among those of the process, which is known as long as it is away and this lives.
#[derive(Debug, Default)]
pub struct Presence {
    number: Option<u64>,
}

impl Presence {
    /// The connection is away for this reason, or it is there.
    pub fn note(&mut self, away: Option<&Error>) {
        match away {
            Some(error) => {
                let number = *self.number.get_or_insert_with(|| NEXT.fetch_add(1, Ordering::Relaxed));
                let mut all = AWAY.lock().unwrap_or_else(PoisonError::into_inner);
                let (_, known) = all.entry(number).or_insert_with(|| (Instant::now(), error.clone()));
                if known != error {
                    *known = error.clone();
                }
            }
            None => self.leave(),
        }
    }

    fn leave(&mut self) {
        if let Some(number) = self.number.take() {
            AWAY.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the process knows of one connection; other tests have some too.
    fn known(presence: &Presence) -> Option<(Instant, Error)> {
        presence.number.and_then(|number| AWAY.lock().unwrap().get(&number).cloned())
    }

    #[test]
    fn a_connection_that_stays_away_is_known_until_it_is_back() {
        let mut presence = Presence::default();
        presence.note(Some(&Error::unavailable("no connection")));
        let (since, _) = known(&presence).unwrap();
        presence.note(Some(&Error::denied("a token has expired")));
        assert_eq!(known(&presence), Some((since, Error::denied("a token has expired"))), "it is away since then");
        let number = presence.number.unwrap();
        presence.note(None);
        assert!(!AWAY.lock().unwrap().contains_key(&number));
        presence.note(Some(&Error::unavailable("no connection")));
        let number = presence.number.unwrap();
        drop(presence);
        assert!(!AWAY.lock().unwrap().contains_key(&number));
    }

    #[test]
    fn the_longest_wait_is_told_once_it_is_long() {
        let now = Instant::now();
        let first = (now, Error::unavailable("a"));
        let all = BTreeMap::from([(7, (now + Duration::from_millis(1), Error::unavailable("b"))), (9, first)]);
        let told = longest(&all, Duration::ZERO).unwrap();
        assert_eq!((told.why.as_str(), told.connections), ("a", 2));
        assert_eq!(longest(&all, Duration::from_secs(3600)), None);
        assert_eq!(longest(&BTreeMap::new(), Duration::ZERO), None);
    }
}
