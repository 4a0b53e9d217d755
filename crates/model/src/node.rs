//! Reads a node's attributes by name and kind, and says where a fault lies.

use crate::onnx::{AttributeProto, NodeProto, TensorProto, kind};
use std::collections::BTreeMap;

/// The outcome of a check. The text says what is wrong inside the model; the model's name and file are added at the
/// edge.
pub type Checked<T> = std::result::Result<T, String>;

/// A node of the graph with its attributes by name.
pub struct Node<'a> {
    attributes: BTreeMap<&'a str, &'a AttributeProto>,
}

impl<'a> Node<'a> {
    /// Takes a node whose attributes are all among `known`, each at most once.
    pub fn new(proto: &'a NodeProto, known: &[&str]) -> Checked<Self> {
        let mut attributes = BTreeMap::new();
        for attribute in &proto.attribute {
            let name = attribute.name.as_str();
            if !known.contains(&name) {
                return Err(format!(
                    "attribute {} is not supported, expected one of {}",
                    shown(name),
                    known.join(", ")
                ));
            }
            if !attribute.ref_attr_name.is_empty() {
                return Err(format!("attribute \"{name}\" refers to a function's attribute, expected a value"));
            }
            if attributes.insert(name, attribute).is_some() {
                return Err(format!("attribute \"{name}\" is there twice"));
            }
        }
        Ok(Node { attributes })
    }

    /// The attribute, if it is there and of the kind.
    fn get(&self, name: &str, expected: i32) -> Checked<Option<&'a AttributeProto>> {
        let Some(attribute) = self.attributes.get(name) else { return Ok(None) };
        if attribute.r#type != expected {
            return Err(format!(
                "attribute \"{name}\" is {}, expected {}",
                kind::name(attribute.r#type),
                kind::name(expected)
            ));
        }
        Ok(Some(attribute))
    }

    /// A list of integers; empty if it is not there.
    pub fn ints(&self, name: &str) -> Checked<&'a [i64]> {
        Ok(self.get(name, kind::INTS)?.map_or(&[], |attribute| &attribute.ints))
    }

    /// A list of floats as they are; empty if it is not there.
    pub fn any_floats(&self, name: &str) -> Checked<&'a [f32]> {
        Ok(self.get(name, kind::FLOATS)?.map_or(&[], |attribute| &attribute.floats))
    }

    /// A list of finite floats; empty if it is not there.
    pub fn floats(&self, name: &str) -> Checked<&'a [f32]> {
        let floats = self.any_floats(name)?;
        match floats.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(format!("attribute \"{name}\": entry {at} is {}, expected a finite number", floats[at])),
            None => Ok(floats),
        }
    }

    /// A float, if it is there.
    pub fn float(&self, name: &str) -> Checked<Option<f32>> {
        Ok(self.get(name, kind::FLOAT)?.map(|attribute| attribute.f))
    }

    /// A tensor, if it is there.
    pub fn tensor(&self, name: &str) -> Checked<Option<&'a TensorProto>> {
        Ok(self.get(name, kind::TENSOR)?.and_then(|attribute| attribute.t.as_ref()))
    }

    /// A list of texts; empty if it is not there.
    pub fn texts(&self, name: &str) -> Checked<Vec<&'a str>> {
        let Some(attribute) = self.get(name, kind::STRINGS)? else { return Ok(Vec::new()) };
        let texts = attribute.strings.iter().enumerate();
        texts
            .map(|(at, bytes)| {
                std::str::from_utf8(bytes).map_err(|_| format!("attribute \"{name}\": entry {at} is not UTF-8"))
            })
            .collect()
    }

    /// A text, or what stands for one that is not there.
    pub fn text(&self, name: &str, default: &'static str) -> Checked<&'a str> {
        match self.get(name, kind::STRING)? {
            Some(attribute) => {
                std::str::from_utf8(&attribute.s).map_err(|_| format!("attribute \"{name}\" is not UTF-8"))
            }
            None => Ok(default),
        }
    }

    /// An integer, if it is there.
    pub fn int(&self, name: &str) -> Checked<Option<i64>> {
        Ok(self.get(name, kind::INT)?.map(|attribute| attribute.i))
    }
}

/// Refuses a list that does not have one entry for each entry of another.
pub fn same_length(name: &str, found: usize, expected: usize, of: &str) -> Checked<()> {
    if found == expected {
        return Ok(());
    }
    Err(format!("attribute \"{name}\" has {found} entries, expected {expected} as \"{of}\" has"))
}

/// Sizes or places as a message lists them.
pub fn listed<T: ToString>(numbers: &[T]) -> String {
    format!("[{}]", numbers.iter().map(T::to_string).collect::<Vec<_>>().join(", "))
}

/// Shortens what a file says so that it fits into a message.
pub fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("\"{}..\"", plain(&text[..end])),
        None => format!("\"{}\"", plain(text)),
    }
}

/// A text in one line, without signs that move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().map(|sign| if sign.is_control() { '\u{fffd}' } else { sign }).collect()
}
