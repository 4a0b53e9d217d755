//! Where the stages of a graph live, and the lanes between them.

use crate::edge::OutEdge;
use crate::lane::{Credit, Lane};
use crate::mailbox::Caller;
use dataflow::{Edge, Exchange, JobGraph, NodeKind, Port, Splitter, StagePlan, stages};
use std::cell::Cell;
use std::sync::Arc;

/// The stages of a graph on workers.
pub struct Layout {
    workers: usize,
    /// The stages, each after those that it takes rows from.
    pub stages: Vec<StagePlan>,
    /// Per stage the workers that have an instance of it.
    pub places: Vec<Vec<usize>>,
    /// Per stream and reader the worker that it lives in.
    pub readers: Vec<Vec<usize>>,
    // Per node the workers that its rows come from.
    senders: Vec<Vec<usize>>,
    // Per stage and worker: a credit for each lane.
    credits: Vec<Vec<Vec<Credit>>>,
}

impl Layout {
    /// Deals the readers of each stream to the workers, puts what has one writer into the first worker, and all else
    /// into each worker that something comes to. `readers` tells how many readers each stream has.
    pub fn new(graph: &JobGraph, readers: &[usize], callers: &[Arc<Caller>]) -> Layout {
        let workers = callers.len();
        let deal = |(stream, &count): (usize, &usize)| (0..count).map(|reader| (reader + stream) % workers).collect();
        let readers: Vec<Vec<usize>> = readers.iter().enumerate().map(deal).collect();
        let mut senders = vec![Vec::new(); graph.nodes.len()];
        let sources = (0..graph.nodes.len()).filter(|&node| matches!(graph.nodes[node].kind, NodeKind::Source(_)));
        for (node, places) in sources.zip(&readers) {
            senders[node].clone_from(places);
            senders[node].sort_unstable();
        }
        let mut layout = Layout { workers, stages: stages(graph), places: vec![], readers, senders, credits: vec![] };
        for stage in 0..layout.stages.len() {
            let plan = &layout.stages[stage];
            let comes_to =
                |&worker: &usize| plan.inputs.iter().any(|edge| !layout.lane_senders(edge, worker).is_empty());
            let places: Vec<usize> = if plan.single { vec![0] } else { (0..workers).filter(comes_to).collect() };
            let of_worker = |worker| {
                let senders = plan.inputs.iter().flat_map(|edge| layout.lane_senders(edge, worker));
                senders.map(|sender| Credit::new(callers[sender].clone())).collect()
            };
            let credits = (0..workers).map(of_worker).collect();
            for &node in &layout.stages[stage].nodes {
                layout.senders[node].clone_from(&places);
            }
            layout.credits.push(credits);
            layout.places.push(places);
        }
        layout
    }

    /// The workers from which rows come to an input of a stage in a worker, in the sequence of the lanes.
    fn lane_senders(&self, edge: &Edge, worker: usize) -> Vec<usize> {
        let senders = self.senders[edge.from].iter().copied();
        match edge.exchange {
            Exchange::Forward => senders.filter(|&sender| sender == worker).collect(),
            Exchange::Single if worker != 0 => Vec::new(),
            _ => senders.collect(),
        }
    }

    /// The lanes into a stage of a worker.
    pub fn lanes(&self, stage: usize, worker: usize) -> Vec<Lane> {
        let inputs = self.stages[stage].inputs.iter().enumerate();
        let of_lanes = inputs.flat_map(|(input, edge)| self.lane_senders(edge, worker).into_iter().map(move |_| input));
        of_lanes.zip(&self.credits[stage][worker]).map(|(input, credit)| Lane::new(input, credit.clone())).collect()
    }

    /// The edges by which rows leave a port of a node of a worker.
    pub fn edges(&self, node: usize, port: Port, sender: usize) -> Vec<OutEdge> {
        let mut edges = Vec::new();
        for (stage, plan) in self.stages.iter().enumerate() {
            for (input, edge) in plan.inputs.iter().enumerate() {
                if edge.from != node || edge.port != port {
                    continue;
                }
                let splitter = Splitter::new(edge.exchange.clone(), self.workers);
                let mut lanes = vec![None; self.workers];
                for worker in splitter.destinations(sender) {
                    let before: usize =
                        plan.inputs[..input].iter().map(|edge| self.lane_senders(edge, worker).len()).sum();
                    let at = self.lane_senders(edge, worker).iter().position(|&other| other == sender);
                    lanes[worker] = at.map(|at| (before + at, self.credits[stage][worker][before + at].clone()));
                }
                edges.push(OutEdge { splitter, sender, stage, input, sent: Cell::default(), lanes });
            }
        }
        edges
    }
}
