//! Walks over syntax trees: names that are used, and parts that are found.

use crate::diagnostic::{Fault, Outcome, place_of};
use crate::file_hint::file_hint;
use crate::statement::Name;
use operators::predict::Part;
use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, ObjectName, Query, TableFactor, Value, Visit, Visitor, visit_relations,
};
use sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

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

/// An expression as a type.
pub(crate) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// The call of a function by its name.
pub(crate) fn call<'a>(expr: &'a Expr, name: &str) -> Option<&'a Function> {
    match expr {
        Expr::Function(function) if function_name(function) == name => Some(function),
        _ => None,
    }
}

/// The functions that tell of the score of a row.
pub(crate) const SCORE_FUNCTIONS: [(&str, Part); 3] =
    [("predict", Part::Score), ("predict_version", Part::Version), ("predict_fault", Part::Fault)];

/// A call of a model, and what it asks for.
pub(crate) fn score_call(expr: &Expr) -> Option<(Part, &Function)> {
    SCORE_FUNCTIONS.iter().find_map(|(name, part)| Some((*part, call(expr, name)?)))
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

/// The names of streams and views that a query reads, without those that it defines itself.
pub(crate) fn tables_in(query: &Query) -> Vec<String> {
    let own: Vec<&str> = query.with.iter().flat_map(|with| &with.cte_tables).map(|t| &*t.alias.name.value).collect();
    let mut names = Vec::new();
    // Every relation is looked at, so nothing stops the walk.
    let _: ControlFlow<()> = visit_relations(query, |name| {
        let name = object_name(name);
        if !own.iter().any(|own| own.eq_ignore_ascii_case(&name)) {
            names.push(name);
        }
        ControlFlow::Continue(())
    });
    names
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

/// Refuses what an aggregate has beside its argument, DISTINCT and FILTER, and would change its answer. The order of its
/// rows changes that of none.
pub(crate) fn plain_aggregate(function: &Function, span: Span) -> Outcome<()> {
    if function.null_treatment.is_some() || !function.within_group.is_empty() {
        return Fault::new(span, "IGNORE NULLS, RESPECT NULLS and WITHIN GROUP are not supported yet").err();
    }
    let name = function_name(function);
    let clauses = match &function.args {
        FunctionArguments::List(list) => list.clauses.as_slice(),
        _ => &[],
    };
    let clause = clauses.iter().find(|clause| !matches!(clause, FunctionArgumentClause::OrderBy(_)));
    let named = arguments(function).iter().find(|argument| !matches!(argument, FunctionArg::Unnamed(_)));
    let found = match (clause, named) {
        (Some(clause), _) => clause.to_string(),
        (None, Some(named)) => named.to_string(),
        _ if function.uses_odbc_syntax || function.parameters != FunctionArguments::None => function.to_string(),
        _ => return Ok(()),
    };
    Fault::new(span, format!("{name} takes an argument, and DISTINCT in front of it"))
        .found(found)
        .expected(format!("{name}(x)"))
        .err()
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

/// Refuses what stands after the name of a table and would change its rows.
fn plain_table(factor: &TableFactor, span: Span) -> Outcome<()> {
    let TableFactor::Table {
        name,
        with_hints,
        version,
        with_ordinality,
        partitions,
        json_path,
        sample,
        index_hints,
        ..
    } = factor
    else {
        return Ok(());
    };
    let found = match sample {
        Some(_) => "TABLESAMPLE",
        None if version.is_some() => "a version of the table",
        None if *with_ordinality => "WITH ORDINALITY",
        None if !with_hints.is_empty() || !index_hints.is_empty() => "hints",
        None if !partitions.is_empty() => "PARTITION",
        None if json_path.is_some() => "a path into the table",
        None => return Ok(()),
    };
    let fault = Fault::new(place_of(name, span), format!("FROM takes a name, and {found} after it is not supported"));
    let fault = fault.found(factor.to_string());
    match sample {
        Some(_) => fault.hint("write a condition in WHERE instead, such as id % 100 = 0").err(),
        None => fault.err(),
    }
}

/// The name of a table in FROM, and the name that its columns have in front.
pub(crate) fn table_name(factor: &TableFactor, span: Span) -> Outcome<(Name, String)> {
    match factor {
        TableFactor::Table { name, alias, args: None, .. } => {
            plain_table(factor, span)?;
            let text = object_name(name);
            let alias = alias.as_ref().map_or_else(|| text.clone(), |alias| alias.name.value.clone());
            Ok((Name { text, span: place_of(name, span) }, alias))
        }
        other => {
            let fault = Fault::new(place_of(other, span), "FROM reads a stream, a view or a query");
            let fault = fault.found(other.to_string());
            match file_of(other).as_deref().and_then(file_hint) {
                Some(hint) => fault.hint(hint).err(),
                None => fault.err(),
            }
        }
    }
}

/// The file that a function in FROM reads: `read_parquet('plays.parquet')`.
fn file_of(factor: &TableFactor) -> Option<String> {
    let TableFactor::Table { args: Some(arguments), .. } = factor else { return None };
    let FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))) = arguments.args.first()? else { return None };
    match &value.value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}
