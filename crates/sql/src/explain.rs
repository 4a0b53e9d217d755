//! The plan as text: what each node computes, where its rows come from, and what bounds its state.

use crate::check::CheckedPlan;
use crate::plan::{PlanKind, PlanNode};
use crate::relation::type_name;
use dataflow::{Edge, Exchange, Port};
use std::fmt::Write;

impl CheckedPlan {
    /// The plan as text: one paragraph a node, in the order in which rows meet them.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        for node in &self.plan.nodes {
            let inputs: Vec<String> = node.inputs.iter().map(|edge| self.explain_edge(edge)).collect();
            let from = if inputs.is_empty() { String::new() } else { format!("  <- {}", inputs.join(", ")) };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}: {}{from}", node.name, kind(node));
            let _ = writeln!(text, "    {}", node.describe);
            let before = node.inputs.first().map(|edge| self.plan.schema(edge.from).fields());
            let kept =
                before.filter(|before| node.schema.fields().starts_with(before)).map_or(0, |before| before.len());
            let added = node.schema.fields()[kept..].iter();
            let columns: Vec<String> = added.map(|f| format!("{} {}", f.name(), type_name(f.data_type()))).collect();
            if !columns.is_empty() {
                let _ = writeln!(text, "    {}({})", if kept > 0 { "+ " } else { "" }, columns.join(", "));
            }
        }
        text
    }

    fn explain_edge(&self, edge: &Edge) -> String {
        let from = &self.plan.nodes[edge.from];
        let port = match edge.port {
            Port::RECORDS => " records",
            Port::LATE => " late rows",
            Port::DEAD_LETTER => " bad rows",
            _ => "",
        };
        let exchange = match &edge.exchange {
            Exchange::Forward => String::new(),
            Exchange::Hash(keys) => format!(" by hash of ({})", self.plan.column_names(edge.from, keys)),
            Exchange::Broadcast => " to all workers".to_owned(),
            Exchange::Single => " to one worker".to_owned(),
        };
        format!("{}{port}{exchange}", from.name)
    }
}

fn kind(node: &PlanNode) -> &'static str {
    match node.kind {
        PlanKind::Source(_) => "stream",
        PlanKind::Merge => "merge",
        PlanKind::Dedup { .. } => "dedup",
        PlanKind::Filter(_) => "filter",
        PlanKind::Project(_) => "projection",
        PlanKind::Window(_) => "windows",
        PlanKind::AsOf(_) => "as-of join",
        PlanKind::Range(_) => "aggregates over another stream",
        PlanKind::Decision(_) => "decision",
        PlanKind::Sink(_) => "sink",
    }
}
