//! ASOF JOIN: `ASOF LEFT JOIN accounts a ON a.user_id = m.sender_id AND a.changed_at <= m.sent_at`.

use crate::diagnostic::{Fault, Outcome, place_of};
use crate::interval;
use crate::plan::Plan;
use crate::planner::{key_fault, same_key};
use crate::relation::{Relation, RelationColumn};
use crate::rewrite::{UsedColumns, conjuncts};
use crate::steps::Steps;
use dataflow::Span as Length;
use operators::as_of;
use sqlparser::ast::{BinaryOperator, Expr, JoinConstraint};
use sqlparser::tokenizer::Span;

/// One as-of join of a SELECT.
pub(crate) struct AsOfJoin<'a> {
    pub right: Relation,
    pub alias: String,
    pub inner: bool,
    pub constraint: &'a JoinConstraint,
    pub span: Span,
}

/// Keys and the bound of time.
struct AsOfCondition {
    keys: Vec<(Expr, Expr)>,
    /// How much earlier than the left row the right one is at least, and whether it must be earlier still.
    bound: Option<(Length, bool)>,
}

/// Puts a join into the plan: the left relation with the right columns that are used.
pub(crate) fn plan(
    plan: &mut Plan,
    owner: &str,
    left: Relation,
    joined: AsOfJoin,
    used: &UsedColumns,
) -> Outcome<Relation> {
    let AsOfJoin { right, alias, inner, constraint, span } = joined;
    let example = format!("ON {alias}.key = key AND {} <= {}", right.time_names(), left.time_names());
    let JoinConstraint::On(condition) = constraint else {
        return Fault::new(span, "an as-of join has no ON").expected(example).err();
    };
    let matching = AsOfCondition::of(condition, &left, &right, span)?;
    let Some((behind, strict)) = matching.bound else {
        return Fault::new(span, "an as-of join has no bound of time")
            .expected(example)
            .hint("say which row is the last: the time of the right side is at or before the time of the left side")
            .err();
    };
    let kept: Vec<usize> = (0..right.columns.len())
        .filter(|&index| {
            let column = &right.columns[index];
            used.has(Some(&alias), &column.name)
        })
        .collect();
    let mut left_work = Steps::new(left.clone());
    let mut right_work = Steps::new(right.clone());
    let mut keys = Vec::new();
    for (ours, theirs) in &matching.keys {
        let (ours_at, theirs_at) = (left_work.column_of(ours, span)?, right_work.column_of(theirs, span)?);
        let (one, other) = (left_work.column(ours_at), right_work.column(theirs_at));
        if !same_key(&one.data_type, &other.data_type) {
            return key_fault(place_of(theirs, span), one, other).err();
        }
        keys.push((ours_at, theirs_at));
    }
    keys.sort_unstable();
    keys.dedup();
    let mut left = left_work.run(plan, owner)?;
    let right_all = right_work.run(plan, &alias)?;
    // The right side keeps its keys and what is used, and nothing else travels.
    let mut right_kept: Vec<usize> = keys.iter().map(|&(_, theirs)| theirs).chain(kept.iter().copied()).collect();
    right_kept.sort_unstable();
    right_kept.dedup();
    let right_node = right_all.narrowed(plan, &right_kept);
    let at = |index: usize| right_kept.binary_search(&index).unwrap_or(0);
    let columns: Vec<(usize, String)> = kept
        .iter()
        .map(|&index| {
            let name = &right.columns[index].name;
            let taken = left.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
            (at(index), if taken { format!("{alias}.{name}") } else { name.clone() })
        })
        .collect();
    let spec = as_of::Spec {
        left_keys: keys.iter().map(|&(ours, _)| ours).collect(),
        right_keys: keys.iter().map(|&(_, theirs)| at(theirs)).collect(),
        columns,
        behind,
        strict,
        inner,
    };
    let node = plan.as_of(left.node, right_node.node, owner, &alias, spec);
    left.node = node.map_err(|error| Box::new(Fault::new(span, error.chain())))?;
    for index in kept {
        let column = right.columns[index].clone();
        left.columns.push(RelationColumn { qualifier: Some(alias.clone()), nullable: true, time: false, ..column });
    }
    left.models.extend(right.models);
    Ok(left)
}

impl Relation {
    /// The relation with some of its columns only.
    pub fn narrowed(&self, plan: &mut Plan, kept: &[usize]) -> Relation {
        if kept.len() == self.columns.len() {
            return self.clone();
        }
        let names: Vec<&str> = kept.iter().map(|&index| self.columns[index].name.as_str()).collect();
        let name = format!("{}.columns", plan.nodes[self.node].name);
        self.project(plan, name, kept, vec![], format!("keeps {}", names.join(", ")))
    }
}

impl AsOfCondition {
    fn of(condition: &Expr, left: &Relation, right: &Relation, span: Span) -> Outcome<AsOfCondition> {
        let mut matching = AsOfCondition { keys: vec![], bound: None };
        for condition in conjuncts(condition) {
            let Expr::BinaryOp { left: one, op, right: other } = condition else {
                return refuse(condition, left, right, span);
            };
            // Brought to: right side (op) left side.
            let (ours, op, theirs) = match (belongs(one, right), belongs(other, right)) {
                (true, false) => (other, op.clone(), one),
                (false, true) => (one, turned(op), other),
                _ => return refuse(condition, left, right, span),
            };
            left.compile(ours, span)?;
            right.compile(theirs, span)?;
            match op {
                BinaryOperator::Eq => matching.keys.push(((**ours).clone(), (**theirs).clone())),
                BinaryOperator::Lt | BinaryOperator::LtEq if matching.bound.is_none() => {
                    let behind = matching.bound_of(ours, theirs, left, right);
                    let Some(behind) = behind else { return refuse(condition, left, right, span) };
                    if behind < 0 {
                        return Fault::new(place_of(condition, span), "an as-of join cannot look at rows to come")
                            .found(condition.to_string())
                            .hint(format!("write {} <= {}", right.time_names(), left.time_names()))
                            .err();
                    }
                    matching.bound = Some((Length(behind), op == BinaryOperator::Lt));
                }
                _ => return refuse(condition, left, right, span),
            }
        }
        Ok(matching)
    }

    /// How much earlier the right time is than the left one.
    fn bound_of(&self, ours: &Expr, theirs: &Expr, left: &Relation, right: &Relation) -> Option<i64> {
        let ((ours, ours_plus), (theirs, theirs_plus)) = (interval::column_plus(ours)?, interval::column_plus(theirs)?);
        if !left.is_time(ours) || !right.is_time(theirs) {
            return None;
        }
        theirs_plus.checked_sub(ours_plus)
    }
}

/// Whether all names of an expression are columns of the right side; a name without a stream in front counts where it
/// is found.
fn belongs(expr: &Expr, right: &Relation) -> bool {
    let names = crate::rewrite::names_in(expr);
    !names.is_empty() && names.iter().all(|name| right.place(name).is_some())
}

fn turned(op: &BinaryOperator) -> BinaryOperator {
    match op {
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        other => other.clone(),
    }
}

fn refuse<T>(condition: &Expr, left: &Relation, right: &Relation, span: Span) -> Outcome<T> {
    for name in crate::rewrite::names_in(condition) {
        if left.place(&name).is_none() && right.place(&name).is_none() {
            let known_right = matches!(&name, Expr::CompoundIdentifier(parts)
                if right.columns.iter().any(|column| column.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(&parts[0].value))));
            let side = if known_right { right } else { left };
            side.compile(&name, span)?;
        }
    }
    Fault::new(place_of(condition, span), "an as-of join cannot match rows by this condition")
        .found(condition.to_string())
        .expected(format!("equal keys, and {} <= {}", right.time_names(), left.time_names()))
        .err()
}
