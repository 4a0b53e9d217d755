//! The coordinator of a job: a state machine without I/O, fed with events, that answers with actions.
//!
//! Readers know nothing of each other. They report, and get orders: which splits are theirs, what holds them back,
//! and the barriers. A host carries both; it keeps the orders to one reader in sequence, and may delay anything.

use crate::{EventTime, FrozenReader, ProcessingTime, ReadBounds, ReaderId, Report, Result, SplitState};

/// A cut through all lanes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The number of the checkpoint that it belongs to; counts up.
    pub number: u64,
    /// Nothing comes behind it.
    pub last: bool,
}

/// A stage in one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId {
    /// The stage's place in the job.
    pub stage: usize,
    /// The worker.
    pub worker: usize,
}

/// What the coordinator is told.
#[derive(Clone, Debug)]
pub enum CoordinatorEvent {
    /// The readers and stages of a run are there. What was known of those of an earlier run is forgotten.
    Start {
        /// How many readers each stream has.
        readers: Vec<usize>,
        /// The stages that take part in barriers.
        stages: Vec<StageId>,
    },
    /// A reader reports.
    Report(ReaderId, Report),
    /// A stage says when something that it holds comes out, per stream that reaches it: the least time above the level of
    /// that input; and whether everything that outputs had before a restart has come out again.
    Holds {
        /// The stage.
        stage: StageId,
        /// Stream and time.
        due: Vec<(usize, EventTime)>,
        /// Whether outputs have come as far as before the restart.
        replayed: bool,
    },
    /// A reader has sent the barrier, and this is what it handed over there.
    ReaderFrozen(ReaderId, FrozenReader),
    /// All lanes of a stage have the barrier.
    StageFrozen {
        /// The stage.
        stage: StageId,
        /// Per node of the job graph in this stage the watermark that it has been advanced to.
        levels: Vec<(usize, EventTime)>,
    },
    /// The host has made a checkpoint durable.
    Durable(u64),
    /// A checkpoint is wanted; the last one ends the job.
    CheckpointWanted {
        /// Whether the job ends with it.
        last: bool,
    },
}

/// An order to a reader. Orders to one reader come in the sequence in which they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// [`crate::Reader::add`].
    Assign(Vec<SplitState>),
    /// [`crate::Reader::bound`].
    Bounds(ReadBounds),
    /// [`crate::Reader::freeze`], then the barrier in every lane of the reader.
    Barrier(Barrier),
    /// [`crate::Reader::durable`], with the splits that joined.
    Durable(Vec<SplitState>),
}

/// What the coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorAction {
    /// Send an order to a reader.
    Send(ReaderId, Order),
    /// Make a checkpoint durable, with what the stages froze, then say so.
    Persist(CoordinatorState),
}

/// The coordinator's part of a checkpoint: what a restart goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoordinatorState {
    /// The number of the checkpoint.
    pub number: u64,
    /// Every split of every stream, each once, with the stream's index.
    pub splits: Vec<(usize, SplitState)>,
    /// Per stream the watermark that it has given. Stages ignore lower ones.
    pub watermarks: Vec<EventTime>,
}

/// Keeps the readers of a job together in event time, hands out splits and barriers. One object per job; it does no I/O.
pub trait Coordinator: Send {
    /// Takes an event; what it wants done is to be done in this sequence.
    fn handle(&mut self, event: CoordinatorEvent, now: ProcessingTime) -> Result<Vec<CoordinatorAction>>;
    /// The stream that holds the watermark back, and where it stands, for people.
    fn held_by(&self) -> Option<(String, EventTime)>;
}
