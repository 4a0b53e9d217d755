//! `strptime(text, format)`: times that are written in another way than ISO 8601.

use super::arguments::exactly;
use super::bound::{Bound, Fails, OpenLiteral, call};
use super::calendar::{self, DAY, HOUR, MINUTE, SECOND};
use super::cast::cast_to;
use super::kernel::fails;
use super::scope::Problem;
use super::sql_type::{self, TIMESTAMP};
use super::text::Texts;
use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::datatypes::DataType::{Null, Utf8};
use std::sync::Arc;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// How many letters a short name of a month or a weekday has.
const SHORT: usize = 3;
const KNOWN: &str = "%Y, %y, %m, %d, %b, %B, %a, %A, %H, %I, %M, %S, %f, %g, %p, %T or %%";

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Specifier {
    Letter(u8),
    /// Blanks, of which at least one has to be there.
    Blanks,
    Number(Field),
    Month {
        short: bool,
    },
    Weekday {
        short: bool,
    },
    /// AM or PM.
    Half,
}

/// A number of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Year,
    /// Two digits, of which those from 69 on are of the 20th century.
    ShortYear,
    Month,
    Day,
    Hour,
    /// The hour of a half of a day, from 1 to 12.
    HalfHour,
    Minute,
    Second,
    Microsecond,
    Millisecond,
}

impl Field {
    /// How many digits it has at most, and from where to where it goes.
    fn bounds(self) -> (usize, i64, i64) {
        match self {
            Field::Year => (4, 0, 9999),
            Field::ShortYear => (2, 0, 99),
            Field::Month => (2, 1, 12),
            Field::Day => (2, 1, 31),
            Field::Hour => (2, 0, 23),
            Field::HalfHour => (2, 1, 12),
            Field::Minute | Field::Second => (2, 0, 59),
            Field::Microsecond => (6, 0, 999_999),
            Field::Millisecond => (3, 0, 999),
        }
    }
}

/// `strptime(text, format)`, and `try_strptime`, which gives NULL where the other fails.
pub(crate) fn strptime(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let [text, format] = exactly(name, arguments)?;
    if text.data_type != Utf8 && !matches!(text.open, Some(OpenLiteral::Null | OpenLiteral::Text)) {
        let found = sql_type::name(&text.data_type);
        return Err(Problem::new(format!("{name} reads TEXT")).found(found).hint("cast it: x::TEXT"));
    }
    let written = match &format.value {
        Some(value) if value.data_type() == &Null || value.is_null(0) => return cast_to(Bound::null(), &TIMESTAMP),
        Some(value) if *value.data_type() == Utf8 => value.as_string::<i32>().value(0).to_owned(),
        _ => {
            return Err(Problem::new(format!("the format of {name} must be a constant text")).expected("'%d/%m/%Y'"));
        }
    };
    let specifiers = specifiers(&written)?;
    let tries = name.starts_with("try");
    let nullable = text.nullable || tries;
    call("strptime", Fails::when(!tries), vec![cast_to(text, &Utf8)?], TIMESTAMP, nullable, move |arguments, rows| {
        let texts = Texts::of(&arguments[0]);
        let mut times = Vec::with_capacity(rows);
        for row in 0..rows {
            let Some(text) = texts.at(row) else {
                times.push(None);
                continue;
            };
            let time = read(text, &specifiers);
            if time.is_none() && !tries {
                return Err(fails(format!("the text '{text}' is not written as '{written}'")));
            }
            times.push(time);
        }
        Ok(Arc::new(TimestampMicrosecondArray::from(times)))
    })
}

/// The parts of a format.
fn specifiers(format: &str) -> Result<Vec<Specifier>, Problem> {
    let problem = |found: &str| Problem::new("the format of a time is wrong").found(found).expected(KNOWN);
    if format.is_empty() {
        return Err(problem("an empty text"));
    }
    let mut parts = Vec::new();
    let mut rest = format.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let (letter, length) = match after {
                    [b'-', letter @ (b'd' | b'm' | b'y' | b'H' | b'I' | b'M' | b'S'), ..] => (*letter, 2),
                    [letter, ..] => (*letter, 1),
                    [] => return Err(problem("%")),
                };
                rest = &after[length..];
                let known = specifier(letter).ok_or_else(|| {
                    let written = format!("%{}", format[format.len() - after.len()..].chars().next().unwrap_or('%'));
                    let problem = problem(&written);
                    match letter {
                        b'z' | b'Z' => problem
                            .hint("x::TIMESTAMPTZ reads a text with an offset, such as 2024-01-31 10:00:00+02:00"),
                        b'F' => problem.hint("write %Y-%m-%d"),
                        b'D' => problem.hint("write %m/%d/%y"),
                        _ => problem,
                    }
                })?;
                parts.extend(known);
            }
            blank if is_blank(blank) => {
                if parts.last() != Some(&Specifier::Blanks) {
                    parts.push(Specifier::Blanks);
                }
            }
            letter => parts.push(Specifier::Letter(letter)),
        }
    }
    Ok(parts)
}

fn specifier(letter: u8) -> Option<Vec<Specifier>> {
    use Specifier::{Half, Letter, Month, Number, Weekday};
    Some(vec![match letter {
        b'Y' => Number(Field::Year),
        b'y' => Number(Field::ShortYear),
        b'm' => Number(Field::Month),
        b'd' => Number(Field::Day),
        b'H' => Number(Field::Hour),
        b'I' => Number(Field::HalfHour),
        b'M' => Number(Field::Minute),
        b'S' => Number(Field::Second),
        b'f' => Number(Field::Microsecond),
        b'g' => Number(Field::Millisecond),
        b'b' => Month { short: true },
        b'B' => Month { short: false },
        b'a' => Weekday { short: true },
        b'A' => Weekday { short: false },
        b'p' => Half,
        b'%' => Letter(b'%'),
        b'T' | b'X' => {
            let [hour, minute, second] = [Field::Hour, Field::Minute, Field::Second].map(Number);
            return Some(vec![hour, Letter(b':'), minute, Letter(b':'), second]);
        }
        _ => return None,
    }])
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

/// What was read so far; what a format does not name is that of 1900-01-01 00:00:00.
struct Read {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    /// Whether the hour is one of the second half of the day, where that is said.
    afternoon: Option<bool>,
}

/// The time that a text is; `None` where it is not written so.
fn read(text: &str, specifiers: &[Specifier]) -> Option<i64> {
    let mut rest = text.as_bytes().trim_ascii_start();
    if text.trim_ascii().eq_ignore_ascii_case("epoch") {
        return Some(0);
    }
    let mut read = Read { year: 1900, month: 1, day: 1, hour: 0, minute: 0, second: 0, micros: 0, afternoon: None };
    for specifier in specifiers {
        rest = read.take(specifier, rest)?;
    }
    if !rest.iter().all(|byte| is_blank(*byte)) {
        return None;
    }
    read.time()
}

impl Read {
    /// What is left of a text after a part of it.
    fn take<'t>(&mut self, specifier: &Specifier, text: &'t [u8]) -> Option<&'t [u8]> {
        match specifier {
            Specifier::Letter(letter) => text.strip_prefix(std::slice::from_ref(letter)),
            Specifier::Blanks => {
                let blanks = text.iter().take_while(|byte| is_blank(**byte)).count();
                (blanks > 0).then(|| &text[blanks..])
            }
            Specifier::Number(field) => self.number(*field, text),
            Specifier::Month { short } => {
                let (month, rest) = name(&MONTHS, *short, text)?;
                self.month = month as i64 + 1;
                Some(rest)
            }
            // As in DuckDB, nobody asks whether it is the weekday of the date.
            Specifier::Weekday { short } => name(&WEEKDAYS, *short, text).map(|(_, rest)| rest),
            Specifier::Half => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = match half.to_ascii_lowercase().as_slice() {
                    b"am" => Some(false),
                    b"pm" => Some(true),
                    _ => return None,
                };
                Some(rest)
            }
        }
    }

    fn number<'t>(&mut self, field: Field, text: &'t [u8]) -> Option<&'t [u8]> {
        let (width, least, greatest) = field.bounds();
        let digits = text.iter().take(width).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let (written, rest) = text.split_at(digits);
        let number = written.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        if !(least..=greatest).contains(&number) {
            return None;
        }
        match field {
            Field::Year => self.year = number,
            Field::ShortYear => self.year = number + if number < 69 { 2000 } else { 1900 },
            Field::Month => self.month = number,
            Field::Day => self.day = number,
            Field::Hour | Field::HalfHour => self.hour = number,
            Field::Minute => self.minute = number,
            Field::Second => self.second = number,
            // The digits of a fraction.
            Field::Microsecond | Field::Millisecond => self.micros = number * 10_i64.pow(6 - digits as u32),
        }
        Some(rest)
    }

    fn time(&self) -> Option<i64> {
        if self.day > calendar::days_of_month(self.year, self.month) {
            return None;
        }
        let hour = match self.afternoon {
            Some(_) if self.hour > 12 => return None,
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let of_day = hour * HOUR + self.minute * MINUTE + self.second * SECOND + self.micros;
        calendar::timestamp(calendar::days(self.year, self.month, self.day) * DAY + of_day)
    }
}

/// Which of some names a text begins with, and what is left of it.
fn name<'t>(names: &[&str], short: bool, text: &'t [u8]) -> Option<(usize, &'t [u8])> {
    let begins = |name: &&str| {
        let length = if short { SHORT } else { name.len() };
        let written = text.get(..length)?;
        written.eq_ignore_ascii_case(&name.as_bytes()[..length]).then_some(length)
    };
    names.iter().enumerate().find_map(|(at, name)| Some((at, &text[begins(&name)?..])))
}
