//! Requests to a store that are made again, a bounded number of times, while the store does not answer as it should.

use dataflow::{ErrorKind, Result};
use std::time::Duration;
use tokio::time::Instant;

/// How often a request is made at most.
const ATTEMPTS_MAX: u32 = 6;
/// After this time it is not made again: whoever waits for it has others to tell.
const TIME_MAX: Duration = Duration::from_secs(20);
/// The pause before the second attempt; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(100);

/// What came of one attempt.
pub enum Attempt<T> {
    /// It is done.
    Done(T),
    /// It failed, or nobody knows what came of it: it is made again.
    Again(dataflow::Error),
}

/// Makes a request until it is done. An error that another attempt may not have is told after the last one; any other at
/// once.
pub async fn until_done<T>(mut attempt: impl AsyncFnMut() -> Result<Attempt<T>>) -> Result<T> {
    let (begun, mut pause) = (Instant::now(), PAUSE);
    for count in 1.. {
        let again = match attempt().await {
            Ok(Attempt::Done(done)) => return Ok(done),
            Ok(Attempt::Again(error)) => error,
            Err(error) => return Err(error),
        };
        if again.kind() != ErrorKind::Unavailable || count == ATTEMPTS_MAX || begun.elapsed() + pause > TIME_MAX {
            return Err(again);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    unreachable!("the last attempt returns")
}
