//! Constant intervals, and times that are a column plus or minus one.

use crate::diagnostic::{Outcome, fault};
use crate::expression;
use dataflow::Span as Length;
use sqlparser::ast::{BinaryOperator, Expr};

const UNITS: [(&str, i64); 5] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];

/// The length of a constant interval: `INTERVAL '1' HOUR`, `INTERVAL 90 SECONDS`, `INTERVAL '500 ms'`.
pub(crate) fn literal(expression: &Expr) -> Outcome<Length> {
    expression::interval_micros(expression).map(Length).map_err(|problem| Box::new(fault(problem)))
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
pub fn describe(length: Length) -> String {
    match UNITS.iter().find(|(_, unit)| length.0 != 0 && length.0 % unit == 0) {
        Some((name, unit)) => format!("{} {name}", length.0 / unit),
        None if length.0 == 0 => "0 s".to_owned(),
        None => format!("{} us", length.0),
    }
}

/// The words of SQL for units that divide a length.
const WORDS: [(&str, i64); 4] =
    [("DAY", 86_400_000_000), ("HOUR", 3_600_000_000), ("MINUTE", 60_000_000), ("SECOND", 1_000_000)];

/// A length as SQL.
pub(crate) fn sql(length: Length) -> String {
    let whole = WORDS.iter().find(|(_, unit)| length.0 % unit == 0);
    let (word, unit) = whole.copied().unwrap_or(("MICROSECOND", 1));
    format!("INTERVAL '{}' {word}", length.0 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_in_the_greatest_unit_that_divides_them() {
        let texts = [0, 500_000, 90_000_000, 3_600_000_000, -604_800_000_000, 1].map(|length| describe(Length(length)));
        assert_eq!(texts, ["0 s", "500 ms", "90 s", "1 h", "-7 d", "1 us"]);
    }
}
