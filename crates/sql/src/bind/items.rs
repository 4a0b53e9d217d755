//! The columns of a SELECT, as they are written.

use super::refuse;
use super::relation::{Relation, RelationColumn};
use super::syntax::object_name;
use crate::diagnostic::{Fault, Outcome, place_of};
use sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, Select, SelectItem, SelectItemQualifiedWildcardKind, WildcardAdditionalOptions,
};
use sqlparser::tokenizer::Span;
use std::collections::HashSet;

/// A column of a SELECT.
pub(crate) struct Item {
    pub expr: Expr,
    pub name: String,
    pub span: Span,
}

impl Item {
    /// Where it stands, or what it stands in where the parser kept no place.
    pub fn place(&self, within: Span) -> Span {
        if self.span.start.line == 0 { within } else { self.span }
    }
}

/// The name of a column that is given none.
pub(crate) type Naming = fn(&Expr, Span) -> Outcome<String>;

/// The columns of a SELECT over a relation; `*` is written out.
pub(crate) fn items(select: &Select, relation: &Relation, span: Span, name: Naming) -> Outcome<Vec<Item>> {
    let mut items = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::Wildcard(options) => star(None, options, relation, &mut items, span)?,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                star(Some(&object_name(name)), options, relation, &mut items, place_of(item, span))?;
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item { expr: expr.clone(), name: alias.value.clone(), span: alias.span });
            }
            SelectItem::UnnamedExpr(expr) => {
                items.push(Item { expr: expr.clone(), name: name(expr, span)?, span: place_of(expr, span) });
            }
            other => {
                return Fault::new(place_of(other, span), "this kind of column is not supported")
                    .found(other.to_string())
                    .err();
            }
        }
    }
    Ok(items)
}

/// All columns of a relation.
pub(crate) fn all(relation: &Relation, span: Span) -> Outcome<Vec<Item>> {
    let mut items = Vec::with_capacity(relation.columns.len());
    star(None, &WildcardAdditionalOptions::default(), relation, &mut items, span)?;
    Ok(items)
}

/// Refuses two columns of one name, and aggregates over all rows.
pub(crate) fn check(items: &[Item]) -> Outcome<()> {
    let mut names = HashSet::new();
    for item in items {
        if !names.insert(item.name.to_lowercase()) {
            return Fault::new(item.span, format!("two columns are named \"{}\"", item.name))
                .hint("give one of them another name with AS, or leave it out with * EXCLUDE (name)")
                .err();
        }
        refuse::aggregate(&item.expr, item.span)?;
    }
    Ok(())
}

/// Gives columns of one name numbers, but for the first.
pub(crate) fn number_names(items: &mut [Item]) {
    let mut names = HashSet::new();
    for item in items {
        let name = item.name.clone();
        let mut number = 0;
        while !names.insert(item.name.to_lowercase()) {
            number += 1;
            item.name = format!("{name}_{number}");
        }
    }
}

/// A column has a name of its own.
pub(crate) fn own_name(expr: &Expr, span: Span) -> Outcome<String> {
    match expr {
        Expr::Identifier(name) => Ok(name.value.clone()),
        Expr::CompoundIdentifier(parts) => Ok(parts.last().map_or(String::new(), |name| name.value.clone())),
        other => Fault::new(place_of(other, span), "a computed column has no name")
            .found(other.to_string())
            .expected("AS and a name")
            .err(),
    }
}

/// A column is called as it is written.
pub(crate) fn name_or_text(expr: &Expr, span: Span) -> Outcome<String> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => own_name(expr, span),
        other => Ok(other.to_string()),
    }
}

/// The columns that `*` means: all that can be named, less those of EXCLUDE.
fn star(
    qualifier: Option<&str>,
    options: &WildcardAdditionalOptions,
    relation: &Relation,
    items: &mut Vec<Item>,
    span: Span,
) -> Outcome<()> {
    let token = options.wildcard_token.0.span;
    let at = if token.start.line == 0 { span } else { token };
    if options.opt_ilike.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
    {
        return Fault::new(at, "* takes EXCLUDE only").found(options.to_string()).hint("write the columns out").err();
    }
    let excluded: Vec<String> = match &options.opt_exclude {
        None => vec![],
        Some(ExcludeSelectItem::Single(name)) => vec![object_name(name)],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().map(object_name).collect(),
    };
    let of = |column: &&RelationColumn| {
        qualifier.map_or(!column.needs_qualifier, |wanted| {
            column.qualifier.as_ref().is_some_and(|q| q.eq_ignore_ascii_case(wanted))
        })
    };
    let columns: Vec<&RelationColumn> = relation.columns.iter().filter(of).collect();
    if let (true, Some(qualifier)) = (columns.is_empty(), qualifier) {
        let mut known: Vec<&str> = relation.columns.iter().filter_map(|column| column.qualifier.as_deref()).collect();
        known.dedup();
        let fault = Fault::new(at, format!("no stream or view is named \"{qualifier}\" here"));
        return fault.offer(qualifier, known.into_iter()).err();
    }
    if let Some(unknown) =
        excluded.iter().find(|name| !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)))
    {
        let fault = Fault::new(at, format!("EXCLUDE names \"{unknown}\", and no column is named so"));
        return fault.offer(unknown, columns.iter().map(|column| column.name.as_str())).err();
    }
    for column in columns {
        if excluded.iter().any(|name| name.eq_ignore_ascii_case(&column.name)) {
            continue;
        }
        let ident = |value: &str| Ident { value: value.to_owned(), quote_style: Some('"'), span: at };
        let expr = match &column.qualifier {
            Some(qualifier) => Expr::CompoundIdentifier(vec![ident(qualifier), ident(&column.name)]),
            None => Expr::Identifier(ident(&column.name)),
        };
        items.push(Item { expr, name: column.name.clone(), span: at });
    }
    Ok(())
}
