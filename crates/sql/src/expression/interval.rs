//! Intervals, and their text.

use super::calendar::{DAY, HOUR, MINUTE, SECOND};
use arrow::array::{ArrayRef, DurationMicrosecondArray, IntervalMonthDayNanoArray};
use arrow::datatypes::IntervalMonthDayNano;
use std::sync::Arc;

/// Months, days and microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interval {
    months: i64,
    days: i64,
    micros: i64,
    // What was written has parts below a microsecond, and was rounded.
    is_rounded: bool,
}

impl Interval {
    /// Whether it is what was written: nothing is finer than a microsecond.
    pub(crate) fn is_exact(self) -> bool {
        !self.is_rounded
    }

    /// The length; months have none.
    pub(crate) fn micros(self) -> Option<i64> {
        (self.months == 0).then(|| self.days.checked_mul(DAY)?.checked_add(self.micros))?
    }

    fn plus(self, other: Interval) -> Option<Interval> {
        Some(Interval {
            months: self.months.checked_add(other.months)?,
            days: self.days.checked_add(other.days)?,
            micros: self.micros.checked_add(other.micros)?,
            is_rounded: self.is_rounded || other.is_rounded,
        })
    }

    pub(crate) fn value(self) -> Option<ArrayRef> {
        if self.months == 0 {
            return Some(Arc::new(DurationMicrosecondArray::from(vec![self.micros()?])));
        }
        let (months, days) = (i32::try_from(self.months).ok()?, i32::try_from(self.days).ok()?);
        let parts = IntervalMonthDayNano::new(months, days, self.micros.checked_mul(1000)?);
        Some(Arc::new(IntervalMonthDayNanoArray::from(vec![parts])))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

pub(crate) fn unit(name: &str) -> Option<Unit> {
    Some(match &name.to_ascii_lowercase()[..] {
        "millennium" | "millennia" | "millenniums" | "millenium" | "mil" | "mils" => Unit::Months(12_000),
        "century" | "centuries" | "c" | "cent" => Unit::Months(1_200),
        "decade" | "decades" | "dec" | "decs" => Unit::Months(120),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "quarter" | "quarters" => Unit::Months(3),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "w" | "week" | "weeks" | "weekofyear" => Unit::Days(7),
        "d" | "day" | "days" | "dayofmonth" => Unit::Days(1),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(HOUR),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(MINUTE),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(SECOND),
        "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecond" | "milliseconds" => Unit::Micros(1000),
        "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecond" | "microseconds" => Unit::Micros(1),
        _ => return None,
    })
}

/// How far from a whole number of microseconds the floats are that stand for one.
const NOISE: f64 = 0.01;

/// So many of a unit; a fraction of a day or less goes on in microseconds, one of a month has no meaning.
pub(crate) fn many(value: f64, unit: Unit) -> Option<Interval> {
    let whole = |value: f64| (value.abs() < 9e18).then_some(value.round() as i64);
    // The fraction of a large number has the error of the whole.
    let noise = |each: i64| NOISE.max(value.abs() * each as f64 * 2.0 * f64::EPSILON);
    let is_rounded = |micros: f64, each: i64| (micros - micros.round()).abs() > noise(each);
    let (count, rest) = (value.trunc(), value.fract());
    match unit {
        Unit::Months(months) => {
            (rest == 0.0).then_some(Interval { months: whole(count)?.checked_mul(months)?, ..Interval::default() })
        }
        Unit::Days(days) => Some(Interval {
            days: whole(count)?.checked_mul(days)?,
            micros: whole(rest * (days * DAY) as f64)?,
            is_rounded: is_rounded(rest * (days * DAY) as f64, days * DAY),
            ..Interval::default()
        }),
        Unit::Micros(micros) => {
            let part = rest * micros as f64;
            let is_rounded = is_rounded(part, micros);
            let micros = whole(count)?.checked_mul(micros)?.checked_add(whole(part)?)?;
            Some(Interval { micros, is_rounded, ..Interval::default() })
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
    let of_seconds = seconds * SECOND as f64;
    let micros = hours.checked_mul(HOUR)?.checked_add(minutes * MINUTE + of_seconds.round() as i64)?;
    let is_rounded = (of_seconds - of_seconds.round()).abs() > NOISE;
    Some(Interval { micros: if negative { -micros } else { micros }, is_rounded, ..Interval::default() })
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

    #[test]
    fn what_is_finer_than_a_microsecond_is_not_exact() {
        for text in [
            "0.1 ms",
            "1.000001 s",
            "0.3 days",
            "00:00:59.999999",
            "123456.789012 s",
            "0.7 weeks",
            "10000.3 days",
            "1000000000.123456 s",
        ] {
            assert!(read(text).unwrap().is_exact(), "{text}");
        }
        for text in ["0.0000001 s", "1.5 us", "1 s 0.0001 ms", "00:00:00.0000005", "2.0000004s"] {
            assert!(!read(text).unwrap().is_exact(), "{text}");
        }
    }
}
