//! Functions over text. Positions count Unicode characters from 1.

use super::kernel::{Argument, KernelResult, fails};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use std::borrow::Cow;
use std::sync::Arc;

/// A text argument.
pub(crate) struct Texts<'a> {
    array: &'a StringArray,
    scalar: bool,
}

impl<'a> Texts<'a> {
    pub(crate) fn of(argument: &'a Argument) -> Texts<'a> {
        Texts { array: argument.raw().as_string(), scalar: argument.one().is_some() }
    }

    pub(crate) fn at(&self, row: usize) -> Option<&'a str> {
        let row = if self.scalar { 0 } else { row };
        self.array.is_valid(row).then(|| self.array.value(row))
    }
}

pub(crate) fn whole(argument: &Argument, row: usize) -> Option<i64> {
    let (array, row) = (argument.raw().as_primitive::<Int64Type>(), argument.row(row));
    array.is_valid(row).then(|| array.value(row))
}

/// A text of one text.
pub(crate) fn map(arguments: &[Argument], rows: usize, function: impl Fn(&str) -> Cow<'_, str>) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    Ok(Arc::new((0..rows).map(|row| texts.at(row).map(&function)).collect::<StringArray>()))
}

/// A condition over two texts.
pub(crate) fn test(arguments: &[Argument], rows: usize, function: impl Fn(&str, &str) -> bool) -> KernelResult {
    let (texts, others) = (Texts::of(&arguments[0]), Texts::of(&arguments[1]));
    Ok(Arc::new((0..rows).map(|row| Some(function(texts.at(row)?, others.at(row)?))).collect::<BooleanArray>()))
}

/// A whole number of one text.
pub(crate) fn count(arguments: &[Argument], rows: usize, function: impl Fn(&str) -> i64) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    Ok(Arc::new((0..rows).map(|row| texts.at(row).map(&function)).collect::<Int64Array>()))
}

/// Lower case, letter by letter: no letter becomes two.
pub(crate) fn lower(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.to_ascii_lowercase().into();
    }
    text.chars().map(|letter| letter.to_lowercase().next().unwrap_or(letter)).collect()
}

/// Upper case, letter by letter: no letter becomes two, so the sharp s becomes its own capital.
pub(crate) fn upper(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return text.to_ascii_uppercase().into();
    }
    let capital = |letter: char| {
        let mut upper = letter.to_uppercase();
        match (letter, upper.next(), upper.next()) {
            ('ß', ..) => 'ẞ',
            (_, Some(one), None) => one,
            _ => letter,
        }
    };
    text.chars().map(capital).collect()
}

/// `strpos(text, part)`: where the part begins, 0 when it does not occur.
pub(crate) fn position(arguments: &[Argument], rows: usize) -> KernelResult {
    let (texts, parts) = (Texts::of(&arguments[0]), Texts::of(&arguments[1]));
    let place = |text: &str, part: &str| text.find(part).map_or(0, |at| text[..at].chars().count() as i64 + 1);
    Ok(Arc::new((0..rows).map(|row| Some(place(texts.at(row)?, parts.at(row)?))).collect::<Int64Array>()))
}

/// `substring(text, start, length)`: a negative start counts from the end, a negative length goes back from the start.
pub(crate) fn substring(arguments: &[Argument], rows: usize) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    let part = |row: usize| -> Option<&str> {
        let (text, start) = (texts.at(row)?, whole(&arguments[1], row)?);
        let length = match arguments.get(2) {
            Some(length) => whole(length, row)?,
            None => i64::MAX / 4,
        };
        Some(slice(text, start.clamp(-(1 << 40), 1 << 40), length.clamp(-(1 << 40), 1 << 40)))
    };
    Ok(Arc::new((0..rows).map(part).collect::<StringArray>()))
}

fn slice(text: &str, start: i64, length: i64) -> &str {
    let count = || text.chars().count() as i64;
    let start = if start < 0 { count() + start + 1 } else { start };
    let (from, to) = if length < 0 { (start + length, start) } else { (start, start.saturating_add(length)) };
    characters(text, from.max(1) - 1, to.max(1) - 1)
}

/// Characters `from .. to`, from 0.
fn characters(text: &str, from: i64, to: i64) -> &str {
    if from >= to {
        return "";
    }
    if text.is_ascii() {
        let end = (to as usize).min(text.len());
        return &text[(from as usize).min(end)..end];
    }
    let byte = |at: i64| text.char_indices().nth(at as usize).map_or(text.len(), |(byte, _)| byte);
    &text[byte(from)..byte(to)]
}

/// `left(text, n)` and `right(text, n)`: a negative n leaves out as many at the other end.
pub(crate) fn end(arguments: &[Argument], rows: usize, left: bool) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    let part = |row: usize| {
        let (text, wanted) = (texts.at(row)?, whole(&arguments[1], row)?);
        let count = text.chars().count() as i64;
        let kept = if wanted < 0 { (count.saturating_add(wanted)).max(0) } else { wanted.min(count) };
        Some(if left { characters(text, 0, kept) } else { characters(text, count - kept, count) })
    };
    Ok(Arc::new((0..rows).map(part).collect::<StringArray>()))
}

/// `replace(text, from, to)`.
pub(crate) fn replace(arguments: &[Argument], rows: usize) -> KernelResult {
    let (texts, from, to) = (Texts::of(&arguments[0]), Texts::of(&arguments[1]), Texts::of(&arguments[2]));
    let replaced = |row: usize| {
        let (Some(text), Some(from), Some(to)) = (texts.at(row), from.at(row), to.at(row)) else { return Ok(None) };
        if from.is_empty() {
            return Ok(Some(text.to_string()));
        }
        if to.len() > from.len() {
            let more = text.matches(from).count().saturating_mul(to.len() - from.len());
            fits(text.len().saturating_add(more))?;
        }
        Ok(Some(text.replace(from, to)))
    };
    Ok(Arc::new((0..rows).map(replaced).collect::<Result<StringArray, ArrowError>>()?))
}

/// `trim`, `ltrim`, `rtrim`: spaces, or any of the letters given.
pub(crate) fn trim(arguments: &[Argument], rows: usize, front: bool, back: bool) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    let letters = arguments.get(1).map(Texts::of);
    let trimmed = |row: usize| {
        let mut text = texts.at(row)?;
        let letters = match &letters {
            Some(letters) => letters.at(row)?,
            None => " ",
        };
        if front {
            text = text.trim_start_matches(|letter| letters.contains(letter));
        }
        if back {
            text = text.trim_end_matches(|letter| letters.contains(letter));
        }
        Some(text)
    };
    Ok(Arc::new((0..rows).map(trimmed).collect::<StringArray>()))
}

/// `split_part(text, separator, n)`: the n-th part from 1, from the end when negative, empty when there is none.
pub(crate) fn split_part(arguments: &[Argument], rows: usize) -> KernelResult {
    let (texts, separators) = (Texts::of(&arguments[0]), Texts::of(&arguments[1]));
    let part = |row: usize| {
        let (text, separator, wanted) = (texts.at(row)?, separators.at(row)?, whole(&arguments[2], row)?);
        let at = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
        if at == 0 {
            return Some("");
        }
        if separator.is_empty() {
            let count = text.chars().count() as i64;
            let from = if wanted < 0 { count + wanted.max(-count - 1) } else { wanted.min(count + 1) - 1 };
            return Some(if from < 0 { "" } else { characters(text, from, from + 1) });
        }
        let found = if wanted < 0 { text.rsplit(separator).nth(at - 1) } else { text.split(separator).nth(at - 1) };
        Some(found.unwrap_or(""))
    };
    Ok(Arc::new((0..rows).map(part).collect::<StringArray>()))
}

/// `lpad` and `rpad`: exactly n letters.
pub(crate) fn pad(arguments: &[Argument], rows: usize, left: bool) -> KernelResult {
    let (texts, pads) = (Texts::of(&arguments[0]), Texts::of(&arguments[2]));
    let padded = |row: usize| -> Result<Option<String>, ArrowError> {
        let (Some(text), Some(letters), Some(wanted)) = (texts.at(row), pads.at(row), whole(&arguments[1], row)) else {
            return Ok(None);
        };
        let missing = wanted.max(0).saturating_sub(text.chars().count() as i64);
        if missing <= 0 {
            return Ok(Some(characters(text, 0, wanted.max(0)).to_string()));
        }
        if letters.is_empty() {
            return Err(fails("a text cannot be padded with nothing"));
        }
        let widest = letters.chars().map(char::len_utf8).max().unwrap_or(1);
        fits(usize::try_from(missing).unwrap_or(usize::MAX).saturating_mul(widest).saturating_add(text.len()))?;
        let fill: String = letters.chars().cycle().take(missing as usize).collect();
        Ok(Some(if left { fill + text } else { text.to_string() + &fill }))
    };
    Ok(Arc::new((0..rows).map(padded).collect::<Result<StringArray, _>>()?))
}

/// The bytes of a text that an expression makes longer than it came in: a batch of such texts stays within what a
/// column can hold.
const MADE_BYTES_MAX: usize = 128 << 10;

pub(crate) fn fits(bytes: usize) -> Result<(), ArrowError> {
    if bytes <= MADE_BYTES_MAX {
        return Ok(());
    }
    Err(fails(format!("the text would be longer than {MADE_BYTES_MAX} bytes")))
}

/// `repeat(text, n)`.
pub(crate) fn repeat(arguments: &[Argument], rows: usize) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    let repeated = |row: usize| -> Result<Option<String>, ArrowError> {
        let (Some(text), Some(times)) = (texts.at(row), whole(&arguments[1], row)) else { return Ok(None) };
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        fits(text.len().saturating_mul(times))?;
        Ok(Some(text.repeat(times)))
    };
    Ok(Arc::new((0..rows).map(repeated).collect::<Result<StringArray, _>>()?))
}

/// Joins texts: `||` gives NULL when one is NULL, `concat` leaves it out.
pub(crate) fn join(arguments: &[Argument], rows: usize, skip_null: bool) -> KernelResult {
    let texts: Vec<Texts<'_>> = arguments.iter().map(Texts::of).collect();
    let joined = |row: usize| {
        let parts: Vec<&str> = texts.iter().filter_map(|text| text.at(row)).collect();
        if parts.len() < texts.len() && !skip_null {
            return Ok(None);
        }
        join_parts(&parts, "").map(Some)
    };
    Ok(Arc::new((0..rows).map(joined).collect::<Result<StringArray, ArrowError>>()?))
}

/// `concat_ws(separator, ..)`: NULL parts are left out.
pub(crate) fn join_with(arguments: &[Argument], rows: usize) -> KernelResult {
    let texts: Vec<Texts<'_>> = arguments.iter().map(Texts::of).collect();
    let joined = |row: usize| {
        let parts: Vec<&str> = texts[1..].iter().filter_map(|text| text.at(row)).collect();
        texts[0].at(row).map(|separator| join_parts(&parts, separator)).transpose()
    };
    Ok(Arc::new((0..rows).map(joined).collect::<Result<StringArray, ArrowError>>()?))
}

fn join_parts(parts: &[&str], separator: &str) -> Result<String, ArrowError> {
    if parts.len() > 1 {
        let between = separator.len().saturating_mul(parts.len() - 1);
        fits(parts.iter().map(|part| part.len()).fold(between, usize::saturating_add))?;
    }
    Ok(parts.join(separator))
}

/// `x LIKE pattern`: `%` is any text, `_` one letter, and nothing escapes them unless ESCAPE says so.
pub(crate) fn like(arguments: &[Argument], rows: usize, fold_case: bool, escape: Option<char>) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    let mut last: Option<(String, Pattern)> = None;
    let patterns = Texts::of(&arguments[1]);
    let mut matches = Vec::with_capacity(rows);
    for row in 0..rows {
        let (Some(text), Some(pattern)) = (texts.at(row), patterns.at(row)) else {
            matches.push(None);
            continue;
        };
        let known = last.as_ref().is_some_and(|(known, _)| known == pattern);
        if !known {
            last = Some((pattern.to_string(), Pattern::read(pattern, fold_case, escape)?));
        }
        matches.push(last.as_ref().map(|(_, pattern)| pattern.matches(text, fold_case)));
    }
    Ok(Arc::new(BooleanArray::from(matches)))
}

enum Piece {
    Letter(char),
    One,
    Any,
}

struct Pattern(Vec<Piece>);

impl Pattern {
    fn read(pattern: &str, fold_case: bool, escape: Option<char>) -> Result<Pattern, ArrowError> {
        let folded = if fold_case { lower(pattern) } else { pattern.into() };
        let mut pieces = Vec::new();
        let mut letters = folded.chars();
        while let Some(letter) = letters.next() {
            pieces.push(match letter {
                escaping if Some(escaping) == escape => {
                    let next = letters.next().ok_or_else(|| fails("a LIKE pattern ends with its escape character"))?;
                    Piece::Letter(next)
                }
                '%' => Piece::Any,
                '_' => Piece::One,
                letter => Piece::Letter(letter),
            });
        }
        Ok(Pattern(pieces))
    }

    /// Goes back to the last `%` only, so the time is at most the product of both lengths.
    fn matches(&self, text: &str, fold_case: bool) -> bool {
        let folded = if fold_case { lower(text) } else { text.into() };
        let (mut rest, mut at) = (folded.as_ref(), 0);
        let mut back: Option<(usize, &str)> = None;
        loop {
            let mut next = rest.chars();
            let letter = next.next();
            match (self.0.get(at), letter) {
                (Some(Piece::Any), _) => {
                    back = Some((at, rest));
                    at += 1;
                    continue;
                }
                (Some(Piece::One), Some(_)) => {}
                (Some(Piece::Letter(wanted)), Some(letter)) if *wanted == letter => {}
                (None, None) => return true,
                _ => {
                    let Some((any, from)) = back else { return false };
                    let mut later = from.chars();
                    if later.next().is_none() {
                        return false;
                    }
                    back = Some((any, later.as_str()));
                    (rest, at) = (later.as_str(), any + 1);
                    continue;
                }
            }
            (rest, at) = (next.as_str(), at + 1);
        }
    }
}

/// The number of the first letter, and of an empty text the one given.
pub(crate) fn first_letter(arguments: &[Argument], rows: usize, of_empty: i32) -> KernelResult {
    let texts = Texts::of(&arguments[0]);
    let number = |text: &str| text.chars().next().map_or(of_empty, |letter| letter as i32);
    let numbers: arrow::array::Int32Array = (0..rows).map(|row| texts.at(row).map(number)).collect();
    Ok(Arc::new(numbers) as ArrayRef)
}

/// The letter of a number.
pub(crate) fn letter(arguments: &[Argument], rows: usize) -> KernelResult {
    let letter = |row: usize| -> Result<Option<String>, ArrowError> {
        let Some(number) = whole(&arguments[0], row) else { return Ok(None) };
        let letter = u32::try_from(number).ok().and_then(char::from_u32);
        letter
            .map(|letter| Some(letter.to_string()))
            .ok_or_else(|| fails(format!("{number} is not a letter of Unicode")))
    };
    Ok(Arc::new((0..rows).map(letter).collect::<Result<StringArray, _>>()?))
}
