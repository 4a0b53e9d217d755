//! GROUP BY: the keys and the arguments of aggregates are columns of the rows below, and what stands around them is
//! computed of the groups.

use super::canonical::{canonical, readable};
use super::define;
use super::from::FromClause;
use super::known::Known;
use super::order::{check_names, ordinal};
use super::{plain, subqueries};
use crate::bind::aliases::{has_names, in_having, with_aliases};
use crate::bind::binding::Binding;
use crate::bind::bound::{BoundedStep, GroupCall};
use crate::bind::items::Item;
use crate::bind::keys;
use crate::bind::refuse;
use crate::bind::relation::{Relation, RelationColumn};
use crate::bind::syntax::{argument, arguments, cast, function_name, is_distinct, plain_aggregate};
use crate::bind::window::argument_fault;
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::expression::{Tree, aggregate_names, aggregate_of, instead_of};
use arrow::datatypes::DataType;
use operators::Aggregate;
use sqlparser::ast::{DataType as SqlType, Expr, Function, GroupByExpr, Select, TimezoneInfo, UnaryOperator, Value};
use sqlparser::tokenizer::Span;

/// The rows of a SELECT with groups; its items over them.
pub(super) fn rows(
    binding: &mut Binding,
    owner: &str,
    select: &Select,
    read: FromClause,
    items: &[Item],
    span: Span,
) -> Outcome<Relation> {
    let below = read.relation().clone();
    let keys = keys_of(select, items, &below, span)?;
    if let Some(having) = &select.having {
        check_names(having, items, &below, place_of(having, span))?;
    }
    let is_key = |part: &Expr| keys.contains(&canonical(part, &below));
    let having = select.having.as_ref().map(|having| canonical(&in_having(having, items, &below, is_key), &below));
    let written: Vec<Expr> = items.iter().map(|item| canonical(&item.expr, &below)).collect();
    let mut gathered = Gathered { inputs: keys.clone(), calls: Vec::new() };
    for expr in written.iter().chain(&having) {
        gathered.gather(expr, span)?;
    }
    gathered.refuse_intervals(&below)?;
    gathered.average_days(&below);
    let input = |expr: &Expr| Item { expr: expr.clone(), name: expr.to_string(), span: place_of(expr, span) };
    let inputs: Vec<Item> = gathered.inputs.iter().map(input).collect();
    let rows = plain::rows(binding, owner, select, read, &inputs, span)?;
    for (key, column) in keys.iter().zip(&rows.columns) {
        keys::check(&column.data_type, key, span)?;
    }
    let mut calls = Vec::with_capacity(gathered.calls.len());
    for call in &gathered.calls {
        calls.push(call.bind(binding, &rows, span)?);
    }
    let key_columns: Vec<RelationColumn> = rows.columns[..keys.len()].to_vec();
    let call_column = |(id, call): (&GroupCall, &Call)| {
        let tree = Tree::column(id.id, binding.columns.get(id.id).data_type.clone());
        define::column(&call.function.to_string(), id.id, &tree)
    };
    let columns: Vec<RelationColumn> =
        key_columns.iter().cloned().chain(calls.iter().zip(&gathered.calls).map(call_column)).collect();
    let known = keys.into_iter().chain(gathered.calls.iter().map(|call| Expr::Function(call.function.clone())));
    let known = known.zip(&columns).map(|(expr, column)| (expr, Tree::column(column.id, column.data_type.clone())));
    let mut known = Known::of_groups(known.collect(), &below);
    let ids = key_columns.iter().map(|column| column.id).collect();
    let mut groups = define::relation(binding, BoundedStep::Group { from: rows.id, keys: ids, calls }, columns);
    if let Some(having) = &having {
        let answered = subqueries::bind(binding, owner, [having], (&below, &known), span)?;
        groups = subqueries::answer(binding, &groups, &answered, &mut known)?;
        let condition = groups.condition_with(having, &mut known, span)?;
        groups = define::same_columns(binding, &groups, |from| BoundedStep::Filter { from, condition });
    }
    let answered = subqueries::bind(binding, owner, &written, (&below, &known), span)?;
    groups = subqueries::answer(binding, &groups, &answered, &mut known)?;
    let mut trees = Vec::with_capacity(items.len());
    for (item, expr) in items.iter().zip(&written) {
        check_names(&item.expr, &[], &below, item.span)?;
        let at = item.place(span);
        let tree = groups.bind_with(expr, &mut known, at)?;
        trees.push((item.name.clone(), tree, expr));
    }
    define::project(binding, groups.id, trees, span)
}

/// The expressions of GROUP BY, each once.
fn keys_of(select: &Select, items: &[Item], below: &Relation, span: Span) -> Outcome<Vec<Expr>> {
    let written: Vec<Expr> = match &select.group_by {
        GroupByExpr::All(modifiers) if modifiers.is_empty() => {
            let is_plain = |item: &&Item| refuse::lone_aggregate(&item.expr).is_none() && has_names(&item.expr);
            let plain = items.iter().filter(is_plain);
            plain.map(|item| item.expr.clone()).collect()
        }
        GroupByExpr::Expressions(all, modifiers) if modifiers.is_empty() => all.clone(),
        _ => return sets(span),
    };
    let mut keys = Vec::with_capacity(written.len());
    for expr in written {
        let at = place_of(&expr, span);
        if !matches!(expr, Expr::Tuple(_) | Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_)) {
            check_names(&expr, items, below, at)?;
        }
        let key = match &expr {
            Expr::Tuple(parts) if parts.is_empty() => continue,
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => return sets(at),
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr: number } if is_whole(number) => {
                ordinal(number, 0, "GROUP BY", at)?.map_or(expr, |item| items[item].expr.clone())
            }
            _ if is_whole(&expr) => {
                ordinal(&expr, items.len(), "GROUP BY", at)?.map_or(expr, |item| items[item].expr.clone())
            }
            _ => with_aliases(&expr, items, below),
        };
        if let Some(aggregate) = refuse::lone_aggregate(&key) {
            return Fault::new(at, "an aggregate in GROUP BY").found(aggregate.to_string()).err();
        }
        let key = canonical(&key, below);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// Whether a literal is the number of a column: every other literal is a key that all rows have.
fn is_whole(expr: &Expr) -> bool {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(expr, Expr::Value(value) if matches!(&value.value, Value::Number(text, _) if is_digits(text)))
}

fn sets<T>(at: Span) -> Outcome<T> {
    Fault::new(at, "GROUPING SETS, ROLLUP and CUBE are not supported yet")
        .hint("write a SELECT for each set, and UNION ALL between them")
        .err()
}

/// What has to be known of each row: keys, and arguments and filters of aggregates.
struct Gathered {
    inputs: Vec<Expr>,
    calls: Vec<Call>,
}

/// A call of an aggregate: its argument and filter by their places among the inputs.
struct Call {
    function: Function,
    aggregate: Aggregate,
    argument: Option<usize>,
    distinct: bool,
    filter: Option<usize>,
    span: Span,
}

impl Gathered {
    /// Gathers the aggregates of an expression, those of the same text once.
    fn gather(&mut self, expr: &Expr, span: Span) -> Outcome<()> {
        let mut found = Vec::new();
        refuse::each_lone_aggregate(expr, &mut |function| found.push(function.clone()));
        for function in found {
            if !self.calls.iter().any(|known| known.function == function) {
                let call = self.call(function, span)?;
                self.calls.push(call);
            }
        }
        Ok(())
    }

    fn call(&mut self, function: Function, within: Span) -> Outcome<Call> {
        let name = function_name(&function);
        let span = place_of(&Expr::Function(function.clone()), within);
        plain_aggregate(&function, span)?;
        let Some(signature) = aggregate_of(&name) else {
            let fault = Fault::new(span, format!("the aggregate {name} is not known"));
            let fault = fault.expected(aggregate_names(false).join(", "));
            return match instead_of(&name) {
                Some(hint) => fault.hint(hint).err(),
                None => fault.err(),
            };
        };
        let Some((aggregate, distinct)) = signature.over_group(is_distinct(&function)) else {
            return Fault::new(span, format!("{name} needs a window"))
                .expected(aggregate_names(false).join(", "))
                .err();
        };
        let args = arguments(&function);
        if args.len() > 1 {
            return Fault::new(span, format!("{name} has {} arguments", args.len())).expected("one argument").err();
        }
        // Every row has a literal: count(1) is count(*).
        let literal = |expr: &Expr| matches!(expr, Expr::Value(value) if value.value != Value::Null);
        let value = args.first().and_then(argument);
        let value = value.filter(|value| !(aggregate == Aggregate::Count && literal(value))).cloned();
        let filter = function.filter.as_deref().map(as_condition);
        let argument = value.map(|value| self.input(value));
        let filter = filter.map(|filter| self.input(filter));
        Ok(Call { function, aggregate, argument, distinct, filter, span })
    }

    /// Refuses aggregates of intervals, which no column holds.
    fn refuse_intervals(&self, below: &Relation) -> Outcome<()> {
        for call in &self.calls {
            let Some(argument) = call.argument.map(|at| &self.inputs[at]) else { continue };
            // What cannot be bound by itself is told of where the rows are bound.
            let data_type = below.bind(argument, call.span).map(|tree| tree.settled_type());
            if data_type.is_ok_and(|data_type| matches!(data_type, DataType::Duration(_) | DataType::Interval(_))) {
                let name = function_name(&call.function);
                return Fault::new(call.span, format!("{name} of an INTERVAL is not supported"))
                    .found("INTERVAL")
                    .hint(format!("write {name}(epoch(..)), of the length in seconds"))
                    .err();
            }
        }
        Ok(())
    }

    /// The mean of days is a time.
    fn average_days(&mut self, below: &Relation) {
        for at in 0..self.calls.len() {
            let Call { aggregate: Aggregate::Avg, argument: Some(argument), span, .. } = self.calls[at] else {
                continue;
            };
            let days = &self.inputs[argument];
            if below.bind(days, span).is_ok_and(|tree| tree.settled_type() == DataType::Date32) {
                let times = cast(days.clone(), SqlType::Timestamp(None, TimezoneInfo::None));
                self.calls[at].argument = Some(self.input(times));
            }
        }
    }

    fn input(&mut self, expr: Expr) -> usize {
        let known = self.inputs.iter().position(|known| *known == expr);
        known.unwrap_or_else(|| {
            self.inputs.push(expr);
            self.inputs.len() - 1
        })
    }
}

/// A condition that is NULL alone is one all the same, and never true.
fn as_condition(filter: &Expr) -> Expr {
    match filter {
        Expr::Nested(inner) => as_condition(inner),
        Expr::Value(value) if value.value == Value::Null => Expr::IsTrue(Box::new(filter.clone())),
        _ => filter.clone(),
    }
}

impl Call {
    fn bind(&self, binding: &mut Binding, rows: &Relation, within: Span) -> Outcome<GroupCall> {
        let of = |place: usize| &rows.columns[place];
        let data_type = self.argument.map(|place| of(place).data_type.clone());
        let value = arguments(&self.function).first().and_then(argument).map(readable);
        let given = self.aggregate.output_type(data_type.as_ref()).map_err(|error| {
            let name = function_name(&self.function);
            Box::new(argument_fault(&name, value.as_ref(), data_type.as_ref(), &error, self.span))
        })?;
        if let (Some(written), Some(data_type)) = (&value, &data_type) {
            match self.aggregate {
                _ if self.distinct => keys::check(data_type, written, self.span)?,
                Aggregate::Min | Aggregate::Max => {
                    keys::check_order(data_type, &written.to_string(), place_of(written, self.span))?;
                }
                _ => {}
            }
        }
        if let Some(filter) = self.filter.map(of)
            && filter.data_type != DataType::Boolean
        {
            return Fault::new(self.span, "a FILTER is true or false").found(filter.name.clone()).within(within).err();
        }
        let id = binding.columns.add_part(&self.function.to_string(), given);
        let (argument, filter) = (self.argument.map(|at| of(at).id), self.filter.map(|at| of(at).id));
        Ok(GroupCall { id, aggregate: self.aggregate, argument, distinct: self.distinct, filter })
    }
}
