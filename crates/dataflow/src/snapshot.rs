//! State at a barrier: frozen at once, written by another thread, read back at any parallelism.

use crate::{KeyGroup, Result};

/// Which part of a job a piece of state belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The keys of one key group: the piece goes where the group goes.
    Group(KeyGroup),
    /// The same in every worker: written once, read by all.
    Uniform,
}

/// Takes the pieces of an operator's state.
pub trait StateWriter {
    /// Writes one piece. The bytes carry their own format version.
    fn put(&mut self, scope: Scope, bytes: &[u8]) -> Result<()>;
}

/// Gives the pieces of an operator's state back, in the order in which they were written.
pub trait StateReader {
    /// The next piece.
    fn next(&mut self) -> Result<Option<(Scope, Vec<u8>)>>;
}

/// State as it was at a barrier; written by another thread while the operator goes on, in one pass.
pub trait Frozen: Send + Sync {
    /// Writes everything.
    fn write(&self, out: &mut dyn StateWriter) -> Result<()>;
}

/// Pieces of state in memory.
///
/// ```
/// use dataflow::{Scope, Snapshot, StateReader, StateWriter};
/// let mut snapshot = Snapshot::default();
/// snapshot.put(Scope::Uniform, b"x")?;
/// assert_eq!(snapshot.next()?, Some((Scope::Uniform, b"x".to_vec())));
/// assert_eq!(snapshot.next()?, None);
/// # Ok::<(), dataflow::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(std::collections::VecDeque<(Scope, Vec<u8>)>);

impl StateWriter for Snapshot {
    fn put(&mut self, scope: Scope, bytes: &[u8]) -> Result<()> {
        self.0.push_back((scope, bytes.to_vec()));
        Ok(())
    }
}

impl StateReader for Snapshot {
    fn next(&mut self) -> Result<Option<(Scope, Vec<u8>)>> {
        Ok(self.0.pop_front())
    }
}

/// The state of an operator that has none.
impl Frozen for () {
    fn write(&self, _: &mut dyn StateWriter) -> Result<()> {
        Ok(())
    }
}
