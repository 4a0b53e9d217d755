//! Columns as the encoder writes them.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use dataflow::{Error, Result};
use std::sync::Arc;
use values::{calendar, plain_type, read_stored};

/// A column brought to one of a few physical types.
pub(super) struct PhysicalColumn {
    kind: PhysicalType,
    values: ArrayRef,
}

enum PhysicalType {
    Boolean,
    Integer,
    Unsigned,
    Real,
    Double,
    Timestamp,
    Text,
    /// Text that may be a number or a boolean.
    Cell,
    /// The elements of all lists.
    List(Box<PhysicalColumn>),
    /// The fields, each with its name and a colon as they are written.
    Struct(Vec<(Vec<u8>, PhysicalColumn)>),
}

impl PhysicalColumn {
    pub fn new(column: &ArrayRef, is_cell: bool) -> Result<PhysicalColumn> {
        let plain = plain_type(column.data_type());
        let column = if plain.is_nested() || plain == *column.data_type() {
            column.clone()
        } else {
            read_stored(column, &plain)?
        };
        let (kind, values) = match column.data_type() {
            DataType::Boolean => (PhysicalType::Boolean, column.clone()),
            DataType::UInt64 => (PhysicalType::Unsigned, column.clone()),
            data_type if data_type.is_integer() => (PhysicalType::Integer, cast(&column, &DataType::Int64)?),
            DataType::Float32 => (PhysicalType::Real, column.clone()),
            DataType::Float64 => (PhysicalType::Double, column.clone()),
            DataType::Timestamp(..) => (PhysicalType::Timestamp, column.clone()),
            DataType::LargeList(of) => {
                let list = cast(&column, &DataType::List(of.clone()))?;
                (PhysicalType::List(Box::new(PhysicalColumn::new(list.as_list::<i32>().values(), false)?)), list)
            }
            DataType::List(_) => {
                let elements = PhysicalColumn::new(column.as_list::<i32>().values(), false)?;
                (PhysicalType::List(Box::new(elements)), column.clone())
            }
            DataType::Struct(fields) => {
                let of = |(field, values): (&Arc<arrow::datatypes::Field>, &ArrayRef)| {
                    let mut name = Vec::new();
                    put_text(&mut name, field.name())?;
                    name.push(b':');
                    Ok((name, PhysicalColumn::new(values, false)?))
                };
                let fields = fields.iter().zip(column.as_struct().columns()).map(of).collect::<Result<Vec<_>>>()?;
                (PhysicalType::Struct(fields), column.clone())
            }
            DataType::Binary => (PhysicalType::Text, bytes_as_text(&column)),
            DataType::Utf8 if is_cell => (PhysicalType::Cell, column.clone()),
            DataType::Utf8 => (PhysicalType::Text, column.clone()),
            _ => (PhysicalType::Text, values::cast(&column, &DataType::Utf8)?),
        };
        Ok(PhysicalColumn { kind, values })
    }

    pub fn put(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.values.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.kind {
            PhysicalType::Boolean if self.values.as_boolean().value(row) => out.extend_from_slice(b"true"),
            PhysicalType::Boolean => out.extend_from_slice(b"false"),
            PhysicalType::Integer => put_number(out, self.values.as_primitive::<Int64Type>().value(row))?,
            PhysicalType::Unsigned => put_number(out, self.values.as_primitive::<UInt64Type>().value(row))?,
            PhysicalType::Real => put_float(out, self.values.as_primitive::<Float32Type>().value(row))?,
            PhysicalType::Double => put_double(out, self.values.as_primitive::<Float64Type>().value(row))?,
            PhysicalType::Timestamp => {
                out.push(b'"');
                calendar::put_instant(out, self.values.as_primitive::<TimestampMicrosecondType>().value(row));
                out.push(b'"');
            }
            PhysicalType::Text => put_text(out, self.values.as_string::<i32>().value(row))?,
            PhysicalType::Cell => match self.values.as_string::<i32>().value(row) {
                text if is_number_or_boolean(text) => out.extend_from_slice(text.as_bytes()),
                text => put_text(out, text)?,
            },
            PhysicalType::List(elements) => {
                let offsets = self.values.as_list::<i32>().value_offsets();
                out.push(b'[');
                for element in offsets[row]..offsets[row + 1] {
                    if element > offsets[row] {
                        out.push(b',');
                    }
                    elements.put(element as usize, out)?;
                }
                out.push(b']');
            }
            PhysicalType::Struct(fields) => {
                out.push(b'{');
                for (at, (name, field)) in fields.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name);
                    field.put(row, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

/// Bytes as text where they are UTF-8, else with `\x` and two digits for each byte that is no ASCII.
fn bytes_as_text(column: &ArrayRef) -> ArrayRef {
    Arc::new(column.as_binary::<i32>().iter().map(|bytes| bytes.map(text_of_bytes)).collect::<StringArray>())
}

fn text_of_bytes(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    // An escape is four times as long as its byte at most.
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            text.push_str("\\x");
            text.extend(
                [byte >> 4, byte & 15]
                    .map(|digit| char::from(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })),
            );
        }
    }
    text
}

/// Whether JSON has a text as it stands: neither quotes nor blanks around it are meant.
fn is_number_or_boolean(text: &str) -> bool {
    let is_one = text.starts_with(|first: char| matches!(first, '-' | '0'..='9' | 't' | 'f'));
    is_one && !text.ends_with(char::is_whitespace) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

pub(crate) fn put_float(out: &mut Vec<u8>, value: f32) -> Result<()> {
    if value.is_finite() {
        return put_number(out, value);
    }
    put_special(out, value.into());
    Ok(())
}

pub(crate) fn put_double(out: &mut Vec<u8>, value: f64) -> Result<()> {
    if value.is_finite() {
        return put_number(out, value);
    }
    put_special(out, value);
    Ok(())
}

/// Bytes as text where they are UTF-8, else with `\x` and two digits for each byte that is no ASCII.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    put_text(out, &text_of_bytes(bytes))
}

/// What is no number of JSON.
fn put_special(out: &mut Vec<u8>, value: f64) {
    let word: &[u8] = match value {
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"\"NaN\"",
    };
    out.extend_from_slice(word);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    serde_json::to_writer(out, text).map_err(|error| Error::internal("a text is no JSON").with_source(error))
}

pub(crate) fn put_number(out: &mut Vec<u8>, number: impl serde::Serialize) -> Result<()> {
    serde_json::to_writer(out, &number).map_err(|error| Error::internal("a number is no JSON").with_source(error))
}
