//! Names of columns of a SELECT in its other clauses and in its later columns: what they name stands in their place.

use super::items::Item;
use super::refuse;
use super::relation::Relation;
use super::syntax::score_call;
use crate::diagnostic::{Fault, Outcome, place_of};
use sqlparser::ast::{Expr, Query, Select, VisitMut, VisitorMut, visit_expressions};
use sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// How many parts an expression may have once names of columns of its SELECT stand for what they mean.
const PARTS_MAX: usize = 20_000;

/// The expression with its parts changed, the inner ones first. Names within a subquery are its own.
pub(crate) fn changed(expr: &Expr, change: impl FnMut(&mut Expr)) -> Expr {
    changed_outside(expr, &|_| false, change)
}

/// The same, without what stands within some parts.
fn changed_outside(expr: &Expr, is_left: &dyn Fn(&Expr) -> bool, change: impl FnMut(&mut Expr)) -> Expr {
    let mut expr = expr.clone();
    let mut outside = Outside { queries: 0, left: Vec::new(), is_left, change };
    // Nothing stops the walk.
    let _: ControlFlow<()> = VisitMut::visit(&mut expr, &mut outside);
    expr
}

struct Outside<'l, F> {
    /// How many queries are around.
    queries: usize,
    /// By expression that is around, whether it is left as it is.
    left: Vec<bool>,
    is_left: &'l dyn Fn(&Expr) -> bool,
    change: F,
}

impl<F: FnMut(&mut Expr)> VisitorMut for Outside<'_, F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.left.push((self.is_left)(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let is_left = self.left.pop().unwrap_or_default();
        if self.queries == 0 && !is_left && !self.left.contains(&true) {
            (self.change)(expr);
        }
        ControlFlow::Continue(())
    }
}

/// A call of a model holds names of its model and of its inputs.
fn is_score(expr: &Expr) -> bool {
    score_call(expr).is_some()
}

/// The expression with what the names of columns of the SELECT mean, where FROM has no column of the name.
pub(crate) fn with_aliases(expr: &Expr, items: &[Item], relation: &Relation) -> Expr {
    changed_outside(expr, &is_score, |part| {
        if relation.place(part).is_none() {
            put(part, items);
        }
    })
}

/// HAVING with what the names of columns of the SELECT mean, where neither FROM has a column of the name, nor is it one
/// that has a value in each group.
pub(crate) fn in_having(expr: &Expr, items: &[Item], relation: &Relation, is_key: impl Fn(&Expr) -> bool) -> Expr {
    let inside = with_aliases(expr, items, relation);
    let is_left = |part: &Expr| is_score(part) || refuse::is_lone_aggregate(part) || is_key(part);
    changed_outside(&inside, &is_left, |part| put(part, items))
}

/// Puts what an item is in the place of its name.
fn put(part: &mut Expr, items: &[Item]) {
    let Expr::Identifier(name) = &*part else { return };
    let item = items.iter().find(|item| item.name.eq_ignore_ascii_case(&name.value));
    if let Some(item) = item.filter(|item| item.expr != *part) {
        *part = Expr::Nested(Box::new(item.expr.clone()));
    }
}

/// Whether an expression names columns, outside of subqueries.
pub(crate) fn has_names(expr: &Expr) -> bool {
    let mut found = false;
    changed(expr, |part| found |= matches!(part, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
    found
}

/// Columns may name those before them, and WHERE all of them.
pub(crate) fn resolve(select: &Select, items: &mut [Item], relation: &Relation, span: Span) -> Outcome<Select> {
    for at in 1..items.len() {
        let expr = with_aliases(&items[at].expr, &items[..at], relation);
        check_size(&expr, &items[at].expr, span)?;
        items[at].expr = expr;
    }
    let put_into = |condition: &Expr| {
        let expr = with_aliases(condition, items, relation);
        check_size(&expr, condition, span).map(|()| expr)
    };
    let selection = select.selection.as_ref().map(put_into).transpose()?;
    Ok(Select { selection, ..select.clone() })
}

/// Columns that name others twice, which name others twice, grow with each of them.
fn check_size(expr: &Expr, written: &Expr, within: Span) -> Outcome<()> {
    if expr == written {
        return Ok(());
    }
    let mut parts = 0;
    let counted: ControlFlow<()> = visit_expressions(expr, |_| {
        parts += 1;
        if parts > PARTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if counted.is_continue() {
        return Ok(());
    }
    let mut fault = Fault::new(place_of(written, within), "columns that name columns before them become too long here");
    fault.expected = Some(format!("at most {PARTS_MAX} names, values and signs when each stands for what it means"));
    fault.hint = Some("compute those before it in a view, or in a SELECT inside FROM, and use them here".to_owned());
    fault.err()
}
