//! A query: WITH, the SELECT or UNION, and then ORDER BY, LIMIT and OFFSET.

use super::define;
use super::order::{self, Bounds, OrderKey};
use super::select;
use crate::bind::binding::Binding;
use crate::bind::bound::{BoundItem, BoundedStep, RelationId, SortColumn};
use crate::bind::items::Item;
use crate::bind::relation::{Relation, RelationColumn};
use crate::bind::{refuse, select as stream};
use crate::diagnostic::{Fault, Outcome, fault, place_of};
use crate::expression::{ColumnId, Tree, union_type};
use arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Ident, OrderBy, Query, SelectItem, SetExpr, SetOperator, SetQuantifier};
use sqlparser::tokenizer::Span;

/// Binds a query whose steps are called after an owner: as in a view, or with everything that input with an end allows.
pub(crate) fn query(binding: &mut Binding, owner: &str, query: &Query, span: Span) -> Outcome<Relation> {
    if !binding.is_bounded {
        return stream::query(binding, owner, query, span);
    }
    refuse::unknown_endings(query, span)?;
    let before = binding.local.len();
    let outcome = stream::with(binding, owner, query, span).and_then(|()| bounded(binding, owner, query, span));
    binding.local.truncate(before);
    outcome
}

fn bounded(binding: &mut Binding, owner: &str, query: &Query, span: Span) -> Outcome<Relation> {
    let bounds = order::bounds(query, span)?;
    let (relation, seen, keys) = body(binding, owner, &query.body, query.order_by.as_ref(), span)?;
    let sorted = sorted(binding, relation, &keys, bounds);
    let sorted = if sorted.columns.len() > seen { define::first_columns(binding, &sorted, seen) } else { sorted };
    Ok(sorted)
}

/// The rows, how many columns of them are seen, and what they are to be ordered by.
fn body(
    binding: &mut Binding,
    owner: &str,
    body: &SetExpr,
    order_by: Option<&OrderBy>,
    span: Span,
) -> Outcome<(Relation, usize, Vec<OrderKey>)> {
    match body {
        SetExpr::Select(body) => select::select(binding, owner, body, order_by, span),
        SetExpr::Query(inner) => {
            let relation = query(binding, owner, inner, span)?;
            of_result(relation, order_by, span)
        }
        SetExpr::SetOperation { op: SetOperator::Union, set_quantifier, left: left_body, right: right_body } => {
            let sides = [left_body, right_body].map(|side| body_alone(binding, owner, side, span));
            let [left, right] = sides;
            let places = [left_body, right_body].map(|side| column_places(side, span));
            let united = Union { quantifier: *set_quantifier, places, span }.of(binding, left?, right?)?;
            of_result(united, order_by, span)
        }
        SetExpr::SetOperation { op, .. } => {
            let (is_in, not) = match op {
                SetOperator::Intersect => ("IN (SELECT x FROM b)", "NOT "),
                _ => ("NOT IN (SELECT x FROM b WHERE x IS NOT NULL)", ""),
            };
            Fault::new(span, format!("{op} is not supported yet"))
                .hint(format!(
                    "for one column write SELECT DISTINCT x FROM a WHERE x {is_in}; for several SELECT DISTINCT and a LEFT JOIN on \
                     all of them, and WHERE b.x IS {not}NULL; rows with a NULL are none of these"
                ))
                .err()
        }
        _ => Fault::new(span, "a query is a SELECT").err(),
    }
}

fn body_alone(binding: &mut Binding, owner: &str, side: &SetExpr, span: Span) -> Outcome<Relation> {
    let (relation, seen, _) = body(binding, owner, side, None, span)?;
    Ok(if relation.columns.len() > seen { define::first_columns(binding, &relation, seen) } else { relation })
}

/// ORDER BY of a result names its columns.
fn of_result(relation: Relation, order_by: Option<&OrderBy>, span: Span) -> Outcome<(Relation, usize, Vec<OrderKey>)> {
    let item = |column: &RelationColumn| Item {
        expr: Expr::Identifier(Ident::new(&column.name)),
        name: column.name.clone(),
        span,
    };
    let mut items: Vec<Item> = relation.columns.iter().map(item).collect();
    let keys = order::keys(order_by, &mut items, None, span)?;
    order::check(&keys, &items, &relation, span)?;
    let seen = relation.columns.len();
    Ok((relation, seen, keys))
}

fn sorted(binding: &mut Binding, relation: Relation, keys: &[OrderKey], bounds: Option<Bounds>) -> Relation {
    let mut relation = relation;
    if !keys.is_empty() {
        let column = |key: &OrderKey| SortColumn {
            id: relation.columns[key.item].id,
            descending: key.descending,
            nulls_first: key.nulls_first,
        };
        let keys = keys.iter().map(column).collect();
        // No more rows than are wanted have to be kept.
        let limit = bounds.and_then(|bounds| bounds.limit?.checked_add(bounds.offset));
        relation = define::same_columns(binding, &relation, |from| BoundedStep::Sort { from, keys, limit });
    }
    if let Some(Bounds { offset, limit }) = bounds {
        relation = define::same_columns(binding, &relation, |from| BoundedStep::Limit { from, offset, limit });
    }
    relation
}

/// Where the columns of a side stand in the text; empty where they are not written one by one.
fn column_places(side: &SetExpr, within: Span) -> Vec<Span> {
    let SetExpr::Select(select) = side else { return Vec::new() };
    let is_star = |item: &&SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
    match select.projection.iter().any(|item| is_star(&item)) {
        true => Vec::new(),
        false => select.projection.iter().map(|item| place_of(item, within)).collect(),
    }
}

/// A UNION that is about to be bound.
struct Union {
    quantifier: SetQuantifier,
    /// Where the columns of the left and of the right side stand.
    places: [Vec<Span>; 2],
    span: Span,
}

impl Union {
    /// Rows of both sides, by the places of their columns and under the names of the left ones.
    fn of(&self, binding: &mut Binding, left: Relation, right: Relation) -> Outcome<Relation> {
        let all = match self.quantifier {
            SetQuantifier::All => true,
            SetQuantifier::None | SetQuantifier::Distinct => false,
            other => {
                let fault = Fault::new(self.span, format!("UNION {other} is not supported"));
                return fault.expected("UNION or UNION ALL").err();
            }
        };
        let columns = self.types(&left, &right)?;
        let sides = [&left, &right].map(|side| with_types(binding, side, &columns, self.span));
        let [left, right] = sides;
        let sides = vec![left?, right?];
        let ids: Vec<ColumnId> =
            columns.iter().map(|(name, data_type)| binding.columns.add(name, data_type.clone())).collect();
        let column = |((name, data_type), id): (&(String, DataType), &ColumnId)| {
            define::column(name, *id, &Tree::column(*id, data_type.clone()))
        };
        let columns: Vec<RelationColumn> = columns.iter().zip(&ids).map(column).collect();
        let united = define::relation(binding, BoundedStep::Union { sides, columns: ids }, columns);
        if all { Ok(united) } else { select::distinct(binding, &united, |column| self.place(0, column)) }
    }

    /// The names of the columns, and the types that their values on both sides have in common.
    fn types(&self, left: &Relation, right: &Relation) -> Outcome<Vec<(String, DataType)>> {
        if left.columns.len() != right.columns.len() {
            return Fault::new(self.span, "the sides of a UNION have different numbers of columns")
                .found(format!("{} and {}", left.columns.len(), right.columns.len()))
                .err();
        }
        let tree = |column: &RelationColumn| Tree::column(column.id, column.data_type.clone());
        let mut columns = Vec::with_capacity(left.columns.len());
        for (at, (ours, theirs)) in left.columns.iter().zip(&right.columns).enumerate() {
            let common = union_type(&tree(ours), &tree(theirs)).map_err(|problem| {
                let mut fault = fault(problem).within(self.place(1, at));
                fault.message = format!("column \"{}\" of a UNION: {}", ours.name, fault.message);
                Box::new(fault.hint("cast one of them"))
            })?;
            columns.push((ours.name.clone(), common));
        }
        Ok(columns)
    }

    fn place(&self, side: usize, column: usize) -> Span {
        self.places[side].get(column).copied().unwrap_or(self.span)
    }
}

/// A side with its columns in other types.
fn with_types(
    binding: &mut Binding,
    side: &Relation,
    columns: &[(String, DataType)],
    span: Span,
) -> Outcome<RelationId> {
    if side.columns.iter().zip(columns).all(|(column, (_, data_type))| column.data_type == *data_type) {
        return Ok(side.id);
    }
    let mut items = Vec::with_capacity(columns.len());
    for (column, (name, data_type)) in side.columns.iter().zip(columns) {
        let tree = Tree::column(column.id, column.data_type.clone());
        let (id, tree) = match column.data_type == *data_type {
            true => (column.id, tree),
            false => {
                let cast = tree.cast_to(data_type).map_err(|problem| Box::new(fault(problem).within(span)))?;
                (binding.columns.add(name, data_type.clone()), cast)
            }
        };
        items.push(BoundItem { id, name: name.clone(), tree });
    }
    Ok(define::relation(binding, BoundedStep::Project { from: side.id, items }, Vec::new()).id)
}
