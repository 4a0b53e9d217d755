//! What the nodes of a plan are, whatever they are called.

use crate::check::CheckedPlan;
use crate::lower::contents;
use crate::lower::physical::PlanKind;
use dataflow::Edge;

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
}

impl CheckedPlan {
    /// What each node is, in the order of the job graph.
    pub fn node_identities(&self) -> Vec<NodeIdentity> {
        let of_stream = |node: usize| {
            let name = self.plan.stream_of(node)?;
            self.streams.iter().position(|stream| stream.name == name)
        };
        let contents = contents::contents(&self.plan);
        let identity = |(node, content): (usize, u128)| NodeIdentity {
            content,
            is_ordered: self.plan.nodes[node].sorted,
            stream: of_stream(node),
            has_state: has_state(&self.plan.nodes[node].kind),
        };
        contents.into_iter().enumerate().map(identity).collect()
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
