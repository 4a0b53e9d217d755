//! Stored values in the types that SQL knows.

use crate::calendar;
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The bytes of a UUID.
const UUID_BYTES: i32 = 16;

/// The type that values of a stored type have for SQL: other widths, units and encodings are the same values. Parquet
/// and Iceberg store a UUID as 16 bytes, which no other type has as its length.
pub fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, _) | DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::LargeUtf8 | DataType::Utf8View | DataType::FixedSizeBinary(UUID_BYTES) => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
            DataType::Decimal128(*digits, *scale)
        }
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

/// The same values in a type that SQL knows; NULL where a time is beyond the range of SQL's, or infinite.
pub fn plain(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let to = plain_type(array.data_type());
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Ok(in_range::<TimestampMicrosecondType>(array, |micros| calendar::timestamp(*micros).is_some()))
        }
        DataType::Date32 => Ok(in_range::<Date32Type>(array, |day| calendar::day(i64::from(*day)).is_some())),
        from if *from == to => Ok(array.clone()),
        DataType::Dictionary(_, values) => plain(&arrow_cast(array, values)?),
        DataType::Timestamp(unit @ TimeUnit::Nanosecond, _) => Ok(times::<TimestampNanosecondType>(array, *unit)),
        DataType::Timestamp(unit @ TimeUnit::Microsecond, _) => Ok(times::<TimestampMicrosecondType>(array, *unit)),
        DataType::Timestamp(unit @ TimeUnit::Millisecond, _) => Ok(times::<TimestampMillisecondType>(array, *unit)),
        DataType::Timestamp(unit @ TimeUnit::Second, _) => Ok(times::<TimestampSecondType>(array, *unit)),
        DataType::Date64 => Ok(times::<Int64Type>(&arrow_cast(array, &DataType::Int64)?, TimeUnit::Millisecond)),
        DataType::FixedSizeBinary(UUID_BYTES) => {
            let texts = array.as_fixed_size_binary().iter().map(|bytes| bytes.map(uuid));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        _ => cast_with_options(array, &to, &CastOptions::default()),
    }
}

/// Arrow's own cast with NULL for what fails.
pub fn arrow_cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })
}

/// A stored time as microseconds; `None` beyond their range, and of one that is infinite.
pub fn micros_of(value: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Second => value.checked_mul(1_000_000),
        TimeUnit::Millisecond => value.checked_mul(1_000),
        TimeUnit::Microsecond => Some(value),
        // These two stand for infinity, as in files of DuckDB.
        TimeUnit::Nanosecond if value == i64::MAX || value == -i64::MAX => None,
        TimeUnit::Nanosecond => Some(calendar::micros_of_nanos(value)),
    }
}

fn times<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, unit: TimeUnit) -> ArrayRef {
    let values: &PrimitiveArray<T> = array.as_primitive();
    let micros = |value| micros_of(value, unit).and_then(calendar::timestamp);
    Arc::new(values.unary_opt::<_, TimestampMicrosecondType>(micros))
}

/// The same values, with NULL for those that are none; where all are, nothing is copied.
fn in_range<T: ArrowPrimitiveType>(array: &ArrayRef, is_value: impl Fn(&T::Native) -> bool) -> ArrayRef {
    let values: &PrimitiveArray<T> = array.as_primitive();
    match values.values().iter().all(&is_value) {
        true => array.clone(),
        false => Arc::new(values.unary_opt::<_, T>(|value| is_value(&value).then_some(value))),
    }
}

/// A UUID as it is written: 8, 4, 4, 4 and 12 digits.
fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_that_stand_for_infinity_are_no_time() {
        let of = |nanos| micros_of(nanos, TimeUnit::Nanosecond);
        assert_eq!((of(i64::MAX), of(-i64::MAX)), (None, None));
        assert_eq!((of(i64::MAX - 1), of(1_500), of(-1_500)), (Some(9_223_372_036_854_776), Some(2), Some(-2)));
    }
}
