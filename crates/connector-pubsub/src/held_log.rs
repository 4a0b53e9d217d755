//! The log that messages are copied into, which works on a thread of its own, so that leases are extended meanwhile.

use copy_contract::{Append, CopyEvent};
use dataflow::{Error, ErrorKind, Result};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

/// How often it is looked whether the copy is to stop.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long the last append may take when the copy is to stop, and the last acknowledgements.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(10);
/// After how long an append that goes on is said to be slow, and when the copy is to stop.
const SLOW: Duration = Duration::from_secs(10);
const SLOW_AT_END: Duration = Duration::from_secs(1);

/// What the log does, which gives it back.
type Doing<T> = JoinHandle<(Box<dyn Append>, Result<T>)>;

/// The log of a copy.
pub(crate) struct HeldLog {
    // Away while it does something.
    append: Option<Box<dyn Append>>,
}

impl HeldLog {
    pub fn new(append: Box<dyn Append>) -> HeldLog {
        HeldLog { append: Some(append) }
    }

    /// Waits until the log has done something, and says when that takes long; nothing when it is to stop before that.
    pub async fn wait<T>(
        &mut self,
        mut doing: Doing<T>,
        is_held: &mut bool,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(CopyEvent),
    ) -> Result<Option<Result<T>>> {
        let begun = Instant::now();
        loop {
            if let Ok(ended) = timeout(LOOK_EVERY, &mut doing).await {
                let (log, done) = ended.map_err(ended_by_itself)?;
                self.append = Some(log);
                return Ok(Some(done));
            }
            if is_stopped() && begun.elapsed() > SHUTDOWN {
                return Ok(None);
            }
            let slow = if is_stopped() { SLOW_AT_END } else { SLOW };
            if !*is_held && begun.elapsed() > slow {
                *is_held = true;
                tell(CopyEvent::Held(format!("it has not answered for {} s, and is waited for", slow.as_secs())));
            }
        }
    }

    /// Begins to do something with the log, which is away until that is done.
    pub fn begin<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut dyn Append) -> Result<T> + Send + 'static,
    ) -> Result<Doing<T>> {
        let mut log = self.append.take().ok_or_else(|| Error::internal("the log is away"))?;
        Ok(spawn_blocking(move || {
            let done = act(log.as_mut());
            (log, done)
        }))
    }
}

/// Whether trying again changes nothing: what is asked for is wrong, a message is, or the topic is damaged or another one.
pub(crate) fn is_final(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Data | ErrorKind::Corrupt)
}

fn ended_by_itself(error: tokio::task::JoinError) -> Error {
    Error::internal("a task of the client of Pub/Sub has ended by itself").with_source(error)
}
