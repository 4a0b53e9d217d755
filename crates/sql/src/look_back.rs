//! How far before a moment the rows of each stream lie that what comes out at that moment depends on.

use crate::check::CheckedPlan;
use crate::lower::physical::{PlanKind, PlanNode};
use dataflow::Span;
use operators::Aggregate;

/// How far back the rows of a stream have to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookBack {
    /// So far before the first row that comes out.
    For(Span),
    /// To the beginning: the last row of a key may be as old as the stream.
    All,
}

impl LookBack {
    fn plus(self, other: LookBack) -> LookBack {
        match (self, other) {
            (LookBack::For(one), LookBack::For(other)) => LookBack::For(Span(one.0.saturating_add(other.0))),
            _ => LookBack::All,
        }
    }
}

impl CheckedPlan {
    /// For each stream that is read, how far before a moment its rows are needed for all that comes out from then on.
    pub fn look_back(&self) -> Vec<(String, LookBack)> {
        self.look_back_of(&|_| true)
    }

    /// The same for what some nodes hold at a moment and put out from then on; streams that none of them looks at are left
    /// out.
    pub fn look_back_of(&self, nodes: &dyn Fn(usize) -> bool) -> Vec<(String, LookBack)> {
        let is_wanted = |node: usize| nodes(node).then_some(LookBack::For(Span::ZERO));
        let mut needs: Vec<Option<LookBack>> = (0..self.plan.nodes.len()).map(is_wanted).collect();
        let mut streams = Vec::new();
        for (at, node) in self.plan.nodes.iter().enumerate().rev() {
            let Some(own) = needs[at] else { continue };
            for (input, edge) in node.inputs.iter().enumerate() {
                needs[edge.from] = needs[edge.from].max(Some(own.plus(reach(node, input))));
            }
            if let PlanKind::Source(name) = &node.kind {
                streams.push((name.clone(), own));
            }
        }
        streams.reverse();
        streams
    }
}

/// How far before a row that comes out the rows of an input lie that it depends on.
fn reach(node: &PlanNode, input: usize) -> LookBack {
    match &node.kind {
        PlanKind::Window(spec)
            if spec.functions.iter().any(|function| matches!(function.aggregate, Aggregate::Lag { .. })) =>
        {
            LookBack::All
        }
        PlanKind::Window(spec) => {
            LookBack::For(spec.functions.iter().map(|function| function.frame.from).max().unwrap_or(Span::ZERO))
        }
        // A dropped delivery renews the interval, so a chain of deliveries can be of any length.
        PlanKind::Dedup { .. } => LookBack::All,
        PlanKind::AsOf(_) if input == 1 => LookBack::All,
        PlanKind::Range(spec) if input == 1 => {
            let first = spec.functions.iter().map(|function| function.from).min().unwrap_or(0);
            LookBack::For(Span(spec.hold_us().saturating_sub(first).max(0)))
        }
        PlanKind::Range(spec) => LookBack::For(Span(spec.hold_us())),
        PlanKind::Decision(plan) => {
            let longest = plan.spec.rules.iter().filter_map(|rule| rule.once_per).max();
            // Whether an action was suppressed depends on the one before it, and so on.
            if longest.is_some() { LookBack::All } else { LookBack::For(Span::ZERO) }
        }
        _ => LookBack::For(Span::ZERO),
    }
}
