//! Pass filters: conditions go down to where fewer rows are touched.
//!
//! A condition passes an operator only if no row fails there: the row would be removed in place of failing. It must not
//! fail itself, and passes with those before it: after a condition that can fail nothing passes, since AND goes from
//! left to right on every row. Nor does one that may be NULL pass from before a condition that can fail: on NULL the rest is
//! asked too, and the row may be bad. It passes
//!
//! - a projection, where it is on columns that are passed on;
//! - windows, where it is on their key alone: else it would change which rows are counted;
//! - an as-of join and aggregates over another stream, where it is on their left side: each row of it stands alone;
//! - models.
//!
//! It passes nothing that others read too, and never DEDUP: a repetition that it removes there would not be told as one.

use super::rewrite::{Rebuilt, without_idle_nodes};
use crate::bind::Columns;
use crate::expression::{ColumnId, Op, Place, Problem, Tree};
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator, ProjectColumn, Score};
use std::collections::HashSet;

pub(super) fn apply(plan: &LogicalPlan) -> Result<(LogicalPlan, usize), Problem> {
    let (mut plan, mut times) = (plan.clone(), 0);
    // A condition passes one operator a round, and there are no more rounds than operators.
    for _ in 0..plan.nodes.len() {
        let Some(better) = pass_one(&plan)? else { break };
        plan = better;
        times += 1;
    }
    Ok((plan, times))
}

/// The plan with one filter below what it was above; `None` where no filter can pass.
fn pass_one(plan: &LogicalPlan) -> Result<Option<LogicalPlan>, Problem> {
    let readers = plan.readers();
    for (at, node) in plan.nodes.iter().enumerate() {
        let (Operator::Filter(condition), &[below]) = (&node.operator, &node.inputs[..]) else { continue };
        if readers[below] > 1 {
            continue;
        }
        let (passing, staying) = split(condition, &plan.nodes[below].operator, &plan.columns)?;
        if let Some(passing) = and(passing)? {
            return Ok(Some(passed(plan, (at, below), passing, and(staying)?)));
        }
    }
    Ok(None)
}

/// The conditions that pass an operator, as they are below it, and those that stay.
fn split(condition: &Tree, below: &Operator, columns: &Columns) -> Result<(Vec<Tree>, Vec<Tree>), Problem> {
    let (mut passing, mut staying) = (Vec::new(), Vec::new());
    let mut open = !below.can_fail(columns);
    let all = conjuncts(condition);
    let last_that_fails = all.iter().rposition(|part| part.can_fail());
    for (at, &part) in all.iter().enumerate() {
        open &= !part.can_fail();
        let is_settled = !part.nullable() || last_that_fails.is_none_or(|last| last < at);
        match if open && is_settled { below_of(part, below)? } else { None } {
            Some(moved) => passing.push(moved),
            None => staying.push(part.clone()),
        }
    }
    Ok((passing, staying))
}

fn conjuncts(condition: &Tree) -> Vec<&Tree> {
    match condition.op() {
        Op::And => condition.arguments().iter().flat_map(conjuncts).collect(),
        _ => vec![condition],
    }
}

fn and(conditions: Vec<Tree>) -> Result<Option<Tree>, Problem> {
    let mut all = conditions.into_iter();
    let Some(mut first) = all.next() else { return Ok(None) };
    for next in all {
        first = Tree::of(Op::And, vec![first, next])?;
    }
    Ok(Some(first))
}

/// A condition as it is below an operator; `None` where it cannot pass.
fn below_of(condition: &Tree, below: &Operator) -> Result<Option<Tree>, Problem> {
    let (mut used, mut beside) = (HashSet::new(), false);
    condition.each_place(&mut |place| match place {
        Place::Column(id) => {
            used.insert(id);
        }
        _ => beside = true,
    });
    let within = |keys: &[ColumnId]| !beside && !used.is_empty() && used.iter().all(|id| keys.contains(id));
    let without = |appended: Vec<ColumnId>| !appended.iter().any(|id| used.contains(id));
    let passes = match below {
        Operator::Project(all) => return through_projection(condition, &used, all),
        Operator::Window { keys, .. } => within(keys),
        Operator::AsOf(join) => without(join.columns.iter().map(|(id, ..)| *id).collect()),
        // Rows that wait have another `_time` before.
        Operator::Range(range) => {
            !(beside && range.hold() > 0) && without(range.functions.iter().map(|function| function.id).collect())
        }
        Operator::Predict(scores) => without(scores.iter().flat_map(Score::ids).collect()),
        _ => false,
    };
    Ok(passes.then(|| condition.clone()))
}

/// Columns that are passed on, perhaps under another id.
fn through_projection(
    condition: &Tree,
    used: &HashSet<ColumnId>,
    all: &[ProjectColumn],
) -> Result<Option<Tree>, Problem> {
    let source =
        |id: ColumnId| all.iter().find(|column| column.id == id).filter(|column| column.tree.as_place().is_some());
    if used.iter().any(|id| source(*id).is_none()) {
        return Ok(None);
    }
    condition.with_columns(&|id| source(id).map(|column| column.tree.clone())).map(Some)
}

/// The plan with a filter below an operator; what does not pass stays above it.
fn passed(plan: &LogicalPlan, (filter, below): (usize, usize), passing: Tree, staying: Option<Tree>) -> LogicalPlan {
    let mut rebuilt = Rebuilt::of(plan);
    for (at, node) in plan.nodes.iter().enumerate() {
        let mut node = node.clone();
        node.inputs = rebuilt.inputs(&node.inputs);
        if at == below {
            let LogicalNode { name, origin, .. } = plan.nodes[filter].clone();
            let operator = Operator::Filter(passing.clone());
            node.inputs[0] = rebuilt.add(LogicalNode { name, operator, inputs: vec![node.inputs[0]], origin });
        }
        let at = match (at == filter, &staying) {
            (true, None) => node.inputs[0],
            (true, Some(staying)) => {
                let (name, operator) = (format!("{}.rest", node.name), Operator::Filter(staying.clone()));
                rebuilt.add(LogicalNode { name, operator, ..node })
            }
            _ => rebuilt.add(node),
        };
        rebuilt.is(at);
    }
    without_idle_nodes(rebuilt.plan)
}
