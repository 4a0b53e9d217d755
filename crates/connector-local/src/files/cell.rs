//! One value in a line of text, and which types it could be of.

use std::borrow::Cow;
use values::calendar::read_instant;

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    /// Of CSV, which does not tell types.
    Bare(&'a str),
    /// The others of JSON.
    Boolean(bool),
    Number(&'a str),
    Text(Cow<'a, str>),
    Array,
    Object,
}

impl Cell<'_> {
    /// As a boolean.
    pub fn boolean(&self) -> Option<bool> {
        match self {
            Cell::Boolean(value) => Some(*value),
            Cell::Bare(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Cell::Bare(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// As an integer, without a fraction.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Cell::Number(text) => text.parse().ok(),
            Cell::Bare(text) if !is_code(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// As a number; in CSV `nan` and `inf` too.
    pub fn double(&self) -> Option<f64> {
        match self {
            Cell::Number(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
            Cell::Bare(text) if !is_code(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Whether it is an integer beyond 64 bits.
    pub fn is_large_integer(&self) -> bool {
        match self {
            Cell::Number(text) | Cell::Bare(text) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                digits.bytes().all(|digit| digit.is_ascii_digit()) && self.integer().is_none()
            }
            _ => false,
        }
    }

    /// Whether it is a text that begins with a year and is a timestamp.
    pub fn is_timestamp(&self) -> bool {
        let text = match self {
            Cell::Bare(text) => text,
            Cell::Text(text) => text.as_ref(),
            _ => return false,
        };
        // Most texts are no timestamps; those that are begin with a year.
        text.len() >= 10 && text.as_bytes()[4] == b'-' && read_instant(text).is_some()
    }
}

/// Whether digits in CSV are no number but a code, such as a postcode or the number of a telephone: it begins with a zero
/// or a plus, which a number would lose.
fn is_code(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    text.starts_with('+') || matches!(digits, [b'0', b'0'..=b'9', ..])
}
