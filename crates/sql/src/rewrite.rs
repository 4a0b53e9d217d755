//! Walks over syntax trees: names that are used, parts that are replaced.

use crate::diagnostic::{Fault, Outcome, place_of};
use crate::statement::Name;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, Select,
    SelectItem, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use sqlparser::tokenizer::Span;
use std::collections::HashSet;
use std::ops::ControlFlow;

struct Replacer<F>(F);

impl<F: FnMut(&Expr) -> Outcome<Option<Expr>>> VisitorMut for Replacer<F> {
    type Break = Box<Fault>;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Box<Fault>> {
        match (self.0)(expr) {
            Ok(Some(new)) => *expr = new,
            Ok(None) => {}
            Err(fault) => return ControlFlow::Break(fault),
        }
        ControlFlow::Continue(())
    }
}

/// Replaces the outermost parts of an expression for which something is given.
pub(crate) fn replace(expr: &mut Expr, with: impl FnMut(&Expr) -> Outcome<Option<Expr>>) -> Outcome<()> {
    match VisitMut::visit(expr, &mut Replacer(with)) {
        ControlFlow::Break(fault) => Err(fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Finder<F>(F);

impl<F: FnMut(&Expr) -> bool> Visitor for Finder<F> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if (self.0)(expr) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Whether a part of an expression is as asked.
pub(crate) fn any(part: &impl Visit, is: impl FnMut(&Expr) -> bool) -> bool {
    Visit::visit(part, &mut Finder(is)).is_break()
}

pub(crate) fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. })
}

pub(crate) fn is_window(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if function.over.is_some())
}

/// The call of a function by its name.
pub(crate) fn call<'a>(expr: &'a Expr, name: &str) -> Option<&'a Function> {
    match expr {
        Expr::Function(function) if function_name(function) == name => Some(function),
        _ => None,
    }
}

/// The name of the function in lower case.
pub(crate) fn function_name(function: &Function) -> String {
    function.name.to_string().to_lowercase()
}

/// The names and qualified names in an expression.
pub(crate) fn names_in(part: &impl Visit) -> Vec<Expr> {
    let mut names = Vec::new();
    any(part, |expr| {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            names.push(expr.clone());
        }
        false
    });
    names
}

/// The columns that a SELECT uses of its inputs.
pub(crate) struct UsedColumns {
    /// Names, with what stands in front of them.
    names: HashSet<(Option<String>, String)>,
    wildcards: HashSet<String>,
    all: bool,
}

impl UsedColumns {
    pub fn of(select: &Select) -> UsedColumns {
        let names = names_in(select).into_iter().filter_map(|name| match name {
            Expr::Identifier(name) => Some((None, name.value.to_lowercase())),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [.., qualifier, name] => Some((Some(qualifier.value.to_lowercase()), name.value.to_lowercase())),
                _ => None,
            },
            _ => None,
        });
        let mut used = UsedColumns { names: names.collect(), wildcards: HashSet::new(), all: false };
        used.all = any(select, |expr| call(expr, "predict").is_some());
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => used.all = true,
                SelectItem::QualifiedWildcard(kind, _) => {
                    used.wildcards.insert(kind.to_string().trim_end_matches(".*").to_lowercase());
                }
                _ => {}
            }
        }
        used
    }

    pub fn has(&self, qualifier: Option<&str>, name: &str) -> bool {
        let (qualifier, name) = (qualifier.map(str::to_lowercase), name.to_lowercase());
        self.all
            || qualifier.as_ref().is_some_and(|qualifier| self.wildcards.contains(qualifier))
            || self.names.contains(&(None, name.clone()))
            || self.names.contains(&(qualifier, name))
    }
}

/// The conditions that AND joins.
pub(crate) fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        Expr::Nested(inner) => conjuncts(inner),
        other => vec![other],
    }
}

/// All of the conditions, joined by AND.
pub(crate) fn and(conditions: impl IntoIterator<Item = Expr>) -> Option<Expr> {
    conditions.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(left))),
        op: BinaryOperator::And,
        right: Box::new(Expr::Nested(Box::new(right))),
    })
}

/// A name that the planner made, standing where something else stood.
pub(crate) fn generated(name: &str, span: Span) -> Expr {
    Expr::Identifier(Ident { value: name.to_owned(), quote_style: None, span })
}

/// The expression of one unnamed argument; `None` for `*`.
pub(crate) fn argument(arg: &FunctionArg) -> Option<&Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

pub(crate) fn arguments(function: &Function) -> &[FunctionArg] {
    match &function.args {
        FunctionArguments::List(list) => &list.args,
        _ => &[],
    }
}

pub(crate) fn is_distinct(function: &Function) -> bool {
    use sqlparser::ast::DuplicateTreatment;
    matches!(&function.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}

/// A name without its quotes; parts of a dotted one are joined by dots.
pub(crate) fn object_name(name: &ObjectName) -> String {
    let part = |part: &sqlparser::ast::ObjectNamePart| match part.as_ident() {
        Some(ident) => ident.value.clone(),
        None => part.to_string(),
    };
    name.0.iter().map(part).collect::<Vec<_>>().join(".")
}

/// Whether a query is a SELECT alone, without WITH, ORDER BY, LIMIT or FETCH around it.
pub(crate) fn is_plain(query: &Query) -> bool {
    query.with.is_none() && query.order_by.is_none() && query.limit_clause.is_none() && query.fetch.is_none()
}

/// The name of a table in FROM, and the name that its columns have in front.
pub(crate) fn table_name(factor: &TableFactor, span: Span) -> Outcome<(Name, String)> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            let text = object_name(name);
            let alias = alias.as_ref().map_or_else(|| text.clone(), |alias| alias.name.value.clone());
            Ok((Name { text, span: place_of(name, span) }, alias))
        }
        other => {
            Fault::new(place_of(other, span), "FROM reads a stream, a view or a query").found(other.to_string()).err()
        }
    }
}
