//! Fields of messages in the encoding of Protobuf, changed one at a time, so that what is changed still decodes.

use super::script::Numbers;
use bytes::BufMut;

/// Numbers at the edges of what is counted and added.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    7,
    64,
    1000,
    65_536,
    i32::MAX as u64,
    i32::MAX as u64 + 1,
    u32::MAX as u64,
    1 << 40,
    i64::MAX as u64 - 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// The greatest number of a field that is put in.
const FIELD_MAX: usize = 36;

#[derive(Clone)]
enum Value {
    Number(u64),
    Bytes(Vec<u8>),
    Fixed(Vec<u8>),
}

/// A number at an edge, or any.
pub fn number(numbers: &mut dyn Numbers) -> u64 {
    match numbers.below(4) {
        0 => numbers.below(100) as u64,
        _ => numbers.of(&EDGES),
    }
}

/// A message with a field changed, taken out, repeated or put in; bytes that are no message have some bytes changed.
pub fn changed(bytes: &[u8], numbers: &mut dyn Numbers, depth: usize) -> Vec<u8> {
    let Some(mut fields) = fields_of(bytes).filter(|fields| !fields.is_empty()) else {
        return bytes_changed(bytes, numbers);
    };
    let at = numbers.below(fields.len());
    match numbers.below(10) {
        0 => drop(fields.remove(at)),
        1 => fields.insert(at, fields[at].clone()),
        2 => {
            let field = 1 + numbers.below(FIELD_MAX) as u32;
            fields.push((field, Value::Number(number(numbers))));
        }
        _ => {
            let (_, value) = &mut fields[at];
            match value {
                Value::Number(it) => {
                    *it = match numbers.below(3) {
                        0 => it.wrapping_add(1),
                        1 => it.wrapping_sub(1),
                        _ => number(numbers),
                    }
                }
                Value::Bytes(bytes) if depth > 0 && numbers.below(4) > 0 => *bytes = changed(bytes, numbers, depth - 1),
                Value::Bytes(bytes) | Value::Fixed(bytes) => *bytes = bytes_changed(bytes, numbers),
            }
        }
    }
    joined(&fields)
}

/// Bytes changed, taken out or repeated.
pub fn bytes_changed(bytes: &[u8], numbers: &mut dyn Numbers) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return vec![numbers.below(256) as u8; 1 + numbers.below(4)];
    }
    let at = numbers.below(bytes.len());
    let end = (at + 1 + numbers.below(20)).min(bytes.len());
    match numbers.below(8) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let part = bytes[at..end].repeat(1 + numbers.of(&[0, 1, 40]));
            bytes.splice(at..at, part);
        }
        2 => bytes[at] = numbers.of(&[0, 1, 0x7f, 0x80, 0xff]),
        3 => bytes.truncate(at),
        4 => bytes[at] = numbers.below(256) as u8,
        5 => {
            let edge = number(numbers).to_be_bytes();
            let size = numbers.of(&[2, 4, 8]);
            let end = (at + size).min(bytes.len());
            bytes.splice(at..end, edge[8 - size..].iter().copied());
        }
        6 => digits_changed(&mut bytes, at, numbers),
        _ => bytes[at] ^= 1 << numbers.below(8),
    }
    bytes
}

/// The next number that is written as text is another one.
fn digits_changed(bytes: &mut Vec<u8>, at: usize, numbers: &mut dyn Numbers) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let Some(begin) = bytes[at..].iter().position(is_digit).map(|found| at + found) else { return };
    let size = bytes[begin..].iter().take_while(|byte| is_digit(byte)).count();
    bytes.splice(begin..begin + size, number(numbers).to_string().into_bytes());
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn fields_of(mut rest: &[u8]) -> Option<Vec<(u32, Value)>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let fixed = |size: usize, rest: &mut &[u8]| {
            let (value, after) = rest.split_at_checked(size)?;
            *rest = after;
            Some(value.to_vec())
        };
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut rest)?),
            1 => Value::Fixed(fixed(8, &mut rest)?),
            2 => {
                let size = usize::try_from(varint(&mut rest)?).ok()?;
                Value::Bytes(fixed(size, &mut rest)?)
            }
            5 => Value::Fixed(fixed(4, &mut rest)?),
            _ => return None,
        };
        fields.push((u32::try_from(tag >> 3).ok()?, value));
    }
    Some(fields)
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn joined(fields: &[(u32, Value)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (field, value) in fields {
        let kind = match value {
            Value::Number(_) => 0,
            Value::Bytes(_) => 2,
            Value::Fixed(bytes) if bytes.len() == 8 => 1,
            Value::Fixed(_) => 5,
        };
        put_varint(u64::from(*field) << 3 | kind, &mut out);
        match value {
            Value::Number(number) => put_varint(*number, &mut out),
            Value::Bytes(bytes) => {
                put_varint(bytes.len() as u64, &mut out);
                out.extend_from_slice(bytes);
            }
            Value::Fixed(bytes) => out.extend_from_slice(bytes),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol::{KeyValue, MessageMetadata};
    use prost::Message;

    #[test]
    fn fields_of_a_message_are_the_same_again() {
        let metadata = MessageMetadata {
            producer_name: "p".into(),
            sequence_id: u64::MAX,
            properties: vec![KeyValue { key: "a".into(), value: "b".into() }],
            ..Default::default()
        };
        let bytes = metadata.encode_to_vec();
        assert_eq!(joined(&fields_of(&bytes).unwrap()), bytes);
    }
}
