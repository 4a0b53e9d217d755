//! `+ - * /` over times and intervals.

use super::bound::{Bound, partial, total};
use super::calendar::{self, DAY};
use super::cast::cast_to;
use super::kernel::fails;
use super::operator::{Operator, no_operator};
use super::pairs::{pairs, try_pairs};
use super::scope::Problem;
use super::sql_type::{self, LENGTH, MONTHS, TIMESTAMP};
use arrow::datatypes::DataType::{self, Date32, Float64, Int64};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, DurationMicrosecondType, Float64Type, Int64Type, IntervalMonthDayNanoType,
    TimestampMicrosecondType,
};
use std::sync::Arc;

type T = TimestampMicrosecondType;
type D = DurationMicrosecondType;

/// `+ - * /` where a time or an interval takes part.
pub(crate) fn arithmetic(operator: Operator, left: Bound, right: Bound) -> Result<Bound, Problem> {
    use Operator::{Add, Divide, Multiply, Subtract};
    let (l, r) = (left.data_type.clone(), right.data_type.clone());
    let (left_time, right_time) = (sql_type::is_time(&l), sql_type::is_time(&r));
    match operator {
        Add if left_time && (r == LENGTH || r == MONTHS) => plus(left, right, 1),
        Add if right_time && (l == LENGTH || l == MONTHS) => plus(right, left, 1),
        Subtract if left_time && (r == LENGTH || r == MONTHS) => plus(left, right, -1),
        Add if l == Date32 && sql_type::is_integer(&r) => date_plus_days(left, right, 1),
        Add if r == Date32 && sql_type::is_integer(&l) => date_plus_days(right, left, 1),
        Subtract if l == Date32 && sql_type::is_integer(&r) => date_plus_days(left, right, -1),
        Subtract if l == Date32 && r == Date32 => {
            let nullable = left.nullable || right.nullable;
            total("days between", vec![left, right], Int64, nullable, |arguments, rows| {
                pairs::<Date32Type, Date32Type, Int64Type>(&arguments[0], &arguments[1], rows, |a, b| {
                    i64::from(a) - i64::from(b)
                })
            })
        }
        Subtract if left_time && right_time => {
            let (left, right) = (cast_to(left, &TIMESTAMP)?, cast_to(right, &TIMESTAMP)?);
            lengths::<T, T, D>("time between", left, right, LENGTH, i64::checked_sub)
        }
        Add if l == LENGTH && r == LENGTH => {
            lengths::<D, D, D>("sum of intervals", left, right, LENGTH, i64::checked_add)
        }
        Subtract if l == LENGTH && r == LENGTH => {
            lengths::<D, D, D>("intervals", left, right, LENGTH, i64::checked_sub)
        }
        Multiply if l == LENGTH && sql_type::is_number(&r) => scale_length(operator, left, right),
        Multiply if r == LENGTH && sql_type::is_number(&l) => scale_length(operator, right, left),
        Divide if l == LENGTH && sql_type::is_number(&r) => scale_length(operator, left, right),
        Divide if l == LENGTH && r == LENGTH => Err(no_operator(operator, &l, &r).hint("write epoch(a) / epoch(b)")),
        _ => Err(no_operator(operator, &l, &r)),
    }
}

fn plus(time: Bound, interval: Bound, sign: i64) -> Result<Bound, Problem> {
    if interval.data_type == MONTHS {
        return plus_months(time, interval, sign);
    }
    let time = cast_to(time, &TIMESTAMP)?;
    let function = if sign < 0 { i64::checked_sub } else { i64::checked_add };
    let time_plus = move |time, length| function(time, length).and_then(calendar::timestamp);
    lengths::<T, D, T>("time plus interval", time, interval, TIMESTAMP, time_plus)
}

fn lengths<A, B, O>(
    name: &'static str,
    left: Bound,
    right: Bound,
    data_type: DataType,
    function: impl Fn(i64, i64) -> Option<i64> + Send + Sync + 'static,
) -> Result<Bound, Problem>
where
    A: ArrowPrimitiveType<Native = i64>,
    B: ArrowPrimitiveType<Native = i64>,
    O: ArrowPrimitiveType<Native = i64>,
{
    let nullable = left.nullable || right.nullable;
    partial(name, vec![left, right], data_type, nullable, move |arguments, rows| {
        let result = try_pairs::<A, B, O>(&arguments[0], &arguments[1], rows, |a, b| {
            function(a, b).ok_or_else(|| fails(format!("{name}: the result is out of range")))
        })?;
        Ok(Arc::new(result))
    })
}

/// Adds days to dates.
fn date_plus_days(date: Bound, days: Bound, sign: i64) -> Result<Bound, Problem> {
    let (date, days) = (cast_to(date, &Date32)?, cast_to(days, &Int64)?);
    let nullable = date.nullable || days.nullable;
    partial("date plus days", vec![date, days], Date32, nullable, move |arguments, rows| {
        let sum = try_pairs::<Date32Type, Int64Type, Date32Type>(&arguments[0], &arguments[1], rows, |date, days| {
            let sum = days.checked_mul(sign).and_then(|days| days.checked_add(i64::from(date)));
            sum.and_then(calendar::day).ok_or_else(|| fails("the date is out of range"))
        })?;
        Ok(Arc::new(sum))
    })
}

/// Adds an interval with months to a timestamp: months, then days, then the rest.
fn plus_months(time: Bound, interval: Bound, sign: i64) -> Result<Bound, Problem> {
    let (time, interval) = (cast_to(time, &TIMESTAMP)?, cast_to(interval, &MONTHS)?);
    let nullable = time.nullable || interval.nullable;
    partial("plus months", vec![time, interval], TIMESTAMP, nullable, move |arguments, rows| {
        let sum = try_pairs::<T, IntervalMonthDayNanoType, T>(&arguments[0], &arguments[1], rows, |time, interval| {
            // At most 2^31 days and 2^63 nanoseconds: far from the ends of 64 bits of microseconds.
            let rest = i64::from(interval.days) * DAY + interval.nanoseconds / 1000;
            let moved = calendar::add_months(time, sign * i64::from(interval.months));
            let sum = moved.and_then(|time| time.checked_add(rest.checked_mul(sign)?)).and_then(calendar::timestamp);
            sum.ok_or_else(|| fails("the timestamp is out of range"))
        })?;
        Ok(Arc::new(sum))
    })
}

/// An interval times or divided by a number.
fn scale_length(operator: Operator, length: Bound, number: Bound) -> Result<Bound, Problem> {
    let nullable = length.nullable || number.nullable;
    let whole = sql_type::is_integer(&number.data_type) && operator == Operator::Multiply;
    let number = cast_to(number, if whole { &Int64 } else { &Float64 })?;
    partial("scaled interval", vec![length, number], LENGTH, nullable, move |arguments, rows| {
        let (length, number) = (&arguments[0], &arguments[1]);
        let too_long = || fails("the interval is too long for 64 bits of microseconds");
        if whole {
            let times = |length: i64, number: i64| length.checked_mul(number).ok_or_else(too_long);
            return Ok(Arc::new(try_pairs::<D, Int64Type, D>(length, number, rows, times)?));
        }
        let scaled = try_pairs::<D, Float64Type, D>(length, number, rows, |length, number| {
            if operator == Operator::Divide && number == 0.0 {
                return Err(fails("division of an interval by zero"));
            }
            let exact = if operator == Operator::Divide { length as f64 / number } else { length as f64 * number };
            Some(exact.round()).filter(|micros| micros.abs() < 9.2e18).map(|micros| micros as i64).ok_or_else(too_long)
        })?;
        Ok(Arc::new(scaled))
    })
}
