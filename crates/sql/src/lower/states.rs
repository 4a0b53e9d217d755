//! What the state of each step holds, as numbers that stay the same while the same is kept of the same rows, whatever
//! columns these carry along, wherever columns lie, and whatever steps that keep every row stand in between.

use super::physical::{Plan, PlanKind, PlanNode};
use crate::identity::Canonical;
use dataflow::{Edge, Port};

/// What the state of each node holds but for the functions of windows, and but for rows that it holds as a whole; `None`
/// for those that have none beside such rows.
pub(crate) fn states(plan: &Plan) -> Vec<Option<u128>> {
    let mut rows: Vec<u128> = Vec::with_capacity(plan.nodes.len());
    let mut states = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let inputs: Vec<u128> = node.inputs.iter().map(|edge| along(edge, rows[edge.from])).collect();
        states.push(Held { plan, node, inputs: &inputs }.state());
        rows.push(rows_of(node, &inputs));
    }
    states
}

/// Rows that leave a node by a port.
fn along(edge: &Edge, rows: u128) -> u128 {
    match edge.port {
        Port::MAIN => rows,
        port => Canonical::new("port").id(rows).number(port.0.into()).finish(),
    }
}

/// Which rows a node puts out at which times, of those that come in.
fn rows_of(node: &PlanNode, inputs: &[u128]) -> u128 {
    let first = inputs.first().copied().unwrap_or_default();
    let computed = |kind: &str| Canonical::new(kind).id(node.lineage.computed).ids(inputs.iter().copied()).finish();
    let rows = match &node.kind {
        PlanKind::Source(_) => computed("source"),
        PlanKind::Dedup { .. } => computed("dedup"),
        PlanKind::Filter(_) => computed("filter"),
        PlanKind::Decision(_) => computed("decision"),
        PlanKind::AsOf(spec) if spec.inner => computed("as of"),
        PlanKind::Range(spec) if spec.hold_us() > 0 => Canonical::new("wait").number(spec.hold_us()).id(first).finish(),
        PlanKind::Merge | PlanKind::Zip(_) if inputs.iter().any(|input| *input != first) => computed("together"),
        PlanKind::Merge
        | PlanKind::Zip(_)
        | PlanKind::Project(_)
        | PlanKind::Predict(_)
        | PlanKind::Window(_)
        | PlanKind::AsOf(_)
        | PlanKind::Range(_)
        | PlanKind::Sink(_) => first,
    };
    match node.lineage.removes {
        Some(removes) => Canonical::new("without").id(removes).id(rows).finish(),
        None => rows,
    }
}

/// A node and the rows of its inputs.
struct Held<'a> {
    plan: &'a Plan,
    node: &'a PlanNode,
    inputs: &'a [u128],
}

impl Held<'_> {
    fn state(&self) -> Option<u128> {
        let of = |kind: &str| Canonical::new(kind).ids(self.inputs.iter().copied());
        let computed = |kind: &str| of(kind).id(self.node.lineage.computed);
        let held = match &self.node.kind {
            PlanKind::Dedup { keys, .. } => computed("dedup").ids(self.columns(0, keys)),
            // Which functions there are is told beside.
            PlanKind::Window(spec) => of("window").ids(self.columns(0, &spec.partition_by)),
            PlanKind::AsOf(spec) => {
                let keys = computed("as of").ids(self.columns(0, &spec.left_keys));
                keys.ids(self.columns(1, &spec.right_keys)).ids(self.appended())
            }
            PlanKind::Range(spec) => {
                let keys = computed("range").ids(self.columns(0, &spec.left_keys));
                keys.ids(self.columns(1, &spec.right_keys)).ids(self.appended())
            }
            PlanKind::Decision(plan) => computed("decision").ids(self.columns(0, &[plan.spec.subject])),
            PlanKind::Source(_)
            | PlanKind::Merge
            | PlanKind::Zip(_)
            | PlanKind::Filter(_)
            | PlanKind::Project(_)
            | PlanKind::Predict(_)
            | PlanKind::Sink(_) => return None,
        };
        Some(held.finish())
    }

    /// What columns of an input hold.
    fn columns(&self, input: usize, positions: &[usize]) -> Vec<u128> {
        let from = self.node.inputs.get(input).map(|edge| &self.plan.nodes[edge.from].lineage.holds);
        let held = |&position: &usize| from.and_then(|holds| holds.get(position)).copied().unwrap_or_default();
        positions.iter().map(held).collect()
    }

    /// What the columns hold that the node appends to those of its first input.
    fn appended(&self) -> Vec<u128> {
        let before = self.node.inputs.first().map_or(0, |edge| self.plan.nodes[edge.from].lineage.holds.len());
        self.node.lineage.holds.iter().skip(before).copied().collect()
    }
}
