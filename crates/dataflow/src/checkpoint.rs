//! What a host gathers at a barrier, where it is kept, and what a later run takes up.
//!
//! Everything in it is known by names that come from SQL, never by places in a plan.

use crate::{
    Committable, CoordinatorState, Edge, EventTime, Exchange, Fates, Frozen, FrozenInput, JobGraph, KeyGroups, Port,
    Result, Scope, StateReader, StateWriter,
};
use std::sync::{Arc, Mutex, PoisonError};

/// All parts of a job at a barrier.
pub struct Checkpoint {
    /// Positions and watermarks; its number is that of the checkpoint.
    pub coordinator: CoordinatorState,
    /// The steps of every worker.
    pub steps: Vec<StepState<Arc<dyn Frozen>>>,
    /// Per input of a stage, by the name of its edge, what it was given in every worker.
    pub inputs: Vec<(String, Vec<FrozenInput>)>,
    /// The outputs.
    pub outputs: Vec<OutputState>,
    /// What became of rows since the job began.
    pub rows: JobRows,
    /// Nothing comes after it: the job was stopped, or its inputs have ended.
    pub last: bool,
    /// Whether an output has rows from after it, which an earlier run has put out and this one has not yet.
    pub replays: bool,
}

/// The state of a step in one worker.
#[derive(Clone, Debug)]
pub struct StepState<S> {
    /// The node's name.
    pub step: String,
    /// Everything at or before this had been released.
    pub watermark: EventTime,
    /// The state.
    pub state: S,
}

/// An output at a barrier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputState {
    /// The node's name.
    pub output: String,
    /// Where its writer goes on, if it counts what it has written.
    pub position: Option<Vec<u8>>,
    /// What was prepared at this barrier or an earlier one and is not known to be committed, oldest first.
    pub pending: Vec<Committable>,
    /// The number of the last checkpoint whose rows are known to be committed; 0 for none.
    pub known: u64,
}

/// What became of rows up to a barrier since a job began, by the names of its nodes. Rows that are held are held there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobRows {
    /// Of each stream: what was read, and of that what was used and what was removed.
    pub streams: Vec<(String, Fates)>,
    /// Of each step and output: what came in and went out, and what became of the rest.
    pub steps: Vec<(String, Fates)>,
}

/// Pieces of state as they were written, shared among the workers that take them up.
pub type Pieces = Arc<dyn StoredPieces>;

/// Pieces of state, in the order in which they were written. They need not be in memory.
pub trait StoredPieces: Send + Sync + std::fmt::Debug {
    /// The scope of a piece by its number; `None` after the last one.
    fn scope(&self, piece: usize) -> Option<Scope>;
    /// The bytes of a piece that there is.
    fn read(&self, piece: usize) -> Result<Vec<u8>>;
}

impl StoredPieces for Vec<(Scope, Vec<u8>)> {
    fn scope(&self, piece: usize) -> Option<Scope> {
        self.get(piece).map(|(scope, _)| *scope)
    }

    fn read(&self, piece: usize) -> Result<Vec<u8>> {
        Ok(self[piece].1.clone())
    }
}

/// What a run goes on from.
#[derive(Clone, Debug)]
pub struct RestoredJob {
    /// Positions and watermarks.
    pub coordinator: CoordinatorState,
    /// The steps of every worker that there was.
    pub steps: Vec<StepState<Pieces>>,
    /// Per input of a stage, by the name of its edge, what it was given in every worker.
    pub inputs: Vec<(String, Vec<FrozenInput>)>,
    /// The outputs.
    pub outputs: Vec<OutputState>,
    /// What had become of rows since the job began.
    pub rows: JobRows,
    /// Whether nothing came after the checkpoint.
    pub last: bool,
}

impl RestoredJob {
    /// Whether nothing but outputs is gone on with: the job begins, and writes on what another plan of it has written.
    pub fn is_beginning(&self) -> bool {
        // The rows of every job come in at one input at least.
        self.steps.is_empty() && self.inputs.is_empty()
    }
}

/// Where a host puts checkpoints; on a thread of its own, while processing goes on.
pub trait CheckpointStore: Send {
    /// Makes a checkpoint durable: once this has returned, a later run goes on from it. After an error of kind
    /// `Unavailable` the same call may be made again.
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()>;
}

/// Keeps the last checkpoint in memory: for jobs whose rows are collected there, too.
#[derive(Clone, Default)]
pub struct MemoryCheckpoints(Arc<Mutex<Option<RestoredJob>>>);

impl MemoryCheckpoints {
    /// The last checkpoint.
    pub fn last(&self) -> Option<RestoredJob> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl CheckpointStore for MemoryCheckpoints {
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let step = |step: &StepState<Arc<dyn Frozen>>| {
            let mut pieces = PieceWriter::default();
            step.state.write(&mut pieces)?;
            let state: Pieces = Arc::new(pieces.0);
            Ok(StepState { step: step.step.clone(), watermark: step.watermark, state })
        };
        let restored = RestoredJob {
            coordinator: checkpoint.coordinator.clone(),
            steps: checkpoint.steps.iter().map(step).collect::<Result<_>>()?,
            inputs: checkpoint.inputs.clone(),
            outputs: checkpoint.outputs.clone(),
            rows: checkpoint.rows.clone(),
            last: checkpoint.last,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(restored);
        Ok(())
    }
}

#[derive(Default)]
struct PieceWriter(Vec<(Scope, Vec<u8>)>);

impl StateWriter for PieceWriter {
    fn put(&mut self, scope: Scope, bytes: &[u8]) -> Result<()> {
        self.0.push((scope, bytes.to_vec()));
        Ok(())
    }
}

/// The pieces of some key groups, in the order in which they were written.
pub struct PiecesOf<'a> {
    pieces: &'a dyn StoredPieces,
    next: usize,
    groups: KeyGroups,
}

impl<'a> PiecesOf<'a> {
    /// Those of these groups, and those that every worker has.
    pub fn new(pieces: &'a Pieces, groups: KeyGroups) -> PiecesOf<'a> {
        PiecesOf { pieces: pieces.as_ref(), next: 0, groups }
    }
}

impl StateReader for PiecesOf<'_> {
    fn next(&mut self) -> Result<Option<(Scope, Vec<u8>)>> {
        let wanted = |scope: &Scope| match scope {
            Scope::Group(group) => self.groups.contains(*group),
            Scope::Uniform => true,
            Scope::Page(page) => page.groups.from < self.groups.to && self.groups.from < page.groups.to,
        };
        while let Some(scope) = self.pieces.scope(self.next) {
            self.next += 1;
            if wanted(&scope) {
                return Ok(Some((scope, self.pieces.read(self.next - 1)?)));
            }
        }
        Ok(None)
    }
}

impl JobGraph {
    /// The name of an edge into a stage, e.g. `m.dedup[id] by author_id`: that of the node that puts the rows out, its
    /// port where that is not the main one, and how they travel.
    pub fn edge_name(&self, edge: &Edge) -> String {
        let from = &self.nodes[edge.from];
        let mut name = from.name.clone();
        if edge.port != Port::MAIN {
            name.push_str(&format!(" port {}", edge.port.0));
        }
        let column = |&column: &usize| match from.schema.fields().get(column) {
            Some(field) if edge.port == Port::MAIN => field.name().clone(),
            _ => column.to_string(),
        };
        match &edge.exchange {
            Exchange::Forward => {}
            Exchange::Hash(columns) => {
                let columns: Vec<String> = columns.iter().map(column).collect();
                name.push_str(&format!(" by {}", columns.join(", ")));
            }
            Exchange::Broadcast => name.push_str(" to all"),
            Exchange::Single => name.push_str(" to one"),
        }
        name
    }
}
