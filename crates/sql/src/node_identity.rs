//! What the nodes of a plan are, whatever they are called.

use crate::check::CheckedPlan;
use crate::lower::contents;
use crate::lower::physical::PlanKind;
use dataflow::{Edge, Span};

/// What a node of a plan is, apart from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// What it does with which rows, and how their columns lie. Names are no part of it.
    pub content: u128,
    /// Whether its rows come in time order, each once the watermark has reached it.
    pub is_ordered: bool,
    /// The stream whose coordinates its rows have, by its number.
    pub stream: Option<usize>,
    /// Whether it keeps anything of the rows that it has seen.
    pub has_state: bool,
    /// By how much later than their own time its rows come out, since they wait for those that follow them; `None` where
    /// they wait for different times.
    pub wait: Option<Span>,
}

impl CheckedPlan {
    /// What each node is, in the order of the job graph.
    pub fn node_identities(&self) -> Vec<NodeIdentity> {
        let of_stream = |node: usize| {
            let name = self.plan.stream_of(node)?;
            self.streams.iter().position(|stream| stream.name == name)
        };
        let (contents, waits) = (contents::contents(&self.plan), self.waits());
        let identity = |((node, content), wait): ((usize, u128), Option<Span>)| NodeIdentity {
            content,
            is_ordered: self.plan.nodes[node].sorted,
            stream: of_stream(node),
            has_state: has_state(&self.plan.nodes[node].kind),
            wait,
        };
        contents.into_iter().enumerate().zip(waits).map(identity).collect()
    }

    /// By how much later than their own time the rows of each node come out.
    fn waits(&self) -> Vec<Option<Span>> {
        let mut waits: Vec<Option<Span>> = Vec::with_capacity(self.plan.nodes.len());
        for node in &self.plan.nodes {
            let of = |input: usize| node.inputs.get(input).map_or(Some(Span::ZERO), |edge| waits[edge.from]);
            let wait = match &node.kind {
                PlanKind::Merge | PlanKind::Zip(_) => {
                    of(0).filter(|_| (1..node.inputs.len()).all(|input| of(input) == of(0)))
                }
                PlanKind::Range(spec) => of(0).map(|wait| Span(wait.0.saturating_add(spec.hold_us()))),
                _ => of(0),
            };
            waits.push(wait);
        }
        waits
    }

    /// What the rows of an input of a stage are, and how they come there, given what the nodes are.
    pub fn input_identity(&self, edge: &Edge, nodes: &[NodeIdentity]) -> u128 {
        contents::input(edge, nodes[edge.from].content)
    }
}

fn has_state(kind: &PlanKind) -> bool {
    match kind {
        PlanKind::Merge
        | PlanKind::Dedup { .. }
        | PlanKind::Window(_)
        | PlanKind::AsOf(_)
        | PlanKind::Range(_)
        | PlanKind::Zip(_)
        | PlanKind::Decision(_) => true,
        PlanKind::Source(_) | PlanKind::Filter(_) | PlanKind::Project(_) | PlanKind::Predict(_) | PlanKind::Sink(_) => {
            false
        }
    }
}
