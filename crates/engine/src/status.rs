//! What a running job shows of itself: per node rows by fate, bytes of state and the watermark.

use dataflow::{EventTime, Fate, Fates, JobGraph, NodeKind};
use std::sync::{Mutex, PoisonError};

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

/// The state of a job, written by workers after each call and read by anyone at any time.
#[derive(Debug)]
pub struct Status {
    names: Vec<(String, bool)>,
    workers: usize,
    // Indexed by worker, then node; a mutex each, so that workers never meet.
    slots: Vec<Mutex<Slot>>,
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
        Status { names, workers, slots }
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
