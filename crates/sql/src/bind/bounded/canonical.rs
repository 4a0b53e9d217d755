//! Expressions whose names are written in one way, so that those that mean the same are equal.

use crate::bind::aliases::changed;
use crate::bind::relation::Relation;
use crate::expression::Place;
use sqlparser::ast::{Expr, Ident, ObjectNamePart};

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

/// The expression as a person writes it: names are in quotes where they need them alone.
pub(super) fn readable(expr: &Expr) -> Expr {
    let is_plain = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let unquote = |name: &mut Ident| name.quote_style = name.quote_style.filter(|_| !is_plain(&name.value));
    changed(expr, |part| match part {
        Expr::Identifier(name) => unquote(name),
        Expr::CompoundIdentifier(names) => names.iter_mut().for_each(unquote),
        _ => {}
    })
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
