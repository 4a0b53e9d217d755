//! ORDER BY, LIMIT and OFFSET.

use super::canonical::canonical;
use crate::bind::aliases::{changed, with_aliases};
use crate::bind::items::Item;
use crate::bind::keys;
use crate::bind::relation::Relation;
use crate::bind::syntax::{any, score_call};
use crate::diagnostic::{Fault, Outcome, place_of};
use sqlparser::ast::{Expr, LimitClause, OrderBy, OrderByKind, OrderByOptions, Query, Value};
use sqlparser::tokenizer::Span;

/// What orders the rows: a column by its place among the items, from the greatest on or not, NULL first or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderKey {
    pub item: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

/// How many rows are left out, and how many come at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub offset: u64,
    pub limit: Option<u64>,
}

/// What ORDER BY names. An expression that is no column of the SELECT is added to the items, after those that are seen.
pub(super) fn keys(
    order_by: Option<&OrderBy>,
    items: &mut Vec<Item>,
    relation: Option<&Relation>,
    span: Span,
) -> Outcome<Vec<OrderKey>> {
    let Some(order_by) = order_by else { return Ok(Vec::new()) };
    if order_by.interpolate.is_some() {
        return Fault::new(span, "INTERPOLATE is not supported").err();
    }
    let seen = items.len();
    match &order_by.kind {
        OrderByKind::All(options) => Ok((0..seen).map(|item| key(item, options)).collect()),
        OrderByKind::Expressions(all) => {
            let mut keys = Vec::with_capacity(all.len());
            for one in all {
                if one.with_fill.is_some() {
                    return Fault::new(span, "WITH FILL is not supported").err();
                }
                keys.push(key(item(&one.expr, items, seen, relation, span)?, &one.options));
            }
            Ok(keys)
        }
    }
}

/// Refuses keys whose values have no order.
pub(super) fn check(keys: &[OrderKey], items: &[Item], relation: &Relation, span: Span) -> Outcome<()> {
    for key in keys {
        let (item, column) = (&items[key.item], &relation.columns[key.item]);
        keys::check_order(&column.data_type, &item.name, item.place(span))?;
    }
    Ok(())
}

/// Without NULLS FIRST, NULL comes last, in both directions.
fn key(item: usize, options: &OrderByOptions) -> OrderKey {
    let (descending, nulls_first) = (options.asc == Some(false), options.nulls_first == Some(true));
    OrderKey { item, descending, nulls_first }
}

/// The item that an expression of ORDER BY is.
fn item(expr: &Expr, items: &mut Vec<Item>, seen: usize, relation: Option<&Relation>, span: Span) -> Outcome<usize> {
    let at = place_of(expr, span);
    if let Some(place) = ordinal(expr, seen, "ORDER BY", at)? {
        return Ok(place);
    }
    if let Expr::Identifier(name) = expr
        && let Some(place) = items[..seen].iter().position(|item| item.name.eq_ignore_ascii_case(&name.value))
    {
        return Ok(place);
    }
    let Some(relation) = relation else {
        return Fault::new(at, "ORDER BY after UNION names columns of the result")
            .found(expr.to_string())
            .expected(items.iter().map(|item| item.name.as_str()).collect::<Vec<_>>().join(", "))
            .err();
    };
    check_names(expr, &items[..seen], relation, at)?;
    let wanted = canonical(&with_aliases(expr, &items[..seen], relation), relation);
    if let Some(place) = items.iter().position(|item| canonical(&item.expr, relation) == wanted) {
        return Ok(place);
    }
    items.push(Item { expr: with_aliases(expr, &items[..seen], relation), name: expr.to_string(), span: at });
    Ok(items.len() - 1)
}

/// A column by its number: `ORDER BY 2`.
pub(super) fn ordinal(expr: &Expr, columns: usize, clause: &str, at: Span) -> Outcome<Option<usize>> {
    let Expr::Value(value) = expr else { return Ok(None) };
    let number = match &value.value {
        Value::Number(number, _) => number.parse::<usize>().ok(),
        _ => None,
    };
    match number {
        Some(number) if (1..=columns).contains(&number) => Ok(Some(number - 1)),
        _ => Fault::new(at, format!("{clause} with a literal is the number of a column"))
            .found(expr.to_string())
            .expected(format!("1 to {columns}"))
            .err(),
    }
}

/// Refuses a name that is neither a column of FROM nor of the SELECT, and offers both.
pub(super) fn check_names(expr: &Expr, items: &[Item], relation: &Relation, at: Span) -> Outcome<()> {
    let mut unknown = None;
    changed(expr, |part| {
        let Expr::Identifier(name) = &*part else { return };
        let is_alias = || items.iter().any(|item| item.name.eq_ignore_ascii_case(&name.value));
        if unknown.is_none() && relation.place(part).is_none() && relation.is_unknown(name) && !is_alias() {
            unknown = Some(name.clone());
        }
    });
    // The name of a model is none of a column.
    let Some(name) = unknown.filter(|_| !any(expr, |part| score_call(part).is_some())) else { return Ok(()) };
    let of_items = items.iter().map(|item| item.name.as_str());
    let mut known: Vec<&str> = of_items.chain(relation.columns.iter().map(|column| column.name.as_str())).collect();
    known.sort_unstable();
    known.dedup();
    let fault = Fault::new(name.span, format!("no column is named \"{}\"", name.value)).found(&name.value);
    fault.offer(&name.value, known.into_iter()).within(at).err()
}

/// LIMIT and OFFSET of a query.
pub(super) fn bounds(query: &Query, span: Span) -> Outcome<Option<Bounds>> {
    let (limit, offset) = match &query.limit_clause {
        None => return Ok(None),
        Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty() => {
            return Fault::new(span, "LIMIT BY is not supported").err();
        }
        Some(LimitClause::LimitOffset { limit, offset, .. }) => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
    };
    let number = |expr: &Expr, clause: &str| {
        let number = match expr {
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => number.parse::<u64>().ok(),
                _ => None,
            },
            _ => None,
        };
        number.ok_or_else(|| {
            let fault = Fault::new(place_of(expr, span), format!("{clause} is a whole number"));
            Box::new(fault.found(expr.to_string()).expected(format!("{clause} 10")))
        })
    };
    let limit = limit.map(|limit| number(limit, "LIMIT")).transpose()?;
    let offset = offset.map_or(Ok(0), |offset| number(offset, "OFFSET"))?;
    Ok(Some(Bounds { offset, limit }))
}
