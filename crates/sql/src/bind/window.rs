//! Window calls: `count(*) FILTER (WHERE ..) OVER (PARTITION BY .. ORDER BY .. RANGE ..)` to functions of a window step.

use super::bound::WindowCall;
use super::columns::Columns;
use super::keys;
use super::relation::Relation;
use super::syntax::{argument, arguments, function_name, is_distinct, plain_aggregate};
use crate::diagnostic::{Fault, Outcome, fault, place_of, span_of};
use crate::expression::{TIMESTAMP, Tree, aggregate_meant, aggregate_names, aggregate_of, instead_of, type_name};
use crate::interval;
use arrow::datatypes::DataType;
use dataflow::Span as Length;
use operators::Aggregate;
use operators::window::{self, Frame};
use sqlparser::ast::{
    Expr, Function, Ident, NamedWindowDefinition, NamedWindowExpr, OrderByExpr, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowSpec, WindowType,
};
use sqlparser::tokenizer::Span;

/// The name and the type of what a call gives are those of its column.
pub(crate) fn bind(
    call: &Function,
    named: &[NamedWindowDefinition],
    name: Option<&str>,
    relation: &Relation,
    columns: &mut Columns,
    within: Span,
) -> Outcome<WindowCall> {
    let span = place_of(&Expr::Function(call.clone()), within);
    let spec = resolve(call, named, span)?;
    let Computed { aggregate, argument, data_type } = computed(call, relation, span)?;
    let mut keys = Vec::with_capacity(spec.partition_by.len());
    for key in &spec.partition_by {
        let written = key;
        let key = relation.bind(written, span)?;
        keys::check(&key.settled_type(), written, span)?;
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.sort_by_cached_key(keys::order);
    let is_lag = matches!(aggregate, Aggregate::Lag { .. });
    let order = order(&spec.order_by, is_lag, relation, span)?;
    let frame = match is_lag {
        true => Frame { from: Length::ZERO, to: Length::ZERO },
        false => frame(spec.window_frame.as_ref(), call, frame_place(call, named).unwrap_or(span))?,
    };
    let filter = match &call.filter {
        Some(filter) if is_lag => {
            return Fault::new(place_of(&**filter, span), "lag takes no FILTER")
                .hint("use a CASE in its argument")
                .err();
        }
        Some(filter) => Some(relation.condition(filter, span)?),
        None => None,
    };
    let id = match name {
        Some(name) => columns.add(name, data_type),
        None => columns.add_part(&call.to_string(), data_type),
    };
    Ok(WindowCall { id, aggregate, argument, filter, keys, frame, order, span })
}

/// The window of a call, with what it takes over from named ones.
fn resolve(call: &Function, named: &[NamedWindowDefinition], span: Span) -> Outcome<WindowSpec> {
    match &call.over {
        Some(WindowType::NamedWindow(name)) => named_spec(name, named, 0),
        Some(WindowType::WindowSpec(spec)) => inherit(spec, named, 0),
        None => Fault::new(span, "not a window call").err(),
    }
}

/// Where the window of a call is defined in the WINDOW clause: what is wrong with its frame stands there.
fn frame_place(call: &Function, named: &[NamedWindowDefinition]) -> Option<Span> {
    let name = match &call.over {
        Some(WindowType::NamedWindow(name)) => name,
        Some(WindowType::WindowSpec(WindowSpec { window_frame: None, window_name: Some(name), .. })) => name,
        _ => return None,
    };
    let defined = named.iter().find(|NamedWindowDefinition(other, _)| other.value.eq_ignore_ascii_case(&name.value));
    defined.map(|NamedWindowDefinition(name, _)| name.span).filter(|span| span.start.line > 0)
}

/// Named windows can name each other; a chain longer than their number is a cycle.
fn named_spec(name: &Ident, named: &[NamedWindowDefinition], depth: usize) -> Outcome<WindowSpec> {
    let Some(NamedWindowDefinition(_, expr)) =
        named.iter().find(|NamedWindowDefinition(other, _)| other.value.eq_ignore_ascii_case(&name.value))
    else {
        let known = named.iter().map(|NamedWindowDefinition(name, _)| name.value.as_str());
        let add =
            format!("add WINDOW {} AS (PARTITION BY .. ORDER BY .. RANGE INTERVAL '1' HOUR PRECEDING)", name.value);
        let fault = Fault::new(name.span, format!("no window is named \"{}\"", name.value)).offer(&name.value, known);
        return fault.hint_if_none(add).err();
    };
    if depth > named.len() {
        return Fault::new(name.span, format!("window \"{}\" is defined by itself", name.value)).err();
    }
    match expr {
        NamedWindowExpr::NamedWindow(other) => named_spec(other, named, depth + 1),
        NamedWindowExpr::WindowSpec(spec) => inherit(spec, named, depth + 1),
    }
}

fn inherit(spec: &WindowSpec, named: &[NamedWindowDefinition], depth: usize) -> Outcome<WindowSpec> {
    let Some(base) = &spec.window_name else { return Ok(spec.clone()) };
    let mut base = named_spec(base, named, depth + 1)?;
    if !spec.partition_by.is_empty() {
        base.partition_by.clone_from(&spec.partition_by);
    }
    if !spec.order_by.is_empty() {
        base.order_by.clone_from(&spec.order_by);
    }
    if spec.window_frame.is_some() {
        base.window_frame.clone_from(&spec.window_frame);
    }
    Ok(base)
}

/// What a call computes of which argument.
struct Computed {
    aggregate: Aggregate,
    argument: Option<Tree>,
    data_type: DataType,
}

fn computed(call: &Function, relation: &Relation, span: Span) -> Outcome<Computed> {
    let name = function_name(call);
    let distinct = is_distinct(call);
    let args = arguments(call);
    plain_aggregate(call, span)?;
    let Some(signature) = aggregate_of(&name) else { return unknown(&name, span) };
    if signature.is_lag() {
        let offset = lag_offset(call, span)?;
        let value = args.first().and_then(argument);
        let value = value.ok_or_else(|| Box::new(Fault::new(span, "lag has no argument").expected("lag(column)")))?;
        let value = relation.bind(value, span)?;
        let data_type = value.settled_type();
        return Ok(Computed { aggregate: Aggregate::Lag { offset }, argument: Some(value), data_type });
    }
    let Some(aggregate) = signature.over_frame(distinct) else {
        return without_distinct(&name, span);
    };
    if args.len() > 1 {
        return Fault::new(span, format!("{name} has {} arguments", args.len())).expected("one argument").err();
    }
    let value = args.first().and_then(argument);
    let bound = value.map(|value| relation.bind(value, span)).transpose()?;
    // Every row has a literal: count(1) is count(*).
    let bound = bound.filter(|tree| !(aggregate == Aggregate::Count && tree.is_literal()));
    let bound = bound.map(|value| averaged(value, aggregate)).transpose()?;
    let data_type = bound.as_ref().map(Tree::settled_type);
    if let (Aggregate::CountDistinct, Some(value), Some(data_type)) = (aggregate, value, &data_type) {
        keys::check(data_type, value, span)?;
    }
    match aggregate.output_type(data_type.as_ref()) {
        Ok(data_type) => Ok(Computed { aggregate, argument: bound, data_type }),
        Err(error) => Err(Box::new(argument_fault(&name, value, data_type.as_ref(), &error, span))),
    }
}

/// The argument as it is added: the mean of days is a time.
pub(crate) fn averaged(argument: Tree, aggregate: Aggregate) -> Outcome<Tree> {
    match (aggregate, argument.settled_type()) {
        (Aggregate::Avg, DataType::Date32) => argument.cast_to(&TIMESTAMP).map_err(|problem| Box::new(fault(problem))),
        _ => Ok(argument),
    }
}

/// Refuses DISTINCT where it would change the answer.
pub(crate) fn without_distinct<T>(name: &str, span: Span) -> Outcome<T> {
    Fault::new(span, format!("{name}(DISTINCT ..) is not supported over a frame"))
        .expected("count(DISTINCT ..)")
        .hint(format!(
            "a frame would keep each of its values once more; riverrun query takes {name}(DISTINCT x) with GROUP BY"
        ))
        .err()
}

/// What is wrong with the argument of an aggregate.
pub(crate) fn argument_fault(
    name: &str,
    value: Option<&Expr>,
    data_type: Option<&DataType>,
    error: &dataflow::Error,
    span: Span,
) -> Fault {
    match value.zip(data_type) {
        Some((value, data_type)) => Fault::new(place_of(value, span), format!("{name} takes numbers"))
            .found(format!("{value} {}", type_name(data_type)))
            .expected("BIGINT, INTEGER, SMALLINT, DOUBLE, FLOAT or BOOLEAN")
            .hint(match data_type {
                DataType::Timestamp(..) | DataType::Date32 | DataType::Duration(_) | DataType::Interval(_) => {
                    format!("write {name}(epoch({value})), of seconds")
                }
                _ => format!("cast it: {name}(CAST({value} AS DOUBLE))"),
            }),
        None => Fault::new(span, error.to_string()),
    }
}

fn unknown<T>(name: &str, span: Span) -> Outcome<T> {
    let names = aggregate_names(true);
    let fault = Fault::new(span, format!("{name} is not a window function here")).expected(listed(&names));
    match name {
        "lead" => {
            fault.hint("lead looks at rows to come; write an aggregate over the stream with a forward bound").err()
        }
        "first_value" | "last_value" | "nth_value" => fault.hint("write lag(x), min(x) or max(x)").err(),
        "row_number" | "rank" | "dense_rank" => {
            fault.hint("write count(*) over a RANGE frame: there is no first row of a stream").err()
        }
        other => match instead_of(other).map(str::to_owned).or_else(|| aggregate_meant(other)) {
            Some(hint) => fault.hint(hint).err(),
            None => fault.err(),
        },
    }
}

/// Names as a sentence lists what may be written.
pub(crate) fn listed(names: &[&str]) -> String {
    match names {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        _ => names.join(", "),
    }
}

fn lag_offset(call: &Function, span: Span) -> Outcome<usize> {
    let args = arguments(call);
    if args.len() > 2 {
        return Fault::new(span, "lag has a default, which is not supported")
            .hint("write coalesce(lag(x) OVER .., default)")
            .err();
    }
    let Some(offset) = args.get(1) else { return Ok(1) };
    let number = argument(offset).and_then(|expr| expr.to_string().parse::<usize>().ok());
    let number = number.filter(|number| (1..=window::LAG_ROWS_MAX).contains(number));
    let at = argument(offset).map_or(span, |expr| place_of(expr, span));
    number.ok_or_else(|| {
        Box::new(
            Fault::new(at, "lag looks back a constant number of rows, and keeps as many of every key")
                .found(offset.to_string())
                .expected(format!("1 to {}", window::LAG_ROWS_MAX)),
        )
    })
}

/// Checks that a window is in time order; returns what comes after the time.
fn order(order_by: &[OrderByExpr], is_lag: bool, relation: &Relation, span: Span) -> Outcome<Vec<Tree>> {
    let time = relation.time_names();
    let Some((first, rest)) = order_by.split_first() else {
        return Fault::new(span, "a window has no ORDER BY").hint(format!("write ORDER BY {time}")).err();
    };
    if !relation.is_time(&first.expr) {
        return not_by_time(&first.expr, relation, span);
    }
    if let Some(wrong) =
        order_by.iter().find(|item| item.options.asc == Some(false) || item.options.nulls_first == Some(true))
    {
        return Fault::new(place_of(&wrong.expr, span), "a window runs from earlier to later rows")
            .found(wrong.to_string())
            .expected(wrong.expr.to_string())
            .err();
    }
    match rest.first() {
        Some(second) if !is_lag => Fault::new(place_of(&second.expr, span), "a RANGE frame is ordered by time alone")
            .found(second.expr.to_string())
            .hint("leave it out: rows of equal time are all in the frame")
            .err(),
        _ => rest.iter().map(|item| relation.bind(&item.expr, span)).collect(),
    }
}

fn not_by_time<T>(first: &Expr, relation: &Relation, span: Span) -> Outcome<T> {
    let time = relation.time_names();
    relation.bind(first, span)?;
    let fault = Fault::new(place_of(first, span), "a window is ordered by the time of its rows")
        .found(first.to_string())
        .expected(&*time);
    if relation.shift == 0 {
        return fault.hint(format!("write ORDER BY {time}")).err();
    }
    let waits = interval::describe(Length(relation.shift));
    fault.hint(format!("rows wait {waits} for a forward bound, and are known only then; read the view before it")).err()
}

fn frame(frame: Option<&WindowFrame>, call: &Function, span: Span) -> Outcome<Frame> {
    let Some(frame) = frame else {
        return unbounded(call, span);
    };
    let at_units = |fault: Box<Fault>| Box::new(fault.at_word(units_word(frame.units)));
    of_frame(frame, call, span).map_err(|fault| if fault.span == span { at_units(fault) } else { fault })
}

fn units_word(units: WindowFrameUnits) -> &'static str {
    match units {
        WindowFrameUnits::Range => "RANGE",
        WindowFrameUnits::Rows => "ROWS",
        WindowFrameUnits::Groups => "GROUPS",
    }
}

fn of_frame(frame: &WindowFrame, call: &Function, span: Span) -> Outcome<Frame> {
    match frame.units {
        WindowFrameUnits::Range => {}
        WindowFrameUnits::Rows => {
            return Fault::new(span, "ROWS frames are not supported yet")
                .found(frame_text(frame))
                .expected("RANGE and an interval")
                .hint("write RANGE INTERVAL '1' HOUR PRECEDING, or lag(x, n) for single rows")
                .err();
        }
        WindowFrameUnits::Groups => {
            return Fault::new(span, "GROUPS frames are not supported").expected("RANGE and an interval").err();
        }
    }
    let from = match &frame.start_bound {
        WindowFrameBound::Preceding(None) => return unbounded(call, span),
        WindowFrameBound::Preceding(Some(length)) => bound(length, span)?,
        WindowFrameBound::CurrentRow => Length::ZERO,
        WindowFrameBound::Following(_) => return ahead(span),
    };
    let to = match &frame.end_bound {
        None | Some(WindowFrameBound::CurrentRow) => Length::ZERO,
        Some(WindowFrameBound::Preceding(Some(length))) => bound(length, span)?,
        Some(WindowFrameBound::Preceding(None)) => return unbounded(call, span),
        Some(WindowFrameBound::Following(_)) => return ahead(span),
    };
    if from < to {
        return Fault::new(span, "the frame ends before it begins")
            .found(format!("from {} ago to {} ago", interval::describe(from), interval::describe(to)))
            .hint("write the longer interval first")
            .err();
    }
    Ok(Frame { from, to })
}

fn bound(length: &Expr, span: Span) -> Outcome<Length> {
    let length_us = interval::literal(length).map_err(|fault| Box::new(fault.within(span)))?;
    if length_us.0 < 0 {
        return Fault::new(span_of(length), "a frame reaches back by a positive interval")
            .found(length.to_string())
            .within(span)
            .err();
    }
    Ok(length_us)
}

fn unbounded<T>(call: &Function, span: Span) -> Outcome<T> {
    Fault::new(span, "a window without a lower bound would keep every row for ever")
        .found(format!("{}() over all rows before", function_name(call)))
        .expected("RANGE INTERVAL .. PRECEDING")
        .hint("say how far back it looks, e.g. RANGE INTERVAL '30' DAY PRECEDING")
        .err()
}

fn ahead<T>(span: Span) -> Outcome<T> {
    Fault::new(span, "a window cannot look at rows to come")
        .hint("write an aggregate over the stream with a forward bound: (SELECT count(*) FROM s WHERE s.k = r.k AND s.t BETWEEN r.t AND r.t + INTERVAL ..)")
        .err()
}

/// A frame as it is written, for messages.
fn frame_text(frame: &WindowFrame) -> String {
    match &frame.end_bound {
        Some(end) => format!("{} BETWEEN {} AND {end}", frame.units, frame.start_bound),
        None => format!("{} {}", frame.units, frame.start_bound),
    }
}
