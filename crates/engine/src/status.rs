//! What a running job shows of itself: per node rows by fate, bytes of state and the watermark.

use crate::sink::SinkQueue;
use dataflow::{EventTime, Fate, Fates, JobGraph, NodeKind, ProcessingTime};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// One node over all workers.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The node's name in the graph.
    pub name: String,
    /// Rows by what became of them.
    pub fates: Fates,
    /// Bytes of state that the operator holds.
    pub state_bytes: usize,
    /// The least watermark of its workers.
    pub watermark: EventTime,
}

/// What waits for an output that does not take rows as fast as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Bytes in memory.
    pub memory_bytes: usize,
    /// Bytes on disk.
    pub spilled_bytes: usize,
    /// Since when a writer has been in one call to the output, the longest of them.
    pub busy_since: Option<ProcessingTime>,
}

/// What people should know of the outputs while the job runs, by output: that a commit has to wait, and for what.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<BTreeMap<String, String>>>);

impl Notes {
    pub(crate) fn set(&self, of: &str, note: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(of.to_owned(), note);
    }

    pub(crate) fn clear(&self, of: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }

    /// All notes.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// The state of a job, written by workers after each call and read by anyone at any time.
pub struct Status {
    names: Vec<(String, bool)>,
    workers: usize,
    // Rows that the writers of each node have written.
    written: Vec<Arc<AtomicI64>>,
    // The queues of the outputs, and the node of each.
    queues: Mutex<Vec<(usize, Arc<SinkQueue>)>>,
    notes: Notes,
    // Indexed by worker, then node; a mutex each, so that workers never meet.
    slots: Vec<Mutex<Slot>>,
}

impl std::fmt::Debug for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.nodes()).finish()
    }
}

#[derive(Clone, Debug)]
struct Slot {
    fates: Fates,
    state_bytes: usize,
    watermark: Option<EventTime>,
}

impl Status {
    pub(crate) fn new(graph: &JobGraph, workers: usize) -> Self {
        let names =
            graph.nodes.iter().map(|node| (node.name.clone(), matches!(node.kind, NodeKind::Sink(_)))).collect();
        let empty = Slot { fates: Fates::default(), state_bytes: 0, watermark: None };
        let slots = (0..graph.nodes.len() * workers).map(|_| Mutex::new(empty.clone())).collect();
        let written = graph.nodes.iter().map(|_| Arc::default()).collect();
        Status { names, workers, written, queues: Mutex::default(), notes: Notes::default(), slots }
    }

    pub(crate) fn written(&self, node: usize) -> &Arc<AtomicI64> {
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
    pub fn waiting(&self) -> Vec<(String, Waiting)> {
        let mut of_nodes = BTreeMap::<usize, Waiting>::new();
        for (node, queue) in self.queues.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (memory, spilled, busy_since) = queue.waiting();
            let waiting = of_nodes.entry(*node).or_default();
            waiting.memory_bytes += memory;
            waiting.spilled_bytes += spilled;
            waiting.busy_since = waiting.busy_since.into_iter().chain(busy_since).min();
        }
        let some = of_nodes.into_iter().filter(|(_, waiting)| *waiting != Waiting::default());
        some.map(|(node, waiting)| (self.names[node].0.clone(), waiting)).collect()
    }

    pub(crate) fn put(&self, worker: usize, node: usize, fates: Fates, state_bytes: usize, watermark: EventTime) {
        let slot = &self.slots[worker * self.names.len() + node];
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Slot { fates, state_bytes, watermark: Some(watermark) };
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
            state_bytes: 0,
            watermark: EventTime::MAX,
        };
        for worker in 0..self.workers {
            let slot =
                self.slots[worker * self.names.len() + node].lock().unwrap_or_else(PoisonError::into_inner).clone();
            // A worker without an instance of the node (a source lives in one worker) has put nothing.
            let Some(watermark) = slot.watermark else { continue };
            all.fates.merge(&slot.fates);
            all.state_bytes += slot.state_bytes;
            all.watermark = all.watermark.min(watermark);
        }
        all.fates.add(Fate::Out, self.written[node].load(Relaxed));
        all
    }

    /// Bytes of state over all nodes.
    pub fn state_bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).state_bytes).sum()
    }

    /// Rows written by all sinks.
    pub fn rows_out(&self) -> i64 {
        let sinks = (0..self.names.len()).filter(|&node| self.names[node].1);
        sinks.map(|node| self.node(node).fates.of(Fate::Out)).sum()
    }
}
