//! A SELECT without groups.

use super::define;
use super::from::FromClause;
use super::known::Known;
use super::subqueries::{self, Subquery};
use crate::bind::binding::Binding;
use crate::bind::bound::{BoundJoin, BoundedStep};
use crate::bind::items::{self, Item};
use crate::bind::relation::{Relation, RelationColumn};
use crate::bind::syntax::{and, any, conjuncts, is_subquery, is_window, names_in};
use crate::bind::{refuse, select as stream};
use crate::diagnostic::{Fault, Outcome};
use sqlparser::ast::{Expr, Ident, Select};
use sqlparser::tokenizer::Span;

/// What can be named of the rows of a stream beside their columns.
const BESIDE: [&str; 2] = ["_time", "_late"];

/// The columns of each row that WHERE lets pass.
pub(super) fn rows(
    binding: &mut Binding,
    owner: &str,
    select: &Select,
    read: FromClause,
    items: &[Item],
    span: Span,
) -> Outcome<Relation> {
    let mut known = Known::default();
    let exprs = select.selection.iter().chain(items.iter().map(|item| &item.expr));
    let answered = subqueries::bind(binding, owner, exprs, (read.relation(), &known), span)?;
    let (relation, conditions) = match read {
        FromClause::Stream(relation, joins) if answered.is_empty() => {
            return stream::over(binding, owner, select, (relation, joins), items, span);
        }
        FromClause::Stream(relation, joins) => {
            StreamBelow { owner, select, items, answered: &answered, span }.rows(binding, relation, joins)?
        }
        FromClause::Bounded(relation) => (relation, select.selection.clone()),
    };
    let (of_where, of_items): (Vec<Subquery>, Vec<Subquery>) = answered
        .into_iter()
        .partition(|subquery| conditions.iter().any(|all| subqueries::has_any(all, std::slice::from_ref(subquery))));
    let mut relation = relation;
    if let Some(condition) = &conditions {
        refuse::in_where(condition, span)?;
        relation = subqueries::answer(binding, &relation, &of_where, &mut known)?;
        let condition = relation.condition_with(condition, &mut known, span)?;
        relation = define::same_columns(binding, &relation, |from| BoundedStep::Filter { from, condition });
    }
    relation = subqueries::answer(binding, &relation, &of_items, &mut known)?;
    if let Some(item) = items.iter().find(|item| any(&item.expr, is_window)) {
        return Fault::new(item.span, "a window over rows that end is not supported yet")
            .found(item.expr.to_string())
            .hint("write the window in a SELECT over a stream or a view, inside FROM, and the rest around it")
            .err();
    }
    let mut trees = Vec::with_capacity(items.len());
    for item in items {
        let at = item.place(span);
        trees.push((item.name.clone(), relation.bind_with(&item.expr, &mut known, at)?, &item.expr));
    }
    define::project(binding, relation.id, trees, span)
}

/// A SELECT over a stream with subqueries that are answered where the stream has ended.
struct StreamBelow<'s> {
    owner: &'s str,
    select: &'s Select,
    items: &'s [Item],
    answered: &'s [Subquery],
    span: Span,
}

impl StreamBelow<'_> {
    /// The rows as far as the stream can answer, and the conditions that are left.
    fn rows(&self, binding: &mut Binding, from: Relation, joins: Vec<BoundJoin>) -> Outcome<(Relation, Option<Expr>)> {
        if let Some(item) = self.items.iter().find(|item| subqueries::has_other(&item.expr, self.answered)) {
            return Fault::new(
                item.span,
                "this column is answered as the rows come, and the SELECT where they have ended",
            )
            .found(item.expr.to_string())
            .hint("write it in a SELECT of its own, inside FROM or in a view, and the subquery around it")
            .err();
        }
        let (early, late) = self.conditions(&from)?;
        let mut columns = items::all(&from, self.span)?;
        let named = |name: &str| {
            let is_it = |expr: &Expr| match expr {
                Expr::Identifier(ident) => ident.value.eq_ignore_ascii_case(name),
                Expr::CompoundIdentifier(parts) => {
                    parts.last().is_some_and(|part| part.value.eq_ignore_ascii_case(name))
                }
                _ => false,
            };
            let exprs = self.items.iter().map(|item| &item.expr).chain(&late);
            exprs.flat_map(names_in).any(|expr| is_it(&expr))
        };
        let visible = columns.len();
        for name in BESIDE.into_iter().filter(|name| named(name) && from.is_unknown(&Ident::new(*name))) {
            let expr = Expr::Identifier(Ident::new(name));
            columns.push(Item { expr, name: name.to_owned(), span: self.span });
        }
        let below = Select { selection: early, ..self.select.clone() };
        let qualifiers = from.columns.iter().map(|column| column.qualifier.clone());
        let first = from.columns.first().and_then(|column| column.qualifier.clone());
        let qualifiers: Vec<Option<String>> =
            qualifiers.chain(std::iter::repeat_n(first, columns.len() - visible)).collect();
        let rows = stream::over(binding, self.owner, &below, (from, joins), &columns, self.span)?;
        let column = |(column, qualifier): (&RelationColumn, Option<String>)| RelationColumn {
            qualifier,
            time: false,
            ..column.clone()
        };
        let columns = rows.columns.iter().zip(qualifiers).map(column).collect();
        Ok((Relation::bounded(rows.id, columns), late))
    }

    /// The conditions of WHERE for the stream, and those with subqueries that are answered later. After one of these comes
    /// one that can fail, since AND goes from left to right.
    fn conditions(&self, from: &Relation) -> Outcome<(Option<Expr>, Option<Expr>)> {
        let (mut early, mut late): (Vec<&Expr>, Vec<&Expr>) = (Vec::new(), Vec::new());
        for condition in self.select.selection.as_ref().map(conjuncts).unwrap_or_default() {
            let waits = subqueries::has_any(condition, self.answered)
                || (!late.is_empty()
                    && !any(condition, is_subquery)
                    && from.condition(condition, self.span)?.can_fail());
            if waits { late.push(condition) } else { early.push(condition) }
        }
        Ok((and(early.into_iter().cloned()), and(late.into_iter().cloned())))
    }
}
