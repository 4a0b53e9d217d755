//! An output as a host sees it: writers, one per worker, and a committer, one per job.

use crate::{Batch, Result};

/// What a writer hands to the committer at a barrier: opaque bytes with a format version, kept in checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committable(pub Vec<u8>);

/// Writes the rows of an output in one worker; a host keeps it on a thread of its own, and rows wait for it in a bounded
/// queue. Nothing is visible to readers before the committer has run, except
/// in topics, which promise no more than that a replay writes the same messages in the same order.
pub trait Sink: Send {
    /// Takes rows; they may still be in memory when this returns.
    fn write(&mut self, batch: &Batch) -> Result<()>;
    /// Makes durable what was written since the checkpoint before, for the checkpoint of this number. `None` when there is
    /// nothing to commit.
    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>>;
    /// Where a writer of a later run goes on after what was prepared last, kept in the checkpoint; `None` where a writer
    /// counts nothing.
    fn position(&self) -> Option<Vec<u8>> {
        None
    }
    /// How many of the rows that it has taken it has left out, since the output has them from an earlier plan of the job.
    fn left_out(&self) -> u64 {
        0
    }
}

/// Makes what writers prepared visible, all of a barrier at once.
///
/// Idempotent by token: a committable carries one from when it was prepared, and one that is given again, to this
/// committer or to that of a later run, changes nothing.
pub trait Committer: Send {
    /// Commits what all writers of the output prepared at one or more barriers.
    fn commit(&mut self, committables: Vec<Committable>) -> Result<()>;
}
