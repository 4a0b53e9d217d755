//! Where the nodes of a graph live, and the lanes between them.

use crate::event::{Credit, Lane};
use crate::exchange::OutEdge;
use crate::mailbox::Caller;
use dataflow::{Edge, Exchange, JobGraph, NodeKind};
use std::sync::Arc;

/// The nodes of a graph on workers.
pub struct Layout {
    workers: usize,
    /// Per node the workers that have an instance of it.
    pub places: Vec<Vec<usize>>,
    // Per node and input edge: the first lane, and the senders in lane order (empty: the worker itself).
    lanes: Vec<Vec<(usize, Vec<usize>)>>,
    // Per node and worker: a credit for each lane.
    credits: Vec<Vec<Vec<Credit>>>,
}

impl Layout {
    /// Deals sources to the workers in turn, puts what has one writer into the first worker, and all else into each.
    pub fn new(graph: &JobGraph, callers: &[Arc<Caller>]) -> Layout {
        let workers = callers.len();
        let mut layout = Layout { workers, places: vec![], lanes: vec![], credits: vec![] };
        let mut sources = 0;
        for node in &graph.nodes {
            let single = |edge: &Edge| match edge.exchange {
                Exchange::Single => true,
                Exchange::Forward => layout.places[edge.from] == [0] && !is_source(graph, edge.from) && workers > 1,
                _ => false,
            };
            let places = if matches!(node.kind, NodeKind::Source(_)) {
                sources += 1;
                vec![(sources - 1) % workers]
            } else if node.inputs.iter().all(single) {
                vec![0]
            } else {
                (0..workers).collect()
            };
            let mut first = 0;
            let lanes: Vec<_> = node
                .inputs
                .iter()
                .map(|edge| {
                    let own = edge.exchange == Exchange::Forward && !is_source(graph, edge.from);
                    let senders = if own { vec![] } else { layout.places[edge.from].clone() };
                    first += senders.len().max(1);
                    (first - senders.len().max(1), senders)
                })
                .collect();
            let credits = (0..workers).map(|worker| {
                let senders = lanes.iter().flat_map(|(_, senders): &(usize, Vec<usize>)| match senders.as_slice() {
                    [] => vec![worker],
                    senders => senders.to_vec(),
                });
                senders.map(|sender| Credit::new(callers[sender].clone())).collect()
            });
            layout.credits.push(credits.collect());
            layout.places.push(places);
            layout.lanes.push(lanes);
        }
        layout
    }

    /// The lanes into a node of a worker.
    pub fn lanes(&self, graph: &JobGraph, node: usize, worker: usize) -> Vec<Lane> {
        let mut lanes = Vec::new();
        for input in 0..graph.nodes[node].inputs.len() {
            for _ in 0..self.lanes[node][input].1.len().max(1) {
                lanes.push(Lane::new(input, self.credits[node][worker][lanes.len()].clone()));
            }
        }
        lanes
    }

    /// The edges that the rows of a node of a worker leave by.
    pub fn outs(&self, graph: &JobGraph, from: usize, worker: usize) -> Vec<OutEdge> {
        let mut outs = Vec::new();
        for (node, taker) in graph.nodes.iter().enumerate() {
            for (input, edge) in taker.inputs.iter().enumerate().filter(|(_, edge)| edge.from == from) {
                let (first, senders) = &self.lanes[node][input];
                let lane = first + senders.iter().position(|&sender| sender == worker).unwrap_or(0);
                let workers = if senders.is_empty() { vec![worker] } else { self.places[node].clone() };
                outs.push(OutEdge {
                    port: edge.port,
                    exchange: edge.exchange.clone(),
                    node,
                    lanes: (0..self.workers).map(|to| (lane, self.credits[node][to][lane].clone())).collect(),
                    workers,
                    deal: is_source(graph, from),
                    next: 0,
                });
            }
        }
        outs
    }
}

/// Whether a node reads a stream.
pub fn is_source(graph: &JobGraph, node: usize) -> bool {
    matches!(graph.nodes[node].kind, NodeKind::Source(_))
}
