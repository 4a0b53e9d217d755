//! Pass filters: conditions go down to where fewer rows are touched.
//!
//! A condition passes an operator only if no row fails there: the row would be removed in place of failing. It must not
//! fail itself, and passes with those before it: after a condition that can fail nothing passes, since AND goes from
//! left to right on every row. Nor does one that may be NULL pass from before a condition that can fail: on NULL the rest is
//! asked too, and the row may be bad. It passes
//!
//! - a projection, where it is on columns that are passed on;
//! - windows, where it is on their key alone, and that is no floating-point number, of which 0.0 and -0.0 are one key: else
//!   it would change which rows are counted;
//! - an as-of join and aggregates over another stream, where it is on their left side: each row of it stands alone;
//! - models.
//!
//! It never passes DEDUP: a repetition that it removes there would not be told as one. It passes nothing that others read
//! too, unless each of them has a condition: then a row that none of them wants is removed below what they share, by the OR
//! of their conditions, and each condition stays where it is.

use super::rewrite::{Rebuilt, without_idle_nodes};
use crate::bind::Columns;
use crate::expression::{ColumnId, Op, Place, Problem, Tree};
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator, ProjectColumn, Score};
use std::collections::HashSet;

pub(super) fn apply(plan: &LogicalPlan) -> Result<(LogicalPlan, usize), Problem> {
    let (mut plan, mut times) = (plan.clone(), 0);
    pass_all(&mut plan, &mut times)?;
    // What comes after a node keeps its place from the end when a filter is put below it.
    let mut from_end = 1;
    while from_end <= plan.nodes.len() {
        let shared = plan.nodes.len() - from_end;
        if let Some((below, wanted)) = wanted_by_any(&plan, shared)? {
            let (mut better, mut passed) = (put_below(&plan, below, wanted), 1);
            pass_all(&mut better, &mut passed)?;
            // Rows that travel once for several would travel once for each.
            if journeys(&better) <= journeys(&plan) {
                (plan, times) = (better, times + passed);
            }
        }
        from_end += 1;
    }
    Ok((plan, times))
}

/// Lets conditions pass until none can.
fn pass_all(plan: &mut LogicalPlan, times: &mut usize) -> Result<(), Problem> {
    // A condition passes one operator a round, and there are no more rounds than operators.
    for _ in 0..plan.nodes.len() {
        let Some(better) = pass_one(plan)? else { break };
        *plan = better;
        *times += 1;
    }
    Ok(())
}

/// The condition that a row is wanted by any of the readers of a node, and the operator below which it can be: the first
/// one from that node down that does more than to pass on and compute columns. `None` where a reader wants all rows.
fn wanted_by_any(plan: &LogicalPlan, shared: usize) -> Result<Option<(usize, LogicalNode)>, Problem> {
    let readers: Vec<&LogicalNode> = plan.nodes.iter().filter(|node| node.inputs.contains(&shared)).collect();
    let Some(path) = path_to_work(plan, shared).filter(|_| readers.len() > 1) else { return Ok(None) };
    let mut wanted: Vec<Tree> = Vec::new();
    for reader in &readers {
        let Operator::Filter(condition) = &reader.operator else { return Ok(None) };
        let mut passing = Vec::new();
        for (part, _) in settled(condition).into_iter().filter(|(_, is_settled)| *is_settled) {
            passing.extend(below_all(part, plan, &path)?);
        }
        let Some(passing) = and(passing)? else { return Ok(None) };
        if !wanted.contains(&passing) {
            wanted.push(passing);
        }
    }
    let mut all = wanted.into_iter();
    let (Some(mut either), Some(&below)) = (all.next(), path.last()) else { return Ok(None) };
    for next in all {
        either = Tree::of(Op::Or, vec![either, next])?;
    }
    let LogicalNode { name, origin, inputs, .. } = &plan.nodes[below];
    let (name, operator) = (format!("{name}.wanted"), Operator::Filter(either));
    Ok(Some((below, LogicalNode { name, operator, inputs: inputs[..1].to_vec(), origin: *origin })))
}

/// The nodes from a node down to the first that does more than to pass on and compute columns, where no row fails on
/// the way and no other node reads from there.
fn path_to_work(plan: &LogicalPlan, from: usize) -> Option<Vec<usize>> {
    let (readers, mut path) = (plan.readers(), vec![from]);
    loop {
        let at = *path.last()?;
        let LogicalNode { operator, inputs, .. } = &plan.nodes[at];
        if operator.can_fail(&plan.columns) || (at != from && readers[at] > 1) {
            return None;
        }
        let below = *inputs.first()?;
        match operator {
            Operator::Project(_) => path.push(below),
            Operator::Filter(_) => return None,
            _ => return Some(path),
        }
    }
}

/// A condition as it is below all operators of a path; `None` where it cannot pass one of them.
fn below_all(condition: &Tree, plan: &LogicalPlan, path: &[usize]) -> Result<Option<Tree>, Problem> {
    let mut moved = condition.clone();
    for &node in path {
        match below_of(&moved, &plan.nodes[node].operator, &plan.columns)? {
            Some(below) => moved = below,
            None => return Ok(None),
        }
    }
    Ok(Some(moved))
}

/// How often rows of a node are brought to a key.
fn journeys(plan: &LogicalPlan) -> usize {
    let of_node = |node: &LogicalNode| -> Vec<_> {
        let inputs = node.inputs.iter().enumerate();
        inputs.filter_map(|(side, &input)| Some((input, node.operator.keys(side)?))).collect()
    };
    plan.nodes.iter().flat_map(of_node).collect::<HashSet<_>>().len()
}

/// The plan with a filter between a node and its input.
fn put_below(plan: &LogicalPlan, node: usize, filter: LogicalNode) -> LogicalPlan {
    let mut plan = plan.clone();
    plan.nodes.iter_mut().flat_map(|node| &mut node.inputs).for_each(|input| *input += usize::from(*input >= node));
    plan.nodes[node].inputs[0] = node;
    plan.nodes.insert(node, filter);
    plan
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
    let open = !below.can_fail(columns);
    for (part, is_settled) in settled(condition) {
        match if open && is_settled { below_of(part, below, columns)? } else { None } {
            Some(moved) => passing.push(moved),
            None => staying.push(part.clone()),
        }
    }
    Ok((passing, staying))
}

/// The parts of a condition, and whether a row that a part does not let through is removed whatever the others say: none
/// before it can fail, and none after it, unless it cannot be NULL.
fn settled(condition: &Tree) -> Vec<(&Tree, bool)> {
    let all = conjuncts(condition);
    let (first, last) = (all.iter().position(|part| part.can_fail()), all.iter().rposition(|part| part.can_fail()));
    let is_settled = |at: usize, part: &Tree| {
        first.is_none_or(|first| at < first) && (!part.nullable() || last.is_none_or(|last| last < at))
    };
    all.into_iter().enumerate().map(|(at, part)| (part, is_settled(at, part))).collect()
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
fn below_of(condition: &Tree, below: &Operator, columns: &Columns) -> Result<Option<Tree>, Problem> {
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
        // 0.0 and -0.0 are one key, and a condition may tell them apart.
        Operator::Window { keys, .. } => {
            within(keys) && !keys.iter().any(|&id| columns.get(id).data_type.is_floating())
        }
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
