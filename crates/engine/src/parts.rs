//! What the parts of a job hand over at a barrier.

use dataflow::{Barrier, Committable, CoordinatorState, Fates, FrozenStage, StageId};

/// What the parts of a job are called in a checkpoint.
pub struct Names {
    /// By node.
    pub nodes: Vec<String>,
    /// By node, whether it is the source of a stream.
    pub is_source: Vec<bool>,
    /// Per stage that of its first node.
    pub stages: Vec<String>,
    /// Per stage those of its inputs.
    pub inputs: Vec<Vec<String>>,
}

/// An edge between parts: the stage that takes its rows, and which of its inputs.
pub type EdgeId = (usize, usize);

/// The rows that passed one part of a job in this run, up to a barrier.
#[derive(Debug, Default)]
pub struct PartRows {
    /// Those that it has sent.
    pub sent: Vec<(EdgeId, u64)>,
    /// Those that it has received.
    pub received: Vec<(EdgeId, u64)>,
    /// Those that it has put into the queues of outputs, by node.
    pub queued: Vec<(usize, u64)>,
    /// What became of rows in its nodes.
    pub fates: Vec<(usize, Fates)>,
}

/// What one writer prepared at a barrier.
#[derive(Debug)]
pub struct Preparation {
    pub barrier: Barrier,
    pub committable: Option<Committable>,
    /// Where a writer of a later run goes on.
    pub position: Option<Vec<u8>>,
    /// The rows that the writer has taken in this run.
    pub rows: u64,
    /// Those among them that it has left out, since the output has them.
    pub left_out: u64,
    /// Whether the output has rows of an earlier run that have not come again.
    pub replays: bool,
}

/// A part of a checkpoint, or what becomes of one.
pub enum Part {
    /// That of the coordinator; it follows those of all stages.
    State(CoordinatorState),
    /// That of a stage, with the number of the checkpoint.
    Stage(u64, StageId, FrozenStage),
    /// The rows that passed a reader or a stage.
    Rows(u64, PartRows),
    /// That of a writer, with its output.
    Prepared(usize, Preparation),
    /// A checkpoint is given up, which waited to be stored.
    GivenUp(u64),
    /// An output has committed everything that was prepared up to a checkpoint.
    Committed(usize, u64),
}
