//! Cuts a job graph into stages: what lies between two exchanges and can run as one chain.

use crate::{Edge, Exchange, JobGraph, NodeKind, Port};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

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
    let mut cut = Cut::new(graph);
    for (node, taker) in graph.nodes.iter().enumerate() {
        for edge in taker.inputs.iter().filter(|edge| edge.exchange == Exchange::Forward) {
            if !is_source(graph, edge.from) && single[edge.from] == single[node] {
                cut.join(edge.from, node);
            }
        }
    }
    let mut takers: Vec<Vec<(usize, Port)>> = vec![Vec::new(); graph.nodes.len()];
    for (node, taker) in graph.nodes.iter().enumerate() {
        taker.inputs.iter().for_each(|edge| takers[edge.from].push((node, edge.port)));
    }
    let plan = |stage: usize| {
        let mut nodes = cut.members[stage].clone();
        nodes.sort_unstable();
        let (mut inputs, mut outlets) = (Vec::<Edge>::new(), Vec::new());
        for &node in &nodes {
            for edge in graph.nodes[node].inputs.iter().filter(|edge| cut.stage[edge.from] != stage) {
                if !inputs.contains(edge) {
                    inputs.push(edge.clone());
                }
            }
            let leaves =
                |port: &&Port| takers[node].iter().any(|(taker, other)| cut.stage[*taker] != stage && other == *port);
            outlets.extend(graph.nodes[node].ports.iter().filter(leaves).map(|&port| Outlet::Port(node, port)));
            if matches!(graph.nodes[node].kind, NodeKind::Sink(_)) {
                outlets.push(Outlet::Sink(node));
            }
        }
        let single = single[nodes[0]];
        StagePlan { nodes, inputs, outlets, single }
    };
    cut.order(graph).into_iter().map(plan).collect()
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

/// Nodes in stages. Invariant: no path leads out of a stage and back.
struct Cut {
    // Per node the stage that it is in, named by its least node.
    stage: Vec<usize>,
    // What follows is by stage; of a name that no stage has any more it is empty.
    members: Vec<Vec<usize>>,
    // The edges that leave it: the node that takes them, and whether they are forward ones.
    takers: Vec<Vec<(usize, bool)>>,
    // Its place in `ranks`.
    rank: Vec<usize>,
    // Stages in an order in which each comes after those that it takes rows from, so that a search between two stages
    // looks only at what lies between them.
    ranks: Vec<Option<usize>>,
}

impl Cut {
    /// Every node in a stage of its own.
    fn new(graph: &JobGraph) -> Cut {
        let nodes = graph.nodes.len();
        let mut takers: Vec<Vec<(usize, bool)>> = vec![Vec::new(); nodes];
        for (node, taker) in graph.nodes.iter().enumerate() {
            let edges = taker.inputs.iter();
            edges.for_each(|edge| takers[edge.from].push((node, edge.exchange == Exchange::Forward)));
        }
        Cut {
            stage: (0..nodes).collect(),
            members: (0..nodes).map(|node| vec![node]).collect(),
            takers,
            rank: (0..nodes).collect(),
            ranks: (0..nodes).map(Some).collect(),
        }
    }

    /// Puts the stages of two nodes that a forward edge joins together, if no path leads out of the stage and back.
    fn join(&mut self, from: usize, node: usize) {
        let (above, below) = (self.stage[from], self.stage[node]);
        if above == below {
            return;
        }
        let Some(between) = self.reached_before(above, below) else { return };
        let (keep, gone) = (above.min(below), above.max(below));
        let members = std::mem::take(&mut self.members[gone]);
        members.iter().for_each(|&node| self.stage[node] = keep);
        self.members[keep].extend(members);
        let takers = std::mem::take(&mut self.takers[gone]);
        self.takers[keep].extend(takers);
        let stage = &self.stage;
        self.takers[keep].retain(|&(taker, _)| stage[taker] != keep);
        self.rank_again((above, below), keep, &between);
    }

    /// The stages between two in rank that the rows of the first reach; `None` when they come to the second on the way,
    /// or over an edge that leaves a stage.
    fn reached_before(&self, above: usize, below: usize) -> Option<HashSet<usize>> {
        let (mut open, mut seen) = (vec![above], HashSet::new());
        while let Some(at) = open.pop() {
            for &(taker, is_forward) in &self.takers[at] {
                let next = self.stage[taker];
                if next == below && (at != above || !is_forward) {
                    return None;
                }
                if self.rank[next] < self.rank[below] && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        Some(seen)
    }

    /// Ranks the stage that two have become: after what feeds the second, before what the first feeds.
    fn rank_again(&mut self, (above, below): (usize, usize), joined: usize, after: &HashSet<usize>) {
        let (first, last) = (self.rank[above], self.rank[below]);
        let others = self.ranks[first + 1..last].iter().flatten().copied();
        let (later, sooner): (Vec<usize>, Vec<usize>) = others.partition(|other| after.contains(other));
        self.ranks[first..=last].fill(None);
        let places = (first..=last).rev();
        let stages = later.into_iter().rev().chain([joined]).chain(sooner.into_iter().rev());
        for (place, stage) in places.zip(stages) {
            (self.ranks[place], self.rank[stage]) = (Some(stage), place);
        }
    }

    /// The stages in an order in which each comes after those that it takes rows from: of those that can be next the one
    /// with the least name.
    fn order(&self, graph: &JobGraph) -> Vec<usize> {
        let stages = || (0..self.stage.len()).filter(|&node| self.stage[node] == node && !is_source(graph, node));
        let mut feeders = vec![0_usize; self.stage.len()];
        stages().for_each(|stage| self.takers[stage].iter().for_each(|&(taker, _)| feeders[self.stage[taker]] += 1));
        let mut next: BinaryHeap<Reverse<usize>> = stages().filter(|&stage| feeders[stage] == 0).map(Reverse).collect();
        let mut order = Vec::new();
        while let Some(Reverse(stage)) = next.pop() {
            order.push(stage);
            for &(taker, _) in &self.takers[stage] {
                let fed = self.stage[taker];
                feeders[fed] -= 1;
                if feeders[fed] == 0 {
                    next.push(Reverse(fed));
                }
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Node, Output};
    use arrow::datatypes::Schema;
    use proptest::prelude::*;
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

    #[test]
    fn a_long_chain_is_cut_at_once() {
        for exchange in [Exchange::Forward, Exchange::Hash(vec![0])] {
            let views = 4000;
            let mut steps = vec![source(), step(vec![forward(0)])];
            steps.extend((1..views).map(|from| step(vec![on(from, exchange.clone())])));
            steps.push(sink((1..=views).map(letters).collect()));
            let graph = JobGraph { nodes: steps };
            let is_one = exchange == Exchange::Forward;
            assert_eq!(stages(&graph).len(), if is_one { 1 } else { views });
        }
    }

    /// The same cut by trying every path.
    fn naive(graph: &JobGraph) -> Vec<Vec<usize>> {
        let (single, count) = (singles(graph), graph.nodes.len());
        let mut stage: Vec<usize> = (0..count).collect();
        let takers = |stage: &[usize], of: usize| {
            let mut takers = Vec::new();
            for (node, taker) in graph.nodes.iter().enumerate() {
                for edge in taker.inputs.iter().filter(|edge| stage[edge.from] == of) {
                    if stage[node] != of || edge.exchange != Exchange::Forward {
                        takers.push(stage[node]);
                    }
                }
            }
            takers
        };
        for (node, taker) in graph.nodes.iter().enumerate() {
            for edge in taker.inputs.iter().filter(|edge| edge.exchange == Exchange::Forward) {
                if is_source(graph, edge.from) || single[edge.from] != single[node] {
                    continue;
                }
                let (keep, gone) = (stage[edge.from].min(stage[node]), stage[edge.from].max(stage[node]));
                let joined: Vec<usize> = stage.iter().map(|&of| if of == gone { keep } else { of }).collect();
                let (mut open, mut seen) = (takers(&joined, keep), HashSet::new());
                while let Some(next) = open.pop() {
                    if seen.insert(next) {
                        open.extend(takers(&joined, next));
                    }
                }
                if !seen.contains(&keep) {
                    stage = joined;
                }
            }
        }
        let mut left: Vec<usize> = (0..count).filter(|&node| stage[node] == node && !is_source(graph, node)).collect();
        let mut order = Vec::new();
        while !left.is_empty() {
            let waits = |of: usize| left.iter().any(|&other| other != of && takers(&stage, other).contains(&of));
            let next = left.iter().position(|&of| !waits(of)).expect("some stage waits for none");
            order.push(left.remove(next));
        }
        order.iter().map(|&of| (0..count).filter(|&node| stage[node] == of).collect()).collect()
    }

    fn any_graph() -> impl Strategy<Value = JobGraph> {
        let edge = (any::<prop::sample::Index>(), 0..6_u8);
        proptest::collection::vec(proptest::collection::vec(edge, 0..4), 1..16).prop_map(|all| {
            let mut nodes = vec![source(), source()];
            for edges in all {
                let exchange = |kind| match kind {
                    0 => Exchange::Hash(vec![0]),
                    1 => Exchange::Single,
                    _ => Exchange::Forward,
                };
                let inputs: Vec<Edge> =
                    edges.iter().map(|(from, kind)| on(from.index(nodes.len()), exchange(*kind))).collect();
                nodes.push(if inputs.is_empty() { source() } else { step(inputs) });
            }
            JobGraph { nodes }
        })
    }

    proptest! {
        #[test]
        fn stages_are_those_that_a_search_of_every_path_finds(graph in any_graph()) {
            prop_assert_eq!(nodes(&stages(&graph)), naive(&graph));
        }
    }
}
