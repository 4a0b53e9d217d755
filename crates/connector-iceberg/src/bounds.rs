//! Bounds of columns that are cut to a length and stay bounds.

use iceberg::spec::{Datum, PrimitiveLiteral};

/// A bound that is not greater, of so many characters or bytes at most.
pub fn lower(bound: Datum, length: usize) -> Datum {
    match bound.literal() {
        PrimitiveLiteral::String(text) => match cut(text, length) {
            Some(cut) => Datum::string(cut),
            None => bound,
        },
        PrimitiveLiteral::Binary(bytes) if bytes.len() > length => Datum::binary(bytes[..length].iter().copied()),
        _ => bound,
    }
}

/// A bound that is not smaller, of so many characters or bytes at most; `None` where there is none.
pub fn upper(bound: Datum, length: usize) -> Option<Datum> {
    match bound.literal() {
        PrimitiveLiteral::String(text) => match cut(text, length) {
            Some(cut) => after_text(cut).map(Datum::string),
            None => Some(bound),
        },
        PrimitiveLiteral::Binary(bytes) if bytes.len() > length => {
            let mut bytes = bytes[..length].to_vec();
            while let Some(last) = bytes.pop() {
                if let Some(next) = last.checked_add(1) {
                    bytes.push(next);
                    return Some(Datum::binary(bytes));
                }
            }
            None
        }
        _ => Some(bound),
    }
}

/// The first characters of a text; `None` if it has no more.
fn cut(text: &str, length: usize) -> Option<&str> {
    text.char_indices().nth(length).map(|(at, _)| &text[..at])
}

/// The least text that is greater than all that begin with another one.
fn after_text(text: &str) -> Option<String> {
    let mut characters: Vec<char> = text.chars().collect();
    while let Some(last) = characters.pop() {
        // Between the last before the surrogates and the first after them there is no character.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_are_cut_stay_bounds() {
        assert_eq!(lower(Datum::string("größe"), 3), Datum::string("grö"));
        assert_eq!(upper(Datum::string("größe"), 3), Some(Datum::string("gr÷")));
        assert_eq!(upper(Datum::string("ab"), 2), Some(Datum::string("ab")));
        assert_eq!(upper(Datum::string("a\u{10ffff}b"), 2), Some(Datum::string("b")));
        assert_eq!(upper(Datum::string("\u{10ffff}b"), 1), None);
        assert_eq!(upper(Datum::binary([1, 255, 7]), 2), Some(Datum::binary([2])));
        assert_eq!(upper(Datum::binary([255, 7]), 1), None);
        assert_eq!((lower(Datum::long(7), 1), upper(Datum::long(7), 1)), (Datum::long(7), Some(Datum::long(7))));
    }
}
