//! Correlated subqueries and EXISTS: aggregates over another stream by equal keys and a range of time.

use super::binding::Binding;
use super::bound::RangeCall;
use super::correlation::{Correlation, InnerRelation};
use super::keys;
use super::relation::Relation;
use super::syntax::{and, any, argument, arguments, function_name, is_distinct, is_plain, plain_aggregate, table_name};
use super::window::{argument_fault, averaged, listed, without_distinct};
use crate::diagnostic::{Fault, Outcome, fault, place_of};
use crate::expression::{AggregateSignature, Op, Problem, Special, Tree, aggregate_names, aggregate_of};
use operators::{Aggregate, RangeFunction};
use sqlparser::ast::{Expr, Function, Query, Select, SelectItem, SetExpr};
use sqlparser::tokenizer::Span;

/// What a subquery stands in: the rows outside, the calls that are gathered, and the column that it is all of.
pub(crate) struct Outside<'b> {
    pub relation: &'b Relation,
    pub ranges: &'b mut Vec<RangeCall>,
    pub alias: Option<&'b str>,
}

/// Binds a subquery: the expression over the columns of its aggregates.
pub(crate) fn bind(binding: &mut Binding, expr: &Expr, outside: &mut Outside, within: Span) -> Outcome<Tree> {
    match expr {
        Expr::Exists { subquery, negated } => {
            let span = place_of(expr, within);
            let (select, inner) = open(binding, subquery, span)?;
            let correlation = Correlation::of(&select, &inner, outside.relation, span)?;
            let call = Call { computes: RangeFunction::Exists, argument: None, conditions: vec![] };
            let exists = Subquery { correlation, inner, span }.add(binding, call, outside, span)?;
            if *negated { not(exists, span) } else { Ok(exists) }
        }
        Expr::Subquery(query) => aggregate(binding, query, outside, place_of(expr, within)),
        other if binding.is_bounded => {
            let message = "IN with a subquery that names columns of the query around it is not supported";
            Fault::new(place_of(other, within), message)
                .hint("write EXISTS with equal keys and a range of time, or a join, and DISTINCT")
                .err()
        }
        other => Fault::new(place_of(other, within), "IN with a subquery is not supported")
            .hint("write EXISTS (SELECT 1 FROM s WHERE s.k = r.k AND s.t BETWEEN r.t - INTERVAL .. AND r.t)")
            .err(),
    }
}

fn not(tree: Tree, span: Span) -> Outcome<Tree> {
    Tree::of(Op::Not, vec![tree]).map_err(|problem| Box::new(fault(problem).within(span)))
}

fn aggregate(binding: &mut Binding, query: &Query, outside: &mut Outside, span: Span) -> Outcome<Tree> {
    let (select, inner) = open(binding, query, span)?;
    let item = match select.projection.as_slice() {
        [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] => expr,
        _ => {
            return Fault::new(span, "a subquery gives one value")
                .found(format!("{} columns", select.projection.len()))
                .err();
        }
    };
    let correlation = Correlation::of(&select, &inner, outside.relation, span)?;
    if !any(item, is_aggregate) {
        return Fault::new(place_of(item, span), "a subquery over a stream gives an aggregate")
            .found(item.to_string())
            .expected(listed(&aggregate_names(false)))
            .hint("for the last row at a time write ASOF LEFT JOIN s ON s.k = r.k AND s.t <= r.t")
            .err();
    }
    if !is_aggregate(item) {
        outside.alias = None;
    }
    let subquery = Subquery { correlation, inner, span };
    let relation = outside.relation;
    relation.bind_with(item, &mut Aggregates { binding, subquery, outside }, span)
}

fn is_aggregate(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if named_by(function).is_some())
}

/// The aggregate that a call names, of those that have a frame.
fn named_by(function: &Function) -> Option<&'static AggregateSignature> {
    aggregate_of(&function_name(function)).filter(|signature| !signature.is_lag())
}

/// A subquery, bound but for its aggregates.
struct Subquery {
    correlation: Correlation,
    inner: InnerRelation,
    span: Span,
}

/// The aggregates in the value of a subquery become columns.
struct Aggregates<'a, 'b, 'p, 'o> {
    binding: &'a mut Binding<'p>,
    subquery: Subquery,
    outside: &'b mut Outside<'o>,
}

impl Special for Aggregates<'_, '_, '_, '_> {
    fn bind(&mut self, expr: &Expr) -> Result<Option<Tree>, Problem> {
        let Expr::Function(function) = expr else { return Ok(None) };
        let Some(signature) = named_by(function) else { return Ok(None) };
        let at = place_of(expr, self.subquery.span);
        let call = Call::of(function, signature, at)?;
        Ok(Some(self.subquery.add(self.binding, call, self.outside, at)?))
    }
}

/// The SELECT and the stream or view that it reads.
fn open(binding: &mut Binding, query: &Query, span: Span) -> Outcome<(Select, InnerRelation)> {
    let SetExpr::Select(select) = query.body.as_ref() else {
        return Fault::new(span, "a subquery is one SELECT").err();
    };
    let group_by = select.group_by != sqlparser::ast::GroupByExpr::Expressions(vec![], vec![]);
    if !is_plain(query) || group_by || select.having.is_some() || select.distinct.is_some() || select.qualify.is_some()
    {
        return Fault::new(
            span,
            "a subquery has WITH, GROUP BY, HAVING, DISTINCT, ORDER BY or LIMIT, which are not supported",
        )
        .hint("keep SELECT aggregate FROM stream WHERE conditions")
        .err();
    }
    let [from] = select.from.as_slice() else {
        return Fault::new(span, "a subquery reads one stream or view").err();
    };
    if !from.joins.is_empty() {
        return Fault::new(span, "a subquery reads one stream or view").hint("put the join in a view of its own").err();
    }
    let (name, alias) = table_name(&from.relation, span)?;
    let relation = binding.relation(&name)?.named(&alias);
    if relation.is_bounded {
        return Fault::new(name.span, "a subquery with a bound of time reads a stream or a view")
            .found(name.text)
            .hint("join the table instead: LEFT JOIN .. ON .. and GROUP BY")
            .err();
    }
    Ok(((**select).clone(), InnerRelation { relation, name }))
}

impl Subquery {
    /// Adds one aggregate: its column.
    fn add(&self, binding: &mut Binding, call: Call, outside: &mut Outside, span: Span) -> Outcome<Tree> {
        let Subquery { correlation, inner, .. } = self;
        let keys = keys::bind(&correlation.keys, outside.relation, &inner.relation, span)?;
        let conditions = and(correlation.conditions.iter().cloned().chain(call.conditions));
        let filter = conditions.map(|condition| inner.relation.condition(&condition, span)).transpose()?;
        let argument = call.argument.as_ref().map(|value| inner.relation.bind(value, span)).transpose()?;
        let argument = match (argument, call.computes) {
            (Some(argument), RangeFunction::Aggregate(aggregate)) => Some(averaged(argument, aggregate)?),
            (argument, _) => argument,
        };
        let data_type = argument.as_ref().map(Tree::settled_type);
        let data_type = call.computes.output_type(data_type.as_ref()).map_err(|error| {
            let name = call.computes.to_string();
            Box::new(argument_fault(&name, call.argument.as_ref(), data_type.as_ref(), &error, span))
        })?;
        let id = match outside.alias {
            Some(name) => binding.columns.add(name, data_type.clone()),
            None => binding.columns.add_part(&call.computes.to_string(), data_type.clone()),
        };
        let call = RangeCall {
            id,
            right: inner.relation.id,
            stream: inner.name.text.clone(),
            keys,
            computes: call.computes,
            argument,
            filter,
            from: correlation.from,
            to: correlation.to,
            span,
        };
        let id = match outside.ranges.iter().find(|known| known.same(&call)) {
            Some(known) => known.id,
            None => {
                outside.ranges.push(call.clone());
                call.id
            }
        };
        Ok(Tree::column(id, data_type))
    }
}

/// One aggregate of a subquery.
struct Call {
    computes: RangeFunction,
    argument: Option<Expr>,
    conditions: Vec<Expr>,
}

impl Call {
    fn of(function: &Function, signature: &AggregateSignature, span: Span) -> Outcome<Call> {
        let name = function_name(function);
        if function.over.is_some() {
            return Fault::new(span, "a window in a subquery is not supported")
                .hint("put the window in a view of its own")
                .err();
        }
        plain_aggregate(function, span)?;
        let Some(aggregate) = signature.over_frame(is_distinct(function)) else {
            return without_distinct(&name, span);
        };
        let args = arguments(function);
        let constant = |expr: &Expr| matches!(expr, Expr::Value(value) if value.value != sqlparser::ast::Value::Null);
        let argument = match args {
            [] if aggregate == Aggregate::Count => None,
            [one] => argument(one).filter(|expr| !(aggregate == Aggregate::Count && constant(expr))).cloned(),
            _ => {
                return Fault::new(span, format!("{name} has {} arguments", args.len())).expected("one argument").err();
            }
        };
        let computes = RangeFunction::Aggregate(aggregate);
        Ok(Call { computes, argument, conditions: function.filter.iter().map(|filter| (**filter).clone()).collect() })
    }
}
