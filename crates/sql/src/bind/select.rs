//! A SELECT to a bound one: FROM, WHERE, the columns, and the calls in them.

use super::aliases;
use super::binding::Binding;
use super::bound::{BoundItem, BoundJoin, BoundSelect, Calls, Definition, LateFilter};
use super::calls::SelectCalls;
use super::from::with_column_names;
use super::items::{self, Item};
use super::relation::{Relation, RelationColumn};
use super::syntax::{and, any, conjuncts, is_subquery, is_window};
use super::{predict, refuse};
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::expression::{ColumnId, Place, Tree};
use sqlparser::ast::{Expr, Query, Select, SetExpr, SetOperator};
use sqlparser::tokenizer::Span;
use std::collections::HashSet;

/// Binds a query whose steps are called after an owner: the relation of its rows.
pub(crate) fn query(binding: &mut Binding, owner: &str, query: &Query, span: Span) -> Outcome<Relation> {
    refuse::endings(query, span)?;
    let before = binding.local.len();
    let outcome = with(binding, owner, query, span);
    let relation = outcome.and_then(|()| match query.body.as_ref() {
        SetExpr::Select(body) => select(binding, owner, body, span),
        SetExpr::Query(inner) => binding.query(owner, inner, span),
        SetExpr::SetOperation { op, .. } => {
            let fault = Fault::new(place_of(query, span), format!("{op} of streams is not supported yet"));
            let exists = "EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.t BETWEEN a.t - INTERVAL '1' HOUR AND a.t)";
            match op {
                SetOperator::Union => fault.hint("write one view for each side, and an INSERT for each").err(),
                SetOperator::Intersect => fault.hint(format!("write SELECT .. FROM a WHERE {exists}")).err(),
                _ => fault.hint(format!("write SELECT .. FROM a WHERE NOT {exists}")).err(),
            }
        }
        _ => Fault::new(span, "a view is a SELECT over streams").err(),
    });
    binding.local.truncate(before);
    relation
}

/// The names that WITH gives can be read until the query ends.
pub(crate) fn with(binding: &mut Binding, owner: &str, query: &Query, span: Span) -> Outcome<()> {
    for table in query.with.iter().flat_map(|with| &with.cte_tables) {
        let name = &table.alias.name.value;
        let owner = format!("{owner}.{name}");
        let relation = binding.query(&owner, &table.query, place_of(table.query.as_ref(), span))?;
        let relation = with_column_names(binding, &owner, relation, &table.alias, span)?;
        binding.local.push((name.to_lowercase(), relation));
    }
    Ok(())
}

fn select(binding: &mut Binding, owner: &str, select: &Select, span: Span) -> Outcome<Relation> {
    refuse::clauses(select, span)?;
    let (relation, joins) = binding.from(owner, select, span)?;
    let mut items = items::items(select, &relation, span, items::own_name, &mut |expr| {
        predict::type_of(binding, &relation, expr, span)
    })?;
    items::check(&items)?;
    let select = aliases::resolve(select, &mut items, &relation, span)?;
    over(binding, owner, &select, (relation, joins), &items, span)
}

/// The items of a SELECT over what its FROM gives.
pub(crate) fn over(
    binding: &mut Binding,
    owner: &str,
    select: &Select,
    (relation, joins): (Relation, Vec<BoundJoin>),
    items: &[Item],
    span: Span,
) -> Outcome<Relation> {
    let (plain, late) = conditions(select, &relation, span)?;
    let filter = plain.map(|condition| relation.condition(&condition, span)).transpose()?;
    let before_windows = items.iter().any(|item| any(&item.expr, is_window));
    let mut late_calls = Calls::default();
    let early = match &late {
        Some(condition) if before_windows => {
            Some(filter_before_windows(binding, &relation, condition, &mut late_calls, span)?)
        }
        _ => None,
    };
    let mut calls = Calls::default();
    let bound = bind_items(binding, select, &relation, items, &mut calls, span)?;
    let late_filter = match (late, early) {
        (_, Some(condition)) => Some(LateFilter { condition, before_windows: Some(late_calls) }),
        (None, None) => None,
        (Some(condition), None) => Some(late_filter(binding, select, &relation, &condition, &mut calls, span)?),
    };
    check_bounds(&calls, relation.shift, span)?;
    let selected = Selected { relation, joins, items: bound };
    let clauses = Clauses { filter, late_filter, calls };
    Ok(selected.define(binding, owner, clauses, items, span))
}

/// The conditions of WHERE: those of the row alone, and those with subqueries. After one with a subquery comes one that
/// can fail, since AND goes from left to right.
fn conditions(select: &Select, relation: &Relation, span: Span) -> Outcome<(Option<Expr>, Option<Expr>)> {
    let (mut plain, mut late): (Vec<&Expr>, Vec<&Expr>) = (Vec::new(), Vec::new());
    for condition in select.selection.as_ref().map(conjuncts).unwrap_or_default() {
        refuse::in_where(condition, span)?;
        let waits =
            any(condition, is_subquery) || (!late.is_empty() && relation.condition(condition, span)?.can_fail());
        if waits { late.push(condition) } else { plain.push(condition) }
    }
    Ok((and(plain.into_iter().cloned()), and(late.into_iter().cloned())))
}

/// WHERE with subqueries in a SELECT without windows. It comes before what the columns ask of other streams where that
/// can fail on a row; elsewhere both share their subqueries.
fn late_filter(
    binding: &mut Binding,
    select: &Select,
    relation: &Relation,
    condition: &Expr,
    calls: &mut Calls,
    span: Span,
) -> Outcome<LateFilter> {
    if calls.ranges.iter().any(|call| call.keys.iter().any(|(ours, _)| ours.can_fail())) {
        let mut own = Calls::default();
        let mut special = SelectCalls::of_subqueries(binding, relation, &mut own, span);
        let tree = relation.condition_with(condition, &mut special, span)?;
        if hold(&own) == 0 {
            return Ok(LateFilter { condition: tree, before_windows: Some(own) });
        }
    }
    let mut special = SelectCalls::new(binding, select, relation, calls, span);
    let condition = relation.condition_with(condition, &mut special, span)?;
    Ok(LateFilter { condition, before_windows: None })
}

/// Refuses bounds of time that add up, over this SELECT and those that it reads, to more than there is time.
fn check_bounds(calls: &Calls, shift: i64, span: Span) -> Outcome<()> {
    let ahead: i128 = calls.ranges.iter().map(|call| i128::from(call.to.max(0))).sum();
    let back = calls.ranges.iter().map(|call| i128::from(call.from.min(0)).abs()).max().unwrap_or(0);
    if ahead + back + i128::from(shift) <= i128::from(i64::MAX / 2) {
        return Ok(());
    }
    Fault::new(span, "the bounds of time of these subqueries add up to more than 146,000 years")
        .hint("take shorter intervals; an interval longer than the stream's history changes nothing")
        .err()
}

/// WHERE comes before windows, so a bound that waits for rows to come cannot stand in it beside them.
fn filter_before_windows(
    binding: &mut Binding,
    relation: &Relation,
    condition: &Expr,
    calls: &mut Calls,
    span: Span,
) -> Outcome<Tree> {
    let mut special = SelectCalls::of_subqueries(binding, relation, calls, span);
    let tree = relation.condition_with(condition, &mut special, span)?;
    if hold(calls) == 0 {
        return Ok(tree);
    }
    Fault::new(place_of(condition, span), "a WHERE with a forward bound and windows in one SELECT")
        .found(condition.to_string())
        .hint("WHERE is answered before windows, and this one only later: put the windows in a view of their own and filter that view")
        .err()
}

/// How long rows wait for those of other streams.
fn hold(calls: &Calls) -> i64 {
    calls.ranges.iter().map(|call| call.to).max().unwrap_or(0).max(0)
}

/// Columns that only pass on a column of the input keep its id.
fn bind_items(
    binding: &mut Binding,
    select: &Select,
    relation: &Relation,
    items: &[Item],
    calls: &mut Calls,
    span: Span,
) -> Outcome<Vec<BoundItem>> {
    let mut taken = HashSet::new();
    let mut bound = Vec::with_capacity(items.len());
    for item in items {
        let at = if item.span.start.line == 0 { span } else { item.span };
        let mut special = SelectCalls::new(binding, select, relation, calls, span).named(&item.name, &item.expr);
        let tree = relation.bind_with(&item.expr, &mut special, at)?;
        let data_type = tree.settled_type();
        refuse::column_type(&item.name, &item.expr, &data_type, at)?;
        let kept = tree.as_column().filter(|id| taken.insert(*id));
        let id = kept.unwrap_or_else(|| binding.columns.add(&item.name, data_type));
        bound.push(BoundItem { id, name: item.name.clone(), tree });
    }
    Ok(bound)
}

/// What a SELECT reads and gives.
struct Selected {
    relation: Relation,
    joins: Vec<BoundJoin>,
    items: Vec<BoundItem>,
}

/// What else a SELECT says.
struct Clauses {
    filter: Option<Tree>,
    late_filter: Option<LateFilter>,
    calls: Calls,
}

impl Selected {
    /// Adds the SELECT to what is bound.
    fn define(self, binding: &mut Binding, owner: &str, clauses: Clauses, written: &[Item], span: Span) -> Relation {
        let Selected { relation, joins, items } = self;
        let Clauses { filter, late_filter, calls } = clauses;
        let hold = hold(&calls);
        let shift = relation.shift + hold;
        let scores: HashSet<ColumnId> = calls.scores.iter().flat_map(|call| &call.columns).map(|(_, id)| *id).collect();
        let mut models = relation.models.clone();
        models.extend(calls.scores.iter().map(|call| (call.model.clone(), call.scorer.version().to_owned())));
        let column = |(item, written): (&BoundItem, &Item)| {
            let mut scored = relation.is_scored(&item.tree);
            item.tree.each_column(&mut |id| scored |= scores.contains(&id));
            // Where rows wait, the time that they come with is before the one at which they are known.
            let is_time = |place| match place {
                Place::Time => hold == 0,
                place => shift == 0 && relation.is_time_at(place),
            };
            let time = relation.place(&written.expr).is_some_and(is_time);
            let (name, id) = (item.name.clone(), item.id);
            let data_type = item.tree.settled_type();
            RelationColumn {
                qualifier: None,
                name,
                id,
                data_type,
                time,
                scored,
                needs_qualifier: false,
                is_used: false,
            }
        };
        let columns = items.iter().zip(written).map(column).collect();
        let same = |(item, column): (&BoundItem, &RelationColumn)| {
            item.tree.as_column() == Some(column.id) && item.id == column.id && item.name == column.name
        };
        let keeps_input = joins.is_empty()
            && calls.is_empty()
            && items.len() == relation.columns.len()
            && items.iter().zip(&relation.columns).all(same);
        let (owner, file, from) = (owner.to_owned(), binding.file, relation.id);
        let bound = BoundSelect { owner, file, span, from, joins, filter, late_filter, calls, items, keeps_input };
        let id = binding.add(Definition::Select(Box::new(bound)));
        Relation::new(id, columns, models, shift)
    }
}
