//! What the parts of a job hand over at a barrier.

use dataflow::{Barrier, Committable, CoordinatorState, FrozenStage, StageId};

/// What one writer prepared at a barrier.
#[derive(Debug)]
pub struct Preparation {
    pub barrier: Barrier,
    pub committable: Option<Committable>,
    /// Where a writer of a later run goes on.
    pub position: Option<Vec<u8>>,
}

/// A part of a checkpoint, or what becomes of one.
pub enum Part {
    /// That of the coordinator; it follows those of all stages.
    State(CoordinatorState),
    /// That of a stage, with the number of the checkpoint.
    Stage(u64, StageId, FrozenStage),
    /// That of a writer, with its output.
    Prepared(usize, Preparation),
    /// An output has committed everything that was prepared up to a checkpoint.
    Committed(usize, u64),
}
