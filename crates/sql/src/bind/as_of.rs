//! ASOF JOIN: `ASOF LEFT JOIN accounts a ON a.user_id = m.sender_id AND a.changed_at <= m.sent_at`.

use super::bound::BoundJoin;
use super::columns::Columns;
use super::keys::{self, WrittenKey};
use super::relation::{Relation, RelationColumn};
use super::syntax::{conjuncts, names_in};
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::interval;
use dataflow::Span as Length;
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
    keys: Vec<WrittenKey>,
    /// How much earlier than the left row the right one is at least, and whether it must be earlier still.
    bound: Option<(Length, bool)>,
}

/// Binds a join: the left relation with the columns of the right one.
pub(crate) fn bind(columns: &mut Columns, left: Relation, joined: AsOfJoin) -> Outcome<(Relation, BoundJoin)> {
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
    let keys = keys::bind(&matching.keys, &left, &right, span)?;
    let (mut all, mut ids) = (left.columns.clone(), Vec::with_capacity(right.columns.len()));
    for column in &right.columns {
        let taken = left.columns.iter().any(|other| other.name.eq_ignore_ascii_case(&column.name));
        let name = if taken { format!("{alias}.{}", column.name) } else { column.name.clone() };
        let id = columns.add(&name, column.data_type.clone());
        ids.push((id, name.into(), column.id));
        all.push(RelationColumn { qualifier: Some(alias.clone()), id, time: false, ..column.clone() });
    }
    let mut models = left.models.clone();
    models.extend(right.models);
    let join = BoundJoin { right: right.id, alias, keys, columns: ids, behind, strict, inner, span };
    Ok((Relation::new(left.id, all, models, left.shift), join))
}

impl AsOfCondition {
    fn of(condition: &Expr, left: &Relation, right: &Relation, span: Span) -> Outcome<AsOfCondition> {
        let mut matching = AsOfCondition { keys: vec![], bound: None };
        for condition in conjuncts(condition) {
            let Expr::BinaryOp { left: one, op, right: other } = condition else {
                return refuse(condition, left, right, span);
            };
            // Brought to: right side (op) left side.
            let (ours, op, theirs) = match (right.has_all_names(one), right.has_all_names(other)) {
                (true, false) => (other, op.clone(), one),
                (false, true) => (one, turned(op), other),
                _ => return refuse(condition, left, right, span),
            };
            left.bind(ours, span)?;
            right.bind(theirs, span)?;
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
    for name in names_in(condition) {
        if left.place(&name).is_none() && right.place(&name).is_none() {
            let known_right = matches!(&name, Expr::CompoundIdentifier(parts)
                if right.columns.iter().any(|column| column.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(&parts[0].value))));
            let side = if known_right { right } else { left };
            side.bind(&name, span)?;
        }
    }
    Fault::new(place_of(condition, span), "an as-of join cannot match rows by this condition")
        .found(condition.to_string())
        .expected(format!("equal keys, and {} <= {}", right.time_names(), left.time_names()))
        .err()
}
