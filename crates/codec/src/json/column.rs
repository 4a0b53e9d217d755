//! A column that is filled with values as JSON writes them.

use super::scan::{Kind, unquote};
use crate::time::parse_timestamp;
use arrow::array::{ArrayRef, BooleanBuilder, PrimitiveBuilder, StringBuilder};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::str::FromStr;
use std::sync::Arc;

const DAY_MICROS: i64 = 86_400_000_000;
/// How much of a wrong value a message shows.
const SHOWN_CHARS: usize = 60;

/// The name of a type in SQL.
pub(super) fn type_name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 => "tinyint",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::UInt8 => "utinyint",
        DataType::UInt16 => "usmallint",
        DataType::UInt32 => "uinteger",
        DataType::UInt64 => "ubigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double",
        DataType::Utf8 => "text",
        DataType::Date32 => "date",
        _ => "timestamp",
    }
}

/// A column that is being filled.
pub(super) enum Column {
    Boolean(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    UInt8(PrimitiveBuilder<UInt8Type>),
    UInt16(PrimitiveBuilder<UInt16Type>),
    UInt32(PrimitiveBuilder<UInt32Type>),
    UInt64(PrimitiveBuilder<UInt64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Text(StringBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    Timestamp(PrimitiveBuilder<TimestampMicrosecondType>),
}

impl Column {
    /// An empty column; `None` for a type that JSON does not carry.
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

    /// Appends a value as it is written, or says what it is and what was expected.
    pub fn append(&mut self, kind: Kind, written: &str) -> Result<(), String> {
        match self {
            Column::Boolean(column) => match kind {
                Kind::Boolean => column.append_value(written == "true"),
                _ => return Err(wrong_kind(kind, "boolean")),
            },
            Column::Int8(column) => integer(column, kind, written, "tinyint")?,
            Column::Int16(column) => integer(column, kind, written, "smallint")?,
            Column::Int32(column) => integer(column, kind, written, "integer")?,
            Column::Int64(column) => integer(column, kind, written, "bigint")?,
            Column::UInt8(column) => integer(column, kind, written, "utinyint")?,
            Column::UInt16(column) => integer(column, kind, written, "usmallint")?,
            Column::UInt32(column) => integer(column, kind, written, "uinteger")?,
            Column::UInt64(column) => integer(column, kind, written, "ubigint")?,
            Column::Float32(column) => float(column, kind, written, "real", f32::is_finite)?,
            Column::Float64(column) => float(column, kind, written, "double", f64::is_finite)?,
            Column::Text(column) => match kind {
                Kind::Text => column.append_value(text(written, "text")?),
                _ => return Err(wrong_kind(kind, "text")),
            },
            Column::Date(column) => {
                let (Kind::Text, 12) = (kind, written.len()) else {
                    return Err(if kind == Kind::Text {
                        wrong_value(written, "date")
                    } else {
                        wrong_kind(kind, "date")
                    });
                };
                let micros = parse_timestamp(&text(written, "date")?).ok_or_else(|| wrong_value(written, "date"))?;
                let days = i32::try_from(micros.div_euclid(DAY_MICROS)).map_err(|_| wrong_value(written, "date"))?;
                column.append_value(days);
            }
            Column::Timestamp(column) => match kind {
                Kind::Number => integer(column, kind, written, "timestamp")?,
                Kind::Text => {
                    let micros = parse_timestamp(&text(written, "timestamp")?);
                    column.append_value(micros.ok_or_else(|| not_a_timestamp(written))?);
                }
                _ => return Err(wrong_kind(kind, "timestamp")),
            },
        }
        Ok(())
    }

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

    pub fn finish(self) -> ArrayRef {
        match self {
            Column::Boolean(mut column) => Arc::new(column.finish()),
            Column::Int8(mut column) => Arc::new(column.finish()),
            Column::Int16(mut column) => Arc::new(column.finish()),
            Column::Int32(mut column) => Arc::new(column.finish()),
            Column::Int64(mut column) => Arc::new(column.finish()),
            Column::UInt8(mut column) => Arc::new(column.finish()),
            Column::UInt16(mut column) => Arc::new(column.finish()),
            Column::UInt32(mut column) => Arc::new(column.finish()),
            Column::UInt64(mut column) => Arc::new(column.finish()),
            Column::Float32(mut column) => Arc::new(column.finish()),
            Column::Float64(mut column) => Arc::new(column.finish()),
            Column::Text(mut column) => Arc::new(column.finish()),
            Column::Date(mut column) => Arc::new(column.finish()),
            Column::Timestamp(mut column) => Arc::new(column.finish()),
        }
    }
}

fn integer<T>(column: &mut PrimitiveBuilder<T>, kind: Kind, written: &str, expected: &str) -> Result<(), String>
where
    T: ArrowPrimitiveType,
    T::Native: FromStr,
{
    if kind != Kind::Number {
        return Err(wrong_kind(kind, expected));
    }
    match written.parse() {
        Ok(value) => column.append_value(value),
        Err(_) if written.contains(['.', 'e', 'E']) => {
            return Err(format!("is {}, expected {expected}, which has no fraction or exponent", shown(written)));
        }
        Err(_) => return Err(format!("is {}, which is out of the range of {expected}", shown(written))),
    }
    Ok(())
}

fn float<T>(
    column: &mut PrimitiveBuilder<T>,
    kind: Kind,
    written: &str,
    expected: &str,
    is_finite: fn(T::Native) -> bool,
) -> Result<(), String>
where
    T: ArrowPrimitiveType,
    T::Native: FromStr,
{
    match (kind, written.parse::<T::Native>()) {
        (Kind::Number, Ok(value)) if is_finite(value) => column.append_value(value),
        (Kind::Number, _) => return Err(format!("is {}, which is out of the range of {expected}", shown(written))),
        _ => return Err(wrong_kind(kind, expected)),
    }
    Ok(())
}

fn text<'a>(written: &'a str, expected: &str) -> Result<std::borrow::Cow<'a, str>, String> {
    unquote(written).ok_or_else(|| format!("is {} with half a surrogate pair, expected {expected}", shown(written)))
}

fn wrong_kind(found: Kind, expected: &str) -> String {
    format!("is {}, expected {expected}", found.name())
}

fn wrong_value(written: &str, expected: &str) -> String {
    format!("is {}, expected {expected}", shown(written))
}

fn not_a_timestamp(written: &str) -> String {
    format!("is text, expected timestamp: {} is not ISO 8601, such as \"2013-01-01T05:15:00Z\"", shown(written))
}

fn shown(written: &str) -> String {
    match written.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}..", &written[..end]),
        None => written.to_owned(),
    }
}
