//! Rows to JSON payloads.

use super::paths::{self, Field};
use crate::time::put_timestamp;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int64Type, SchemaRef, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use dataflow::{Encode, Error, Result};

/// Turns each row into a JSON object.
///
/// NULL, NaN and infinities are `null`. Timestamps are `2013-01-01T05:15:00.000000Z`, or microseconds since 1970 where
/// the year has not four digits. Integers are exact, floats the shortest text that reads back as the same number.
/// Dates are `2013-01-01`; decimals are text.
pub struct JsonEncode {
    columns: usize,
    template: Vec<ObjectPart>,
}

/// A piece of an object.
enum ObjectPart {
    Literal(Vec<u8>),
    Value(usize),
}

impl JsonEncode {
    /// One field per column, named as the column is.
    pub fn new(schema: SchemaRef) -> Result<JsonEncode> {
        let paths = schema.fields().iter().map(|field| vec![field.name().clone()]).collect();
        JsonEncode::nested(schema, paths)
    }

    /// Puts each column at its path: what [`super::JsonDecode`] reads with the same paths.
    pub fn nested(schema: SchemaRef, paths: Vec<Vec<String>>) -> Result<JsonEncode> {
        if paths.len() != schema.fields().len() {
            return Err(Error::internal(format!("{} JSON paths for {} columns", paths.len(), schema.fields().len())));
        }
        if let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            return Err(Error::invalid(format!(
                "column \"{}\" has type {}, which JSON messages cannot carry",
                field.name(),
                field.data_type()
            )));
        }
        let mut template = Vec::new();
        put_object(&mut template, &paths::fields(&paths)?)?;
        Ok(JsonEncode { columns: paths.len(), template })
    }
}

fn put_object(template: &mut Vec<ObjectPart>, fields: &[Field]) -> Result<()> {
    for (at, field) in fields.iter().enumerate() {
        let mut literal = vec![if at == 0 { b'{' } else { b',' }];
        put_text(&mut literal, &field.name);
        literal.push(b':');
        template.push(ObjectPart::Literal(literal));
        match (field.columns.as_slice(), field.below.as_slice()) {
            ([column, ..], []) => template.push(ObjectPart::Value(*column)),
            ([], below) => put_object(template, below)?,
            _ => {
                return Err(Error::invalid(format!(
                    "field \"{}\" would be both a value and an object in one JSON message",
                    field.name
                )));
            }
        }
    }
    template.push(ObjectPart::Literal(if fields.is_empty() { b"{}".to_vec() } else { b"}".to_vec() }));
    Ok(())
}

impl Encode for JsonEncode {
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        if rows.num_columns() != self.columns {
            return Err(Error::internal(format!(
                "{} columns to encode, expected {}",
                rows.num_columns(),
                self.columns
            )));
        }
        let columns = rows.columns().iter().map(PhysicalColumn::new).collect::<Result<Vec<_>>>()?;
        let mut size = 64;
        Ok((0..rows.num_rows())
            .map(|row| {
                let mut out = Vec::with_capacity(size);
                for part in &self.template {
                    match part {
                        ObjectPart::Literal(text) => out.extend_from_slice(text),
                        ObjectPart::Value(column) => columns[*column].put(row, &mut out),
                    }
                }
                size = out.len() + 16;
                out
            })
            .collect())
    }
}

/// A column brought to one of a few physical types.
struct PhysicalColumn {
    kind: PhysicalType,
    values: ArrayRef,
}

#[derive(Clone, Copy)]
enum PhysicalType {
    Boolean,
    Integer,
    Unsigned,
    Real,
    Double,
    Timestamp,
    Text,
}

impl PhysicalColumn {
    fn new(column: &ArrayRef) -> Result<PhysicalColumn> {
        use DataType::*;
        let (kind, physical) = match column.data_type() {
            Boolean => (PhysicalType::Boolean, Boolean),
            Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => (PhysicalType::Integer, Int64),
            UInt64 => (PhysicalType::Unsigned, UInt64),
            Float16 | Float32 => (PhysicalType::Real, Float32),
            Float64 => (PhysicalType::Double, Float64),
            Timestamp(_, zone) => (PhysicalType::Timestamp, Timestamp(TimeUnit::Microsecond, zone.clone())),
            _ => (PhysicalType::Text, Utf8),
        };
        let values = if *column.data_type() == physical { column.clone() } else { cast(column, &physical)? };
        Ok(PhysicalColumn { kind, values })
    }

    fn put(&self, row: usize, out: &mut Vec<u8>) {
        if self.values.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match self.kind {
            PhysicalType::Boolean if self.values.as_boolean().value(row) => out.extend_from_slice(b"true"),
            PhysicalType::Boolean => out.extend_from_slice(b"false"),
            PhysicalType::Integer => put_number(out, self.values.as_primitive::<Int64Type>().value(row)),
            PhysicalType::Unsigned => put_number(out, self.values.as_primitive::<UInt64Type>().value(row)),
            // These write `null` for what is not finite.
            PhysicalType::Real => put_number(out, self.values.as_primitive::<Float32Type>().value(row)),
            PhysicalType::Double => put_number(out, self.values.as_primitive::<Float64Type>().value(row)),
            PhysicalType::Timestamp => {
                let micros = self.values.as_primitive::<TimestampMicrosecondType>().value(row);
                out.push(b'"');
                if put_timestamp(out, micros) {
                    out.push(b'"');
                } else {
                    out.pop();
                    put_number(out, micros);
                }
            }
            PhysicalType::Text => put_text(out, self.values.as_string::<i32>().value(row)),
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing text to memory cannot fail");
}

fn put_number(out: &mut Vec<u8>, number: impl serde::Serialize) {
    serde_json::to_writer(out, &number).expect("writing a number to memory cannot fail");
}
