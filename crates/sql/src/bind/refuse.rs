//! What a SELECT cannot ask of streams, and what to write instead.

use super::syntax::{any, function_name, is_subquery, is_window, score_call};
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::expression::{aggregate_names, aggregate_of, instead_of, is_aggregate};
use crate::nearest::did_you_mean;
use arrow::datatypes::DataType;
use sqlparser::ast::{Expr, Function, GroupByExpr, OrderByKind, Query, Select, TableFactor, Visit, Visitor};
use sqlparser::tokenizer::Span;
use std::ops::ControlFlow;

/// Refuses columns of types that tables and models do not have.
pub(crate) fn column_type(name: &str, expr: &Expr, data_type: &DataType, span: Span) -> Outcome<()> {
    match data_type {
        DataType::Duration(_) | DataType::Interval(_) => Fault::new(
            place_of(expr, span),
            format!("column \"{}\" is an INTERVAL, which tables and models do not have", name),
        )
        .found(expr.to_string())
        .hint(format!("write epoch({expr}): the length in seconds"))
        .err(),
        DataType::Null => Fault::new(span, format!("column \"{}\" is NULL without a type", name))
            .hint("write CAST(NULL AS type)")
            .err(),
        _ => Ok(()),
    }
}

/// A join of streams. `left` is what FROM reads, whose name may be a mistyped ASOF.
pub(crate) fn join<T>(span: Span, left: &TableFactor) -> Outcome<T> {
    if let TableFactor::Table { alias: Some(alias), .. } = left
        && !alias.explicit
        && let Some(near) = did_you_mean(&alias.name.value, ["ASOF"].into_iter())
    {
        let fault = Fault::new(alias.name.span, "a join without a bound of time would keep every row for ever");
        return fault.found(alias.name.to_string()).expected("ASOF LEFT JOIN").hint(near).err();
    }
    Fault::new(span, "a join without a bound of time would keep every row for ever")
        .expected("ASOF LEFT JOIN s ON s.key = key AND s.time <= time")
        .hint("for the last row at a time write ASOF LEFT JOIN; for several rows write an aggregate in a subquery with a bound of time")
        .err()
}

pub(crate) fn in_where(condition: &Expr, span: Span) -> Outcome<()> {
    if any(condition, is_window) {
        return Fault::new(place_of(condition, span), "a window in WHERE")
            .found(condition.to_string())
            .hint("WHERE is answered before windows: put the window in a view and filter that view")
            .err();
    }
    if any(condition, |part| score_call(part).is_some()) {
        return Fault::new(place_of(condition, span), "predict in WHERE")
            .hint("put predict in a view and filter that view")
            .err();
    }
    aggregate(condition, span)
}

/// An aggregate without a window or a subquery around it would be one over all rows.
pub(crate) fn aggregate(expr: &Expr, within: Span) -> Outcome<()> {
    let Some(part) = lone_aggregate(expr) else { return Ok(()) };
    if let Expr::Function(function) = &part
        && aggregate_of(&function_name(function)).is_none()
    {
        let name = function_name(function);
        let fault = Fault::new(place_of(&part, within), format!("the aggregate {name} is not known"));
        let fault = fault.expected(aggregate_names(true).join(", "));
        return match instead_of(&name) {
            Some(hint) => fault.hint(hint).err(),
            None => fault.err(),
        };
    }
    Fault::new(place_of(&part, within), "an aggregate over all rows of a stream never has an answer")
        .found(part.to_string())
        .expected(format!("{part} OVER (PARTITION BY key ORDER BY time RANGE INTERVAL '1' HOUR PRECEDING)"))
        .hint("write a trailing window: its value is known at each row; riverrun query answers aggregates up to now")
        .err()
}

/// The first aggregate without a window or a subquery around it.
pub(crate) fn lone_aggregate(expr: &Expr) -> Option<Expr> {
    let mut first = None;
    each_lone_aggregate(expr, &mut |function| {
        first.get_or_insert_with(|| Expr::Function(function.clone()));
    });
    first
}

/// Whether an expression is a call of an aggregate, and of no window.
pub(crate) fn is_lone_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if !is_window(expr) && is_aggregate(&function_name(function)))
}

/// Calls with every aggregate without a window or a subquery around it.
pub(crate) fn each_lone_aggregate(expr: &Expr, found: &mut dyn FnMut(&Function)) {
    // Nothing stops the walk.
    let _: ControlFlow<()> = Visit::visit(expr, &mut LoneAggregates { around: 0, found });
}

/// Looks for aggregates outside of windows and subqueries.
struct LoneAggregates<'f> {
    /// How many windows and subqueries are around.
    around: usize,
    found: &'f mut dyn FnMut(&Function),
}

impl Visitor for LoneAggregates<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.around += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.around -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            expr if is_window(expr) => self.around += 1,
            Expr::Function(function) if self.around == 0 && is_aggregate(&function_name(function)) => {
                (self.found)(function);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.around -= usize::from(is_window(expr));
        ControlFlow::Continue(())
    }
}

pub(crate) fn endings(query: &Query, span: Span) -> Outcome<()> {
    if let Some(order_by) = &query.order_by {
        let at = match &order_by.kind {
            OrderByKind::Expressions(items) => items.first().map_or(span, |item| place_of(&item.expr, span)),
            OrderByKind::All(_) => span,
        };
        return Fault::new(at, "ORDER BY at the end of a query: a stream has no end to sort at")
            .hint("leave it out: rows come in the order of their time; riverrun query sorts what a SELECT gives up to now")
            .err();
    }
    if let Some(limit) = &query.limit_clause {
        return Fault::new(place_of(limit, span), "LIMIT of a stream is not supported")
            .found(limit.to_string().trim())
            .hint("leave it out; riverrun query takes LIMIT")
            .err();
    }
    unknown_endings(query, span)
}

/// What no query may end with.
pub(crate) fn unknown_endings(query: &Query, span: Span) -> Outcome<()> {
    if query.fetch.is_some() || !query.pipe_operators.is_empty() || query.for_clause.is_some() {
        return Fault::new(span, "FETCH, FOR and |> are not supported").err();
    }
    match &query.with {
        Some(with) if with.recursive => Fault::new(span, "WITH RECURSIVE is not supported").err(),
        _ => Ok(()),
    }
}

pub(crate) fn clauses(select: &Select, span: Span) -> Outcome<()> {
    if let Some(distinct) = &select.distinct {
        return Fault::new(place_of(select, span), "SELECT DISTINCT of a stream would keep every row for ever")
            .found(distinct.to_string())
            .hint("write DEDUP ON (columns) WITHIN INTERVAL .. in CREATE STREAM, or count(DISTINCT x) over a window; riverrun query takes DISTINCT")
            .err();
    }
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => Some(span),
        GroupByExpr::Expressions(items, _) => items.first().map(|item| place_of(item, span)),
    };
    if let Some(at) = grouped {
        return Fault::new(at, "GROUP BY over a stream never has an answer: rows keep coming")
            .found(format!("GROUP BY {}", select.group_by).replace("GROUP BY GROUP BY", "GROUP BY"))
            .hint("write a trailing window, whose value is known at each row: count(*) OVER (PARTITION BY key ORDER BY time RANGE INTERVAL '1' HOUR PRECEDING); riverrun query takes GROUP BY, up to now")
            .err();
    }
    if let Some(having) = &select.having {
        return Fault::new(place_of(having, span), "HAVING without GROUP BY")
            .hint("put the SELECT in a view and filter that view")
            .err();
    }
    unknown_clauses(select, span)
}

/// What no SELECT may have.
pub(crate) fn unknown_clauses(select: &Select, span: Span) -> Outcome<()> {
    if let Some(qualify) = &select.qualify {
        return Fault::new(place_of(qualify, span), "QUALIFY is not supported")
            .hint("put the windows in a view and filter that view with WHERE")
            .err();
    }
    if select.top.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || !select.sort_by.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
    {
        return Fault::new(
            place_of(select, span),
            "TOP, INTO, LATERAL VIEW, SORT BY, CLUSTER BY, DISTRIBUTE BY, PREWHERE and CONNECT BY are not supported",
        )
        .err();
    }
    Ok(())
}

pub(crate) fn inside_window(text: String, argument: Option<&Expr>, span: Span) -> Outcome<()> {
    let Some(argument) = argument else { return Ok(()) };
    if any(argument, |part| is_subquery(part) || is_window(part) || score_call(part).is_some()) {
        return Fault::new(place_of(argument, span), "a window over a window, a subquery or a model in one SELECT")
            .found(text)
            .hint("give the inner one a name in a view of its own, and write the window over that view")
            .err();
    }
    Ok(())
}
