//! Texts to words: StringNormalizer, and the Tokenizer of com.microsoft that the exporter of scikit-learn writes.

use super::operation::{Operation, one};
use crate::builder::Builder;
use crate::node::{Checked, shown};
use crate::registers::{Registers, Step};
use crate::value::{Cell, Element, Tensor, Value};
use crate::words::{Cuts, Tokenizer, Words};
use regex::{Regex, RegexBuilder};
use std::sync::Arc;

/// The most bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// The most separators that a tokenizer may have.
const SEPARATORS_MAX: usize = 256;

/// The one text of each row.
fn text_of_row(builder: &Builder, operation: &Operation) -> Checked<u32> {
    let input = operation.tensor(builder, 0)?;
    match (input.element, &*input.cells) {
        (Element::Text, [Cell::Register(register)]) => Ok(*register),
        _ => Err(format!("of {} is not supported, expected one text for each row", input.describe())),
    }
}

/// How the letters of a text change.
#[derive(Clone, Copy, Debug)]
enum Letters {
    Stay,
    Lower,
    Upper,
}

/// StringNormalizer: texts in lower or upper case.
pub fn string_normalizer(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["case_change_action", "is_case_sensitive", "locale", "stopwords"])?;
    if !node.texts("stopwords")?.is_empty() {
        return Err("has stopwords, which take rows out of the batch: leave them out of the vocabulary".to_string());
    }
    let letters = match node.text("case_change_action", "NONE")? {
        "NONE" => Letters::Stay,
        "LOWER" => Letters::Lower,
        "UPPER" => Letters::Upper,
        other => {
            return Err(format!("attribute \"case_change_action\" is {}, expected NONE, LOWER or UPPER", shown(other)));
        }
    };
    let dims = operation.tensor(builder, 0)?.dims;
    let input = text_of_row(builder, operation)?;
    builder.read_texts();
    let cells = builder.emit(false, (Element::Text, 1), 64, |first| LetterStep { letters, input, first })?;
    one(Tensor::new(Element::Text, dims, cells))
}

#[derive(Debug)]
struct LetterStep {
    letters: Letters,
    input: u32,
    first: u32,
}

impl Step for LetterStep {
    fn run(&self, registers: &mut Registers, rows: usize) {
        let Registers { ints, texts, .. } = registers;
        for row in 0..rows {
            let text = texts.text(ints[self.input as usize][row]);
            let changed: String = match self.letters {
                Letters::Stay => text.to_owned(),
                // Letter by letter, as the libraries of C do it: what has no single letter of the upper case stays.
                Letters::Lower => text.chars().map(lower).collect(),
                Letters::Upper => text.chars().map(upper).collect(),
            };
            ints[self.first as usize][row] = texts.place(&changed);
        }
    }
}

/// The one letter of lower case; of the Turkish capital with a dot it is `i` alone.
fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

fn upper(letter: char) -> char {
    let mut upper = letter.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) => upper,
        _ => letter,
    }
}

/// Tokenizer of com.microsoft.
pub fn tokenizer(builder: &mut Builder, operation: &Operation) -> Checked<Vec<Value>> {
    operation.expect_inputs(1, 1)?;
    let node = operation.node(&["mark", "mincharnum", "pad_value", "separators", "tokenexp", "stopwords"])?;
    if node.int("mark")?.unwrap_or(0) != 0 || !node.texts("stopwords")?.is_empty() {
        return Err("has marks or stopwords, which are not supported".to_string());
    }
    let letters_min = node.int("mincharnum")?.unwrap_or(1);
    let letters_min = usize::try_from(letters_min)
        .ok()
        .filter(|least| *least > 0)
        .ok_or_else(|| format!("attribute \"mincharnum\" is {letters_min}, expected 1 or more"))?;
    let (separators, pattern) = (node.texts("separators")?, node.text("tokenexp", "")?);
    let cuts = match (separators.as_slice(), pattern) {
        ([], "") => return Err("has neither separators nor a tokenexp".to_string()),
        ([""], "") => Cuts::Letters,
        ([], pattern) => Cuts::Words(compile("tokenexp", pattern)?),
        (separators, "") if separators.len() <= SEPARATORS_MAX => {
            Cuts::Separators(separators.iter().map(|each| compile("separators", each)).collect::<Checked<_>>()?)
        }
        (_, "") => return Err(format!("has {} separators, expected at most {SEPARATORS_MAX}", separators.len())),
        _ => return Err("has both separators and a tokenexp, expected one of them".to_string()),
    };
    let text = text_of_row(builder, operation)?;
    builder.read_texts();
    let padding = node.text("pad_value", "")?.to_string();
    Ok(vec![Value::Words(Words { text, tokenizer: Arc::new(Tokenizer { cuts, letters_min, padding }) })])
}

/// A pattern as RE2 reads it, whose classes are of ASCII.
fn compile(name: &str, pattern: &str) -> Checked<Regex> {
    let fault = |what: &str| format!("attribute \"{name}\": the pattern {} {what}", shown(pattern));
    if pattern.is_empty() {
        return Err(fault("is empty"));
    }
    let mut ascii = String::with_capacity(pattern.len());
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some('w') => ascii.push_str("[0-9A-Za-z_]"),
                Some('W') => ascii.push_str("[^0-9A-Za-z_]"),
                Some('d') => ascii.push_str("[0-9]"),
                Some('D') => ascii.push_str("[^0-9]"),
                Some('s') => ascii.push_str("[\\t\\n\\f\\r ]"),
                Some('S') => ascii.push_str("[^\\t\\n\\f\\r ]"),
                Some('b') => ascii.push_str("(?-u:\\b)"),
                Some(sign) if sign.is_ascii_punctuation() || "nrtfv".contains(sign) => ascii.extend(['\\', sign]),
                _ => return Err(fault("has an escape that is not supported: name the letters in brackets")),
            },
            '(' if signs.as_str().starts_with('?') && !signs.as_str().starts_with("?:") => {
                return Err(fault("has a group with flags or a name, which is not supported"));
            }
            // What Rust's classes add to those of RE2.
            '&' | '~' | '-' if signs.as_str().starts_with(sign) => {
                return Err(fault("has a sign twice that some libraries take for an operation on classes"));
            }
            sign => ascii.push(sign),
        }
    }
    let compiled = RegexBuilder::new(&ascii).size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build();
    compiled.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => fault("is too large"),
        _ => fault("is not one of RE2 that is understood here"),
    })
}
