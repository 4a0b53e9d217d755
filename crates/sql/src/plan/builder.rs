//! A plan as it grows: what each node puts out, and the node of each relation.

use super::logical::{LogicalNode, LogicalPlan, OutputColumn};
use crate::bind::RelationId;
use crate::expression::ColumnId;
use std::collections::HashMap;

/// A plan as it is built.
pub(crate) struct Builder {
    pub plan: LogicalPlan,
    /// What each node puts out.
    outputs: Vec<Vec<OutputColumn>>,
    pub nodes: HashMap<RelationId, usize>,
}

impl Builder {
    pub fn new(plan: LogicalPlan) -> Builder {
        Builder { plan, outputs: Vec::new(), nodes: HashMap::new() }
    }

    /// Adds a node; its inputs are there.
    pub fn push(&mut self, node: LogicalNode) -> usize {
        let output = node.output(&self.outputs, &self.plan.columns);
        self.outputs.push(output);
        self.plan.nodes.push(node);
        self.plan.nodes.len() - 1
    }

    /// What a node puts out.
    pub fn output(&self, node: usize) -> &[OutputColumn] {
        &self.outputs[node]
    }

    /// The node of a relation that was built.
    pub fn node_of(&self, relation: RelationId) -> usize {
        self.nodes[&relation]
    }

    /// The key by which the rows of a node lie together, in their order.
    pub fn placed(&self, node: usize) -> Option<Vec<ColumnId>> {
        self.plan.placed(node, &self.outputs[node])
    }
}
