//! What rules have in common: expressions and columns of an operator replaced, and a plan put together anew.

use crate::expression::{ColumnId, Problem, Tree};
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator};

impl Operator {
    /// Replaces every expression.
    pub(super) fn map_trees(&mut self, map: &mut impl FnMut(&Tree) -> Result<Tree, Problem>) -> Result<(), Problem> {
        match self {
            Operator::Filter(condition) => *condition = map(condition)?,
            Operator::Project(all) => {
                for column in all {
                    column.tree = map(&column.tree)?;
                }
            }
            Operator::Predict(scores) => {
                for input in scores.iter_mut().flat_map(|score| &mut score.inputs) {
                    *input = map(input)?;
                }
            }
            Operator::Decision(decision) => {
                for rule in &mut decision.rules {
                    rule.condition = map(&rule.condition)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Replaces every column of the inputs that it names outside of expressions.
    pub(super) fn map_columns(&mut self, map: &impl Fn(ColumnId) -> ColumnId) {
        let change = |id: &mut ColumnId| *id = map(*id);
        match self {
            Operator::Dedup { keys, .. } => keys.iter_mut().for_each(change),
            Operator::Window { keys, functions } => {
                keys.iter_mut().for_each(change);
                for function in functions {
                    function
                        .argument
                        .iter_mut()
                        .chain(&mut function.filter)
                        .chain(&mut function.order)
                        .for_each(change);
                }
            }
            Operator::AsOf(join) => {
                join.keys.iter_mut().for_each(|(ours, theirs)| (change(ours), change(theirs)).0);
                join.columns.iter_mut().for_each(|(_, _, theirs)| change(theirs));
            }
            Operator::Range(range) => {
                range.keys.iter_mut().for_each(|(ours, theirs)| (change(ours), change(theirs)).0);
                for function in &mut range.functions {
                    function.argument.iter_mut().chain(&mut function.filter).for_each(change);
                }
            }
            Operator::Zip(zip) => {
                zip.keys.iter_mut().for_each(change);
                zip.columns.iter_mut().for_each(|column| change(&mut column.id));
            }
            Operator::Decision(decision) => change(&mut decision.subject),
            _ => {}
        }
    }
}

/// A plan in the making: nodes of the old one are added in their order, and may be left out.
pub(super) struct Rebuilt {
    pub plan: LogicalPlan,
    /// The new node of each old one.
    at: Vec<usize>,
}

impl Rebuilt {
    pub fn of(old: &LogicalPlan) -> Rebuilt {
        Rebuilt { plan: LogicalPlan { columns: old.columns.clone(), nodes: Vec::new() }, at: Vec::new() }
    }

    /// The new nodes of old ones.
    pub fn inputs(&self, old: &[usize]) -> Vec<usize> {
        old.iter().map(|&node| self.at[node]).collect()
    }

    /// Adds a node that is not in the old plan; its inputs are new ones.
    pub fn add(&mut self, node: LogicalNode) -> usize {
        self.plan.nodes.push(node);
        self.plan.nodes.len() - 1
    }

    /// Says which new node is the next old one.
    pub fn is(&mut self, node: usize) {
        self.at.push(node);
    }
}

/// The plan without nodes that feed no sink; all of it where there is no sink.
pub(super) fn without_idle_nodes(plan: LogicalPlan) -> LogicalPlan {
    let is_sink = |node: &LogicalNode| matches!(node.operator, Operator::Sink { .. });
    let mut feeds: Vec<bool> = plan.nodes.iter().map(is_sink).collect();
    if !feeds.contains(&true) {
        return plan;
    }
    for (at, node) in plan.nodes.iter().enumerate().rev() {
        if feeds[at] {
            node.inputs.iter().for_each(|&input| feeds[input] = true);
        }
    }
    let mut moved = vec![0; feeds.len()];
    let mut kept = Vec::new();
    for (at, mut node) in plan.nodes.into_iter().enumerate().filter(|(at, _)| feeds[*at]) {
        moved[at] = kept.len();
        node.inputs.iter_mut().for_each(|input| *input = moved[*input]);
        kept.push(node);
    }
    LogicalPlan { columns: plan.columns, nodes: kept }
}
