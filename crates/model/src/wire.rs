//! Adds up what a file would occupy once decoded, before it is decoded.
//!
//! Two bytes of a protobuf file can ask for a few hundred bytes of memory (an empty message in a list), so a cap on
//! the file's size alone bounds nothing. The scan is one pass, allocates nothing, and is as deep as the table of
//! messages in [`Kind::child`].

use crate::node::Checked;

/// The most memory that a decoded file may take, in bytes.
pub const DECODED_BYTES_MAX: u64 = 1 << 30;

/// What one message in a list costs beyond its fields, in bytes.
const MESSAGE_BYTES: u64 = 320;

/// What one string in a list costs beyond its text, in bytes.
const STRING_BYTES: u64 = 48;

/// The messages whose insides are decoded.
#[derive(Clone, Copy)]
pub enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    ValueInfo,
    Type,
    TensorType,
    Shape,
    Pair,
}

impl Kind {
    /// The message that a field holds, if it is one that is decoded.
    pub fn child(self, field: u64) -> Option<Kind> {
        Some(match (self, field) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Model, 8 | 14) | (Kind::Tensor, 13) | (Kind::Shape, 1) => Kind::Pair,
            (Kind::Graph, 1) => Kind::Node,
            (Kind::Graph, 5) => Kind::Tensor,
            (Kind::Graph, 11 | 12) => Kind::ValueInfo,
            (Kind::Node, 5) => Kind::Attribute,
            (Kind::Attribute, 5) => Kind::Tensor,
            (Kind::ValueInfo, 2) => Kind::Type,
            (Kind::Type, 1) => Kind::TensorType,
            (Kind::TensorType, 2) => Kind::Shape,
            _ => return None,
        })
    }

    /// Whether tensors can be in it.
    pub fn holds_tensors(&self) -> bool {
        matches!(self, Kind::Graph | Kind::Node | Kind::Attribute | Kind::Tensor)
    }

    /// Whether a field is a packed list of integers.
    fn packed_integers(self, field: u64) -> bool {
        matches!((self, field), (Kind::Attribute, 8) | (Kind::Tensor, 1 | 5 | 7))
    }
}

/// Refuses bytes that are not protobuf at all, or that would decode into more than [`DECODED_BYTES_MAX`].
pub fn check_budget(bytes: &[u8]) -> Checked<()> {
    Scan { decoded_bytes: 0 }.message(Kind::Model, bytes)
}

struct Scan {
    decoded_bytes: u64,
}

impl Scan {
    fn message(&mut self, kind: Kind, bytes: &[u8]) -> Checked<()> {
        let mut cursor = Cursor { bytes };
        while !cursor.bytes.is_empty() {
            let field = cursor.field()?;
            if let Some(part) = field.part {
                self.part(kind, field.number, part)?;
            }
            self.spend(8)?;
        }
        Ok(())
    }

    fn part(&mut self, kind: Kind, field: u64, part: &[u8]) -> Checked<()> {
        if let Some(child) = kind.child(field) {
            self.spend(MESSAGE_BYTES)?;
            self.message(child, part)
        } else if kind.packed_integers(field) {
            let integers = part.iter().filter(|&&byte| byte < 0x80).count();
            self.spend(8 * integers as u64)
        } else {
            self.spend(STRING_BYTES + part.len() as u64)
        }
    }

    fn spend(&mut self, bytes: u64) -> Checked<()> {
        self.decoded_bytes += bytes;
        if self.decoded_bytes > DECODED_BYTES_MAX {
            return Err(format!("the model needs more than {} MiB once decoded", DECODED_BYTES_MAX >> 20));
        }
        Ok(())
    }
}

/// A field of a message.
pub struct WireField<'a> {
    pub number: u64,
    /// The number that it holds, if it is one of variable length.
    pub value: u64,
    /// What it holds, if it has a length.
    pub part: Option<&'a [u8]>,
}

/// What is left of a message.
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Takes the next field.
    pub fn field(&mut self) -> Checked<WireField<'a>> {
        let tag = self.varint()?;
        let (mut field, mut length) = (WireField { number: tag >> 3, value: 0, part: None }, 0);
        match tag & 7 {
            0 => field.value = self.varint()?,
            1 => length = 8,
            2 => {
                let length = self.varint()?;
                field.part = Some(self.take(length)?);
            }
            5 => length = 4,
            other => {
                return Err(format!(
                    "the file is not an ONNX model, or is damaged: field {} of it has a type, {other}, that none has",
                    field.number
                ));
            }
        }
        self.take(length)?;
        Ok(field)
    }

    fn varint(&mut self) -> Checked<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.bytes.split_first().ok_or_else(truncated)?;
            self.bytes = rest;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("the file is not an ONNX model: a number takes more than 10 bytes".to_string())
    }

    fn take(&mut self, length: u64) -> Checked<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| truncated())?;
        let (part, rest) = self.bytes.split_at_checked(length).ok_or_else(truncated)?;
        self.bytes = rest;
        Ok(part)
    }
}

fn truncated() -> String {
    "the file is truncated or not an ONNX model: a field reaches beyond the end".to_string()
}
