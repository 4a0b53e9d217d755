//! INTERVAL in SQL text, and functions that give intervals.

use super::bound::{Bound, partial};
use super::calendar::{DAY, HOUR, MINUTE, SECOND};
use super::cast::cast_to;
use super::interval::{Interval, Unit, many, read, unit};
use super::kernel::fails;
use super::scope::Problem;
use super::sql_type::{self, LENGTH};
use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, DurationMicrosecondType, Float64Type, Int64Type};
use sqlparser::ast::{self, Expr, Value};
use std::sync::Arc;

const MILLISECOND: i64 = SECOND / 1000;

/// What INTERVAL is followed by.
pub(crate) enum IntervalLiteral {
    /// A constant: `INTERVAL '1' DAY`, `INTERVAL '500 ms'`.
    Constant(ArrayRef),
    /// An expression that counts units of this name: `INTERVAL (n) HOURS`.
    Units(String),
}

/// Reads an interval whose expression, if it has one, is not bound yet.
pub(crate) fn literal(interval: &ast::Interval) -> Result<IntervalLiteral, Problem> {
    let bad = |text: &str| {
        Problem::new(format!("'{text}' is not an interval"))
            .found(text)
            .expected("e.g. INTERVAL '2' HOUR or INTERVAL '500 ms'")
    };
    let text = match &*interval.value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.clone()),
            Value::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    let (read, shown) = match &interval.leading_field {
        None => {
            let text = text.ok_or_else(|| bad(&interval.value.to_string()))?;
            (read(&text), text)
        }
        Some(field) => {
            let name = field.to_string();
            let unit = unit(&name).ok_or_else(|| Problem::new(format!("{name} is not a unit of time")).found(&name))?;
            if interval.last_field.is_some() {
                return Err(bad(&interval.to_string()));
            }
            let Some(text) = text else { return Ok(IntervalLiteral::Units(name)) };
            let number: f64 = text.trim().parse().map_err(|_| bad(&text))?;
            // DuckDB drops the fraction of all units above seconds.
            let number = if unit_keeps_fractions(unit) { number } else { number.trunc() };
            (many(number, unit), text)
        }
    };
    if read.is_some_and(|read| !read.is_exact()) {
        let problem = Problem::new("an interval has parts below a microsecond, and nothing is finer than one");
        return Err(problem.found(interval.to_string()));
    }
    Ok(IntervalLiteral::Constant(read.and_then(Interval::value).ok_or_else(|| bad(&shown))?))
}

fn unit_keeps_fractions(unit: Unit) -> bool {
    matches!(unit, Unit::Micros(micros) if micros <= SECOND)
}

/// The function that counts a unit: `to_hours`.
pub(crate) fn function_of(name: &str) -> Result<String, Problem> {
    let unit = match unit(name) {
        Some(Unit::Days(7)) => "weeks",
        Some(Unit::Days(_)) => "days",
        Some(Unit::Micros(HOUR)) => "hours",
        Some(Unit::Micros(MINUTE)) => "minutes",
        Some(Unit::Micros(SECOND)) => "seconds",
        Some(Unit::Micros(1)) => "microseconds",
        Some(Unit::Micros(_)) => "milliseconds",
        _ => return Err(many_months()),
    };
    Ok(format!("to_{unit}"))
}

fn many_months() -> Problem {
    Problem::new("a number of months that differs by row is not an interval here")
        .hint("write a constant, e.g. INTERVAL '1' MONTH, or count in days")
}

/// `to_hours(n)` and its like: as many of a unit as the row says.
pub(crate) fn many_of(count: Bound, name: &str) -> Result<Bound, Problem> {
    let each = match unit(name) {
        Some(Unit::Days(days)) => days * DAY,
        Some(Unit::Micros(micros)) => micros,
        _ => return Err(many_months()),
    };
    if !sql_type::is_number(&count.data_type) && count.open.is_none() {
        let found = sql_type::name(&count.data_type);
        return Err(Problem::new(format!("{found} is not a number of {name}")).found(found).expected("a number"));
    }
    let keeps_fractions = [MILLISECOND, SECOND].contains(&each);
    let is_whole = count.data_type.is_integer() || count.open.is_some();
    if !keeps_fractions && !is_whole {
        let found = sql_type::name(&count.data_type);
        let problem = Problem::new(format!("to_{name} takes a whole number")).found(found).expected("a whole number");
        return Err(problem.hint(format!("write x * INTERVAL '1' {}", name.trim_end_matches('s').to_uppercase())));
    }
    let nullable = count.nullable;
    let too_long = move || {
        fails(format!("an interval of so many microseconds does not fit: more than {} times {each}", i64::MAX / each))
    };
    if keeps_fractions && !sql_type::is_integer(&count.data_type) {
        let count = cast_to(count, &DataType::Float64)?;
        return partial("interval", vec![count], LENGTH, nullable, move |arguments, rows| {
            let counts = arguments[0].array(rows)?;
            let micros = |count: f64| Some((count * each as f64).round()).filter(|m| m.abs() < 9e18).map(|m| m as i64);
            let lengths = counts
                .as_primitive::<Float64Type>()
                .try_unary::<_, DurationMicrosecondType, _>(|count| micros(count).ok_or_else(too_long))?;
            Ok(Arc::new(lengths))
        });
    }
    let count = cast_to(count, &DataType::Int64)?;
    partial("interval", vec![count], LENGTH, nullable, move |arguments, rows| {
        let counts = arguments[0].array(rows)?;
        let lengths = counts
            .as_primitive::<Int64Type>()
            .try_unary::<_, DurationMicrosecondType, _>(|count| count.checked_mul(each).ok_or_else(too_long))?;
        Ok(Arc::new(lengths))
    })
}
