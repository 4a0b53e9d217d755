//! Avro files, as far as they are looked into without the library: their headers, their types, and values that are skipped.

use serde_json::Value;
use std::collections::HashMap;

/// What an Avro file begins with.
const MARK: &[u8] = b"Obj\x01";
/// The bytes after the header of an Avro file, and after each of its blocks.
const SYNC_BYTES: usize = 16;
/// The header's entry with the types of what is in the file.
const SCHEMA: &[u8] = b"avro.schema";

/// The header of an Avro file.
pub struct AvroHeader<'b> {
    /// Names and values.
    pub entries: Vec<(&'b [u8], &'b [u8])>,
}

impl<'b> AvroHeader<'b> {
    /// Reads the header of a file, and gives what follows it; `None` if the file is no Avro file.
    pub fn read(file: &'b [u8]) -> Option<(AvroHeader<'b>, &'b [u8])> {
        let mut rest = file.strip_prefix(MARK)?;
        let mut entries = Vec::new();
        loop {
            let count = long(&mut rest)?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // The size of the block comes with a count below 0.
                long(&mut rest)?;
            }
            for _ in 0..count.unsigned_abs() {
                entries.push((bytes(&mut rest)?, bytes(&mut rest)?));
            }
        }
        (rest.len() >= SYNC_BYTES).then_some((AvroHeader { entries }, rest))
    }

    /// The value under a name.
    pub fn value(&self, name: &[u8]) -> Option<&'b [u8]> {
        self.entries.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// A name as the file has it.
    pub fn key(&self, name: &[u8]) -> Option<&'b [u8]> {
        self.entries.iter().find(|(key, _)| *key == name).map(|(key, _)| *key)
    }

    /// The type of what is in the file; `None` where it is one that is not known here.
    pub fn item_type(&self) -> Option<AvroType> {
        let schema: Value = serde_json::from_slice(self.value(SCHEMA)?).ok()?;
        AvroType::of(&schema, &mut HashMap::new())
    }
}

/// The bytes of a header with other values under some names.
pub fn header_with(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut made = MARK.to_vec();
    put_long(entries.len() as i64, &mut made);
    for part in entries.iter().flat_map(|(key, value)| [key, value]) {
        put_long(part.len() as i64, &mut made);
        made.extend_from_slice(part);
    }
    put_long(0, &mut made);
    made
}

/// A block of an Avro file: how many items it has, and their bytes as they are stored.
pub struct AvroBlock<'b> {
    pub count: u64,
    pub stored: &'b [u8],
}

/// Takes the mark that blocks end with from what follows a header.
pub fn take_sync<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (sync, after) = rest.split_at_checked(SYNC_BYTES)?;
    *rest = after;
    Some(sync)
}

/// The next block, or `None` within at the end; `None` where the bytes are none.
pub fn next_block<'b>(rest: &mut &'b [u8], sync: &[u8]) -> Option<Option<AvroBlock<'b>>> {
    if rest.is_empty() {
        return Some(None);
    }
    let count = u64::try_from(long(rest)?).ok()?;
    let stored = bytes(rest)?;
    (take_sync(rest)? == sync).then_some(Some(AvroBlock { count, stored }))
}

/// Adds a block of items as they are.
pub fn put_block(count: usize, items: &[u8], sync: &[u8], to: &mut Vec<u8>) {
    put_long(count as i64, to);
    put_long(items.len() as i64, to);
    to.extend_from_slice(items);
    to.extend_from_slice(sync);
}

/// A type of Avro.
#[derive(Clone, Debug, PartialEq)]
pub enum AvroType {
    Null,
    Boolean,
    /// Also what stands for a symbol of an enum.
    Int,
    Long,
    Float,
    Double,
    /// Bytes and text.
    Bytes,
    Fixed(usize),
    Array(Box<AvroType>),
    Map(Box<AvroType>),
    Union(Vec<AvroType>),
    Record(Vec<AvroField>),
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct AvroField {
    pub name: String,
    /// The id that Iceberg gives it.
    pub id: Option<i32>,
    pub of: AvroType,
}

/// A value that stands by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AvroValue<'b> {
    Null,
    Boolean(bool),
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(&'b [u8]),
    /// One that is not looked into.
    Other,
}

impl AvroType {
    /// The type that a schema says; `None` where it is not known here. `named` are the types that have names so far.
    fn of(schema: &Value, named: &mut HashMap<String, AvroType>) -> Option<AvroType> {
        let object = match schema {
            Value::String(name) => return AvroType::primitive(name).or_else(|| named.get(name).cloned()),
            Value::Array(of) => {
                let of = of.iter().map(|schema| AvroType::of(schema, named)).collect::<Option<_>>()?;
                return Some(AvroType::Union(of));
            }
            Value::Object(object) => object,
            _ => return None,
        };
        let found = match object.get("type")? {
            Value::String(kind) => match kind.as_str() {
                "record" => AvroType::Record(fields_of(object.get("fields")?, named)?),
                "array" => AvroType::Array(Box::new(AvroType::of(object.get("items")?, named)?)),
                "map" => AvroType::Map(Box::new(AvroType::of(object.get("values")?, named)?)),
                "fixed" => AvroType::Fixed(usize::try_from(object.get("size")?.as_u64()?).ok()?),
                "enum" => AvroType::Int,
                name => AvroType::primitive(name).or_else(|| named.get(name).cloned())?,
            },
            other => AvroType::of(other, named)?,
        };
        if let Some(name) = object.get("name").and_then(Value::as_str) {
            if let Some(space) = object.get("namespace").and_then(Value::as_str) {
                named.insert(format!("{space}.{name}"), found.clone());
            }
            named.insert(name.to_owned(), found.clone());
        }
        Some(found)
    }

    fn primitive(name: &str) -> Option<AvroType> {
        Some(match name {
            "null" => AvroType::Null,
            "boolean" => AvroType::Boolean,
            "int" => AvroType::Int,
            "long" => AvroType::Long,
            "float" => AvroType::Float,
            "double" => AvroType::Double,
            "bytes" | "string" => AvroType::Bytes,
            _ => return None,
        })
    }

    /// The fields of a record.
    pub fn fields(&self) -> Option<&[AvroField]> {
        match self {
            AvroType::Record(fields) => Some(fields),
            _ => None,
        }
    }

    /// The type that the next value has, where it is one of a union.
    pub fn branch(&self, from: &mut &[u8]) -> Option<&AvroType> {
        match self {
            AvroType::Union(of) => of.get(usize::try_from(long(from)?).ok()?),
            other => Some(other),
        }
    }

    /// The next value.
    pub fn value<'b>(&self, from: &mut &'b [u8]) -> Option<AvroValue<'b>> {
        Some(match self {
            AvroType::Null => AvroValue::Null,
            AvroType::Boolean => AvroValue::Boolean(taken(from, 1)? != [0]),
            AvroType::Int => AvroValue::Int(i32::try_from(long(from)?).ok()?),
            AvroType::Long => AvroValue::Long(long(from)?),
            AvroType::Float => AvroValue::Float(f32::from_le_bytes(taken(from, 4)?.try_into().ok()?)),
            AvroType::Double => AvroValue::Double(f64::from_le_bytes(taken(from, 8)?.try_into().ok()?)),
            AvroType::Bytes => AvroValue::Bytes(bytes(from)?),
            AvroType::Union(_) => return self.branch(from)?.value(from),
            AvroType::Fixed(_) | AvroType::Array(_) | AvroType::Map(_) | AvroType::Record(_) => {
                self.skip(from)?;
                AvroValue::Other
            }
        })
    }

    /// Goes past the next value.
    pub fn skip(&self, from: &mut &[u8]) -> Option<()> {
        match self {
            AvroType::Fixed(size) => {
                taken(from, *size)?;
            }
            AvroType::Array(of) => each_item(from, true, &mut |from| of.skip(from))?,
            AvroType::Map(of) => each_item(from, true, &mut |from| bytes(from).and_then(|_| of.skip(from)))?,
            AvroType::Union(_) => self.branch(from)?.skip(from)?,
            AvroType::Record(fields) => fields.iter().try_for_each(|field| field.of.skip(from))?,
            _ => {
                self.value(from)?;
            }
        }
        Some(())
    }
}

fn fields_of(fields: &Value, named: &mut HashMap<String, AvroType>) -> Option<Vec<AvroField>> {
    let field = |field: &Value| {
        Some(AvroField {
            name: field.get("name")?.as_str()?.to_owned(),
            id: field.get("field-id").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok()),
            of: AvroType::of(field.get("type")?, named)?,
        })
    };
    fields.as_array()?.iter().map(field).collect()
}

/// Calls with each item of an array or a map. Blocks that tell their size are skipped whole where `skips` says so.
pub fn each_item<'b>(
    from: &mut &'b [u8],
    skips: bool,
    item: &mut dyn FnMut(&mut &'b [u8]) -> Option<()>,
) -> Option<()> {
    loop {
        let count = long(from)?;
        if count == 0 {
            return Some(());
        }
        if count < 0 {
            let size = usize::try_from(long(from)?).ok()?;
            if skips {
                taken(from, size)?;
                continue;
            }
        }
        // An item takes a byte at least, or the count is none.
        if count.unsigned_abs() > from.len() as u64 {
            return None;
        }
        for _ in 0..count.unsigned_abs() {
            item(from)?;
        }
    }
}

/// A number of Avro: groups of seven bits, the last bit of all the sign.
pub fn long(from: &mut &[u8]) -> Option<i64> {
    let (mut number, mut shift) = (0u64, 0);
    loop {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
        shift += 7;
    }
}

/// Bytes behind their length.
pub fn bytes<'b>(from: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(long(from)?).ok()?;
    taken(from, length)
}

fn taken<'b>(from: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

/// Adds a number.
pub fn put_long(number: i64, to: &mut Vec<u8>) {
    let mut number = ((number << 1) ^ (number >> 63)) as u64;
    while number >= 0x80 {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_of_avro_are_read_as_they_are_put() {
        for number in [0, 1, -1, 63, 64, -64, -65, 1 << 40, i64::MAX, i64::MIN] {
            let mut put = Vec::new();
            put_long(number, &mut put);
            assert_eq!(long(&mut put.as_slice()), Some(number));
            assert_eq!(long(&mut &put[..put.len() - 1]), None);
        }
        assert_eq!(long(&mut [0xff; 12].as_slice()), None);
    }

    #[test]
    fn values_are_skipped_by_their_types() {
        let schema = json!({ "type": "record", "name": "r", "fields": [
            { "name": "a", "type": ["null", "long"], "field-id": 1 },
            { "name": "b", "type": { "type": "array", "items": { "type": "record", "name": "kv", "fields": [
                { "name": "key", "type": "int" }, { "name": "value", "type": "bytes" } ] } } },
            { "name": "c", "type": ["null", { "type": "array", "items": "kv" }] },
            { "name": "d", "type": { "type": "fixed", "name": "f", "size": 2 } },
        ] });
        let of = AvroType::of(&schema, &mut HashMap::new()).unwrap();
        let mut row = Vec::new();
        for number in [1, -7, 2, 5, 1] {
            put_long(number, &mut row);
        }
        row.push(b'x');
        for number in [6, 0, 0, 0] {
            put_long(number, &mut row);
        }
        row.extend([9, 9, 77]);
        let mut rest = row.as_slice();
        assert_eq!(of.skip(&mut rest), Some(()));
        assert_eq!(rest, [77]);
        assert_eq!(of.fields().unwrap()[0].id, Some(1));
        assert_eq!(of.fields().unwrap()[0].of.value(&mut row.as_slice()), Some(AvroValue::Long(-7)));
        for cut in 0..row.len() - 1 {
            assert_eq!(of.skip(&mut &row[..cut]), None, "{cut}");
        }
        assert_eq!(AvroType::of(&json!("gone"), &mut HashMap::new()), None);
    }

    #[test]
    fn an_array_that_says_more_items_than_it_has_bytes_is_none() {
        let mut bytes = Vec::new();
        put_long(i64::MAX, &mut bytes);
        assert_eq!(AvroType::Array(Box::new(AvroType::Null)).skip(&mut bytes.as_slice()), None);
    }
}
