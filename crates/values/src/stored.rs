//! Columns of files and tables, as readers take them.

use crate::cast::{cast, is_cast};
use crate::expected::{expected, shown};
use crate::number::read_float;
use crate::plain::{arrow_cast, plain, plain_type};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, StringArray};
use arrow::datatypes::{DataType, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The columns of a Parquet file, of which leaves with timestamps of 96 bits, by their numbers, hold microseconds, also
/// within structs, lists and maps: as nanoseconds these would wrap around outside of the years 1677 to 2262. `None` where
/// there are none.
pub fn int96_as_micros(schema: &Schema, is_int96: impl Fn(usize) -> bool) -> Option<SchemaRef> {
    let mut leaf = 0;
    let fields: Vec<FieldRef> = schema.fields().iter().map(|field| with_micros(field, &mut leaf, &is_int96)).collect();
    (0..leaf).any(is_int96).then(|| Arc::new(Schema::new(fields)))
}

/// A field and the leaves within it, counted on from `leaf`, as Parquet counts them: depth first.
fn with_micros(field: &FieldRef, leaf: &mut usize, is_int96: &impl Fn(usize) -> bool) -> FieldRef {
    let mut inner = |field: &FieldRef| with_micros(field, leaf, is_int96);
    let to = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::List(element) => DataType::List(inner(element)),
        DataType::LargeList(element) => DataType::LargeList(inner(element)),
        DataType::FixedSizeList(element, length) => DataType::FixedSizeList(inner(element), *length),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        plain => {
            *leaf += 1;
            match is_int96(*leaf - 1) {
                true => DataType::Timestamp(TimeUnit::Microsecond, None),
                false => plain.clone(),
            }
        }
    };
    Arc::new(field.as_ref().clone().with_data_type(to))
}

/// Stored values in the type that a stream declares; NULL where a value is none of that type.
///
/// As CAST, but for two things: an offset in the text of a timestamp moves it to UTC, and a number in a text that is
/// beyond the range of its type is refused rather than made infinite.
pub fn read_stored(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    match (array.data_type(), to) {
        (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Utf8) => return cast(array, to),
        (DataType::FixedSizeBinary(_), DataType::Binary) => return arrow_cast(array, to),
        _ => {}
    }
    let array = plain(array)?;
    match (array.data_type(), to) {
        (DataType::Utf8, DataType::Timestamp(unit, None)) => {
            let instants = cast(&array, &DataType::Timestamp(*unit, Some("UTC".into())))?;
            let instants = instants.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(instants.with_data_type(to.clone())))
        }
        (DataType::Utf8, DataType::Float64) => {
            let texts = array.as_string::<i32>();
            Ok(Arc::new(texts.iter().map(|text| finite(text?, f64::is_infinite)).collect::<Float64Array>()))
        }
        (DataType::Utf8, DataType::Float32) => {
            let texts = array.as_string::<i32>();
            Ok(Arc::new(texts.iter().map(|text| finite(text?, f32::is_infinite)).collect::<Float32Array>()))
        }
        // Bytes that are text: older writers of Parquet do not say so.
        (DataType::Binary, DataType::Utf8) => arrow_cast(&array, to),
        _ => cast(&array, to),
    }
}

/// Whether readers take stored values to a type at all: those that CAST takes, and bytes that may be text.
pub fn is_read(stored: &DataType, to: &DataType) -> bool {
    let from = plain_type(stored);
    let is_bytes = matches!((stored, to), (DataType::FixedSizeBinary(_), DataType::Binary));
    from == *to || is_bytes || is_cast(&from, to) || matches!((&from, to), (DataType::Binary, DataType::Utf8))
}

/// A float, unless a number that is written with digits is beyond its range.
pub(crate) fn finite<T: std::str::FromStr + Copy>(text: &str, is_infinite: fn(T) -> bool) -> Option<T> {
    let value = read_float(text)?;
    let is_word = || !text.contains(|letter: char| letter.is_ascii_digit());
    (!is_infinite(value) || is_word()).then_some(value)
}

/// Stored values in a declared type, with what is wrong with each value that is none of it, by row.
pub fn read_with_reasons(stored: &ArrayRef, to: &DataType) -> Result<(ArrayRef, Vec<(usize, String)>), ArrowError> {
    let values = read_stored(stored, to)?;
    if values.null_count() == stored.logical_null_count() {
        return Ok((values, Vec::new()));
    }
    let nulls = stored.logical_nulls();
    let is_lost = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row)) && values.is_null(*row);
    let why = |row| {
        let text = one_as_text(&stored.slice(row, 1));
        let quote = if plain_type(stored.data_type()) == DataType::Utf8 { "\"" } else { "" };
        (row, format!("is {quote}{}{quote}, {}", shown(&text), expected(&text, to)))
    };
    Ok((values.clone(), (0..stored.len()).filter(is_lost).map(why).collect()))
}

/// One value for people; a time that is none has the name of what it stands for, or the number that is stored.
fn one_as_text(value: &ArrayRef) -> String {
    let text = texts(value).ok();
    if let Some(text) = text.as_ref().and_then(|text| text.as_string_opt::<i32>()).filter(|text| text.is_valid(0)) {
        return text.value(0).to_owned();
    }
    let bits = if *value.data_type() == DataType::Date32 { DataType::Int32 } else { DataType::Int64 };
    let number = arrow_cast(value, &bits).and_then(|number| arrow_cast(&number, &DataType::Int64));
    let greatest = if bits == DataType::Int32 { i64::from(i32::MAX) } else { i64::MAX };
    match number.ok().as_ref().and_then(|number| number.as_primitive_opt::<Int64Type>()).map(|number| number.value(0)) {
        Some(number) if number == greatest => "infinity".to_owned(),
        Some(number) if number == -greatest => "-infinity".to_owned(),
        Some(number) => number.to_string(),
        None => "a value that has no text".to_owned(),
    }
}

/// Any values as text for people and comparisons: as CAST gives it, bytes as two digits each.
pub fn texts(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if plain_type(array.data_type()) != DataType::Binary {
        return read_stored(array, &DataType::Utf8);
    }
    let bytes = plain(array)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(Arc::new(bytes.as_binary::<i32>().iter().map(|bytes| bytes.map(hex)).collect::<StringArray>()))
}
