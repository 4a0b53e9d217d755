//! The columns of a SELECT, as they are written.

use super::refuse;
use super::relation::{Relation, RelationColumn};
use super::syntax::object_name;
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::expression::type_name;
use arrow::datatypes::{DataType, Fields};
use sqlparser::ast::{
    AccessExpr, ExcludeSelectItem, Expr, Ident, ObjectName, Select, SelectItem, SelectItemQualifiedWildcardKind,
    WildcardAdditionalOptions,
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

/// Gives the type of an expression whose fields are asked for.
pub(crate) type TypeOf<'t> = &'t mut dyn FnMut(&Expr) -> Outcome<DataType>;

/// The columns of a SELECT over a relation; `*` is written out.
pub(crate) fn items(
    select: &Select,
    relation: &Relation,
    span: Span,
    name: Naming,
    type_of: TypeOf,
) -> Outcome<Vec<Item>> {
    let mut items = Vec::new();
    for item in &select.projection {
        match item {
            SelectItem::Wildcard(options) => star(None, options, relation, &mut items, span)?,
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                let span = place_of(item, span);
                match struct_column(name, relation) {
                    Some((column, fields)) => struct_star(&column, &fields, options, &mut items, span)?,
                    None => star(Some(&object_name(name)), options, relation, &mut items, span)?,
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::Expr(expr), options) => {
                let span = place_of(item, span);
                match type_of(expr)? {
                    DataType::Struct(fields) => struct_star(expr, &fields, options, &mut items, span)?,
                    other => {
                        let fault = Fault::new(span, "only a STRUCT has fields that .* could stand for");
                        return fault.found(format!("{expr}, which is {}", type_name(&other))).err();
                    }
                }
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
        Expr::CompoundFieldAccess { access_chain, .. } if field_name(access_chain).is_some() => {
            Ok(field_name(access_chain).unwrap_or_default().to_owned())
        }
        other => Fault::new(place_of(other, span), "a computed column has no name")
            .found(other.to_string())
            .expected("AS and a name")
            .err(),
    }
}

/// The name of the field that is taken out at last.
fn field_name(access_chain: &[AccessExpr]) -> Option<&str> {
    match access_chain.last()? {
        AccessExpr::Dot(Expr::Identifier(name)) => Some(&name.value),
        _ => None,
    }
}

/// A column is called as it is written.
pub(crate) fn name_or_text(expr: &Expr, span: Span) -> Outcome<String> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => {
            own_name(expr, span).or_else(|_| Ok(expr.to_string()))
        }
        other => Ok(other.to_string()),
    }
}

/// The STRUCT column that `column.*` or `stream.column.*` names, where no stream is named so.
fn struct_column(name: &ObjectName, relation: &Relation) -> Option<(Expr, Fields)> {
    let parts: Vec<Ident> = name.0.iter().map(|part| part.as_ident().cloned()).collect::<Option<_>>()?;
    let is_named = |column: &&RelationColumn, qualifier: &str| {
        column.qualifier.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(qualifier))
    };
    let (column, expr) = match parts.as_slice() {
        [column] if relation.columns.iter().any(|known| is_named(&known, &column.value)) => return None,
        [column] => {
            let mut named = relation.columns.iter().filter(|known| !known.needs_qualifier);
            (named.find(|known| known.name.eq_ignore_ascii_case(&column.value))?, Expr::Identifier(column.clone()))
        }
        [stream, column] => {
            let mut named = relation.columns.iter().filter(|known| is_named(known, &stream.value));
            let found = named.find(|known| known.name.eq_ignore_ascii_case(&column.value))?;
            (found, Expr::CompoundIdentifier(parts.clone()))
        }
        _ => return None,
    };
    match &column.data_type {
        DataType::Struct(fields) => Some((expr, fields.clone())),
        _ => None,
    }
}

/// The fields of a STRUCT as columns, less those of EXCLUDE.
fn struct_star(
    of: &Expr,
    fields: &Fields,
    options: &WildcardAdditionalOptions,
    items: &mut Vec<Item>,
    span: Span,
) -> Outcome<()> {
    let excluded = excluded(options, span)?;
    check_excluded(&excluded, fields.iter().map(|field| field.name().as_str()), span)?;
    for field in fields.iter().filter(|field| !excluded.iter().any(|name| name.eq_ignore_ascii_case(field.name()))) {
        let name = Ident { value: field.name().clone(), quote_style: Some('"'), span };
        let expr = match of {
            Expr::Identifier(column) => Expr::CompoundIdentifier(vec![column.clone(), name]),
            Expr::CompoundIdentifier(path) => Expr::CompoundIdentifier(path.iter().cloned().chain([name]).collect()),
            other => Expr::CompoundFieldAccess {
                root: Box::new(other.clone()),
                access_chain: vec![AccessExpr::Dot(Expr::Identifier(name))],
            },
        };
        items.push(Item { expr, name: field.name().clone(), span });
    }
    Ok(())
}

/// The names that EXCLUDE has; nothing else may stand after `*`.
fn excluded(options: &WildcardAdditionalOptions, at: Span) -> Outcome<Vec<String>> {
    if options.opt_ilike.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
    {
        return Fault::new(at, "* takes EXCLUDE only")
            .found(options.to_string().trim())
            .hint("write the columns out")
            .err();
    }
    let excluded = match &options.opt_exclude {
        None => vec![],
        Some(ExcludeSelectItem::Single(name)) => vec![object_name(name)],
        Some(ExcludeSelectItem::Multiple(names)) => names.iter().map(object_name).collect(),
    };
    let is_before = |(at, name): (usize, &String)| excluded[..at].iter().any(|other| other.eq_ignore_ascii_case(name));
    match excluded.iter().enumerate().find(|(at, name)| is_before((*at, name))) {
        Some((_, twice)) => {
            Fault::new(at, format!("EXCLUDE names \"{twice}\" twice")).hint("leave one of them out").err()
        }
        None => Ok(excluded),
    }
}

/// Refuses a name in EXCLUDE that `*` does not have.
fn check_excluded<'n>(excluded: &[String], names: impl Iterator<Item = &'n str> + Clone, at: Span) -> Outcome<()> {
    match excluded.iter().find(|name| !names.clone().any(|known| known.eq_ignore_ascii_case(name))) {
        None => Ok(()),
        Some(unknown) => {
            let fault = Fault::new(at, format!("EXCLUDE names \"{unknown}\", and no column is named so"));
            fault.offer(unknown, names).err()
        }
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
    let excluded = excluded(options, at)?;
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
    check_excluded(&excluded, columns.iter().map(|column| column.name.as_str()), at)?;
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
