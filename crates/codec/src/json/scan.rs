//! Finds the values of columns in one payload, without making a tree of it.
//!
//! The grammar is checked first, by `serde_json`, in one pass that keeps nothing; so the walk may trust it.

use super::grammar::check_grammar;
use super::paths::{self, Field};
use std::borrow::Cow;

/// How deep objects and arrays may be nested.
pub(super) const DEPTH_MAX: usize = 128;
/// The greatest payload.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// What kind of value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    Text,
    Object,
    Array,
}

impl Kind {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Number => "a number",
            Kind::Text => "text",
            Kind::Object => "an object",
            Kind::Array => "an array",
        }
    }
}

/// What the payload says about a column.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    /// Nothing.
    Absent,
    /// A value, as it is written.
    Value(Kind, &'a str),
    /// A field on the column's path is no object: how many steps down the path, and what it is.
    NotObject(usize, Kind),
    /// Two fields have the name but for the case of letters, and none has it exactly: how they are written.
    Ambiguous(&'a str, &'a str),
}

/// What one payload says about columns, and how its fields are written.
pub(super) struct PayloadFields<'a> {
    /// One per column.
    pub slots: Vec<Slot<'a>>,
    /// Which fields count in the objects that are being walked, by the id of the field that is asked for.
    counted: Vec<NameMatch<'a>>,
}

impl PayloadFields<'_> {
    /// Nothing yet, about so many columns at such fields.
    pub fn new(columns: usize, fields: &[Field]) -> Self {
        PayloadFields { slots: vec![Slot::Absent; columns], counted: vec![NameMatch::None; paths::count(fields)] }
    }
}

/// Fills the slots from a payload. The last of several fields with one name counts. A name matches exactly, or without
/// the case of its letters where no other name does.
pub(super) fn scan<'a>(payload: &'a [u8], fields: &[Field], found: &mut PayloadFields<'a>) -> Result<(), String> {
    found.slots.fill(Slot::Absent);
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(format!("the payload has {} bytes, expected at most {PAYLOAD_BYTES_MAX}", payload.len()));
    }
    let text = std::str::from_utf8(payload)
        .map_err(|e| format!("the payload is not UTF-8: byte {} begins no character", e.valid_up_to() + 1))?;
    check_grammar(text).map_err(|why| format!("the payload is not JSON: {why}"))?;
    let mut walk = Walk { text, bytes: payload, at: 0 };
    walk.blanks();
    match kind_of(walk.bytes[walk.at]) {
        Kind::Object => walk.object(fields, found, 1),
        kind => Err(format!("the payload is {}, expected an object", kind.name())),
    }
}

fn kind_of(first: u8) -> Kind {
    match first {
        b'{' => Kind::Object,
        b'[' => Kind::Array,
        b'"' => Kind::Text,
        b't' | b'f' => Kind::Boolean,
        b'n' => Kind::Null,
        _ => Kind::Number,
    }
}

/// The value of a JSON string as it is written, quotes included; `None` when an escape stands for half a character.
pub(super) fn unquote(written: &str) -> Option<Cow<'_, str>> {
    let inner = &written[1..written.len() - 1];
    match inner.contains('\\') {
        false => Some(Cow::Borrowed(inner)),
        true => serde_json::from_str::<String>(written).ok().map(Cow::Owned),
    }
}

// Invariant: `bytes` are those of `text`, which is one valid JSON value, so indexing below stays within it.
struct Walk<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Walks an object whose brace is next.
    fn object(&mut self, fields: &[Field], found: &mut PayloadFields<'a>, depth: usize) -> Result<(), String> {
        let mut likely = 0;
        fields.iter().for_each(|field| found.counted[field.id] = NameMatch::None);
        self.at += 1;
        loop {
            self.blanks();
            match self.bytes[self.at] {
                b'}' => break,
                b',' => self.at += 1,
                _ => {
                    let name = self.string();
                    self.blanks();
                    self.at += 1;
                    self.blanks();
                    match find(fields, name, likely) {
                        Some((at, is_exact)) if is_exact || counts_too(&fields[at], name, found) => {
                            if is_exact {
                                found.counted[fields[at].id] = NameMatch::Exact;
                            }
                            likely = at + 1;
                            self.field(&fields[at], found, depth)?;
                        }
                        _ => self.skip(depth)?,
                    }
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a field's value, which is next.
    fn field(&mut self, field: &Field, found: &mut PayloadFields<'a>, depth: usize) -> Result<(), String> {
        let (from, kind) = (self.at, kind_of(self.bytes[self.at]));
        // An earlier field of this name counts no longer, nor does what was below it.
        let below = match kind {
            Kind::Object | Kind::Null => Slot::Absent,
            kind => Slot::NotObject(depth, kind),
        };
        field.all.iter().for_each(|&column| found.slots[column] = below);
        if kind == Kind::Object && !field.below.is_empty() {
            check_depth(depth + 1)?;
            self.object(&field.below, found, depth + 1)?;
        } else {
            self.skip(depth)?;
        }
        let value = Slot::Value(kind, &self.text[from..self.at]);
        field.columns.iter().for_each(|&column| found.slots[column] = value);
        Ok(())
    }

    /// Takes a string, as it is written.
    fn string(&mut self) -> &'a str {
        let from = self.at;
        self.at += 1;
        loop {
            match self.bytes[self.at] {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        &self.text[from..self.at]
    }

    /// Passes any value.
    fn skip(&mut self, depth: usize) -> Result<(), String> {
        let mut open = 0;
        loop {
            match self.bytes[self.at] {
                b'"' => drop(self.string()),
                b'{' | b'[' => {
                    open += 1;
                    check_depth(depth + open)?;
                    self.at += 1;
                }
                b'}' | b']' => {
                    open -= 1;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => {
                    while !matches!(
                        self.bytes.get(self.at),
                        None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r')
                    ) {
                        self.at += 1;
                    }
                }
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}

fn check_depth(depth: usize) -> Result<(), String> {
    match depth > DEPTH_MAX {
        true => Err(format!("the payload is nested more than {DEPTH_MAX} deep")),
        false => Ok(()),
    }
}

/// The field of a name as it is written, and whether it is its exact name: else the first that is it without the case of
/// its letters. Producers tend to write fields in one order, so the likely one is tried first.
fn find(fields: &[Field], written: &str, likely: usize) -> Option<(usize, bool)> {
    let name = &written[1..written.len() - 1];
    if let Some(field) = fields.get(likely)
        && field.name == name
    {
        return Some((likely, true));
    }
    match name.contains('\\') {
        true => find_plain(fields, &unquote(written)?),
        false => find_plain(fields, name),
    }
}

fn find_plain(fields: &[Field], name: &str) -> Option<(usize, bool)> {
    if let Some(exact) = fields.iter().position(|field| field.name == name) {
        return Some((exact, true));
    }
    fields.iter().position(|field| field.name.eq_ignore_ascii_case(name)).map(|at| (at, false))
}

/// How the field of an object that counts for a field that is asked for is named.
#[derive(Clone, Copy, Debug)]
enum NameMatch<'a> {
    /// There is none yet.
    None,
    Exact,
    /// By another case of the letters, as it is written.
    Like(&'a str),
    /// By several that are not exact.
    Several,
}

/// Whether a field of the payload that is not named exactly counts for the field that it was found for.
fn counts_too<'a>(field: &Field, written: &'a str, found: &mut PayloadFields<'a>) -> bool {
    match found.counted[field.id] {
        NameMatch::Exact | NameMatch::Several => false,
        NameMatch::Like(counted) if counted != written => {
            field.all.iter().for_each(|&column| found.slots[column] = Slot::Ambiguous(counted, written));
            found.counted[field.id] = NameMatch::Several;
            false
        }
        NameMatch::None | NameMatch::Like(_) => {
            found.counted[field.id] = NameMatch::Like(written);
            true
        }
    }
}
