//! Narrow branches: columns that a chain of steps does not look at go around it.
//!
//! Steps by several keys send a row through several exchanges, and with it all that a reader after them needs. The first
//! steps of such a chain can stand on a branch that carries what they use and what they append, while other columns go
//! straight to the key at which the branch ends; there both are zipped by place. That costs an exchange and the zip, and
//! spares each column that goes around all exchanges of the branch but one.
//!
//! It is sound where a row's place says what the branch computes of it. Steps that only append change neither which rows
//! there are nor their places, and rows of one place are equal as they come from a stream. `lag` tells equal rows apart,
//! so what comes after one stays together.
//!
//! What has gone around waits for the rows that are still on the branch, of which each lane of it holds a number. So that
//! this takes no more memory than whole rows in these lanes would, values of any size stay on the branch, and so does what
//! is more than a lane's share of bytes for a row.

use super::place::{Chain, Key, ROW_COLUMNS, Travel, chains, travel};
use super::prune::needed_of_all;
use super::rewrite::Rebuilt;
use crate::bind::Columns;
use crate::expression::ColumnId;
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator, OutputColumn, ProjectColumn, Zip};
use arrow::datatypes::DataType;
use dataflow::{LANE_BYTES, LANE_ROWS};
use operators::Aggregate;
use std::cmp::Reverse;
use std::ops::Range;

/// What a zip costs for each row, in columns that travel through an exchange.
const ZIP_COLUMNS: usize = 8;
/// How much a branch has to spare, in columns, beside what it costs. Keys that are texts are hashed and copied once more,
/// live rows come in small batches, and one worker cuts no rows, so that nothing is spared there.
const SPARED_MIN: usize = 16;
/// The most bytes of a row that go around: a row's share of what may wait in a lane.
const AROUND_BYTES: usize = LANE_BYTES / LANE_ROWS;

pub(super) fn apply(plan: &LogicalPlan) -> (LogicalPlan, usize) {
    let outputs = plan.outputs();
    let needed = needed_of_all(plan, &outputs);
    let chains = chains(plan);
    let together = |chain: &Chain| !tells_equal_rows_apart(plan, chain.input);
    let of_chain = |at: usize| {
        let travel = travel(plan, &chains, at, (&outputs, &needed));
        let branch = Chances { travel, columns: &plan.columns }.cheapest()?;
        Some((chains[at].input, branch))
    };
    let at = (0..chains.len()).filter(|&at| together(&chains[at]));
    let branches: Vec<(usize, Branch)> = at.filter_map(of_chain).collect();
    (with_branches(plan, &outputs, &branches), branches.len())
}

/// The first steps of a chain, up to the last of them; the key at which they end, and the columns that go there by
/// themselves.
struct Branch {
    last: usize,
    keys: Key,
    around: Vec<ColumnId>,
}

/// Whether rows of one place may differ in what was appended to them.
fn tells_equal_rows_apart(plan: &LogicalPlan, node: usize) -> bool {
    let mut at = Some(node);
    while let Some(node) = at {
        let LogicalNode { operator, inputs, .. } = &plan.nodes[node];
        if let Operator::Window { functions, .. } = operator
            && functions.iter().any(|function| matches!(function.aggregate, Aggregate::Lag { .. }))
        {
            return true;
        }
        at = inputs.first().copied();
    }
    false
}

/// The plan with branches, each of the rows of a node.
fn with_branches(plan: &LogicalPlan, outputs: &[Vec<OutputColumn>], branches: &[(usize, Branch)]) -> LogicalPlan {
    let mut rebuilt = Rebuilt::of(plan);
    for (at, node) in plan.nodes.iter().enumerate() {
        let inputs = rebuilt.inputs(&node.inputs);
        let mut new = rebuilt.add(LogicalNode { inputs, ..node.clone() });
        if let Some((input, branch)) = branches.iter().find(|(_, branch)| branch.last == at) {
            let goes = |column: &&OutputColumn| branch.around.contains(&column.id) || branch.keys.contains(&column.id);
            let around = outputs[*input].iter().filter(goes).map(|column| ProjectColumn::kept(column, &plan.columns));
            let (operator, keys) = (Operator::Project(around.collect()), plan.columns.names(&branch.keys));
            let (name, from) = (format!("{}.around[{keys}]", plan.nodes[*input].name), rebuilt.inputs(&[*input]));
            let around = rebuilt.add(LogicalNode { name, operator, inputs: from, origin: node.origin });
            let columns = outputs[at].iter().filter(|column| !goes(column)).cloned().collect();
            let operator = Operator::Zip(Zip { keys: branch.keys.clone(), columns });
            let (name, inputs) = (format!("{}.zip[{keys}]", node.name), vec![around, new]);
            new = rebuilt.add(LogicalNode { name, operator, inputs, origin: node.origin });
        }
        rebuilt.is(new);
    }
    rebuilt.plan
}

/// The branches that a chain can have.
struct Chances<'a> {
    travel: Travel<'a>,
    columns: &'a Columns,
}

impl Chances<'_> {
    /// The branch that spares most, if one does.
    fn cheapest(&self) -> Option<Branch> {
        let steps = self.travel.steps;
        let later = (1..steps.len()).map(|at| (at, &steps[at].key));
        let ends = self.travel.ends.iter().map(|key| (steps.len(), key));
        let all = later.chain(ends).filter(|&(end, key)| self.can_end(end, key));
        let spared = all.filter_map(|(end, key)| {
            let around = self.around(end, key);
            Some((self.spared(end, key, &around)?, end, key, around))
        });
        let (_, end, key, around) = spared.min_by_key(|&(spared, end, ..)| (Reverse(spared), end))?;
        Some(Branch { last: steps[end - 1].node, keys: key.clone(), around })
    }

    /// Whether rows travel by a key after so many steps, and it is there to go around.
    fn can_end(&self, end: usize, key: &Key) -> bool {
        self.travel.steps[end - 1].key != *key && key.iter().all(|id| self.travel.there.contains(id))
    }

    /// The columns that go around the steps before one.
    fn around(&self, end: usize, key: &Key) -> Vec<ColumnId> {
        let mut left = AROUND_BYTES;
        let mut goes = |id: &ColumnId| {
            let bytes = match &self.columns.get(*id).data_type {
                DataType::Boolean => Some(1),
                data_type => data_type.primitive_width(),
            };
            let fits = bytes.and_then(|bytes| left.checked_sub(bytes));
            left = fits.unwrap_or(left);
            fits.is_some()
        };
        let wanted = self.travel.there.iter().filter(|id| self.is_wanted(id, end) && !key.contains(id));
        wanted.copied().filter(|id| goes(id)).collect()
    }

    /// How much less travels when the steps before one stand on a branch; `None` where it is too little.
    fn spared(&self, end: usize, key: &Key, around: &[ColumnId]) -> Option<usize> {
        let Travel { steps, begins, shared, .. } = &self.travel;
        let (mut whole, mut narrow) = (0, 0);
        let mut placed = begins.as_ref();
        let mut appended: Vec<ColumnId> = Vec::new();
        for (at, step) in steps[..end].iter().enumerate() {
            let is_shared = at == 0 && shared.contains(&step.key);
            if placed != Some(&step.key) && !is_shared {
                whole += ROW_COLUMNS + self.whole(&appended, at);
                narrow += ROW_COLUMNS + self.narrow(&appended, at..end, (key, around));
            }
            placed = Some(&step.key);
            appended.extend(&step.appends);
        }
        narrow += ROW_COLUMNS + self.narrow(&appended, end..end, (key, around)) + ZIP_COLUMNS;
        let exchange = ROW_COLUMNS + self.whole(&appended, end);
        if end < steps.len() {
            whole += exchange;
        } else {
            whole += exchange * self.exchanges_after(placed);
            narrow += exchange * self.exchanges_after(Some(key));
        }
        if begins.as_ref() != Some(key) {
            narrow += ROW_COLUMNS + around.len() + key.len();
        }
        whole.checked_sub(narrow).filter(|&spared| spared >= SPARED_MIN)
    }

    /// The exchanges after a chain whose rows lie by a key.
    fn exchanges_after(&self, placed: Option<&Key>) -> usize {
        self.travel.ends.iter().filter(|key| Some(*key) != placed).count()
    }

    /// Whether a column is needed after the chain, or by the steps from one on.
    fn is_wanted(&self, id: &ColumnId, from: usize) -> bool {
        self.travel.needed.contains(id) || self.travel.steps[from..].iter().any(|step| step.uses.contains(id))
    }

    /// The columns of whole rows before a step.
    fn whole(&self, appended: &[ColumnId], from: usize) -> usize {
        self.travel.there.iter().chain(appended).filter(|id| self.is_wanted(id, from)).count()
    }

    /// The columns on a branch before some steps: what these use, what is wanted after them and does not go around, and
    /// the key at which it ends.
    fn narrow(&self, appended: &[ColumnId], steps: Range<usize>, (key, around): (&Key, &[ColumnId])) -> usize {
        let used = |id: &ColumnId| self.travel.steps[steps.clone()].iter().any(|step| step.uses.contains(id));
        let stays = |id: &ColumnId| self.is_wanted(id, steps.end) && !around.contains(id);
        let all = self.travel.there.iter().chain(appended);
        all.filter(|id| used(id) || stays(id) || key.contains(id)).count()
    }
}
