//! Prune columns, through views: what no output needs is not carried.
//!
//! What can fail is computed all the same, since a row on which it fails is bad whoever looks at it. Streams are read
//! whole, so which rows are bad, and where they stand, depends on no reader. No other stream is left unread: an as-of
//! join without a column and one aggregate over another stream stay.

use super::rewrite::{Rebuilt, without_idle_nodes};
use crate::bind::Columns;
use crate::expression::{ColumnId, Tree};
use crate::plan::logical::{
    LogicalNode, LogicalPlan, Operator, Origin, OutputColumn, ProjectColumn, Range, RangeAggregate,
};
use std::collections::{BTreeMap, HashSet};

/// Columns that are needed.
pub(super) type Needed = HashSet<ColumnId>;

pub(super) fn apply(plan: &LogicalPlan) -> (LogicalPlan, usize) {
    let before = plan.outputs();
    let needed = needed_of_all(plan, &before);
    let width = |outputs: &[Vec<OutputColumn>]| outputs.iter().map(Vec::len).sum::<usize>();
    let pruned = without_idle_nodes(pruned(plan, &needed));
    let narrowed = without_idle_projections(&narrowed(&pruned));
    let times = width(&before).saturating_sub(width(&narrowed.outputs()));
    (narrowed, times)
}

/// The columns of each node that its readers need.
pub(super) fn needed_of_all(plan: &LogicalPlan, outputs: &[Vec<OutputColumn>]) -> Vec<Needed> {
    let mut needed: Vec<Needed> = vec![Needed::new(); plan.nodes.len()];
    for (at, readers) in plan.readers().into_iter().enumerate() {
        // Where no output is asked for, the rows of views are.
        if readers == 0 {
            needed[at] = ids(&outputs[at]).collect();
        }
    }
    for (at, node) in plan.nodes.iter().enumerate().rev() {
        // Rows without any column cannot be put together again.
        if needed[at].is_empty() {
            needed[at].extend(ids(&outputs[at]).take(1));
        }
        for (side, &input) in node.inputs.iter().enumerate() {
            let of_input = needs(node, side, &needed[at], &outputs[input], &plan.columns);
            needed[input].extend(of_input);
        }
    }
    needed
}

fn ids(output: &[OutputColumn]) -> impl Iterator<Item = ColumnId> {
    output.iter().map(|column| column.id)
}

/// What a node needs of an input, when so much is needed of it.
fn needs(node: &LogicalNode, side: usize, of_node: &Needed, input: &[OutputColumn], columns: &Columns) -> Needed {
    let mut needed = Needed::new();
    let passed_on = |needed: &mut Needed| needed.extend(ids(input).filter(|id| of_node.contains(id)));
    let used = |needed: &mut Needed, tree: &Tree| {
        tree.each_column(&mut |id| {
            needed.insert(id);
        });
    };
    match &node.operator {
        Operator::Source { .. } | Operator::Acted => {}
        Operator::Sink { .. } | Operator::Decision(_) => needed.extend(ids(input)),
        Operator::Dedup { keys, .. } => {
            passed_on(&mut needed);
            needed.extend(keys);
        }
        Operator::Filter(condition) => {
            passed_on(&mut needed);
            used(&mut needed, condition);
        }
        Operator::Project(all) => {
            all.iter().filter(|column| stays(column, of_node)).for_each(|column| used(&mut needed, &column.tree));
        }
        Operator::Window { keys, functions } => {
            passed_on(&mut needed);
            let kept = functions.iter().filter(|function| of_node.contains(&function.id) || function.can_fail(columns));
            // A window of which no function is kept goes, and needs no key.
            kept.for_each(|f| needed.extend(keys.iter().chain(&f.argument).chain(&f.filter).chain(&f.order)));
        }
        Operator::AsOf(join) if side == 0 => {
            passed_on(&mut needed);
            needed.extend(join.keys.iter().map(|(ours, _)| *ours));
        }
        Operator::AsOf(join) => {
            needed.extend(join.keys.iter().map(|(_, theirs)| *theirs));
            needed.extend(join.columns.iter().filter(|(id, ..)| of_node.contains(id)).map(|(_, _, theirs)| *theirs));
        }
        Operator::Range(range) if side == 0 => {
            passed_on(&mut needed);
            needed.extend(range.keys.iter().map(|(ours, _)| *ours));
        }
        Operator::Range(range) => {
            needed.extend(range.keys.iter().map(|(_, theirs)| *theirs));
            let kept = kept_aggregates(range, of_node, columns);
            kept.for_each(|function| needed.extend(function.argument.iter().chain(&function.filter)));
        }
        Operator::Zip(zip) => {
            needed.extend(&zip.keys);
            if side == 0 {
                passed_on(&mut needed);
            } else {
                needed.extend(zip.columns.iter().map(|column| column.id).filter(|id| of_node.contains(id)));
            }
        }
        Operator::Predict(scores) => {
            passed_on(&mut needed);
            let kept = scores.iter().filter(|score| score.ids().any(|id| of_node.contains(&id)) || score.can_fail());
            kept.for_each(|score| score.inputs.iter().for_each(|input| used(&mut needed, input)));
        }
    }
    needed
}

fn stays(column: &ProjectColumn, of_node: &Needed) -> bool {
    of_node.contains(&column.id) || column.tree.can_fail()
}

/// The aggregates that are needed, that can fail, or that say how long rows wait; at least one.
fn kept_aggregates<'a>(
    range: &'a Range,
    of_node: &Needed,
    columns: &Columns,
) -> impl Iterator<Item = &'a RangeAggregate> {
    let hold = range.hold();
    let kept = |function: &RangeAggregate| {
        of_node.contains(&function.id) || function.can_fail(columns) || (hold > 0 && function.to == hold)
    };
    let mut all: Vec<&RangeAggregate> = range.functions.iter().filter(|f| kept(f)).collect();
    if all.is_empty() {
        all.extend(range.functions.first());
    }
    all.into_iter()
}

/// The plan without functions and columns that are not needed, and without what has none left.
fn pruned(plan: &LogicalPlan, needed: &[Needed]) -> LogicalPlan {
    let mut rebuilt = Rebuilt::of(plan);
    for (node, needed) in plan.nodes.iter().zip(needed) {
        let mut node = node.clone();
        node.inputs = rebuilt.inputs(&node.inputs);
        let idle = prune(&mut node.operator, needed, &plan.columns);
        let at = if idle { node.inputs[0] } else { rebuilt.add(node) };
        rebuilt.is(at);
    }
    rebuilt.plan
}

/// Leaves out what is not needed; whether nothing is left to do.
fn prune(operator: &mut Operator, needed: &Needed, columns: &Columns) -> bool {
    match operator {
        Operator::Project(all) => {
            all.retain(|column| stays(column, needed));
            false
        }
        Operator::Window { functions, .. } => {
            functions.retain(|function| needed.contains(&function.id) || function.can_fail(columns));
            functions.is_empty()
        }
        Operator::AsOf(join) => {
            join.columns.retain(|(id, ..)| needed.contains(id));
            false
        }
        Operator::Zip(zip) => {
            zip.columns.retain(|column| needed.contains(&column.id));
            false
        }
        Operator::Range(range) => {
            let kept: HashSet<ColumnId> = kept_aggregates(range, needed, columns).map(|function| function.id).collect();
            range.functions.retain(|function| kept.contains(&function.id));
            false
        }
        Operator::Predict(scores) => {
            scores.retain(|score| score.ids().any(|id| needed.contains(&id)) || score.can_fail());
            scores.iter_mut().for_each(|score| score.columns.retain(|(_, id)| needed.contains(id)));
            scores.is_empty()
        }
        _ => false,
    }
}

/// What is brought to one key is narrowed before it travels: to what all that read it by that key need of it.
fn narrowed(plan: &LogicalPlan) -> LogicalPlan {
    let outputs = plan.outputs();
    let needed = needed_of_all(plan, &outputs);
    let mut of_edge: BTreeMap<(usize, Vec<ColumnId>), Needed> = BTreeMap::new();
    for (at, node) in plan.nodes.iter().enumerate() {
        for (side, &input) in node.inputs.iter().enumerate() {
            if let Some(keys) = node.operator.keys(side) {
                let of_input = needs(node, side, &needed[at], &outputs[input], &plan.columns);
                of_edge.entry((input, keys)).or_default().extend(of_input);
            }
        }
    }
    for ((input, _), needed) in of_edge.iter_mut().filter(|(_, needed)| needed.is_empty()) {
        needed.extend(ids(&outputs[*input]).take(1));
    }
    let mut narrowing = Narrowing { plan, outputs: &outputs, rebuilt: Rebuilt::of(plan), known: BTreeMap::new() };
    for (at, old) in plan.nodes.iter().enumerate() {
        let mut node = old.clone();
        node.inputs = narrowing.rebuilt.inputs(&old.inputs);
        for (side, &input) in old.inputs.iter().enumerate() {
            let new = node.inputs[side];
            if let Some(keys) = old.operator.keys(side) {
                let name = format!("{}.for[{}]", plan.nodes[input].name, plan.columns.names(&keys));
                let edge = (input, keys);
                node.inputs[side] = narrowing.shared(edge.clone(), new, &of_edge[&edge], (name, node.origin));
            } else if matches!(&old.operator, Operator::Filter(condition) if !condition.can_fail()) {
                // A filter copies the rows that it keeps. One that fails shows them as they came in.
                let needed = needs(old, side, &needed[at], &outputs[input], &plan.columns);
                let name = format!("{}.columns", node.name);
                node.inputs[side] = narrowing.narrow(input, new, &needed, (name, node.origin));
            }
        }
        let at = narrowing.rebuilt.add(node);
        narrowing.rebuilt.is(at);
    }
    narrowing.rebuilt.plan
}

/// The plan without projections that pass on what comes in.
fn without_idle_projections(plan: &LogicalPlan) -> LogicalPlan {
    let outputs = plan.outputs();
    let mut rebuilt = Rebuilt::of(plan);
    for (node, output) in plan.nodes.iter().zip(&outputs) {
        let inputs = rebuilt.inputs(&node.inputs);
        let passes_on = match &node.operator {
            Operator::Project(all) => {
                let kept = all.iter().all(|column| column.tree.as_column() == Some(column.id));
                kept && node.inputs.first().is_some_and(|&input| outputs[input] == *output)
            }
            _ => false,
        };
        let at = if passes_on { inputs[0] } else { rebuilt.add(LogicalNode { inputs, ..node.clone() }) };
        rebuilt.is(at);
    }
    rebuilt.plan
}

/// A plan into which projections are put.
struct Narrowing<'a> {
    plan: &'a LogicalPlan,
    outputs: &'a [Vec<OutputColumn>],
    rebuilt: Rebuilt,
    /// Projections by the old node and the key by which its rows travel.
    known: BTreeMap<(usize, Vec<ColumnId>), usize>,
}

impl Narrowing<'_> {
    /// The projection for a key, which all that read by it share.
    fn shared(&mut self, edge: (usize, Vec<ColumnId>), new: usize, needed: &Needed, named: (String, Origin)) -> usize {
        if let Some(&known) = self.known.get(&edge) {
            return known;
        }
        let at = self.narrow(edge.0, new, needed, named);
        self.known.insert(edge, at);
        at
    }

    /// A projection of a node to what is needed; the node itself where it has no more.
    fn narrow(&mut self, old: usize, new: usize, needed: &Needed, (name, origin): (String, Origin)) -> usize {
        let output = &self.outputs[old];
        if output.iter().all(|column| needed.contains(&column.id)) {
            return new;
        }
        let kept = output.iter().filter(|column| needed.contains(&column.id));
        let all = kept.map(|column| ProjectColumn::kept(column, &self.plan.columns)).collect();
        self.rebuilt.add(LogicalNode { name, operator: Operator::Project(all), inputs: vec![new], origin })
    }
}
