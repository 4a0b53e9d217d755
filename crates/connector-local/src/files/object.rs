//! The fields of one JSON object, as cells.

use super::cell::Cell;
use std::borrow::Cow;

const DEPTH_MAX: usize = 64;

/// Where the dots of the name of a field come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dots {
    /// It has none, or they stand between the names of the objects around it and its own.
    Path,
    /// They are letters of its name, and no object is around it.
    Letters,
    /// They are both.
    Both,
}

/// Hands over the fields of one JSON object, a nested one first as a whole and then its fields as `outer.inner`.
pub(super) fn put_object(line: &str, put: &mut dyn FnMut(&str, Dots, Cell<'_>)) -> Result<(), String> {
    // The grammar is checked here, so that the walk below may trust it.
    codec::check_grammar(line.trim_end()).map_err(|why| format!("is not JSON: {why}"))?;
    let mut walk = Walk { text: line, at: 0, name: String::new(), dots: Dots::Path };
    walk.blanks();
    match walk.next() {
        b'{' => walk.object(1, put),
        _ => Err("is not a JSON object, expected one object per line".to_owned()),
    }
}

// Invariant: `text` is one valid JSON value, so indexing below stays within it.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    name: String,
    dots: Dots,
}

impl<'a> Walk<'a> {
    fn next(&self) -> u8 {
        self.text.as_bytes()[self.at]
    }

    fn blanks(&mut self) {
        while self.next().is_ascii_whitespace() {
            self.at += 1;
        }
    }

    fn object(&mut self, depth: usize, put: &mut dyn FnMut(&str, Dots, Cell<'_>)) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("has objects nested more than {DEPTH_MAX} deep"));
        }
        self.at += 1;
        let (outer, outer_dots) = (self.name.len(), self.dots);
        loop {
            self.blanks();
            match self.next() {
                b'}' => break,
                b',' => self.at += 1,
                _ => {
                    let name = self.string()?;
                    self.name.push_str(if outer == 0 { "" } else { "." });
                    self.name.push_str(&name);
                    self.dots = match name.contains('.') {
                        true if outer == 0 => Dots::Letters,
                        false if outer_dots == Dots::Path => Dots::Path,
                        _ => Dots::Both,
                    };
                    self.blanks();
                    self.at += 1;
                    self.blanks();
                    self.value(depth, put)?;
                    self.name.truncate(outer);
                    self.dots = outer_dots;
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize, put: &mut dyn FnMut(&str, Dots, Cell<'_>)) -> Result<(), String> {
        let from = self.at;
        let cell = match self.next() {
            b'{' => {
                put(&self.name, self.dots, Cell::Object);
                return self.object(depth + 1, put);
            }
            b'"' => Cell::Text(self.string()?),
            b'[' => {
                self.array()?;
                Cell::Array
            }
            first => {
                let rest = &self.text[from..];
                let word = &rest[..rest.find([',', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len())];
                self.at += word.len();
                match first {
                    b't' | b'f' => Cell::Boolean(first == b't'),
                    b'n' => Cell::Null,
                    _ => Cell::Number(word),
                }
            }
        };
        put(&self.name, self.dots, cell);
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, String> {
        let (from, mut escaped) = (self.at, false);
        self.at += 1;
        while self.next() != b'"' {
            let escape = self.next() == b'\\';
            escaped |= escape;
            self.at += 1 + usize::from(escape);
        }
        self.at += 1;
        let written = &self.text[from..self.at];
        match escaped {
            false => Ok(Cow::Borrowed(&written[1..written.len() - 1])),
            true => serde_json::from_str(written).map(Cow::Owned).map_err(|e| format!("has text that is none: {e}")),
        }
    }

    fn array(&mut self) -> Result<(), String> {
        let mut open = 0;
        loop {
            match self.next() {
                b'"' => drop(self.string()?),
                byte => {
                    open += i32::from(matches!(byte, b'[' | b'{')) - i32::from(matches!(byte, b']' | b'}'));
                    self.at += 1;
                }
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::{Map, Value};

    /// The fields that the walk finds, as text.
    fn walked(line: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        put_object(line, &mut |name, _, cell| {
            let text = match cell {
                Cell::Null => String::new(),
                Cell::Boolean(value) => value.to_string(),
                Cell::Bare(text) | Cell::Number(text) => text.to_owned(),
                Cell::Text(text) => text.into_owned(),
                Cell::Array => "[]".to_owned(),
                Cell::Object => "{}".to_owned(),
            };
            found.push((name.to_owned(), text));
        })?;
        found.sort();
        Ok(found)
    }

    fn flattened(prefix: &str, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                if value.is_object() {
                    found.push((name.clone(), "{}".to_owned()));
                }
                flattened(&name, value, found);
            }),
            Value::Null => found.push((prefix.to_owned(), String::new())),
            Value::String(text) => found.push((prefix.to_owned(), text.clone())),
            Value::Array(_) => found.push((prefix.to_owned(), "[]".to_owned())),
            other => found.push((prefix.to_owned(), other.to_string())),
        }
    }

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\]:, é\n]{0,8}".prop_map(Value::from),
        ];
        let of = |value: BoxedStrategy<Value>| {
            proptest::collection::vec(("[ab\"é]{1,2}", value), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
        };
        let nested = leaf.prop_recursive(3, 16, 4, move |inner| {
            prop_oneof![proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from), of(inner.boxed())]
        });
        of(nested.boxed())
    }

    proptest! {
        #[test]
        fn fields_are_those_of_a_tree(value in object(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let mut expected = Vec::new();
            flattened("", &value, &mut expected);
            expected.sort();
            prop_assert_eq!(walked(&text.unwrap()), Ok(expected));
        }

        #[test]
        fn text_with_one_character_changed_is_read_or_refused(value in object(), at in any::<prop::sample::Index>(), to in "[{}\\[\\]\":,\\\\ntf0-9 ]") {
            let mut text: Vec<char> = value.to_string().chars().collect();
            let at = at.index(text.len());
            text.splice(at..=at, to.chars());
            let text: String = text.into_iter().collect();
            let is_object = serde_json::from_str::<Map<String, Value>>(&text).is_ok();
            let found = walked(&text);
            prop_assert!(found.is_err() || serde_json::from_str::<IgnoredAny>(&text).is_ok());
            prop_assert!(found.is_ok() || !is_object);
        }
    }
}
