//! Schemas with descriptors: `{"fileDescriptorSet":"<base64>","rootMessageTypeName":"..","rootFileDescriptorName":".."}`.

use super::schema::{FieldType, MessageType, ProtobufSchema, Shape, ValueType, wrong};
use crate::json::{put_bytes, put_double, put_number, put_text};
use dataflow::Result;
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};
use std::collections::{BTreeMap, HashMap};

/// Reads such a schema.
pub fn parse(text: &[u8]) -> Result<ProtobufSchema> {
    let schema: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| wrong("it is no JSON").with_source(error))?;
    let text_of = |name: &str| schema[name].as_str().ok_or_else(|| wrong(&format!("it has no {name}")));
    let set = from_base64(text_of("fileDescriptorSet")?).ok_or_else(|| wrong("its descriptors are no base64"))?;
    let root = text_of("rootMessageTypeName")?;
    let pool = DescriptorPool::decode(set.as_slice())
        .map_err(|error| wrong("its descriptors are not what Protobuf has").with_source(error))?;
    let root = pool.get_message_by_name(root).ok_or_else(|| wrong(&format!("it has no message \"{root}\"")))?;
    let mut reading = Reading::default();
    let root = reading.message(&root);
    // Messages are found while others are read.
    while let Some((at, message)) = reading.waiting.pop() {
        let fields = message.fields().map(|field| reading.field(&field)).collect::<Result<Vec<_>>>()?;
        if let Some(place) = reading.messages.get_mut(at) {
            *place = MessageType::new(fields, shape_of(&message));
        }
    }
    Ok(ProtobufSchema { messages: reading.messages, enums: reading.enums, root })
}

#[derive(Default)]
struct Reading {
    messages: Vec<MessageType>,
    enums: Vec<BTreeMap<i32, String>>,
    by_name: HashMap<String, usize>,
    waiting: Vec<(usize, MessageDescriptor)>,
}

impl Reading {
    fn message(&mut self, message: &MessageDescriptor) -> usize {
        if let Some(at) = self.by_name.get(message.full_name()) {
            return *at;
        }
        let at = self.messages.len();
        self.messages.push(MessageType::default());
        self.by_name.insert(message.full_name().to_owned(), at);
        self.waiting.push((at, message.clone()));
        at
    }

    fn names(&mut self, of: &EnumDescriptor) -> usize {
        if let Some(at) = self.by_name.get(of.full_name()) {
            return *at;
        }
        let at = self.enums.len();
        let mut names = BTreeMap::new();
        // Of two names of a number the first one counts.
        for value in of.values() {
            names.entry(value.number()).or_insert_with(|| value.name().to_owned());
        }
        self.enums.push(names);
        self.by_name.insert(of.full_name().to_owned(), at);
        at
    }

    fn field(&mut self, field: &FieldDescriptor) -> Result<FieldType> {
        let value = match field.kind() {
            Kind::Double => ValueType::Double,
            Kind::Float => ValueType::Float,
            Kind::Int32 => ValueType::Int32,
            Kind::Int64 => ValueType::Int64,
            Kind::Uint32 => ValueType::Uint32,
            Kind::Uint64 => ValueType::Uint64,
            Kind::Sint32 => ValueType::Sint32,
            Kind::Sint64 => ValueType::Sint64,
            Kind::Fixed32 => ValueType::Fixed32,
            Kind::Fixed64 => ValueType::Fixed64,
            Kind::Sfixed32 => ValueType::Sfixed32,
            Kind::Sfixed64 => ValueType::Sfixed64,
            Kind::Bool => ValueType::Boolean,
            Kind::String => ValueType::Text,
            Kind::Bytes => ValueType::Bytes,
            Kind::Enum(of) => ValueType::Enum(Some(self.names(&of))),
            Kind::Message(of) if field.is_group() => ValueType::Group(self.message(&of)),
            Kind::Message(of) => ValueType::Message(self.message(&of)),
        };
        let oneof = field.containing_oneof().and_then(|oneof| {
            // The place among the message's is told by the name.
            field.parent_message().oneofs().position(|other| other.name() == oneof.name())
        });
        Ok(FieldType {
            name: field.name().to_owned(),
            number: field.number(),
            value,
            is_repeated: field.is_list() || field.is_map(),
            is_required: field.is_required(),
            oneof,
            absent: absent(field)?,
        })
    }
}

/// What stands for a field that is absent: NULL where that can be told from a value, unless it has a default of its own.
fn absent(field: &FieldDescriptor) -> Result<Vec<u8>> {
    let has_own = field.field_descriptor_proto().default_value.is_some();
    if field.is_map() {
        return Ok(b"{}".to_vec());
    }
    if field.is_list() {
        return Ok(b"[]".to_vec());
    }
    if field.supports_presence() && !has_own {
        return Ok(b"null".to_vec());
    }
    let mut out = Vec::new();
    match (field.default_value(), field.kind()) {
        (Value::Bool(value), _) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        (Value::I32(value), _) => put_number(&mut out, value)?,
        (Value::I64(value), _) => put_number(&mut out, value)?,
        (Value::U32(value), _) => put_number(&mut out, value)?,
        (Value::U64(value), _) => put_number(&mut out, value)?,
        (Value::F32(value), _) => put_double(&mut out, value.into())?,
        (Value::F64(value), _) => put_double(&mut out, value)?,
        (Value::String(value), _) => put_text(&mut out, &value)?,
        (Value::Bytes(value), _) => put_bytes(&mut out, &value)?,
        (Value::EnumNumber(number), Kind::Enum(of)) => {
            let name = of.get_value(number).map_or_else(|| number.to_string(), |value| value.name().to_owned());
            put_text(&mut out, &name)?;
        }
        _ => out.extend_from_slice(b"null"),
    }
    Ok(out)
}

fn shape_of(message: &MessageDescriptor) -> Shape {
    const WRAPPERS: [&str; 9] = [
        "DoubleValue",
        "FloatValue",
        "Int64Value",
        "UInt64Value",
        "Int32Value",
        "UInt32Value",
        "BoolValue",
        "StringValue",
        "BytesValue",
    ];
    match message.full_name().strip_prefix("google.protobuf.") {
        // Other types may have these names, and any number of fields.
        Some("Timestamp") if message.fields().len() <= 2 => Shape::Timestamp,
        Some(name) if WRAPPERS.contains(&name) && message.fields().len() <= 1 => Shape::Wrapper,
        _ if message.is_map_entry() => Shape::Entry,
        _ => Shape::Object,
    }
}

/// The bytes of a text in base64; none where it is no such text.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3 + 2), 0u32, 0);
    for letter in text.bytes() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(digit), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}
