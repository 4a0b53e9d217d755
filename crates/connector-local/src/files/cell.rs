//! One value in a line of text, and how it reads as a type.

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::string_to_datetime;
use std::borrow::Cow;
use std::str::FromStr;

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
    Array(&'a str),
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
            Cell::Number(text) | Cell::Bare(text) if !text.starts_with('+') => text.parse().ok(),
            _ => None,
        }
    }

    /// As a number; in CSV `nan` and `inf` too.
    pub fn double(&self) -> Option<f64> {
        match self {
            Cell::Number(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
            Cell::Bare(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// As microseconds since 1970: ISO 8601 text, in UTC where it names no offset.
    pub fn timestamp(&self) -> Option<i64> {
        let text = match self {
            Cell::Bare(text) => text,
            Cell::Text(text) => text.as_ref(),
            _ => return None,
        };
        // Most texts are no timestamps; those that are begin with a year.
        if text.len() < 10 || text.as_bytes()[4] != b'-' {
            return None;
        }
        let utc = Tz::from_str("+00:00").ok()?;
        string_to_datetime(&utc, text).ok().map(|at| at.timestamp_micros())
    }

    /// As text: what is written, without the quotes of JSON.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Cell::Null => Cow::Borrowed(""),
            Cell::Boolean(true) => Cow::Borrowed("true"),
            Cell::Boolean(false) => Cow::Borrowed("false"),
            Cell::Bare(text) | Cell::Number(text) | Cell::Array(text) => Cow::Borrowed(text),
            Cell::Text(text) => Cow::Borrowed(text),
        }
    }
}
