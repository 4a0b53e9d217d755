//! Expressions whose names are written in one way, so that those that mean the same are equal.

use crate::bind::relation::Relation;
use crate::expression::Place;
use sqlparser::ast::{Expr, Ident, ObjectNamePart, Query, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// The expression with every name as its relation has it, and without parentheses.
pub(super) fn canonical(expr: &Expr, relation: &Relation) -> Expr {
    changed(expr, |part| {
        while let Expr::Nested(inner) = part {
            *part = (**inner).clone();
        }
        if let Some(named) = named(part, relation) {
            *part = named;
        } else if let Expr::Function(function) = part {
            for part in &mut function.name.0 {
                if let ObjectNamePart::Identifier(name) = part {
                    name.value = name.value.to_lowercase();
                }
            }
        }
    })
}

/// The expression with its parts changed, the inner ones first. Names within a subquery are its own.
pub(super) fn changed(expr: &Expr, change: impl FnMut(&mut Expr)) -> Expr {
    let mut expr = expr.clone();
    // Nothing stops the walk.
    let _: ControlFlow<()> = VisitMut::visit(&mut expr, &mut OutsideQueries { around: 0, change });
    expr
}

struct OutsideQueries<F> {
    /// How many queries are around.
    around: usize,
    change: F,
}

impl<F: FnMut(&mut Expr)> VisitorMut for OutsideQueries<F> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.around += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.around -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.around == 0 {
            (self.change)(expr);
        }
        ControlFlow::Continue(())
    }
}

/// A name of a column as its relation has it.
fn named(expr: &Expr, relation: &Relation) -> Option<Expr> {
    let written = match expr {
        Expr::Identifier(name) => name,
        Expr::CompoundIdentifier(parts) => parts.last()?,
        _ => return None,
    };
    let Place::Column(id) = relation.place(expr)? else { return None };
    let column = relation.columns.iter().find(|column| column.id == id)?;
    let ident = |value: &str| Ident { value: value.to_owned(), quote_style: Some('"'), span: written.span };
    Some(match &column.qualifier {
        Some(qualifier) => Expr::CompoundIdentifier(vec![ident(qualifier), ident(&column.name)]),
        None => Expr::Identifier(ident(&column.name)),
    })
}
