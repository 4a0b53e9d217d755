//! Fold constants.
//!
//! What no column takes part in is computed once, unless it fails: then it fails on every row that gets to it, as
//! before. A literal whose type its place decides stays as it is. A filter that always holds is left out.

use super::rewrite::{Rebuilt, without_idle_nodes};
use crate::expression::{Op, Problem, Tree};
use crate::plan::logical::{LogicalPlan, Operator};

pub(super) fn apply(plan: &LogicalPlan) -> Result<(LogicalPlan, usize), Problem> {
    let (mut rebuilt, mut times) = (Rebuilt::of(plan), 0);
    for node in &plan.nodes {
        let mut node = node.clone();
        node.inputs = rebuilt.inputs(&node.inputs);
        node.operator.map_trees(&mut |tree| {
            let folded = fold(tree)?;
            times += usize::from(folded != *tree);
            Ok(folded)
        })?;
        let at = match &node.operator {
            Operator::Filter(condition) if condition.is_true() => {
                times += 1;
                node.inputs[0]
            }
            _ => rebuilt.add(node),
        };
        rebuilt.is(at);
    }
    Ok((without_idle_nodes(rebuilt.plan), times))
}

fn fold(tree: &Tree) -> Result<Tree, Problem> {
    if tree.arguments().is_empty() {
        return Ok(tree.clone());
    }
    if let Some(constant) = tree.folded()? {
        return Ok(constant);
    }
    let arguments = tree.arguments().iter().map(fold).collect::<Result<Vec<_>, _>>()?;
    if let (Op::And, [left, right]) = (tree.op(), &arguments[..]) {
        // AND makes a condition of both sides, so what is left has to be one.
        if left.is_true() && *right.data_type() == *tree.data_type() {
            return Ok(right.clone());
        }
        if right.is_true() && *left.data_type() == *tree.data_type() {
            return Ok(left.clone());
        }
    }
    Tree::of(tree.op().clone(), arguments)
}
