//! A column that is filled with values as text formats write them.

use crate::calendar;
use crate::number::{read_boolean, read_float, read_whole};
use crate::stored::finite;
use arrow::array::{Array, ArrayRef, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::str::FromStr;
use std::sync::Arc;

/// A value as a text format writes it. NULL is none of these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `true` or `false` of JSON.
    Boolean(bool),
    /// A number of JSON, as it is written.
    Number(&'a str),
    /// A text, or a cell of CSV, which does not tell types.
    Text(&'a str),
    /// An object or a list of JSON, as it is written.
    Nested(&'a str),
}

/// A column of one type that is being filled.
pub enum Column {
    /// BOOLEAN.
    Boolean(BooleanBuilder),
    /// TINYINT.
    Int8(PrimitiveBuilder<Int8Type>),
    /// SMALLINT.
    Int16(PrimitiveBuilder<Int16Type>),
    /// INTEGER.
    Int32(PrimitiveBuilder<Int32Type>),
    /// BIGINT.
    Int64(PrimitiveBuilder<Int64Type>),
    /// UTINYINT.
    UInt8(PrimitiveBuilder<UInt8Type>),
    /// USMALLINT.
    UInt16(PrimitiveBuilder<UInt16Type>),
    /// UINTEGER.
    UInt32(PrimitiveBuilder<UInt32Type>),
    /// UBIGINT.
    UInt64(PrimitiveBuilder<UInt64Type>),
    /// FLOAT.
    Float32(PrimitiveBuilder<Float32Type>),
    /// DOUBLE.
    Float64(PrimitiveBuilder<Float64Type>),
    /// TEXT.
    Text(StringBuilder),
    /// DATE.
    Date(PrimitiveBuilder<Date32Type>),
    /// TIMESTAMP.
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
}

impl Column {
    /// An empty column; `None` for a type that has no text.
    pub fn new(data_type: &DataType, rows: usize) -> Option<Column> {
        Some(match data_type {
            DataType::Boolean => Column::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => Column::Int8(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int16 => Column::Int16(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int32 => Column::Int32(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int64 => Column::Int64(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt8 => Column::UInt8(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt16 => Column::UInt16(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt32 => Column::UInt32(PrimitiveBuilder::with_capacity(rows)),
            DataType::UInt64 => Column::UInt64(PrimitiveBuilder::with_capacity(rows)),
            DataType::Float32 => Column::Float32(PrimitiveBuilder::with_capacity(rows)),
            DataType::Float64 => Column::Float64(PrimitiveBuilder::with_capacity(rows)),
            DataType::Utf8 => Column::Text(StringBuilder::with_capacity(rows, rows * 16)),
            DataType::Date32 => Column::Date(PrimitiveBuilder::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let builder = PrimitiveBuilder::with_capacity(rows);
                Column::Timestamp(builder.with_data_type(data_type.clone()))
            }
            _ => return None,
        })
    }

    /// Appends what CAST makes of a value; nothing, and false, when CAST fails.
    ///
    /// A number of JSON is the text that it is written as, so that the digits of an identifier stay, and for a BOOLEAN
    /// whether it differs from zero. An offset moves a timestamp to UTC. No number becomes infinite.
    #[must_use]
    #[inline]
    pub fn append(&mut self, value: Value<'_>) -> bool {
        let appended = match self {
            Column::Boolean(column) => boolean(value).map(|value| column.append_value(value)),
            Column::Int8(column) => integer(value).map(|value| column.append_value(value)),
            Column::Int16(column) => integer(value).map(|value| column.append_value(value)),
            Column::Int32(column) => integer(value).map(|value| column.append_value(value)),
            Column::Int64(column) => integer(value).map(|value| column.append_value(value)),
            Column::UInt8(column) => integer(value).map(|value| column.append_value(value)),
            Column::UInt16(column) => integer(value).map(|value| column.append_value(value)),
            Column::UInt32(column) => integer(value).map(|value| column.append_value(value)),
            Column::UInt64(column) => integer(value).map(|value| column.append_value(value)),
            Column::Float32(column) => float(value, f32::is_infinite).map(|value| column.append_value(value)),
            Column::Float64(column) => float(value, f64::is_infinite).map(|value| column.append_value(value)),
            Column::Text(column) => {
                column.append_value(text(value));
                Some(())
            }
            Column::Date(column) => match value {
                Value::Text(text) => calendar::read_date(text).map(|value| column.append_value(value)),
                _ => None,
            },
            Column::Timestamp(column) => match value {
                Value::Text(text) => calendar::read_instant(text).map(|value| column.append_value(value)),
                _ => None,
            },
        };
        appended.is_some()
    }

    /// Appends NULL.
    #[inline]
    pub fn append_null(&mut self) {
        match self {
            Column::Boolean(column) => column.append_null(),
            Column::Int8(column) => column.append_null(),
            Column::Int16(column) => column.append_null(),
            Column::Int32(column) => column.append_null(),
            Column::Int64(column) => column.append_null(),
            Column::UInt8(column) => column.append_null(),
            Column::UInt16(column) => column.append_null(),
            Column::UInt32(column) => column.append_null(),
            Column::UInt64(column) => column.append_null(),
            Column::Float32(column) => column.append_null(),
            Column::Float64(column) => column.append_null(),
            Column::Text(column) => column.append_null(),
            Column::Date(column) => column.append_null(),
            Column::Timestamp(column) => column.append_null(),
        }
    }

    /// The values since the last call.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Boolean(column) => Arc::new(column.finish()),
            Column::Int8(column) => Arc::new(column.finish()),
            Column::Int16(column) => Arc::new(column.finish()),
            Column::Int32(column) => Arc::new(column.finish()),
            Column::Int64(column) => Arc::new(column.finish()),
            Column::UInt8(column) => Arc::new(column.finish()),
            Column::UInt16(column) => Arc::new(column.finish()),
            Column::UInt32(column) => Arc::new(column.finish()),
            Column::UInt64(column) => Arc::new(column.finish()),
            Column::Float32(column) => Arc::new(column.finish()),
            Column::Float64(column) => Arc::new(column.finish()),
            Column::Text(column) => {
                let mut texts = column.finish();
                // It grew by doubling, and rows may wait for long.
                texts.shrink_to_fit();
                Arc::new(texts)
            }
            Column::Date(column) => Arc::new(column.finish()),
            Column::Timestamp(column) => Arc::new(column.finish()),
        }
    }
}

fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Boolean(value) => Some(value),
        Value::Number(number) => read_float::<f64>(number).map(|number| number != 0.0),
        Value::Text(text) => read_boolean(text),
        Value::Nested(_) => None,
    }
}

fn integer<T: FromStr + From<bool> + TryFrom<i128>>(value: Value<'_>) -> Option<T> {
    match value {
        Value::Boolean(value) => Some(T::from(value)),
        // Most numbers are written without anything that only CAST reads.
        Value::Number(text) | Value::Text(text) => match text.parse() {
            Ok(value) => Some(value),
            Err(_) => T::try_from(read_whole(text)?).ok(),
        },
        Value::Nested(_) => None,
    }
}

fn float<T: FromStr + Copy + From<u8>>(value: Value<'_>, is_infinite: fn(T) -> bool) -> Option<T> {
    match value {
        Value::Boolean(value) => Some(T::from(u8::from(value))),
        Value::Number(text) | Value::Text(text) => finite(text, is_infinite),
        Value::Nested(_) => None,
    }
}

fn text(value: Value<'_>) -> &str {
    match value {
        Value::Boolean(true) => "true",
        Value::Boolean(false) => "false",
        Value::Number(text) | Value::Text(text) | Value::Nested(text) => text,
    }
}
