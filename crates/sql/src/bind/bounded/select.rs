//! A SELECT over input that ends.

use super::define;
use super::from::from;
use super::grouped;
use super::order::{self, OrderKey};
use super::plain;
use crate::bind::aliases::{self, has_names};
use crate::bind::binding::Binding;
use crate::bind::bound::BoundedStep;
use crate::bind::items::{self, Item};
use crate::bind::keys;
use crate::bind::predict;
use crate::bind::refuse;
use crate::bind::relation::{Relation, RelationColumn};
use crate::diagnostic::{Fault, Outcome, place_of};
use sqlparser::ast::{Distinct, Expr, GroupByExpr, OrderBy, Select};
use sqlparser::tokenizer::Span;

/// The rows of a SELECT: with the columns that are seen first, how many those are, and what the rows are ordered by.
pub(super) fn select(
    binding: &mut Binding,
    owner: &str,
    select: &Select,
    order_by: Option<&OrderBy>,
    span: Span,
) -> Outcome<(Relation, usize, Vec<OrderKey>)> {
    refuse::unknown_clauses(select, span)?;
    let read = from(binding, owner, select, span)?;
    let mut items = items::items(select, read.relation(), span, items::name_or_text, &mut |expr| {
        predict::type_of(binding, read.relation(), expr, span)
    })?;
    items::number_names(&mut items);
    let select = &aliases::resolve(select, &mut items, read.relation(), span)?;
    let seen = items.len();
    let keys = order::keys(order_by, &mut items, Some(read.relation()), span)?;
    let is_distinct = match &select.distinct {
        None | Some(Distinct::All) => false,
        Some(Distinct::Distinct) => true,
        Some(Distinct::On(_)) => {
            return Fault::new(span, "DISTINCT ON is not supported yet")
                .hint("write min(..) or max(..) and GROUP BY")
                .err();
        }
    };
    if let (true, Some(hidden)) = (is_distinct, items.get(seen)) {
        return Fault::new(hidden.span, "ORDER BY of a SELECT DISTINCT names its columns")
            .found(hidden.expr.to_string())
            .hint("add the expression to the SELECT")
            .err();
    }
    let relation = match is_grouped(select, &items) {
        true => grouped::rows(binding, owner, select, read, &items, span)?,
        false => {
            if let Some(having) = &select.having {
                return Fault::new(place_of(having, span), "HAVING without GROUP BY or an aggregate")
                    .hint("write WHERE")
                    .err();
            }
            plain::rows(binding, owner, select, read, &items, span)?
        }
    };
    order::check(&keys, &items, &relation, span)?;
    let relation = match is_distinct {
        true => distinct(binding, &relation, |column| items[column].place(span))?,
        false => relation,
    };
    Ok((relation, seen, keys))
}

fn is_grouped(select: &Select, items: &[Item]) -> bool {
    let grouped = match &select.group_by {
        // Constants make no groups.
        GroupByExpr::All(modifiers) => !modifiers.is_empty() || items.iter().any(|item| has_names(&item.expr)),
        GroupByExpr::Expressions(all, modifiers) => !all.is_empty() || !modifiers.is_empty(),
    };
    let aggregates = |expr: &Expr| refuse::lone_aggregate(expr).is_some();
    grouped || items.iter().any(|item| aggregates(&item.expr)) || select.having.iter().any(aggregates)
}

/// Each different row once. `place` is where a column stands in the text.
pub(super) fn distinct(binding: &mut Binding, relation: &Relation, place: impl Fn(usize) -> Span) -> Outcome<Relation> {
    for (at, column) in relation.columns.iter().enumerate() {
        keys::check_distinct(&column.data_type, &column.name, place(at))?;
    }
    let keys = relation.columns.iter().map(|column| column.id).collect();
    let columns: Vec<RelationColumn> = relation.columns.clone();
    let step = BoundedStep::Group { from: relation.id, keys, calls: Vec::new() };
    Ok(define::relation(binding, step, columns))
}
