//! What is wrong with a value, for people.

use crate::name::name;
use arrow::datatypes::DataType;

/// How much of a wrong value a message shows.
const SHOWN_CHARS: usize = 60;

/// A value as messages show it: the beginning of a long one, without signs that a terminal would obey.
pub fn shown(written: &str) -> String {
    let (text, more) = match written.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => (&written[..end], ".."),
        None => (written, ""),
    };
    let sign = |sign: char| if sign.is_control() { sign.escape_default().to_string() } else { sign.to_string() };
    text.chars().map(sign).chain([more.to_owned()]).collect()
}

/// What was expected in the place of a value, and what to do where a guess can be made.
pub fn expected(written: &str, to: &DataType) -> String {
    let hint = match to {
        DataType::Timestamp(..) | DataType::Date32 => {
            let number = written.trim().trim_matches('"').parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(|number| format!("; {}", number_as_time(number)))
        }
        _ => None,
    };
    format!("expected {}{}", name(to), hint.unwrap_or_default())
}

/// What to do with a column of one type where another is declared.
pub fn hint(from: &DataType, to: &DataType) -> Option<&'static str> {
    match (from, to) {
        (from, DataType::Timestamp(..) | DataType::Date32) if from.is_numeric() => Some(
            "declare the number as BIGINT and beside it a column `TIMESTAMP AS epoch_ms(x)` for milliseconds, \
             `make_timestamp(x)` for microseconds",
        ),
        (DataType::Timestamp(..) | DataType::Date32, to) if to.is_numeric() => {
            Some("declare it TIMESTAMP and beside it a column `BIGINT AS epoch_ms(x)`")
        }
        (DataType::Interval(_), _) => Some(
            "the months of an INTERVAL of Parquet cannot be read: write the file with the interval as TEXT, or in seconds",
        ),
        _ => None,
    }
}

/// Says how a number is made a time, by the unit that its size suggests.
fn number_as_time(number: f64) -> String {
    let size = number.abs();
    let (looks, expression) = match size {
        _ if number.fract() == 0.0 && (19_000_101.0..=21_001_231.0).contains(&number) => {
            return "it looks like a date without separators: write it as 2024-01-31".to_owned();
        }
        _ if size < 1e11 => ("seconds", "epoch_ms(x * 1000)"),
        _ if size < 1e14 => ("milliseconds", "epoch_ms(x)"),
        _ if size < 1e17 => ("microseconds", "make_timestamp(x)"),
        _ => ("nanoseconds", "make_timestamp(x // 1000)"),
    };
    format!("it looks like {looks} since 1970: declare it BIGINT, and beside it a column `TIMESTAMP AS {expression}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    #[test]
    fn the_unit_is_guessed_from_the_size() {
        let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (written, part) in [
            (
                "1704067200",
                "seconds since 1970: declare it BIGINT, and beside it a column `TIMESTAMP AS epoch_ms(x * 1000)`",
            ),
            ("1704067200000", "`TIMESTAMP AS epoch_ms(x)`"),
            ("\"1704067200000000\"", "`TIMESTAMP AS make_timestamp(x)`"),
            ("1704067200000000000", "`TIMESTAMP AS make_timestamp(x // 1000)`"),
            ("20240101", "a date without separators"),
        ] {
            let said = expected(written, &timestamp);
            assert!(said.starts_with("expected TIMESTAMP; it looks like ") && said.contains(part), "{said}");
        }
        assert_eq!(expected("yesterday", &timestamp), "expected TIMESTAMP");
        assert_eq!(expected("many", &DataType::Int64), "expected BIGINT");
        assert_eq!(shown(&"é".repeat(61)), format!("{}..", "é".repeat(60)));
    }
}
