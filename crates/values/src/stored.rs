//! Columns of files and tables, as readers take them.

use crate::cast::{arrow_cast, cast};
use crate::expected::{expected, shown};
use crate::number::read_float;
use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, Float64Array, PrimitiveArray, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The type that values of a stored type have for SQL: other widths, units and encodings are the same values.
pub fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, _) | DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
            DataType::Decimal128(*digits, *scale)
        }
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

/// The columns of a file, of which those with timestamps of 96 bits hold microseconds: as nanoseconds these would wrap
/// around outside of the years 1677 to 2262. `None` where there are none.
pub fn int96_as_micros(schema: &Schema, is_int96: impl Fn(&str) -> bool) -> Option<SchemaRef> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let field = |field: &FieldRef| match is_int96(field.name()) {
        true => Arc::new(field.as_ref().clone().with_data_type(micros.clone())),
        false => field.clone(),
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(field).collect();
    schema.fields().iter().any(|field| is_int96(field.name())).then(|| Arc::new(Schema::new(fields)))
}

/// Stored values in the type that a stream declares; NULL where a value is none of that type.
///
/// As CAST, but for two things: an offset in the text of a timestamp moves it to UTC, and a number in a text that is
/// beyond the range of its type is refused rather than made infinite.
pub fn read_stored(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if let (DataType::Timestamp(TimeUnit::Nanosecond, _), DataType::Utf8) = (array.data_type(), to) {
        return nanoseconds_as_text(array);
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
        let text = read_stored(&stored.slice(row, 1), &DataType::Utf8).ok();
        let text = text.as_ref().and_then(|text| text.as_string_opt::<i32>()).map_or("", |text| text.value(0));
        let quote = if plain_type(stored.data_type()) == DataType::Utf8 { "\"" } else { "" };
        (row, format!("is {quote}{}{quote}, {}", shown(text), expected(text, to)))
    };
    Ok((values.clone(), (0..stored.len()).filter(is_lost).map(why).collect()))
}

/// A stored time as microseconds; `None` beyond their range.
pub fn micros_of(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        TimeUnit::Nanosecond => Some(rounded(value)),
    }
}

/// The same values in a type that SQL knows; NULL where a time is beyond the range of microseconds.
fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let to = plain_type(array.data_type());
    match array.data_type() {
        from if *from == to => Ok(array.clone()),
        DataType::Dictionary(_, values) => plain(&arrow_cast(array, values)?),
        DataType::Timestamp(unit @ TimeUnit::Nanosecond, _) => Ok(times::<TimestampNanosecondType>(array, *unit)),
        DataType::Timestamp(unit @ TimeUnit::Microsecond, _) => Ok(times::<TimestampMicrosecondType>(array, *unit)),
        DataType::Timestamp(unit @ TimeUnit::Millisecond, _) => Ok(times::<TimestampMillisecondType>(array, *unit)),
        DataType::Timestamp(unit @ TimeUnit::Second, _) => Ok(times::<TimestampSecondType>(array, *unit)),
        DataType::Date64 => Ok(times::<Int64Type>(&arrow_cast(array, &DataType::Int64)?, TimeUnit::Millisecond)),
        _ => cast_with_options(array, &to, &CastOptions::default()),
    }
}

/// Nanoseconds as microseconds; halves go away from zero.
fn rounded(nanos: i64) -> i64 {
    let (micros, rest) = (nanos / 1000, nanos % 1000);
    if rest.abs() >= 500 { micros + nanos.signum() } else { micros }
}

fn times<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, unit: TimeUnit) -> ArrayRef {
    let values: &PrimitiveArray<T> = array.as_primitive();
    Arc::new(values.unary_opt::<_, TimestampMicrosecondType>(|value| micros_of(value, unit)))
}

/// Microseconds as text, and the nanoseconds after them.
fn nanoseconds_as_text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let nanos: &PrimitiveArray<TimestampNanosecondType> = array.as_primitive();
    let whole: TimestampMicrosecondArray = nanos.unary(|nanos| nanos.div_euclid(1000));
    let texts = cast(&(Arc::new(whole) as ArrayRef), &DataType::Utf8)?;
    let with_rest = texts.as_string::<i32>().iter().zip(nanos).map(|(text, nanos)| {
        let (text, rest) = (text?, nanos?.rem_euclid(1000));
        if rest == 0 {
            return Some(text.to_owned());
        }
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = format!("{fraction:0<6}{rest:03}");
        Some(format!("{seconds}.{}", digits.trim_end_matches('0')))
    });
    Ok(Arc::new(with_rest.collect::<StringArray>()))
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
