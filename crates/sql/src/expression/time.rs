//! Operators and functions over times and intervals.

use super::arguments::exactly;
use super::bound::{Bound, partial, total};
use super::calendar::{self, DAY, SECOND};
use super::cast::cast_to;
use super::interval_literal;
use super::kernel::{Argument, KernelResult, fails};
use super::pairs::try_pairs;
use super::scope::Problem;
use super::sql_type::{self, LENGTH, MONTHS, TIMESTAMP};
use super::time_part::{Part, part};
use arrow::array::{Array, AsArray, PrimitiveArray};
use arrow::datatypes::DataType::{Date32, Float64, Int64, Utf8};
use arrow::datatypes::{
    ArrowPrimitiveType, DurationMicrosecondType, Float64Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

type T = TimestampMicrosecondType;
type D = DurationMicrosecondType;
type M = IntervalMonthDayNanoType;

/// The constant text that names a part.
fn part_name(bound: &Bound) -> Result<Part, Problem> {
    match &bound.value {
        Some(value) if *value.data_type() == Utf8 && value.is_valid(0) => part(value.as_string::<i32>().value(0)),
        _ => Err(Problem::new("the part of a time must be a constant text").expected("e.g. 'hour'")),
    }
}

/// The argument as TIMESTAMP; NULL and text literals become one.
fn as_time(value: Bound) -> Result<Bound, Problem> {
    if sql_type::is_time(&value.data_type) || value.open.is_some_and(|open| open != super::bound::OpenLiteral::Integer)
    {
        return cast_to(value, &TIMESTAMP);
    }
    let found = sql_type::name(&value.data_type);
    let hint = "epoch_ms(x) makes a timestamp of milliseconds, make_timestamp(x) of microseconds";
    Err(Problem::new(format!("{found} is not a time")).found(found).expected("TIMESTAMP or DATE").hint(hint))
}

fn each<I: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    argument: &Argument,
    rows: usize,
    function: impl Fn(I::Native) -> O::Native,
) -> KernelResult {
    let array = argument.array(rows)?;
    let values: &PrimitiveArray<I> = array.as_primitive();
    Ok(Arc::new(values.unary::<_, O>(function)))
}

/// `date_part(part, x)`, `extract(part FROM x)`, `hour(x)`.
fn date_part(part: Part, value: Bound) -> Result<Bound, Problem> {
    if part == Part::Epoch {
        return epoch(value);
    }
    let nullable = value.nullable;
    if value.data_type == LENGTH {
        if part.of_length(0).is_none() {
            return Err(
                Problem::new(format!("an interval has no {}", part.name())).hint("write epoch(x) for its seconds")
            );
        }
        return total("part of interval", vec![value], Int64, nullable, move |arguments, rows| {
            each::<D, Int64Type>(&arguments[0], rows, |micros| part.of_length(micros).unwrap_or(0))
        });
    }
    total("date_part", vec![as_time(value)?], Int64, nullable, move |arguments, rows| {
        each::<T, Int64Type>(&arguments[0], rows, |micros| part.of_time(micros))
    })
}

/// `date_trunc(part, x)`.
fn date_trunc(part: Part, value: Bound) -> Result<Bound, Problem> {
    let nullable = value.nullable;
    partial("date_trunc", vec![as_time(value)?], TIMESTAMP, nullable, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        let truncated = array.as_primitive::<T>().try_unary::<_, T, _>(|micros| {
            part.truncate(micros).and_then(calendar::timestamp).ok_or_else(|| fails(OUT_OF_RANGE))
        })?;
        Ok(Arc::new(truncated))
    })
}

/// `date_diff(part, a, b)` counts borders, `date_sub(part, a, b)` whole units.
fn difference(part: Part, whole: bool, from: Bound, to: Bound) -> Result<Bound, Problem> {
    let nullable = from.nullable || to.nullable;
    partial("date_diff", vec![as_time(from)?, as_time(to)?], Int64, nullable, move |arguments, rows| {
        let between = |from, to| {
            let between = if whole { part.whole(from, to) } else { part.borders(from, to) };
            between.ok_or_else(|| fails(OUT_OF_RANGE))
        };
        Ok(Arc::new(try_pairs::<T, T, Int64Type>(&arguments[0], &arguments[1], rows, between)?))
    })
}

/// `epoch(x)`: seconds with their fraction, of a time or an interval.
fn epoch(value: Bound) -> Result<Bound, Problem> {
    let nullable = value.nullable;
    let seconds = |micros: i64| micros as f64 / SECOND as f64;
    if value.data_type == LENGTH {
        return total("epoch", vec![value], Float64, nullable, move |arguments, rows| {
            each::<D, Float64Type>(&arguments[0], rows, seconds)
        });
    }
    total("epoch", vec![as_time(value)?], Float64, nullable, move |arguments, rows| {
        each::<T, Float64Type>(&arguments[0], rows, seconds)
    })
}

/// `epoch_ms(x)` (1000) and `epoch_us(x)` (1): a whole number. Halves of a time go away from zero, the rest of an
/// interval is dropped, as DuckDB does.
fn epoch_in(unit: i64, value: Bound) -> Result<Bound, Problem> {
    let rounded = move |micros: i64| {
        let (whole, rest) = (micros / unit, micros % unit);
        if rest.abs() * 2 >= unit { whole + rest.signum() } else { whole }
    };
    let nullable = value.nullable;
    if value.data_type == LENGTH {
        return total("epoch_ms", vec![value], Int64, nullable, move |arguments, rows| {
            each::<D, Int64Type>(&arguments[0], rows, |micros| micros / unit)
        });
    }
    total("epoch_ms", vec![as_time(value)?], Int64, nullable, move |arguments, rows| {
        each::<T, Int64Type>(&arguments[0], rows, rounded)
    })
}

/// `epoch_ms(n)` (1000) and `make_timestamp(n)` (1): the timestamp that many units after 1970.
fn from_epoch(unit: i64, value: Bound) -> Result<Bound, Problem> {
    let nullable = value.nullable;
    partial("timestamp", vec![cast_to(value, &Int64)?], TIMESTAMP, nullable, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        let times = array.as_primitive::<Int64Type>().try_unary::<_, T, _>(|count| {
            let micros = count.checked_mul(unit).and_then(calendar::timestamp);
            micros.ok_or_else(|| fails(format!("{count} is out of the range of timestamps")))
        })?;
        Ok(Arc::new(times))
    })
}

/// The beginning of Monday 2000-01-03, where buckets of days and less begin.
const BUCKET_ORIGIN: i64 = 10_959 * DAY;
/// The month 2000-01 since year 0, where buckets of months begin.
const BUCKET_ORIGIN_MONTH: i64 = 2000 * 12;

/// `time_bucket(interval, x)`: the beginning of the bucket, which of a DATE is the day that it is on.
fn time_bucket(width: Bound, value: Bound) -> Result<Bound, Problem> {
    let is_date = value.data_type == Date32;
    let nullable = width.nullable || value.nullable;
    let time = as_time(value)?;
    let begin = match width.data_type {
        LENGTH => partial("time_bucket", vec![width, time], TIMESTAMP, nullable, |arguments, rows| {
            Ok(Arc::new(try_pairs::<D, T, T>(&arguments[0], &arguments[1], rows, bucket_of_length)?))
        }),
        MONTHS => partial("time_bucket", vec![width, time], TIMESTAMP, nullable, |arguments, rows| {
            Ok(Arc::new(try_pairs::<M, T, T>(&arguments[0], &arguments[1], rows, bucket_of_months)?))
        }),
        _ => return Err(Problem::new("the width of a bucket must be an interval").expected("e.g. INTERVAL '5' MINUTE")),
    }?;
    if is_date { cast_to(begin, &Date32) } else { Ok(begin) }
}

fn bucket_of_length(width: i64, time: i64) -> Result<i64, ArrowError> {
    if width <= 0 {
        return Err(fails(NO_WIDTH));
    }
    let since = time.checked_sub(BUCKET_ORIGIN).ok_or_else(|| fails(OUT_OF_RANGE))?;
    time.checked_sub(since.rem_euclid(width)).and_then(calendar::timestamp).ok_or_else(|| fails(OUT_OF_RANGE))
}

fn bucket_of_months(width: IntervalMonthDayNano, time: i64) -> Result<i64, ArrowError> {
    if width.days != 0 || width.nanoseconds != 0 {
        return Err(fails("the width of a bucket has months or days, not both"));
    }
    if width.months <= 0 {
        return Err(fails(NO_WIDTH));
    }
    let (year, month, _) = calendar::date(time.div_euclid(DAY));
    let month = year * 12 + month - 1;
    let begin = month - (month - BUCKET_ORIGIN_MONTH).rem_euclid(width.months.into());
    let day = calendar::days(begin.div_euclid(12), begin.rem_euclid(12) + 1, 1);
    day.checked_mul(DAY).and_then(calendar::timestamp).ok_or_else(|| fails(OUT_OF_RANGE))
}

const NO_WIDTH: &str = "the width of a bucket must be greater than zero";
const OUT_OF_RANGE: &str = "the timestamp is out of range";

/// The functions over times, by name.
pub(crate) fn temporal(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    match name {
        "date_trunc" | "datetrunc" => {
            let [part, value] = exactly(name, arguments)?;
            return date_trunc(part_name(&part)?, value);
        }
        "date_part" | "datepart" => {
            let [part, value] = exactly(name, arguments)?;
            return date_part(part_name(&part)?, value);
        }
        "date_diff" | "datediff" | "date_sub" | "datesub" => {
            let [part, from, to] = exactly(name, arguments)?;
            return difference(part_name(&part)?, name.ends_with("sub"), from, to);
        }
        "time_bucket" => {
            let [width, value] = exactly(name, arguments)?;
            return time_bucket(width, value);
        }
        _ => {}
    }
    let [value] = exactly(name, arguments)?;
    match name {
        "epoch" => epoch(value),
        "epoch_ms" if value.data_type.is_integer() => from_epoch(1000, value),
        "epoch_ms" => epoch_in(1000, value),
        "epoch_us" => epoch_in(1, value),
        "make_timestamp" if value.data_type.is_integer() || value.open.is_some() => from_epoch(1, value),
        "make_timestamp" => {
            let problem = Problem::new("make_timestamp takes microseconds, as a whole number");
            Err(problem
                .found(sql_type::name(&value.data_type))
                .expected("a whole number")
                .hint("cast it, e.g. x::BIGINT"))
        }
        _ => date_part(part(name)?, value),
    }
}

/// `to_hours(n)` and its like, by name.
pub(crate) fn interval_of(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let [value] = exactly(name, arguments)?;
    interval_literal::many_of(value, name.strip_prefix("to_").unwrap_or(name))
}
