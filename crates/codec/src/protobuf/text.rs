//! Values of Protobuf as JSON, from which columns are read as from messages that are JSON.

use super::schema::{FieldType, MessageType, ProtobufSchema, Shape, ValueType};
use super::wire::{Raw, Step, array, next_field, varint};
use crate::json::{put_bytes, put_double, put_float, put_number, put_text};
use dataflow::{Error, Result};
use std::collections::BTreeMap;
use values::calendar;

/// The largest text of a message.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// The largest text of a message of no bytes, and how much more each byte may give: names of fields, and fields that are
/// absent, are text all the same, and few bytes shall not cost the time of many.
const TEXT_BYTES_BESIDE: usize = 1 << 20;
const TEXT_BYTES_OF_ONE: usize = 1 << 10;
/// How deep values may lie in each other; as deep as JSON may.
const DEPTH_MAX: usize = 100;
/// How many values a field may have that do not lie together in one piece, over all of a message.
const SINGLE_VALUES_MAX: usize = 1 << 21;

impl ProtobufSchema {
    /// A message as a JSON object: a field per field of the message, in the sequence of the schema.
    ///
    /// Integers are exact, of 64 bits too; an enum is its name, or the number of one that the schema does not know; bytes are
    /// text where they are UTF-8, else with `\xff` for what is no ASCII. Lists, maps and messages are arrays and objects;
    /// `google.protobuf.Timestamp` is a text that CAST reads, and wrappers such as `Int64Value` are their value. A field
    /// that is absent is NULL where the message can say that it is, else its default; fields that the schema does not know
    /// are passed over, and of a field that is there twice the last value counts, as Protobuf has it. An error of kind
    /// `Data` says what is wrong with the bytes, whatever they are: at most 1 MiB and 1,024 times their number come out as
    /// text, never more than 64 MiB, and 100 MiB more are taken for fields that are there many times.
    pub fn to_json(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let text_max = TEXT_BYTES_MAX.min(TEXT_BYTES_BESIDE + payload.len().saturating_mul(TEXT_BYTES_OF_ONE));
        let out = Vec::with_capacity(2 * payload.len().min(1 << 20));
        let mut writer = Writer { schema: self, out, text_max, single_values: 0 };
        let put = writer.put_message(self.root, &[payload], 0);
        put.map_err(|why| Error::data(format!("the message is not of its schema of Protobuf: {why}")))?;
        Ok(writer.out)
    }
}

struct Writer<'a> {
    schema: &'a ProtobufSchema,
    out: Vec<u8>,
    text_max: usize,
    single_values: usize,
}

impl<'a> Writer<'a> {
    /// Puts a message out that lies in these parts, one after the other.
    fn put_message(&mut self, of: usize, parts: &[&'a [u8]], depth: usize) -> Step {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep"));
        }
        let schema = self.schema;
        let message = schema.messages.get(of).ok_or_else(|| "a message is not known".to_owned())?;
        let found = self.find(message, parts)?;
        match message.shape {
            Shape::Timestamp => self.put_timestamp(&found),
            Shape::Wrapper => match message.fields.first().zip(found.first()) {
                Some((field, values)) => self.put_field(field, values, depth),
                None => Err("a value has no type".to_owned()),
            },
            Shape::Object | Shape::Entry => self.put_object(message, &found, depth),
        }
    }

    /// The values of a message, by its fields.
    fn find(&mut self, message: &MessageType, parts: &[&'a [u8]]) -> Step<Vec<Vec<Raw<'a>>>> {
        let mut found: Vec<Vec<Raw<'a>>> = vec![Vec::new(); message.fields.len()];
        // Of each oneof the field that came last.
        let mut chosen = BTreeMap::new();
        for part in parts {
            let mut rest = *part;
            while let Some((number, raw)) = next_field(&mut rest)? {
                let Some(at) = message.field_of(number) else { continue };
                let field = &message.fields[at];
                // What has other bytes than the type of the field is a field that is not known.
                if !fits(field, raw) {
                    continue;
                }
                let other = field.oneof.and_then(|oneof| chosen.insert(oneof, at));
                other.filter(|other| *other != at).into_iter().for_each(|other| found[other].clear());
                let is_kept = field.is_repeated || matches!(field.value, ValueType::Message(_) | ValueType::Group(_));
                if !is_kept {
                    found[at].clear();
                }
                self.single_values += 1;
                if self.single_values > SINGLE_VALUES_MAX {
                    return Err(format!("it has more than {SINGLE_VALUES_MAX} values"));
                }
                found[at].push(raw);
            }
        }
        Ok(found)
    }

    fn put_object(&mut self, message: &MessageType, found: &[Vec<Raw<'a>>], depth: usize) -> Step {
        self.out.push(b'{');
        for (at, (field, values)) in message.fields.iter().zip(found).enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.text(&field.name)?;
            self.out.push(b':');
            self.put_field(field, values, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn put_field(&mut self, field: &FieldType, values: &[Raw<'a>], depth: usize) -> Step {
        if self.out.len() > self.text_max {
            return Err(format!("it is more than {} bytes of text", self.text_max));
        }
        match values {
            [] if field.is_required => return Err(format!("field \"{}\" is required and is not there", field.name)),
            [] => self.out.extend_from_slice(&field.absent),
            values if field.is_repeated => match self.entry_of(field) {
                Some(entry) => self.put_map(entry, values, depth)?,
                None => self.put_list(field, values, depth)?,
            },
            values => match field.value {
                ValueType::Message(of) | ValueType::Group(of) => {
                    let parts: Vec<&[u8]> = values.iter().filter_map(bytes_of).collect();
                    self.put_message(of, &parts, depth + 1)?;
                }
                value => {
                    if let Some(raw) = values.last() {
                        self.put_value(value, *raw, depth)?;
                    }
                }
            },
        }
        Ok(())
    }

    /// What the entries of a field are, where it is a map.
    fn entry_of(&self, field: &FieldType) -> Option<usize> {
        let ValueType::Message(of) = field.value else { return None };
        self.schema.messages.get(of).filter(|message| message.shape == Shape::Entry).map(|_| of)
    }

    fn put_list(&mut self, field: &FieldType, values: &[Raw<'a>], depth: usize) -> Step {
        self.out.push(b'[');
        let mut is_first = true;
        for raw in values {
            match raw {
                Raw::Sized(packed) if packs(field.value) => {
                    let mut rest = *packed;
                    while !rest.is_empty() {
                        self.part(&mut is_first)?;
                        let value = unpacked(field.value, &mut rest)?;
                        self.put_value(field.value, value, depth)?;
                    }
                }
                raw => {
                    self.part(&mut is_first)?;
                    self.put_value(field.value, *raw, depth)?;
                }
            }
        }
        self.out.push(b']');
        Ok(())
    }

    fn put_map(&mut self, entry: usize, values: &[Raw<'a>], depth: usize) -> Step {
        let schema = self.schema;
        let message = &schema.messages[entry];
        let of = |number: u32| message.field_of(number).ok_or_else(|| "a map has no key or no value".to_owned());
        let (key, value) = (of(1)?, of(2)?);
        self.out.push(b'{');
        let mut is_first = true;
        for part in values.iter().filter_map(bytes_of) {
            self.part(&mut is_first)?;
            let found = self.find(message, &[part])?;
            let at = self.out.len();
            self.put_field(&message.fields[key], &found[key], depth)?;
            // Names are text, whatever the keys are.
            if self.out.get(at) != Some(&b'"') {
                self.out.insert(at, b'"');
                self.out.push(b'"');
            }
            self.out.push(b':');
            match (message.fields[value].value, &found[value][..]) {
                // A value that is left out is one with nothing in it.
                (ValueType::Message(of), []) => self.put_message(of, &[], depth + 1)?,
                (_, values) => self.put_field(&message.fields[value], values, depth)?,
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Before each part of a list or a map.
    fn part(&mut self, is_first: &mut bool) -> Step {
        if !std::mem::take(is_first) {
            self.out.push(b',');
        }
        match self.out.len() > self.text_max {
            true => Err(format!("it is more than {} bytes of text", self.text_max)),
            false => Ok(()),
        }
    }

    fn put_value(&mut self, of: ValueType, raw: Raw<'a>, depth: usize) -> Step {
        let out = &mut self.out;
        let put = match (of, raw) {
            (ValueType::Double, Raw::Eight(bytes)) => put_double(out, f64::from_le_bytes(bytes)),
            (ValueType::Float, Raw::Four(bytes)) => put_float(out, f32::from_le_bytes(bytes)),
            (ValueType::Int32, Raw::Varint(value)) => put_number(out, value as i32),
            (ValueType::Int64, Raw::Varint(value)) => put_number(out, value.cast_signed()),
            (ValueType::Uint32, Raw::Varint(value)) => put_number(out, value as u32),
            (ValueType::Uint64, Raw::Varint(value)) => put_number(out, value),
            (ValueType::Sint32, Raw::Varint(value)) => put_number(out, zigzag(u64::from(value as u32)) as i32),
            (ValueType::Sint64, Raw::Varint(value)) => put_number(out, zigzag(value)),
            (ValueType::Fixed32, Raw::Four(bytes)) => put_number(out, u32::from_le_bytes(bytes)),
            (ValueType::Fixed64, Raw::Eight(bytes)) => put_number(out, u64::from_le_bytes(bytes)),
            (ValueType::Sfixed32, Raw::Four(bytes)) => put_number(out, i32::from_le_bytes(bytes)),
            (ValueType::Sfixed64, Raw::Eight(bytes)) => put_number(out, i64::from_le_bytes(bytes)),
            (ValueType::Boolean, Raw::Varint(value)) => put_number(out, value != 0),
            (ValueType::Text, Raw::Sized(bytes)) => {
                return self.text(std::str::from_utf8(bytes).map_err(|_| "a text is no UTF-8".to_owned())?);
            }
            (ValueType::Bytes, Raw::Sized(bytes)) => put_bytes(out, bytes),
            (ValueType::Enum(of), Raw::Varint(value)) => return self.put_enum(of, value as i32),
            (ValueType::Message(of) | ValueType::Group(of), Raw::Sized(bytes) | Raw::Group(bytes)) => {
                return self.put_message(of, &[bytes], depth + 1);
            }
            _ => return Err("a value has other bytes than its type".to_owned()),
        };
        put.map_err(|error| error.to_string())
    }

    /// Where no names are known, and where they do not have a number, the number tells.
    fn put_enum(&mut self, of: Option<usize>, number: i32) -> Step {
        let Some(names) = of.and_then(|of| self.schema.enums.get(of)) else {
            return put_number(&mut self.out, number).map_err(|error| error.to_string());
        };
        match names.get(&number) {
            Some(name) => self.text(name),
            None => self.text(&number.to_string()),
        }
    }

    /// A text that CAST reads; of an instant that has none, one that no CAST reads.
    fn put_timestamp(&mut self, found: &[Vec<Raw<'a>>]) -> Step {
        let number = |at: usize| match found.get(at).and_then(|values| values.last()) {
            Some(Raw::Varint(value)) => value.cast_signed(),
            _ => 0,
        };
        let (seconds, nanos) = (number(0), number(1));
        // Both of one sign, as halves go away from zero.
        let (whole, rest) = match (seconds.signum(), nanos.signum()) {
            (-1, 1) => (seconds + 1, nanos.saturating_sub(1_000_000_000)),
            _ => (seconds, nanos),
        };
        let rest = calendar::micros_of_nanos(rest);
        let micros = whole.checked_mul(1_000_000).and_then(|micros| micros.checked_add(rest));
        match micros.and_then(calendar::timestamp) {
            Some(instant) => {
                self.out.push(b'"');
                calendar::put_instant(&mut self.out, instant);
                self.out.push(b'"');
                Ok(())
            }
            None => self.text(&format!("{seconds} seconds is no instant")),
        }
    }

    fn text(&mut self, text: &str) -> Step {
        put_text(&mut self.out, text).map_err(|error| error.to_string())
    }
}

fn bytes_of<'a>(raw: &Raw<'a>) -> Option<&'a [u8]> {
    match raw {
        Raw::Sized(bytes) | Raw::Group(bytes) => Some(bytes),
        Raw::Varint(_) | Raw::Eight(_) | Raw::Four(_) => None,
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Whether many values of a type may lie in one piece.
fn packs(of: ValueType) -> bool {
    !matches!(of, ValueType::Text | ValueType::Bytes | ValueType::Message(_) | ValueType::Group(_))
}

/// Whether a value has the bytes that its field has.
fn fits(field: &FieldType, raw: Raw) -> bool {
    match (field.value, raw) {
        (ValueType::Double | ValueType::Fixed64 | ValueType::Sfixed64, Raw::Eight(_)) => true,
        (ValueType::Float | ValueType::Fixed32 | ValueType::Sfixed32, Raw::Four(_)) => true,
        (ValueType::Text | ValueType::Bytes | ValueType::Message(_), Raw::Sized(_)) => true,
        (ValueType::Group(_), Raw::Group(_)) => true,
        (of, Raw::Sized(_)) => field.is_repeated && packs(of),
        (of, Raw::Varint(_)) => unpacks_as_varint(of),
        _ => false,
    }
}

fn unpacks_as_varint(of: ValueType) -> bool {
    use ValueType as T;
    matches!(of, T::Int32 | T::Int64 | T::Uint32 | T::Uint64 | T::Sint32 | T::Sint64 | T::Boolean | T::Enum(_))
}

/// The next of many values in one piece.
fn unpacked<'a>(of: ValueType, rest: &mut &'a [u8]) -> Step<Raw<'a>> {
    Ok(match of {
        ValueType::Double | ValueType::Fixed64 | ValueType::Sfixed64 => Raw::Eight(array(rest)?),
        ValueType::Float | ValueType::Fixed32 | ValueType::Sfixed32 => Raw::Four(array(rest)?),
        _ => Raw::Varint(varint(rest)?),
    })
}
