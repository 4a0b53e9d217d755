//! Cuts a job graph into stages: what lies between two exchanges and can run as one chain.

use crate::{Edge, Exchange, JobGraph, NodeKind, Port};

/// Where rows leave a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// At a port of a node, for other stages.
    Port(usize, Port),
    /// Into the output of a sink node.
    Sink(usize),
}

/// A stage as it is cut out of a job graph; each worker that takes part makes a [`crate::Stage`] of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePlan {
    /// Its nodes, steps and sinks, in the order of the graph.
    pub nodes: Vec<usize>,
    /// The edges that lead into it, each once however many of its nodes read it. They come from sources, and from nodes
    /// of stages before this one.
    pub inputs: Vec<Edge>,
    /// Where its rows leave.
    pub outlets: Vec<Outlet>,
    /// Whether only the first worker takes part: it holds outputs that have one writer.
    pub single: bool,
}

/// The stages of a job, each after those that it takes rows from.
///
/// Nodes that an [`Exchange::Forward`] edge joins share a stage, unless a path between them leaves it: a barrier would
/// wait for itself there. A source is no part of a stage: its readers are.
pub fn stages(graph: &JobGraph) -> Vec<StagePlan> {
    let single = singles(graph);
    let mut cut = Cut { graph, stage: (0..graph.nodes.len()).collect() };
    for (node, taker) in graph.nodes.iter().enumerate() {
        for edge in taker.inputs.iter().filter(|edge| edge.exchange == Exchange::Forward) {
            if !is_source(graph, edge.from) && single[edge.from] == single[node] {
                cut.join(edge.from, node);
            }
        }
    }
    let plan = |stage: usize| {
        let nodes: Vec<usize> = (0..graph.nodes.len()).filter(|&node| cut.stage[node] == stage).collect();
        let (mut inputs, mut outlets) = (Vec::<Edge>::new(), Vec::new());
        for &node in &nodes {
            for edge in graph.nodes[node].inputs.iter().filter(|edge| cut.stage[edge.from] != stage) {
                if !inputs.contains(edge) {
                    inputs.push(edge.clone());
                }
            }
            let leaves = |port: &&Port| {
                let leads_out = |(taker, other): (usize, &crate::Node)| {
                    cut.stage[taker] != stage && other.inputs.iter().any(|e| e.from == node && e.port == **port)
                };
                graph.nodes.iter().enumerate().any(leads_out)
            };
            outlets.extend(graph.nodes[node].ports.iter().filter(leaves).map(|&port| Outlet::Port(node, port)));
            if matches!(graph.nodes[node].kind, NodeKind::Sink(_)) {
                outlets.push(Outlet::Sink(node));
            }
        }
        let single = single[nodes[0]];
        StagePlan { nodes, inputs, outlets, single }
    };
    cut.order().into_iter().map(plan).collect()
}

/// Whether a node reads a stream.
pub(crate) fn is_source(graph: &JobGraph, node: usize) -> bool {
    matches!(graph.nodes[node].kind, NodeKind::Source(_))
}

/// Per node whether only the first worker has it: all its rows come there.
fn singles(graph: &JobGraph) -> Vec<bool> {
    let mut single: Vec<bool> = Vec::new();
    for node in &graph.nodes {
        let comes_there = |edge: &Edge| match edge.exchange {
            Exchange::Single => true,
            Exchange::Forward => single[edge.from],
            Exchange::Hash(_) | Exchange::Broadcast => false,
        };
        single.push(!node.inputs.is_empty() && node.inputs.iter().all(comes_there));
    }
    single
}

struct Cut<'a> {
    graph: &'a JobGraph,
    // Per node the stage that it is in, named by the least node that began it.
    stage: Vec<usize>,
}

impl Cut<'_> {
    /// Puts two nodes' stages together, if no path leads out of the stage and back.
    fn join(&mut self, one: usize, other: usize) {
        let (keep, gone) = (self.stage[one].min(self.stage[other]), self.stage[one].max(self.stage[other]));
        let before = self.stage.clone();
        self.stage.iter_mut().filter(|stage| **stage == gone).for_each(|stage| *stage = keep);
        if self.returns_to(keep) {
            self.stage = before;
        }
    }

    /// The stages that take rows of a stage.
    fn behind(&self, stage: usize) -> Vec<usize> {
        let mut behind = Vec::new();
        for (node, taker) in self.graph.nodes.iter().enumerate() {
            for edge in &taker.inputs {
                if self.stage[edge.from] == stage && (self.stage[node] != stage || edge.exchange != Exchange::Forward) {
                    behind.push(self.stage[node]);
                }
            }
        }
        behind
    }

    fn returns_to(&self, stage: usize) -> bool {
        let (mut open, mut seen) = (self.behind(stage), Vec::new());
        while let Some(next) = open.pop() {
            if next == stage {
                return true;
            }
            if !seen.contains(&next) {
                seen.push(next);
                open.extend(self.behind(next));
            }
        }
        false
    }

    /// The stages in an order in which each comes after those that it takes rows from.
    fn order(&self) -> Vec<usize> {
        let mut left: Vec<usize> = (0..self.graph.nodes.len())
            .filter(|&node| self.stage[node] == node && !is_source(self.graph, node))
            .collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let waits = |stage: usize| left.iter().any(|&other| other != stage && self.behind(other).contains(&stage));
            let next = left.iter().position(|&stage| !waits(stage)).unwrap_or(0);
            order.push(left.remove(next));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Node, Output};
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    fn node(kind: NodeKind, inputs: Vec<Edge>) -> Node {
        let (ports, schema) = (vec![Port::MAIN, Port::DEAD_LETTER], Arc::new(Schema::empty()));
        Node { name: String::new(), kind, inputs, ports, schema, describe: String::new() }
    }

    fn step(inputs: Vec<Edge>) -> Node {
        node(NodeKind::Step(Arc::new(|_| Err(Error::internal("nothing is run here")))), inputs)
    }

    fn source() -> Node {
        node(NodeKind::Source(String::new()), vec![])
    }

    fn sink(inputs: Vec<Edge>) -> Node {
        node(NodeKind::Sink(Output::Table(String::new())), inputs)
    }

    fn on(from: usize, exchange: Exchange) -> Edge {
        Edge { from, port: Port::MAIN, exchange }
    }

    fn forward(from: usize) -> Edge {
        on(from, Exchange::Forward)
    }

    fn hash(from: usize) -> Edge {
        on(from, Exchange::Hash(vec![0]))
    }

    fn letters(from: usize) -> Edge {
        Edge { from, port: Port::DEAD_LETTER, exchange: Exchange::Forward }
    }

    fn nodes(stages: &[StagePlan]) -> Vec<Vec<usize>> {
        stages.iter().map(|stage| stage.nodes.clone()).collect()
    }

    #[test]
    fn what_lies_between_two_exchanges_is_one_stage() {
        // 0 -> 2 filter -#-> 3 merge -> 4 window -> 6 as-of -#-> 7 merge -> 8 table; 1 -#-> 5 merge -> 6
        let graph = JobGraph {
            nodes: vec![
                source(),
                source(),
                step(vec![forward(0)]),
                step(vec![hash(2)]),
                step(vec![forward(3)]),
                step(vec![hash(1)]),
                step(vec![forward(4), forward(5)]),
                step(vec![on(6, Exchange::Single)]),
                sink(vec![forward(7)]),
            ],
        };
        let stages = stages(&graph);
        assert_eq!(nodes(&stages), [vec![2], vec![3, 4, 5, 6], vec![7, 8]]);
        assert_eq!(stages[1].inputs, [hash(2), hash(1)]);
        assert_eq!(stages[1].outlets, [Outlet::Port(6, Port::MAIN)]);
        assert_eq!(stages[2].outlets, [Outlet::Sink(8)]);
        assert_eq!(stages.iter().map(|stage| stage.single).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn a_barrier_never_waits_for_its_own_stage() {
        // The dead letters of steps before and after an exchange go to one table: it cannot be in the stage before.
        let graph = JobGraph {
            nodes: vec![source(), step(vec![forward(0)]), step(vec![hash(1)]), sink(vec![letters(1), letters(2)])],
        };
        let stages = stages(&graph);
        assert_eq!(nodes(&stages), [vec![1], vec![2, 3]]);
        assert_eq!(stages[1].inputs, [hash(1), letters(1)]);
    }

    #[test]
    fn an_edge_that_two_nodes_read_is_one_input() {
        let graph = JobGraph {
            nodes: vec![source(), step(vec![hash(0)]), step(vec![hash(0)]), step(vec![forward(1), forward(2)])],
        };
        let stages = stages(&graph);
        assert_eq!(nodes(&stages), [vec![1, 2, 3]]);
        assert_eq!(stages[0].inputs, [hash(0)]);
    }
}
