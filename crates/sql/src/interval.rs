//! Constant intervals, and times that are a column plus or minus one.

use crate::diagnostic::{Fault, Outcome, span_of};
use dataflow::Span as Length;
use datafusion_sql::sqlparser::ast::{BinaryOperator, DateTimeField, Expr, Interval, UnaryOperator, Value};

const UNITS: [(&str, i64); 6] = [
    ("week", 604_800_000_000),
    ("day", 86_400_000_000),
    ("hour", 3_600_000_000),
    ("minute", 60_000_000),
    ("second", 1_000_000),
    ("millisecond", 1_000),
];

/// The length of a constant interval: `INTERVAL '1' HOUR`, `INTERVAL 90 SECONDS`, `INTERVAL '500 ms'`.
pub(crate) fn literal(expression: &Expr) -> Outcome<Length> {
    match expression {
        Expr::Nested(inner) => literal(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Ok(Length(-literal(expr)?.0)),
        Expr::Interval(interval) => of_interval(interval).ok_or_else(|| {
            let fault = Fault::new(span_of(expression), "not an interval of constant length")
                .found(expression.to_string())
                .expected("INTERVAL and a number of weeks, days, hours, minutes, seconds or milliseconds")
                .hint("months and years differ in length; write days");
            Box::new(fault)
        }),
        other => Fault::new(span_of(other), "not a constant interval")
            .found(other.to_string())
            .expected("an interval such as INTERVAL '1' HOUR")
            .err(),
    }
}

fn of_interval(interval: &Interval) -> Option<Length> {
    if interval.last_field.is_some() {
        return None;
    }
    let text = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
            _ => return None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{expr}"),
        _ => return None,
    };
    match &interval.leading_field {
        Some(field) => amount(&text, unit(field_name(field)?)?),
        None => of_text(&text),
    }
}

/// `1 hour 30 minutes`.
fn of_text(text: &str) -> Option<Length> {
    let spaced: String = spaced(text.trim());
    let words: Vec<&str> = spaced.split_whitespace().collect();
    if words.is_empty() || !words.len().is_multiple_of(2) {
        return None;
    }
    let parts = words.chunks(2).map(|pair| amount(pair[0], unit(pair[1])?)).collect::<Option<Vec<_>>>()?;
    parts.into_iter().try_fold(0i64, |sum, part| sum.checked_add(part.0)).map(Length)
}

/// Puts a space between a number and its unit.
fn spaced(text: &str) -> String {
    let mut out = String::new();
    let mut after_digit = false;
    for character in text.chars() {
        if character.is_alphabetic() && after_digit {
            out.push(' ');
        }
        after_digit = character.is_ascii_digit();
        out.push(character);
    }
    out
}

/// A decimal number of units, exactly.
fn amount(number: &str, unit: i64) -> Option<Length> {
    let (negative, number) = match number.trim().strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.trim()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i64 = if whole.is_empty() && !fraction.is_empty() { 0 } else { whole.parse().ok()? };
    let mut micros = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        micros = micros.checked_add(i64::from(digit.to_digit(10)?) * place)?;
    }
    Some(Length(if negative { -micros } else { micros }))
}

fn unit(name: &str) -> Option<i64> {
    let name = name.to_lowercase();
    let name = match name.as_str() {
        "ms" | "msec" | "msecs" => "millisecond",
        "s" | "sec" | "secs" => "second",
        "m" | "min" | "mins" => "minute",
        "h" | "hr" | "hrs" => "hour",
        "d" => "day",
        "w" => "week",
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => return Some(1),
        other => other.strip_suffix('s').unwrap_or(other),
    };
    UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, micros)| *micros)
}

fn field_name(field: &DateTimeField) -> Option<&'static str> {
    Some(match field {
        DateTimeField::Week(None) | DateTimeField::Weeks => "week",
        DateTimeField::Day | DateTimeField::Days => "day",
        DateTimeField::Hour | DateTimeField::Hours => "hour",
        DateTimeField::Minute | DateTimeField::Minutes => "minute",
        DateTimeField::Second | DateTimeField::Seconds => "second",
        DateTimeField::Millisecond | DateTimeField::Milliseconds => "millisecond",
        DateTimeField::Microsecond | DateTimeField::Microseconds => "microsecond",
        _ => return None,
    })
}

/// A column plus or minus constant intervals: the column, and the microseconds that are added. `None` for other
/// expressions, and for arithmetic with anything but intervals.
pub(crate) fn column_plus(expression: &Expr) -> Option<(&Expr, i64)> {
    match expression {
        Expr::Nested(inner) => column_plus(inner),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Some((expression, 0)),
        Expr::BinaryOp { left, op: BinaryOperator::Plus, right } if column_plus(left).is_none() => {
            let (column, offset) = column_plus(right)?;
            Some((column, offset.checked_add(literal(left).ok()?.0)?))
        }
        Expr::BinaryOp { left, op, right } => {
            let (column, offset) = column_plus(left)?;
            let length = literal(right).ok()?.0;
            match op {
                BinaryOperator::Plus => Some((column, offset.checked_add(length)?)),
                BinaryOperator::Minus => Some((column, offset.checked_sub(length)?)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A length as people read it: `7 d`, `1 h`, `90 s`.
pub(crate) fn describe(length: Length) -> String {
    let short = [("d", UNITS[1].1), ("h", UNITS[2].1), ("min", UNITS[3].1), ("s", UNITS[4].1), ("ms", UNITS[5].1)];
    match short.iter().find(|(_, unit)| length.0 != 0 && length.0 % unit == 0) {
        Some((name, unit)) => format!("{} {name}", length.0 / unit),
        None if length.0 == 0 => "0 s".to_owned(),
        None => format!("{} us", length.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse_query;

    fn length_of(text: &str) -> Option<i64> {
        let (query, _) = parse_query(&format!("SELECT {text}")).ok()?;
        let datafusion_sql::sqlparser::ast::SetExpr::Select(select) = *query.body else { return None };
        let datafusion_sql::sqlparser::ast::SelectItem::UnnamedExpr(expr) = &select.projection[0] else { return None };
        literal(expr).ok().map(|length| length.0)
    }

    #[test]
    fn intervals_have_a_length_in_all_their_forms() {
        assert_eq!(length_of("INTERVAL '1' HOUR"), Some(3_600_000_000));
        assert_eq!(length_of("INTERVAL 90 SECONDS"), Some(90_000_000));
        assert_eq!(length_of("INTERVAL '500 ms'"), Some(500_000));
        assert_eq!(length_of("INTERVAL '0.5' SECOND"), Some(500_000));
        assert_eq!(length_of("INTERVAL '1 hour 30 minutes'"), Some(5_400_000_000));
        assert_eq!(length_of("INTERVAL '1h30m'"), None);
        assert_eq!(length_of("INTERVAL '1h 30m'"), Some(5_400_000_000));
        assert_eq!(length_of("-INTERVAL '1' DAY"), Some(-86_400_000_000));
        assert_eq!(length_of("INTERVAL '1' MONTH"), None);
        assert_eq!(length_of("INTERVAL '99999999999999999' DAY"), None);
    }
}
