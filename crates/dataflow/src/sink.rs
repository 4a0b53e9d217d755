//! An output as a host sees it: writers, one per worker, and a committer, one per job.

use crate::{Batch, Result};

/// What a writer hands to the committer at a barrier: opaque bytes with a format version, kept in checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committable(pub Vec<u8>);

/// Writes the rows of an output in one worker. Nothing is visible to readers before the committer has run, except
/// in topics, which promise no more than that a replay writes the same messages in the same order.
pub trait Sink: Send {
    /// Takes rows; they may still be in memory when this returns.
    fn write(&mut self, batch: &Batch) -> Result<()>;
    /// Makes durable what was written since the last barrier. `None` when there is nothing to commit.
    fn prepare(&mut self) -> Result<Option<Committable>>;
}

/// Makes what writers prepared visible, all of a barrier at once. Idempotent: committables carry a token.
pub trait Committer: Send {
    /// Commits what all writers of the output prepared at a barrier.
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()>;
}
