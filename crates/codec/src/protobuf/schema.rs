//! Schemas of Protobuf as messages are read by them: fields by their numbers, and what stands for those that are absent.

use dataflow::Error;
use std::collections::BTreeMap;

/// A schema that messages were written with.
///
/// Types of messages are numbered, so that a message may have itself as a field.
#[derive(Clone, Debug)]
pub struct ProtobufSchema {
    pub(super) messages: Vec<MessageType>,
    pub(super) enums: Vec<BTreeMap<i32, String>>,
    pub(super) root: usize,
}

pub(super) fn wrong(what: &str) -> Error {
    Error::invalid(format!("the schema of Protobuf cannot be read: {what}"))
}

/// A message.
#[derive(Clone, Debug, Default)]
pub(super) struct MessageType {
    /// In the sequence in which they are declared.
    pub fields: Vec<FieldType>,
    /// Where the fields of numbers are; the numbers rise.
    pub numbers: Vec<(u32, usize)>,
    pub shape: Shape,
}

impl MessageType {
    pub fn new(fields: Vec<FieldType>, shape: Shape) -> MessageType {
        let mut numbers: Vec<(u32, usize)> = fields.iter().enumerate().map(|(at, field)| (field.number, at)).collect();
        numbers.sort_unstable();
        MessageType { fields, numbers, shape }
    }

    /// Where the field of a number is.
    pub fn field_of(&self, number: u32) -> Option<usize> {
        let at = self.numbers.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.numbers.get(at).map(|(_, field)| *field)
    }
}

/// Messages that stand for something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    #[default]
    Object,
    /// A point in time: seconds and nanoseconds.
    Timestamp,
    /// A value that may be absent, in the only field.
    Wrapper,
    /// A key and a value.
    Entry,
}

/// A field.
#[derive(Clone, Debug)]
pub(super) struct FieldType {
    pub name: String,
    pub number: u32,
    pub value: ValueType,
    pub is_repeated: bool,
    pub is_required: bool,
    /// Which of the message's oneofs it is of: of those of one the last that is there counts.
    pub oneof: Option<usize>,
    /// What stands for it where it is absent, as JSON.
    pub absent: Vec<u8>,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueType {
    Double,
    Float,
    /// Of 32 or 64 bits, as a varint.
    Int32,
    Int64,
    Uint32,
    Uint64,
    /// The same, in which small negative numbers are short.
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Boolean,
    Text,
    Bytes,
    /// By the number of its names; none where a schema does not tell them.
    Enum(Option<usize>),
    Message(usize),
    /// A message between two tags, in place of one with its length.
    Group(usize),
}
