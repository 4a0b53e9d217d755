//! How rows of another stream belong to a row: equal keys, conditions on the other stream alone, and a range of time.

use super::keys::WrittenKey;
use super::relation::Relation;
use super::syntax::{any, conjuncts, is_subquery, names_in};
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::interval;
use crate::statement::Name;
use sqlparser::ast::{BinaryOperator, Expr, Select};
use sqlparser::tokenizer::Span;

/// The other stream.
pub(crate) struct InnerRelation {
    pub relation: Relation,
    pub name: Name,
}

/// How rows of the other stream belong to a row.
pub(crate) struct Correlation {
    /// Of the row outside and of the other stream.
    pub keys: Vec<WrittenKey>,
    /// Conditions on the other stream alone.
    pub conditions: Vec<Expr>,
    pub from: i64,
    pub to: i64,
}

/// Where the names of an expression belong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Neither,
    Inner,
    Outer,
    Both,
}

impl Correlation {
    pub fn of(select: &Select, inner: &InnerRelation, outer: &Relation, span: Span) -> Outcome<Correlation> {
        let mut matching = Correlation { keys: vec![], conditions: vec![], from: i64::MIN, to: i64::MAX };
        let all = select.selection.as_ref().map(conjuncts).unwrap_or_default();
        for condition in all {
            if any(condition, is_subquery) {
                return Fault::new(place_of(condition, span), "a subquery within a subquery is not supported")
                    .hint("put the inner one in a view of its own")
                    .err();
            }
            match side(condition, &inner.relation, outer, span)? {
                Side::Inner | Side::Neither => matching.conditions.push(condition.clone()),
                Side::Outer => {
                    return Fault::new(
                        place_of(condition, span),
                        "a condition of a subquery looks at the outer row alone",
                    )
                    .found(condition.to_string())
                    .hint("use it around the subquery: CASE WHEN condition THEN (SELECT ..) END")
                    .err();
                }
                Side::Both => matching.correlate(condition, inner, outer, span)?,
            }
        }
        matching.check_bounds(inner, outer, span)?;
        Ok(matching)
    }

    /// An equality of keys or a bound of time.
    fn correlate(&mut self, condition: &Expr, inner: &InnerRelation, outer: &Relation, span: Span) -> Outcome<()> {
        let bounded = match condition {
            Expr::Between { expr, negated: false, low, high } => {
                self.bound(expr, &BinaryOperator::GtEq, low, inner, outer)
                    && self.bound(expr, &BinaryOperator::LtEq, high, inner, outer)
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
                match (side(left, &inner.relation, outer, span)?, side(right, &inner.relation, outer, span)?) {
                    (Side::Inner, Side::Outer) => self.keys.push(((**right).clone(), (**left).clone())),
                    (Side::Outer, Side::Inner) => self.keys.push(((**left).clone(), (**right).clone())),
                    _ => return self.refuse(condition, inner, outer, span),
                }
                true
            }
            Expr::BinaryOp { left, op, right } => self.bound(left, op, right, inner, outer),
            _ => false,
        };
        if bounded { Ok(()) } else { self.refuse(condition, inner, outer, span) }
    }

    fn refuse(&self, condition: &Expr, inner: &InnerRelation, outer: &Relation, span: Span) -> Outcome<()> {
        Fault::new(place_of(condition, span), "a subquery cannot match rows by this condition")
            .found(condition.to_string())
            .expected(format!(
                "equal keys, conditions on {} alone, and one range of time such as {} BETWEEN {} - INTERVAL '1' DAY AND {2}",
                inner.name.text,
                inner.relation.time_names(),
                outer.time_names()
            ))
            .err()
    }

    /// A comparison of the two times; whether it is one.
    fn bound(
        &mut self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
        inner: &InnerRelation,
        outer: &Relation,
    ) -> bool {
        let (Some((left, left_plus)), Some((right, right_plus))) =
            (interval::column_plus(left), interval::column_plus(right))
        else {
            return false;
        };
        let inner = &inner.relation;
        let is_inner = |expr: &Expr| inner.is_time(expr);
        let is_outer = |expr: &Expr| inner.place(expr).is_none() && outer.is_time(expr);
        let Some(offset) = right_plus.checked_sub(left_plus) else { return false };
        // Brought to: inner - outer (op) offset.
        let (op, offset) = if is_inner(left) && is_outer(right) {
            (op.clone(), offset)
        } else if is_outer(left) && is_inner(right) {
            let turned = match op {
                BinaryOperator::Lt => BinaryOperator::Gt,
                BinaryOperator::LtEq => BinaryOperator::GtEq,
                BinaryOperator::Gt => BinaryOperator::Lt,
                BinaryOperator::GtEq => BinaryOperator::LtEq,
                other => other.clone(),
            };
            let Some(offset) = offset.checked_neg() else { return false };
            (turned, offset)
        } else {
            return false;
        };
        match op {
            BinaryOperator::GtEq => self.from = self.from.max(offset),
            BinaryOperator::Gt => self.from = self.from.max(offset.saturating_add(1)),
            BinaryOperator::LtEq => self.to = self.to.min(offset),
            BinaryOperator::Lt => self.to = self.to.min(offset.saturating_sub(1)),
            _ => return false,
        }
        true
    }

    fn check_bounds(&self, inner: &InnerRelation, outer: &Relation, span: Span) -> Outcome<()> {
        let (theirs, ours) = (inner.relation.time_names(), outer.time_names());
        let example = format!("{theirs} BETWEEN {ours} - INTERVAL '7' DAY AND {ours}");
        if self.from == i64::MIN {
            let fault = Fault::new(
                span,
                format!(
                    "a subquery over \"{}\" has no lower bound of time: it would keep every row for ever",
                    inner.name.text
                ),
            );
            return fault.expected(format!("AND {example}")).hint("say how far back it looks").err();
        }
        if self.to == i64::MAX {
            let fault = Fault::new(
                span,
                format!("a subquery over \"{}\" has no upper bound of time: it would wait for ever", inner.name.text),
            );
            return fault
                .expected(format!("AND {example}"))
                .hint(format!("add AND {theirs} <= {ours}, or {ours} + INTERVAL .. for a label"))
                .err();
        }
        if self.from > self.to {
            return Fault::new(span, "the range of time ends before it begins")
                .hint("write BETWEEN the earlier AND the later time")
                .err();
        }
        Ok(())
    }
}

/// Where the names of an expression belong: to the other stream first, as SQL has it.
fn side(expr: &Expr, inner: &Relation, outer: &Relation, span: Span) -> Outcome<Side> {
    let mut side = Side::Neither;
    for name in names_in(expr) {
        let found = if inner.place(&name).is_some() {
            Side::Inner
        } else if outer.place(&name).is_some() {
            Side::Outer
        } else {
            return unknown(&name, inner, outer, span);
        };
        side = if side == Side::Neither || side == found { found } else { Side::Both };
    }
    Ok(side)
}

fn unknown(name: &Expr, inner: &Relation, outer: &Relation, span: Span) -> Outcome<Side> {
    let (qualifier, column) = match name {
        Expr::CompoundIdentifier(parts) if parts.len() == 2 => (Some(parts[0].value.clone()), parts[1].value.clone()),
        other => (None, other.to_string()),
    };
    let known = |relation: &Relation| {
        let of = |q: &Option<String>| {
            qualifier.is_none() || q.as_ref().zip(qualifier.as_ref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        let columns = relation.columns.iter().filter(|column| of(&column.qualifier));
        columns.map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    let names = [known(inner), known(outer)].concat();
    let fault = Fault::new(place_of(name, span), format!("no column is named \"{column}\"")).found(name.to_string());
    fault.offer(&column, names.iter().map(String::as_str)).err()
}
