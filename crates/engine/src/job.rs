//! A job as the engine takes it: the graph, and what its sources and sinks are bound to.

use crate::pace::CheckpointPace;
use dataflow::{
    CheckpointStore, Clock, Committer, Coordinator, Error, EventTime, JobGraph, NodeKind, Reader, RestoredJob, Result,
    Sink, StateMemory,
};
use std::path::PathBuf;
use std::sync::Arc;

/// What a sink node of the graph is bound to.
pub struct SinkBinding {
    /// Makes the writer of one worker.
    pub writer: Box<dyn Fn(usize) -> Result<Box<dyn Sink>> + Send>,
    /// Makes visible what the writers prepared.
    pub committer: Box<dyn Committer>,
    /// `W`: only rows with `_time` above this are written.
    pub after: EventTime,
    /// How many rows the output has from after the checkpoint that the job goes on from: they come again.
    pub replay: u64,
}

/// A job that can be run.
pub struct Job {
    /// Nodes in an order in which every node comes after those that it takes rows from.
    pub graph: JobGraph,
    /// The readers of each source node, in the order of the source nodes: at least one, at most one per worker.
    pub readers: Vec<Vec<Box<dyn Reader>>>,
    /// Keeps the readers together in event time.
    pub coordinator: Box<dyn Coordinator>,
    /// One binding per sink node, in the order of the sink nodes.
    pub sinks: Vec<SinkBinding>,
    /// How many workers share the key groups; at least 1.
    pub workers: usize,
    /// Tells when sources are due that nobody wakes.
    pub clock: Arc<dyn Clock>,
    /// Where rows go that wait for an output and do not fit in memory.
    pub spill_dir: PathBuf,
    /// What the state of all steps may take in memory, and where the rest of it goes.
    pub state_memory: Arc<StateMemory>,
    /// Where checkpoints are kept; without it the job does not outlive the process.
    pub checkpoints: Option<Box<dyn CheckpointStore>>,
    /// How soon they follow one another, and how long one may take.
    pub pace: CheckpointPace,
    /// What the job goes on from. What was pending there is committed by now, and known.
    pub restored: Option<RestoredJob>,
}

impl Job {
    /// Checks that readers and sinks fit the graph, and that the graph loses no row.
    pub(crate) fn check(&self) -> Result<()> {
        let count = |wanted: fn(&NodeKind) -> bool| self.graph.nodes.iter().filter(|node| wanted(&node.kind)).count();
        let sources = count(|kind| matches!(kind, NodeKind::Source(_)));
        let sinks = count(|kind| matches!(kind, NodeKind::Sink(_)));
        if sources != self.readers.len() || sinks != self.sinks.len() || self.workers == 0 {
            return Err(Error::internal(format!(
                "a graph of {sources} sources and {sinks} sinks got the readers of {} streams, {} sinks and {} workers",
                self.readers.len(),
                self.sinks.len(),
                self.workers
            )));
        }
        if let Some(stream) = self.readers.iter().position(|readers| !(1..=self.workers).contains(&readers.len())) {
            return Err(Error::internal(format!(
                "stream {stream} has {} readers on {} workers",
                self.readers[stream].len(),
                self.workers
            )));
        }
        self.graph.check()
    }
}
