//! A SELECT over input that ends.

use super::canonical::canonical;
use super::define;
use super::from::from;
use super::grouped;
use super::known::Known;
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
use crate::expression::Tree;
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
    // Of different rows only the columns are known, and what is computed of them.
    let hidden = if is_distinct { items.split_off(seen) } else { Vec::new() };
    let below = read.relation().clone();
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
    let relation = match is_distinct {
        true => {
            let different = distinct(binding, &relation, |column| items[column].place(span))?;
            ordered_by(binding, different, (&items, &hidden), &below, span)?
        }
        false => relation,
    };
    items.extend(hidden);
    order::check(&keys, &items, &relation, span)?;
    Ok((relation, seen, keys))
}

/// Different rows with what they are ordered by: expressions of their columns.
fn ordered_by(
    binding: &mut Binding,
    rows: Relation,
    (items, hidden): (&[Item], &[Item]),
    below: &Relation,
    span: Span,
) -> Outcome<Relation> {
    if hidden.is_empty() {
        return Ok(rows);
    }
    let column = |column: &RelationColumn| Tree::column(column.id, column.data_type.clone());
    let known = items.iter().zip(&rows.columns);
    let known = known.map(|(item, of)| (canonical(&item.expr, below), column(of))).collect();
    let mut known = Known::of_groups(known, below);
    let seen = items.iter().zip(&rows.columns);
    let mut trees: Vec<_> = seen.map(|(item, of)| (item.name.clone(), column(of), &item.expr)).collect();
    for item in hidden {
        let tree = rows.bind_with(&canonical(&item.expr, below), &mut known, item.place(span)).map_err(|_| {
            let fault = Fault::new(item.span, "ORDER BY of a SELECT DISTINCT names what its columns do not say");
            let why =
                "rows that are one in the answer may differ in it; order by columns of the SELECT, or add it there";
            Box::new(fault.found(item.expr.to_string()).hint(why))
        })?;
        trees.push((item.name.clone(), tree, &item.expr));
    }
    define::project(binding, rows.id, trees, span)
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
