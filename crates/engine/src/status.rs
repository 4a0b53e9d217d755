//! What a running job shows of itself: per node rows by fate, bytes of state and the watermark.

use crate::coordination::Coordination;
use crate::notes::Notes;
use crate::sink::{SinkQueue, WrittenRows};
use dataflow::{BadRow, EventTime, Fate, Fates, JobGraph, NodeKind, ProcessingTime};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

/// One node over all workers.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The node's name in the graph.
    pub name: String,
    /// Rows by what became of them.
    pub fates: Fates,
    /// A row that the step removed because it failed on it, the first of one of its workers.
    pub first_bad: Option<Arc<BadRow>>,
    /// Bytes of state that the operator holds in memory.
    pub state_bytes: usize,
    /// Bytes of state that it has put aside on disk.
    pub spilled_bytes: usize,
    /// The least watermark of its workers.
    pub watermark: EventTime,
}

/// What waits for an output that does not take rows as fast as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Bytes on disk.
    pub spilled_bytes: usize,
    /// Since when a writer has been in one call to the output, the longest of them.
    pub busy_since: Option<ProcessingTime>,
}

/// The state of a job, written by workers after each call and read by anyone at any time.
pub struct Status {
    names: Vec<(String, bool)>,
    coordination: Arc<Coordination>,
    // What became of the rows that the writers of each node have taken.
    written: Vec<Arc<WrittenRows>>,
    // The queues of the outputs, and the node of each.
    queues: Mutex<Vec<(usize, Arc<SinkQueue>)>>,
    notes: Notes,
    // Per worker, then by node; a mutex each, so that workers never meet.
    slots: Vec<Mutex<Vec<Slot>>>,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.nodes()).finish()
    }
}

/// A node in one worker.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    pub fates: Fates,
    pub first_bad: Option<Arc<BadRow>>,
    pub state_bytes: usize,
    pub spilled_bytes: usize,
    /// `None`: the worker has no share of the node.
    pub watermark: Option<EventTime>,
}

impl Status {
    pub(crate) fn new(graph: &JobGraph, workers: usize, coordination: Arc<Coordination>) -> Self {
        let names =
            graph.nodes.iter().map(|node| (node.name.clone(), matches!(node.kind, NodeKind::Sink(_)))).collect();
        let slots = (0..workers).map(|_| Mutex::new(vec![Slot::default(); graph.nodes.len()])).collect();
        let written = graph.nodes.iter().map(|_| Arc::default()).collect();
        Status { names, coordination, written, queues: Mutex::default(), notes: Notes::default(), slots }
    }

    /// The stream that holds the watermark back, and where it stands.
    pub fn held_by(&self) -> Option<(String, EventTime)> {
        self.coordination.held_by()
    }

    pub(crate) fn written(&self, node: usize) -> &Arc<WrittenRows> {
        &self.written[node]
    }

    pub(crate) fn add_queue(&self, node: usize, queue: Arc<SinkQueue>) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).push((node, queue));
    }

    /// What people should know of the outputs.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// What waits for each output that has something waiting, by the name of its node.
    pub fn waiting(&self) -> Vec<(String, Backlog)> {
        let mut of_nodes = BTreeMap::<usize, Backlog>::new();
        for (node, queue) in self.queues.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (memory, spilled, busy_since) = queue.waiting();
            let waiting = of_nodes.entry(*node).or_default();
            waiting.memory_bytes += memory;
            waiting.spilled_bytes += spilled;
            waiting.busy_since = waiting.busy_since.into_iter().chain(busy_since).min();
        }
        let some = of_nodes.into_iter().filter(|(_, waiting)| *waiting != Backlog::default());
        some.map(|(node, waiting)| (self.names[node].0.clone(), waiting)).collect()
    }

    /// Lets a worker write how its nodes stand.
    pub(crate) fn put(&self, worker: usize, write: impl FnOnce(&mut [Slot])) {
        write(&mut self.slots[worker].lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All nodes in the order of the graph.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        (0..self.names.len()).map(|node| self.node(node)).collect()
    }

    /// One node by its index in the graph.
    pub fn node(&self, node: usize) -> NodeStatus {
        let mut all = NodeStatus {
            name: self.names[node].0.clone(),
            fates: Fates::default(),
            first_bad: None,
            state_bytes: 0,
            spilled_bytes: 0,
            watermark: EventTime::MAX,
        };
        for worker in &self.slots {
            let slot = worker.lock().unwrap_or_else(PoisonError::into_inner)[node].clone();
            let Some(watermark) = slot.watermark else { continue };
            all.fates.merge(&slot.fates);
            all.first_bad = all.first_bad.or(slot.first_bad);
            all.state_bytes += slot.state_bytes;
            all.spilled_bytes += slot.spilled_bytes;
            all.watermark = all.watermark.min(watermark);
        }
        all.fates.add(Fate::Out, self.written[node].out.load(Relaxed));
        all.fates.add(Fate::LeftOut, self.written[node].left_out.load(Relaxed));
        all
    }

    /// Bytes of state over all nodes: in memory, and on disk.
    pub fn state_bytes(&self) -> (usize, usize) {
        let (mut memory, mut spilled) = (0, 0);
        for slots in &self.slots {
            for slot in slots.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                memory += slot.state_bytes;
                spilled += slot.spilled_bytes;
            }
        }
        (memory, spilled)
    }

    /// Rows written by all sinks.
    pub fn rows_out(&self) -> i64 {
        let sinks = (0..self.names.len()).filter(|&node| self.names[node].1);
        sinks.map(|node| self.node(node).fates.of(Fate::Out)).sum()
    }
}
