//! Interval literals.

use super::bind::{Binder, Bound, call, cast_to};
use super::calendar::{DAY, HOUR, MINUTE, SECOND};
use super::kernel::fails;
use super::scope::Problem;
use super::sql_type::{self, LENGTH};
use arrow::array::{ArrayRef, AsArray, DurationMicrosecondArray, IntervalMonthDayNanoArray};
use arrow::datatypes::{DataType, DurationMicrosecondType, Float64Type, Int64Type, IntervalMonthDayNano};
use sqlparser::ast::{self, Expr, Value};
use std::sync::Arc;

/// Months, days and microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    months: i64,
    days: i64,
    micros: i64,
}

impl Interval {
    /// The length; months have none.
    pub(crate) fn micros(self) -> Option<i64> {
        (self.months == 0).then(|| self.days.checked_mul(DAY)?.checked_add(self.micros))?
    }

    fn plus(self, other: Interval) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
        })
    }

    fn value(self) -> Option<ArrayRef> {
        if self.months == 0 {
            return Some(Arc::new(DurationMicrosecondArray::from(vec![self.micros()?])));
        }
        let (months, days) = (i32::try_from(self.months).ok()?, i32::try_from(self.days).ok()?);
        let parts = IntervalMonthDayNano::new(months, days, self.micros.checked_mul(1000)?);
        Some(Arc::new(IntervalMonthDayNanoArray::from(vec![parts])))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

fn unit(name: &str) -> Option<Unit> {
    Some(match &name.to_ascii_lowercase()[..] {
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "quarter" | "quarters" => Unit::Months(3),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "d" | "day" | "days" => Unit::Days(1),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(HOUR),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(MINUTE),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(SECOND),
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => Unit::Micros(1000),
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => Unit::Micros(1),
        _ => return None,
    })
}

/// So many of a unit; a fraction of a day or less goes on in microseconds, one of a month has no meaning.
fn many(value: f64, unit: Unit) -> Option<Interval> {
    let whole = |value: f64| (value.abs() < 9e18).then_some(value.round() as i64);
    let (count, rest) = (value.trunc(), value.fract());
    match unit {
        Unit::Months(months) => {
            (rest == 0.0).then_some(Interval { months: whole(count)?.checked_mul(months)?, ..Interval::default() })
        }
        Unit::Days(days) => Some(Interval {
            days: whole(count)?.checked_mul(days)?,
            micros: whole(rest * (days * DAY) as f64)?,
            ..Interval::default()
        }),
        Unit::Micros(micros) => {
            let fraction = whole(rest * micros as f64)?;
            let micros = whole(count)?.checked_mul(micros)?.checked_add(fraction)?;
            Some(Interval { micros, ..Interval::default() })
        }
    }
}

/// Reads `1 day 2 hours`, `1.5h`, `01:02:03` and sums of them.
pub(crate) fn read(text: &str) -> Option<Interval> {
    let mut rest = text.trim();
    let mut sum = Interval::default();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.:".contains(c))).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if number.contains(':') {
            sum = sum.plus(clock(number)?)?;
            rest = after.trim_start();
            continue;
        }
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        sum = sum.plus(many(number.parse().ok()?, unit(name)?)?)?;
        rest = after.trim_start();
    }
    Some(sum)
}

fn clock(text: &str) -> Option<Interval> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, ..] = parts[..] else { return None };
    let seconds: f64 = parts.get(2).map_or(Some(0.0), |seconds| seconds.parse().ok())?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    if parts.len() > 3 || minutes > 59 || seconds >= 60.0 {
        return None;
    }
    let micros = hours.checked_mul(HOUR)?.checked_add(minutes * MINUTE + (seconds * SECOND as f64).round() as i64)?;
    Some(Interval { micros: if negative { -micros } else { micros }, ..Interval::default() })
}

/// `INTERVAL '1' DAY`, `INTERVAL '500 ms'`, `INTERVAL (n) HOURS`.
pub(crate) fn bind(binder: &Binder<'_>, interval: &ast::Interval) -> Result<Bound, Problem> {
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
    let Some(field) = &interval.leading_field else {
        let text = text.ok_or_else(|| bad(&interval.value.to_string()))?;
        let value = read(&text).and_then(Interval::value).ok_or_else(|| bad(&text))?;
        return Ok(Bound::literal(value, None));
    };
    let name = field.to_string();
    let unit = unit(&name).ok_or_else(|| Problem::new(format!("{name} is not a unit of time")).found(&name))?;
    if interval.last_field.is_some() {
        return Err(bad(&interval.to_string()));
    }
    if let Some(text) = text {
        let number: f64 = text.trim().parse().map_err(|_| bad(&text))?;
        // DuckDB drops the fraction of all units above seconds.
        let number = if unit_keeps_fractions(unit) { number } else { number.trunc() };
        let value = many(number, unit).and_then(Interval::value).ok_or_else(|| bad(&text))?;
        return Ok(Bound::literal(value, None));
    }
    many_of(binder.bind(&interval.value)?, &name)
}

fn unit_keeps_fractions(unit: Unit) -> bool {
    matches!(unit, Unit::Micros(micros) if micros <= SECOND)
}

/// `to_hours(n)` and its like: as many of a unit as the row says.
pub(crate) fn many_of(count: Bound, name: &str) -> Result<Bound, Problem> {
    let each = match unit(name) {
        Some(Unit::Days(days)) => days * DAY,
        Some(Unit::Micros(micros)) => micros,
        _ => {
            return Err(Problem::new("a number of months that differs by row is not an interval here")
                .hint("write a constant, e.g. INTERVAL '1' MONTH, or count in days"));
        }
    };
    if !sql_type::is_number(&count.data_type) && count.open.is_none() {
        let found = sql_type::name(&count.data_type);
        return Err(Problem::new(format!("{found} is not a number of {name}")).found(found).expected("a number"));
    }
    let nullable = count.nullable;
    let too_long = move || {
        fails(format!("an interval of so many microseconds does not fit: more than {} times {each}", i64::MAX / each))
    };
    if each <= SECOND && !sql_type::is_integer(&count.data_type) {
        let count = cast_to(count, &DataType::Float64)?;
        return call("interval", vec![count], LENGTH, nullable, move |arguments, rows| {
            let counts = arguments[0].array(rows)?;
            let micros = |count: f64| Some((count * each as f64).round()).filter(|m| m.abs() < 9e18).map(|m| m as i64);
            let lengths = counts
                .as_primitive::<Float64Type>()
                .try_unary::<_, DurationMicrosecondType, _>(|count| micros(count).ok_or_else(too_long))?;
            Ok(Arc::new(lengths))
        });
    }
    let count = cast_to(count, &DataType::Int64)?;
    call("interval", vec![count], LENGTH, nullable, move |arguments, rows| {
        let counts = arguments[0].array(rows)?;
        let lengths = counts
            .as_primitive::<Int64Type>()
            .try_unary::<_, DurationMicrosecondType, _>(|count| count.checked_mul(each).ok_or_else(too_long))?;
        Ok(Arc::new(lengths))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read() {
        let micros = |text: &str| read(text).and_then(Interval::micros);
        assert_eq!(micros("1 day 2 hours"), Some(26 * HOUR));
        assert_eq!(micros("01:02:03.5"), Some(3_723_500_000));
        assert_eq!(micros("1.5 days"), Some(36 * HOUR));
        assert_eq!(micros("-90m"), Some(-90 * MINUTE));
        assert_eq!(micros("1 month"), None);
        assert_eq!(read("1 12:00:00"), None);
        assert_eq!(read(""), None);
    }
}
