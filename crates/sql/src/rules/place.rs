//! Place exchanges: steps that append columns to the same rows stand in the order in which the least travels.
//!
//! Windows, as-of joins that keep every row, and aggregates over another stream for which no row waits append columns.
//! They change neither which rows there are, nor their times, nor their order; so each may stand anywhere after the steps
//! whose columns it uses. A step on which a row can fail stays where it is, and those around it on their side of it: the
//! row is removed there, so a window before it would count the row and one after it would not.
//!
//! Rows travel once for every run of steps with one key, and carry what the steps before have appended. So the steps of
//! one key stand together, those that append little come first, the key by which a reader needs the rows comes last, and
//! one by which others read the same rows comes first, since they share the exchange. The order is taken that sends the
//! fewest columns; where none is better than that of the text, it stays.

use super::prune::{Needed, needed_of_all};
use super::rewrite::Rebuilt;
use crate::bind::Columns;
use crate::expression::ColumnId;
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator, OutputColumn};
use std::collections::HashSet;

/// What an exchange costs for each row however few columns there are, in columns: hashes, `_time` and `_ord`, and the
/// merge that brings the rows into order.
pub(super) const ROW_COLUMNS: usize = 8;

pub(super) type Key = Vec<ColumnId>;

pub(super) fn apply(plan: &LogicalPlan) -> (LogicalPlan, usize) {
    let outputs = plan.outputs();
    let needed = needed_of_all(plan, &outputs);
    let mut chains = chains(plan);
    let mut times = 0;
    for at in 0..chains.len() {
        if let Some(better) = travel(plan, &chains, at, (&outputs, &needed)).better() {
            chains[at].order = better;
            times += 1;
        }
    }
    (reordered(plan, &chains), times)
}

/// The plan with the steps of chains in their order.
fn reordered(plan: &LogicalPlan, chains: &[Chain]) -> LogicalPlan {
    let mut rebuilt = Rebuilt::of(plan);
    for (at, node) in plan.nodes.iter().enumerate() {
        let add = |rebuilt: &mut Rebuilt, node: &LogicalNode, first: Option<usize>| {
            let mut inputs = rebuilt.inputs(&node.inputs);
            if let Some(first) = first {
                inputs[0] = first;
            }
            rebuilt.add(LogicalNode { inputs, ..node.clone() })
        };
        let Some(chain) = chains.iter().find(|chain| chain.steps.iter().any(|step| step.node == at)) else {
            let at = add(&mut rebuilt, node, None);
            rebuilt.is(at);
            continue;
        };
        // The other sides of all steps are there when the last of them comes; until then none of them has a reader.
        let mut last = rebuilt.inputs(&[chain.input])[0];
        if chain.steps.last().is_some_and(|step| step.node == at) {
            for &step in &chain.order {
                last = add(&mut rebuilt, &plan.nodes[chain.steps[step].node], Some(last));
            }
        }
        rebuilt.is(last);
    }
    rebuilt.plan
}

/// Steps that append columns, each the only reader of the one before; chains of one step are none.
pub(super) fn chains(plan: &LogicalPlan) -> Vec<Chain> {
    let readers = plan.readers();
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for (at, node) in plan.nodes.iter().enumerate().filter(|(_, node)| only_appends(&node.operator, &plan.columns)) {
        let before = chains.iter_mut().find(|chain| chain.last() == node.inputs.first());
        match before.filter(|_| readers[node.inputs[0]] == 1) {
            Some(chain) => chain.push(at),
            None => chains.push(vec![at]),
        }
    }
    chains.retain(|chain| chain.len() > 1);
    chains.iter().filter_map(|nodes| Chain::of(plan, nodes)).collect()
}

/// Whether a step only appends columns to the rows of its first input.
fn only_appends(operator: &Operator, columns: &Columns) -> bool {
    let appends = match operator {
        Operator::Window { .. } => true,
        Operator::AsOf(join) => !join.inner,
        Operator::Range(range) => range.hold() == 0,
        _ => false,
    };
    appends && !operator.can_fail(columns)
}

/// Steps that may change places.
pub(super) struct Chain {
    pub input: usize,
    /// As they stand in the plan.
    pub steps: Vec<Step>,
    /// Places among the steps.
    order: Vec<usize>,
}

pub(super) struct Step {
    pub node: usize,
    pub key: Key,
    pub uses: HashSet<ColumnId>,
    pub appends: Vec<ColumnId>,
}

impl Step {
    fn of(node: usize, operator: &Operator) -> Step {
        let key = operator.keys(0).unwrap_or_default();
        let mut uses: HashSet<ColumnId> = key.iter().copied().collect();
        let appends = match operator {
            Operator::Window { functions, .. } => {
                uses.extend(functions.iter().flat_map(|f| f.argument.iter().chain(&f.filter).chain(&f.order)));
                functions.iter().map(|function| function.id).collect()
            }
            Operator::AsOf(join) => join.columns.iter().map(|(id, ..)| *id).collect(),
            Operator::Range(range) => range.functions.iter().map(|function| function.id).collect(),
            _ => vec![],
        };
        Step { node, key, uses, appends }
    }
}

impl Chain {
    fn of(plan: &LogicalPlan, nodes: &[usize]) -> Option<Chain> {
        let input = plan.nodes[*nodes.first()?].inputs[0];
        let steps: Vec<Step> = nodes.iter().map(|&node| Step::of(node, &plan.nodes[node].operator)).collect();
        Some(Chain { input, order: (0..steps.len()).collect(), steps })
    }

    fn first_key(&self) -> Option<&Key> {
        self.order.first().map(|&step| &self.steps[step].key)
    }
}

/// How the rows of a chain travel, where the others are in their order.
pub(super) fn travel<'a>(
    plan: &LogicalPlan,
    chains: &'a [Chain],
    at: usize,
    (outputs, needed): (&[Vec<OutputColumn>], &'a [Needed]),
) -> Travel<'a> {
    let Chain { input, steps, .. } = &chains[at];
    let last = steps.last().map_or(*input, |step| step.node);
    let mut shared: Vec<Key> = Vec::new();
    for (reader, node) in plan.nodes.iter().enumerate() {
        let chain = chains.iter().position(|chain| chain.steps.iter().any(|step| step.node == reader));
        let sides =
            (0..node.inputs.len()).filter(|&side| node.inputs[side] == *input && (side, chain) != (0, Some(at)));
        shared.extend(sides.filter_map(|side| match chain {
            Some(chain) if side == 0 => chains[chain].first_key().cloned(),
            _ => node.operator.keys(side),
        }));
    }
    Travel {
        steps,
        begins: plan.placed(*input, &outputs[*input]),
        shared,
        there: outputs[*input].iter().map(|column| column.id).collect(),
        needed: &needed[last],
        ends: keys_after(plan, last),
    }
}

/// The keys by which the rows of a node travel next.
fn keys_after(plan: &LogicalPlan, node: usize) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut same_rows = HashSet::from([node]);
    for (at, reader) in plan.nodes.iter().enumerate().skip(node + 1) {
        let mut passed_on = false;
        for (side, _) in reader.inputs.iter().enumerate().filter(|(_, input)| same_rows.contains(input)) {
            match reader.operator.keys(side) {
                Some(key) if keys.contains(&key) => {}
                Some(key) => keys.push(key),
                None => passed_on = true,
            }
        }
        if passed_on {
            same_rows.insert(at);
        }
    }
    keys
}

/// How the rows of a chain travel.
pub(super) struct Travel<'a> {
    pub steps: &'a [Step],
    /// The key by which rows lie before it.
    pub begins: Option<Key>,
    /// The keys by which others read the rows before it.
    pub shared: Vec<Key>,
    /// The columns before it.
    pub there: Vec<ColumnId>,
    /// The columns that are needed after it.
    pub needed: &'a Needed,
    /// The keys by which rows travel after it.
    pub ends: Vec<Key>,
}

impl Travel<'_> {
    /// An order in which less travels than in that of the text.
    fn better(&self) -> Option<Vec<usize>> {
        let bound: Vec<usize> = (0..self.steps.len()).collect();
        let (first, last) = (self.shared.iter().map(Some).chain([None]), self.ends.iter().map(Some).chain([None]));
        let all = first.flat_map(|first| last.clone().map(move |last| self.order(first, last)));
        let order = all.min_by_key(|order| self.columns(order))?;
        (self.columns(&order) < self.columns(&bound)).then_some(order)
    }

    /// An order of the steps: what needs no exchange goes on, then comes the key whose steps append least, and one key
    /// is kept for the last.
    fn order(&self, first: Option<&Key>, last: Option<&Key>) -> Vec<usize> {
        let mut placed = first.or(self.begins.as_ref());
        let mut order = Vec::with_capacity(self.steps.len());
        let mut left: Vec<usize> = (0..self.steps.len()).collect();
        while !left.is_empty() {
            let waits = |step: usize| {
                left.iter().any(|&other| self.steps[other].appends.iter().any(|id| self.steps[step].uses.contains(id)))
            };
            let ready: Vec<usize> = left.iter().copied().filter(|&step| !waits(step)).collect();
            let appended = |key: &Key| -> usize {
                let of_key = ready.iter().filter(|&&step| self.steps[step].key == *key);
                of_key.map(|&step| self.steps[step].appends.len()).sum()
            };
            let cost = |&step: &usize| {
                let key = &self.steps[step].key;
                let rank = if placed == Some(key) { 0 } else { 1 + usize::from(last == Some(key)) };
                (rank, appended(key), step)
            };
            // Steps use columns of those before them alone, so one of them is ready.
            let Some(next) = ready.iter().copied().min_by_key(cost) else { break };
            placed = Some(&self.steps[next].key);
            left.retain(|&step| step != next);
            order.push(next);
        }
        order
    }

    /// The columns that travel when the steps stand in an order.
    fn columns(&self, order: &[usize]) -> usize {
        let (mut placed, mut there, mut columns) = (self.begins.as_ref(), self.there.clone(), 0);
        for (at, &step) in order.iter().enumerate() {
            let Step { key, appends, .. } = &self.steps[step];
            let is_shared = at == 0 && self.shared.contains(key);
            if placed != Some(key) && !is_shared {
                columns += ROW_COLUMNS + self.width(&there, &order[at..]);
            }
            placed = Some(key);
            there.extend(appends);
        }
        let after = self.ends.iter().filter(|key| placed != Some(*key)).count();
        columns + after * (ROW_COLUMNS + self.width(&there, &[]))
    }

    /// How many of the columns that are there are needed after the chain, or by the steps that are left.
    fn width(&self, there: &[ColumnId], left: &[usize]) -> usize {
        let used = |id: &&ColumnId| left.iter().any(|&step| self.steps[step].uses.contains(id));
        there.iter().filter(|id| self.needed.contains(id) || used(id)).count()
    }
}
