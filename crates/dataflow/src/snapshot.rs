//! State at a barrier: frozen at once, written by another thread, read back at any parallelism.

use crate::{EventTime, KeyGroup, KeyGroups, Result};

/// Which part of a job a piece of state belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The keys of one key group: the piece goes where the group goes.
    Group(KeyGroup),
    /// The same in every worker: written once, read by all.
    Uniform,
    /// Rows of a log, those of keys in several groups: every worker reads it, and keeps the rows of its own groups.
    Page(PageScope),
}

/// What a checkpoint says of a page beside its bytes, which stay the same from one checkpoint to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageScope {
    /// The groups between which all its keys lie.
    pub groups: KeyGroups,
    /// The first row that is still of the state; those before are not.
    pub first: u32,
    /// The watermark of the operator at the barrier.
    pub watermark: EventTime,
}

/// Takes the pieces of an operator's state.
pub trait StateWriter {
    /// Writes one piece. The bytes carry their own format version.
    fn put(&mut self, scope: Scope, bytes: &[u8]) -> Result<()>;

    /// Writes a page that never changes while the process runs, and that has a number of its own in it: whoever has
    /// stored it before need not ask for its bytes again. `encode` gives them, and the groups between which its keys lie.
    fn put_page(&mut self, page: &PageAt, encode: &dyn Fn() -> Result<(KeyGroups, Vec<u8>)>) -> Result<()> {
        let (groups, bytes) = encode()?;
        self.put(Scope::Page(page.scope(groups)), &bytes)
    }
}

/// A page at a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageAt {
    /// Its number, which no other page of this process has.
    pub number: u64,
    /// The first row that is still of the state.
    pub first: u32,
    /// The watermark of the operator.
    pub watermark: EventTime,
}

impl PageAt {
    /// What the checkpoint says of it, where its keys lie in some groups.
    pub fn scope(&self, groups: KeyGroups) -> PageScope {
        PageScope { groups, first: self.first, watermark: self.watermark }
    }
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
