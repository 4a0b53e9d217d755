//! A bound SELECT to operators: windows, subqueries and `predict` are taken out of its expressions.

use super::builder::Builder;
use super::logical::{
    AsOf, LogicalNode, Operator, Origin, ProjectColumn, Range, RangeAggregate, Score, WindowFunction,
};
use crate::bind::{BoundItem, BoundJoin, BoundSelect, Calls, LateFilter, RangeCall, ScoreCall, WindowCall};
use crate::expression::{ColumnId, Op, Place, Problem, TIMESTAMP, Tree};
use sqlparser::tokenizer::Span;
use std::borrow::Cow;
use std::collections::HashMap;

/// The columns of expressions.
type Ids = HashMap<Tree, ColumnId>;

/// Adds the operators of a SELECT. `nodes` gives the node of each relation that it reads.
pub(crate) fn plan(builder: &mut Builder, select: &BoundSelect) -> Result<usize, Problem> {
    let held;
    let mut select = select;
    let origin = Origin { file: select.file, span: select.span };
    let node = builder.node_of(select.from);
    let placed = builder.placed(node);
    let mut steps = Steps { builder, owner: &select.owner, origin, node, placed };
    for join in &select.joins {
        steps.join(join);
    }
    if let Some(condition) = &select.filter {
        steps.push("filter", Operator::Filter(condition.clone()));
    }
    if let Some(LateFilter { condition, before_windows: Some(calls) }) = &select.late_filter {
        steps.calls(calls, "where.")?;
        steps.push("where", Operator::Filter(condition.clone()));
    }
    if select.holds() {
        held = steps.keep_time(select)?;
        select = &held;
    }
    steps.calls(&select.calls, "")?;
    if let Some(LateFilter { condition, before_windows: None }) = &select.late_filter {
        steps.push("where", Operator::Filter(condition.clone()));
    }
    steps.scores(&select.calls);
    if !select.keeps_input {
        steps.push("", Operator::Project(select.items.iter().map(project).collect()));
    }
    Ok(steps.node)
}

/// A bound column as one of a projection.
pub(crate) fn project(item: &BoundItem) -> ProjectColumn {
    ProjectColumn { id: item.id, name: item.name.as_str().into(), tree: item.tree.clone() }
}

/// The operators of one SELECT, one after the other.
struct Steps<'a> {
    builder: &'a mut Builder,
    owner: &'a str,
    origin: Origin,
    /// The last of them.
    node: usize,
    /// The key by which its rows lie together.
    placed: Option<Vec<ColumnId>>,
}

impl Steps<'_> {
    /// Adds an operator after the last one.
    fn push(&mut self, step: &str, operator: Operator) {
        self.node = self.add(step, operator, vec![self.node]);
    }

    fn add(&mut self, step: &str, operator: Operator, inputs: Vec<usize>) -> usize {
        self.add_at(self.origin.span, step, operator, inputs)
    }

    /// Adds the operator of a part of the SELECT.
    fn add_at(&mut self, span: Span, step: &str, operator: Operator, inputs: Vec<usize>) -> usize {
        let name = if step.is_empty() { self.owner.to_owned() } else { format!("{}.{step}", self.owner) };
        self.builder.push(LogicalNode { name, operator, inputs, origin: Origin { span, ..self.origin } })
    }

    /// The ids of expressions. Those that are no column yet get one.
    fn ids(&mut self, trees: &[Tree]) -> (Ids, Vec<ProjectColumn>) {
        let (mut known, mut added) = (Ids::new(), Vec::new());
        for tree in trees {
            if known.contains_key(tree) {
                continue;
            }
            let columns = &mut self.builder.plan.columns;
            let id = tree.as_column().unwrap_or_else(|| {
                let name = columns.text(tree);
                let id = columns.add_part(&name, tree.settled_type());
                added.push(ProjectColumn { id, name: name.into(), tree: tree.clone() });
                id
            });
            known.insert(tree.clone(), id);
        }
        (known, added)
    }

    /// A node whose rows have columns for expressions: the node itself, or a projection of it of that name.
    fn computed(&mut self, node: usize, step: &str, trees: &[Tree]) -> (usize, Ids) {
        let (known, added) = self.ids(trees);
        if added.is_empty() {
            return (node, known);
        }
        let columns = &self.builder.plan.columns;
        let kept = self.builder.output(node).iter().map(|column| ProjectColumn::kept(column, columns));
        let all = kept.chain(added).collect();
        (self.add(step, Operator::Project(all), vec![node]), known)
    }

    /// A projection of another relation to expressions alone.
    fn projected(&mut self, node: usize, step: &str, trees: &[Tree]) -> (usize, Ids) {
        let (known, mut all) = self.ids(trees);
        let plain = self.builder.output(node).iter().filter(|column| known.values().any(|id| *id == column.id));
        let columns = &self.builder.plan.columns;
        all.splice(0..0, plain.map(|column| ProjectColumn::kept(column, columns)));
        (self.add(step, Operator::Project(all), vec![node]), known)
    }

    /// Where rows wait, `_time` becomes that of the end of the wait. A SELECT means the one before, which is kept in a
    /// column.
    fn keep_time(&mut self, select: &BoundSelect) -> Result<BoundSelect, Problem> {
        let mut select = select.clone();
        let mut named = false;
        let mut each = |tree: &Tree| tree.each_place(&mut |place| named |= place == Place::Time);
        select.after_calls().for_each(|tree| each(tree));
        if !named {
            return Ok(select);
        }
        let time = Tree::place(Place::Time, TIMESTAMP);
        let (node, ids) = self.computed(self.node, "time", std::slice::from_ref(&time));
        self.node = node;
        let before = Tree::column(ids[&time], TIMESTAMP);
        let with = |place| (place == Place::Time).then(|| before.clone());
        for tree in select.after_calls() {
            *tree = tree.with_places(&with)?;
        }
        Ok(select)
    }

    fn join(&mut self, join: &BoundJoin) {
        let step = format!("as_of[{}]", join.alias);
        let (ours, theirs): (Vec<Tree>, Vec<Tree>) = join.keys.iter().cloned().unzip();
        let (left, ours_at) = self.computed(self.node, &format!("{step}.left"), &ours);
        let (right, theirs_at) = self.computed(self.builder.node_of(join.right), &format!("{step}.right"), &theirs);
        let keys: Vec<_> = join.keys.iter().map(|(one, other)| (ours_at[one], theirs_at[other])).collect();
        self.placed = Some(keys.iter().map(|(ours, _)| *ours).collect());
        let operator = Operator::AsOf(AsOf {
            alias: join.alias.clone(),
            keys,
            columns: join.columns.clone(),
            behind: join.behind,
            strict: join.strict,
            inner: join.inner,
        });
        self.node = self.add_at(join.span, &step, operator, vec![left, right]);
    }

    /// Windows by their keys, and aggregates over other streams by relation and keys. What waits for rows to come is
    /// after everything else. Steps are called after a prefix.
    fn calls(&mut self, calls: &Calls, prefix: &str) -> Result<(), Problem> {
        let calls = &guarded(calls)?;
        let mut waiting = groups(calls);
        // The sort is stable: the order is otherwise that of the text.
        waiting.sort_by_key(Group::hold);
        let arguments: Vec<Tree> = waiting.iter().flat_map(Group::arguments).collect();
        let (node, at) = self.computed(self.node, &format!("{prefix}arguments"), &arguments);
        self.node = node;
        let mut shift = 0;
        while !waiting.is_empty() {
            // A step whose key is that of the rows' place needs no exchange.
            let placed = |group: &Group| group.hold() == 0 && self.placed.as_ref() == Some(&group.keys(&at));
            let next = waiting.iter().position(placed).unwrap_or(0);
            let group = waiting.remove(next);
            self.placed = Some(group.keys(&at));
            match group {
                Group::Windows(_, calls) => self.window(&calls, &at, prefix),
                Group::Ranges(calls) => shift += self.range(&calls, &at, shift, prefix),
            }
        }
        Ok(())
    }

    fn window(&mut self, calls: &[&WindowCall], at: &Ids, prefix: &str) {
        let functions = calls.iter().map(|call| WindowFunction {
            id: call.id,
            aggregate: call.aggregate,
            argument: call.argument.as_ref().map(|tree| at[tree]),
            filter: call.filter.as_ref().map(|tree| at[tree]),
            frame: call.frame,
            order: call.order.iter().map(|tree| at[tree]).collect(),
        });
        let functions = functions.collect();
        let keys: Vec<ColumnId> = calls.first().map_or(vec![], |call| call.keys.iter().map(|tree| at[tree]).collect());
        let step = format!("{prefix}window[{}]", self.builder.plan.columns.names(&keys));
        let span = calls.first().map_or(self.origin.span, |call| call.span);
        self.node = self.add_at(span, &step, Operator::Window { keys, functions }, vec![self.node]);
    }

    /// Aggregates over another stream; how long rows wait for them. Bounds are of the times with which the SELECT
    /// began, and steps before have moved them by `shift`.
    fn range(&mut self, calls: &[&RangeCall], at: &Ids, shift: i64, prefix: &str) -> i64 {
        let Some(first) = calls.first() else { return 0 };
        let keys: Vec<String> = first.keys.iter().map(|(_, theirs)| self.builder.plan.columns.text(theirs)).collect();
        let waits = if calls.iter().any(|call| call.to > 0) { " ahead" } else { "" };
        let step = format!("{prefix}range[{} by {}{waits}]", first.stream, keys.join(", "));
        let of_right = |call: &&RangeCall| call.argument.iter().chain(&call.filter).cloned().collect::<Vec<_>>();
        let mut trees: Vec<Tree> = first.keys.iter().map(|(_, theirs)| theirs.clone()).collect();
        trees.extend(calls.iter().flat_map(of_right));
        let (right, theirs_at) = self.projected(self.builder.node_of(first.right), &format!("{step}.right"), &trees);
        let functions = calls.iter().map(|call| RangeAggregate {
            id: call.id,
            computes: call.computes,
            argument: call.argument.as_ref().map(|tree| theirs_at[tree]),
            filter: call.filter.as_ref().map(|tree| theirs_at[tree]),
            from: call.from - shift,
            to: call.to - shift,
        });
        let range = Range {
            stream: first.stream.clone(),
            keys: first.keys.iter().map(|(ours, theirs)| (at[ours], theirs_at[theirs])).collect(),
            functions: functions.collect(),
        };
        let hold = range.hold();
        self.node = self.add_at(first.span, &step, Operator::Range(range), vec![self.node, right]);
        hold
    }

    fn scores(&mut self, calls: &Calls) {
        if calls.scores.is_empty() {
            return;
        }
        let score = |call: &ScoreCall| Score {
            columns: call.columns.clone(),
            model: call.model.clone(),
            scorer: call.scorer.clone(),
            input_names: call.input_names.clone(),
            inputs: call.inputs.clone(),
        };
        self.push("predict", Operator::Predict(calls.scores.iter().map(score).collect()));
    }
}

/// Rows that the WHERE of a subquery leaves out do not fail in its keys, nor in what it computes: these stand in one
/// projection with those of other subqueries, which a row that failed would be missing from.
fn guarded(calls: &Calls) -> Result<Cow<'_, Calls>, Problem> {
    let can_fail = |call: &RangeCall| {
        call.filter.is_some() && call.keys.iter().map(|(_, theirs)| theirs).chain(&call.argument).any(Tree::can_fail)
    };
    if !calls.ranges.iter().any(can_fail) {
        return Ok(Cow::Borrowed(calls));
    }
    let mut calls = calls.clone();
    for call in calls.ranges.iter_mut().filter(|call| can_fail(call)) {
        let Some(filter) = &call.filter else { continue };
        for tree in call.keys.iter_mut().map(|(_, theirs)| theirs).chain(&mut call.argument) {
            if tree.can_fail() {
                let case = Op::Case { operand: false, otherwise: false };
                *tree = Tree::of(case, vec![filter.clone(), tree.clone()])?;
            }
        }
    }
    Ok(Cow::Owned(calls))
}

/// Calls by the operators that answer them.
fn groups(calls: &Calls) -> Vec<Group<'_>> {
    let mut groups: Vec<Group> = Vec::new();
    for call in &calls.windows {
        match groups.iter_mut().find_map(|group| group.windows(&call.keys)) {
            Some(same) => same.push(call),
            None => groups.push(Group::Windows(&call.keys, vec![call])),
        }
    }
    for call in &calls.ranges {
        match groups.iter_mut().find_map(|group| group.ranges(call)) {
            Some(same) => same.push(call),
            None => groups.push(Group::Ranges(vec![call])),
        }
    }
    groups
}

/// Calls that one operator answers.
enum Group<'a> {
    Windows(&'a [Tree], Vec<&'a WindowCall>),
    Ranges(Vec<&'a RangeCall>),
}

impl<'a> Group<'a> {
    fn windows(&mut self, keys: &[Tree]) -> Option<&mut Vec<&'a WindowCall>> {
        match self {
            Group::Windows(known, calls) if *known == keys => Some(calls),
            _ => None,
        }
    }

    fn ranges(&mut self, call: &RangeCall) -> Option<&mut Vec<&'a RangeCall>> {
        match self {
            Group::Ranges(calls)
                if calls.first().is_some_and(|first| {
                    first.right == call.right && first.keys == call.keys && (first.to > 0) == (call.to > 0)
                }) =>
            {
                Some(calls)
            }
            _ => None,
        }
    }

    fn hold(&self) -> i64 {
        match self {
            Group::Windows(..) => 0,
            Group::Ranges(calls) => calls.iter().map(|call| call.to).max().unwrap_or(0).max(0),
        }
    }

    /// The expressions that have to be columns of the rows that come in.
    fn arguments(&self) -> Vec<Tree> {
        match self {
            Group::Windows(keys, calls) => {
                let of = |call: &&WindowCall| {
                    call.argument.iter().chain(&call.filter).chain(&call.order).cloned().collect::<Vec<_>>()
                };
                keys.iter().cloned().chain(calls.iter().flat_map(of)).collect()
            }
            Group::Ranges(calls) => {
                calls.first().map_or(vec![], |call| call.keys.iter().map(|(ours, _)| ours.clone()).collect())
            }
        }
    }

    fn keys(&self, at: &Ids) -> Vec<ColumnId> {
        match self {
            Group::Windows(keys, _) => keys.iter().map(|tree| at[tree]).collect(),
            Group::Ranges(calls) => {
                calls.first().map_or(vec![], |call| call.keys.iter().map(|(ours, _)| at[ours]).collect())
            }
        }
    }
}
