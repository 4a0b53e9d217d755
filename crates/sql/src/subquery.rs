//! Correlated subqueries and EXISTS: aggregates over another stream by equal keys and a range of time.

use crate::diagnostic::{Fault, Outcome, did_you_mean, place_of};
use crate::interval;
use crate::planner::{Planner, key_fault, same_key};
use crate::relation::Relation;
use crate::rewrite::{
    and, argument, arguments, conjuncts, function_name, generated, is_distinct, is_plain, is_subquery, names_in,
    replace, table_name,
};
use crate::statement::Name;
use crate::steps::{RightSide, Steps};
use crate::window::{aggregate_named, argument_fault, check_distinct};
use operators::{Aggregate, RangeFunction, range};
use sqlparser::ast::{BinaryOperator, Expr, Function, Query, Select, SelectItem, SetExpr, UnaryOperator};
use sqlparser::tokenizer::Span;

const AGGREGATES: &str = "count, sum, avg, min, max, stddev, stddev_pop, variance or var_pop";

/// Replaces a subquery by the column that its step will give.
pub(crate) fn plan(
    planner: &mut Planner,
    expr: &Expr,
    alias: Option<&str>,
    steps: &mut Steps,
    within: Span,
) -> Outcome<Expr> {
    match expr {
        Expr::Exists { subquery, negated } => {
            let span = place_of(expr, within);
            let (select, inner) = open(planner, subquery, span)?;
            let name = steps.name(alias, "exists");
            let call = Call { computes: RangeFunction::Exists, argument: None, conditions: vec![] };
            let column = Correlation::of(&select, &inner, steps, span)?.add(call, name, steps, &inner, span)?;
            let exists = generated(&column, span);
            Ok(if *negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(exists) } } else { exists })
        }
        Expr::Subquery(query) => aggregate(planner, query, alias, steps, place_of(expr, within)),
        other => Fault::new(place_of(other, within), "IN with a subquery is not supported")
            .hint("write EXISTS (SELECT 1 FROM s WHERE s.k = r.k AND s.t BETWEEN r.t - INTERVAL .. AND r.t)")
            .err(),
    }
}

fn aggregate(
    planner: &mut Planner,
    query: &Query,
    alias: Option<&str>,
    steps: &mut Steps,
    span: Span,
) -> Outcome<Expr> {
    let (select, inner) = open(planner, query, span)?;
    let item = match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => expr,
        _ => {
            return Fault::new(span, "a subquery gives one value")
                .found(format!("{} columns", select.projection.len()))
                .err();
        }
    };
    let matching = Correlation::of(&select, &inner, steps, span)?;
    let whole = is_call(item);
    let mut value = item.clone();
    let mut calls = 0;
    replace(&mut value, |part| {
        let Expr::Function(function) = part else { return Ok(None) };
        let Some(aggregate) = aggregate_of(function) else { return Ok(None) };
        calls += 1;
        let at = place_of(part, span);
        let call = Call::of(function, aggregate, at)?;
        let name = steps.name(alias.filter(|_| whole), "of");
        let column = matching.add(call, name, steps, &inner, at)?;
        Ok(Some(generated(&column, at)))
    })?;
    if calls == 0 {
        return Fault::new(place_of(item, span), "a subquery over a stream gives an aggregate")
            .found(item.to_string())
            .expected(AGGREGATES)
            .hint("for the last row at a time write ASOF LEFT JOIN s ON s.k = r.k AND s.t <= r.t")
            .err();
    }
    Ok(Expr::Nested(Box::new(value)))
}

fn is_call(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if aggregate_of(function).is_some())
}

/// The aggregate that a call names.
fn aggregate_of(function: &Function) -> Option<Aggregate> {
    aggregate_named(&function_name(function), is_distinct(function))
}

/// The SELECT and the stream or view that it reads.
fn open(planner: &mut Planner, query: &Query, span: Span) -> Outcome<(Select, InnerRelation)> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Fault::new(span, "a subquery is one SELECT").err();
    };
    let group_by = select.group_by != sqlparser::ast::GroupByExpr::Expressions(vec![], vec![]);
    if !is_plain(query) || group_by || select.having.is_some() || select.distinct.is_some() || select.qualify.is_some()
    {
        return Fault::new(
            span,
            "a subquery has WITH, GROUP BY, HAVING, DISTINCT, ORDER BY or LIMIT, which are not supported",
        )
        .hint("keep SELECT aggregate FROM stream WHERE conditions")
        .err();
    }
    let [from] = select.from.as_slice() else {
        return Fault::new(span, "a subquery reads one stream or view").err();
    };
    if !from.joins.is_empty() {
        return Fault::new(span, "a subquery reads one stream or view").hint("put the join in a view of its own").err();
    }
    let (name, alias) = table_name(&from.relation, span)?;
    let relation = planner.relation(&name)?.named(&alias);
    Ok(((**select).clone(), InnerRelation { relation, name }))
}

struct InnerRelation {
    relation: Relation,
    name: Name,
}

/// How rows of the other stream belong to a row.
struct Correlation {
    keys: Vec<(Expr, Expr)>,
    /// Conditions on the other stream alone.
    conditions: Vec<Expr>,
    from: i64,
    to: i64,
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
    fn of(select: &Select, inner: &InnerRelation, steps: &Steps, span: Span) -> Outcome<Correlation> {
        let outer = &steps.input;
        let mut matching = Correlation { keys: vec![], conditions: vec![], from: i64::MIN, to: i64::MAX };
        let all = select.selection.as_ref().map(conjuncts).unwrap_or_default();
        for condition in all {
            if crate::rewrite::any(condition, is_subquery) {
                return Fault::new(place_of(condition, span), "a subquery within a subquery is not supported")
                    .hint("put the inner one in a view of its own")
                    .err();
            }
            match side(condition, &inner.relation, outer, span)? {
                Side::Inner | Side::Neither => matching.conditions.push(condition.clone()),
                Side::Outer => {
                    return Fault::new(
                        place_of(condition, span),
                        "a condition of a subquery is on the row outside alone",
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

    /// Adds one aggregate; the name of its column.
    fn add(&self, call: Call, name: String, steps: &mut Steps, inner: &InnerRelation, span: Span) -> Outcome<String> {
        let mut keys = Vec::new();
        for (ours, theirs) in &self.keys {
            let left = steps.column_of(ours, span)?;
            let right = inner.relation.compile(theirs, span)?;
            let right_column = crate::steps::generated_column(theirs.to_string(), &right);
            if !same_key(&steps.column(left).data_type, &right.data_type) {
                return key_fault(place_of(theirs, span), steps.column(left), &right_column).err();
            }
            keys.push((left, column_text(theirs), right));
        }
        // One order of keys for all steps, so that rows placed by it can stay where they are.
        keys.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        keys.dedup_by(|one, other| (one.0, &one.1) == (other.0, &other.1));
        let left_keys = keys.iter().map(|(left, _, _)| *left).collect();
        let key_texts: Vec<String> = keys.iter().map(|(_, text, _)| text.clone()).collect();
        let mut right =
            RightSide { stream: inner.name.text.clone(), relation: inner.relation.clone(), key_texts, picks: vec![] };
        for (_, text, compiled) in keys {
            // Two left columns may equal one right column: each key has a column of its own.
            let column = crate::steps::generated_column(text.clone(), &compiled);
            right.picks.push((text, crate::steps::ComputedColumn { column, scalar: compiled.scalar }));
        }
        let conditions = and(self.conditions.iter().cloned().chain(call.conditions));
        let filter = conditions
            .map(|expr| inner.relation.condition(&expr, span).map(|compiled| (expr, compiled)))
            .transpose()?;
        let value = call
            .argument
            .map(|expr| inner.relation.compile(&expr, span).map(|compiled| (expr, compiled)))
            .transpose()?;
        let data_type = value.as_ref().map(|(_, compiled)| &compiled.data_type);
        if let Err(error) = call.computes.output_type(data_type) {
            let name = call.computes.to_string();
            let value = value.as_ref().map(|(expr, _)| expr);
            return Err(Box::new(argument_fault(&name, value, data_type, &error, span)));
        }
        let step = steps.range(left_keys, right, self.to > 0, span);
        let mut pick = |(expr, compiled): (Expr, _)| step.right.pick(column_text(&expr), compiled);
        let (argument, filter) = (value.map(&mut pick), filter.map(&mut pick));
        let function = range::Function {
            name: name.clone(),
            computes: call.computes,
            argument,
            filter,
            from: self.from,
            to: self.to,
        };
        let same = |other: &&range::Function| range::Function { name: name.clone(), ..(*other).clone() } == function;
        if let Some(known) = step.functions.iter().find(same) {
            return Ok(known.name.clone());
        }
        step.functions.push(function);
        Ok(name)
    }
}

/// An expression over one stream as text: the stream's alias says nothing there.
fn column_text(expr: &Expr) -> String {
    let mut expr = expr.clone();
    let outcome = replace(&mut expr, |part| match part {
        Expr::CompoundIdentifier(parts) => Ok(parts.last().map(|name| Expr::Identifier(name.clone()))),
        Expr::Nested(inner) if matches!(**inner, Expr::CompoundIdentifier(_) | Expr::Identifier(_)) => {
            Ok(Some((**inner).clone()))
        }
        _ => Ok(None),
    });
    debug_assert!(outcome.is_ok(), "no part is refused");
    match expr {
        Expr::Nested(inner) => inner.to_string(),
        expr => expr.to_string(),
    }
}

/// One aggregate of a subquery.
struct Call {
    computes: RangeFunction,
    argument: Option<Expr>,
    conditions: Vec<Expr>,
}

impl Call {
    fn of(function: &Function, aggregate: Aggregate, span: Span) -> Outcome<Call> {
        let name = function_name(function);
        if function.over.is_some() {
            return Fault::new(span, "a window in a subquery is not supported")
                .hint("put the window in a view of its own")
                .err();
        }
        check_distinct(&name, aggregate, is_distinct(function), span)?;
        if function.null_treatment.is_some() {
            return Fault::new(span, "IGNORE NULLS and RESPECT NULLS are not supported yet").err();
        }
        let args = arguments(function);
        let constant = |expr: &Expr| matches!(expr, Expr::Value(value) if value.value != sqlparser::ast::Value::Null);
        let argument = match args {
            [] if aggregate == Aggregate::Count => None,
            [one] => argument(one).filter(|expr| !(aggregate == Aggregate::Count && constant(expr))).cloned(),
            _ => {
                return Fault::new(span, format!("{name} has {} arguments", args.len())).expected("one argument").err();
            }
        };
        let computes = RangeFunction::Aggregate(aggregate);
        Ok(Call { computes, argument, conditions: function.filter.iter().map(|filter| (**filter).clone()).collect() })
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
    let mut fault =
        Fault::new(place_of(name, span), format!("no column is named \"{column}\"")).found(name.to_string());
    fault.hint = did_you_mean(&column, names.iter().map(String::as_str));
    if names.len() <= 20 && !names.is_empty() {
        fault.expected = Some(format!("one of {}", names.join(", ")));
    }
    fault.err()
}
