//! How whoever reads what others still write is asked to stop, and why reading has ended.

use std::io;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Tells those who wait that they are to stop.
#[derive(Default)]
pub struct StopSignal {
    asked: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    /// Asks everyone who waits to stop.
    pub fn ask(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits so long, or until it is asked for.
    pub(super) fn wait(&self, at_most: Duration) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(asked, at_most, |asked| !*asked));
    }

    /// Fails when it was asked for, and says so in the end. Whoever reads gives out first what was taken before.
    pub(super) fn check(&self, end: &OnceLock<InputEnd>) -> io::Result<()> {
        if !self.is_asked() {
            return Ok(());
        }
        let _ = end.set(InputEnd::Stopped);
        Err(io::Error::other("it is read no further"))
    }
}

/// Why an input that others still write is read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputEnd {
    /// Somebody asked for it; what follows was not taken.
    Stopped,
    /// Another file has its name.
    Replaced,
    /// It is shorter than what was read of it.
    Truncated,
}
