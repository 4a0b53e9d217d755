//! Values of columns as bounds and partitions have them, and their order in the type of a value that SQL compares them with.

use crate::avro::AvroValue;
use dataflow::FilterValue;
use iceberg::spec::PrimitiveType;
use std::cmp::Ordering;

/// The microseconds of a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

/// A bound of a column of a type, as Iceberg stores it; `None` for types that are not compared here. A column may have been
/// widened since.
pub fn stored_value(stored: &[u8], column: &PrimitiveType) -> Option<FilterValue> {
    let whole = || match stored.len() {
        4 => Some(i64::from(i32::from_le_bytes(stored.try_into().ok()?))),
        8 => Some(i64::from_le_bytes(stored.try_into().ok()?)),
        _ => None,
    };
    let days = || i32::try_from(whole().filter(|_| stored.len() == 4)?).ok();
    Some(match column {
        PrimitiveType::Boolean => FilterValue::Boolean(*stored.first()? != 0),
        PrimitiveType::Int | PrimitiveType::Long => FilterValue::Whole(whole()?),
        PrimitiveType::Float | PrimitiveType::Double => FilterValue::Number(match stored.len() {
            4 => f64::from(f32::from_le_bytes(stored.try_into().ok()?)),
            8 => f64::from_le_bytes(stored.try_into().ok()?),
            _ => return None,
        }),
        PrimitiveType::Date => FilterValue::Date(days()?),
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz => match days() {
            Some(days) => FilterValue::Instant(i64::from(days).checked_mul(DAY_MICROS)?),
            None => FilterValue::Instant(whole()?),
        },
        PrimitiveType::String => FilterValue::Text(String::from_utf8(stored.to_vec()).ok()?),
        PrimitiveType::Binary => FilterValue::Bytes(stored.to_vec()),
        _ => return None,
    })
}

/// A value of a manifest as Iceberg stores bounds; `None` for NULL, and for types that are not compared here.
pub fn as_stored(value: AvroValue<'_>) -> Option<Vec<u8>> {
    Some(match value {
        AvroValue::Boolean(value) => vec![u8::from(value)],
        AvroValue::Int(value) => value.to_le_bytes().to_vec(),
        AvroValue::Long(value) => value.to_le_bytes().to_vec(),
        AvroValue::Float(value) => value.to_le_bytes().to_vec(),
        AvroValue::Double(value) => value.to_le_bytes().to_vec(),
        AvroValue::Bytes(value) => value.to_vec(),
        AvroValue::Null | AvroValue::Other => return None,
    })
}

/// A value as CAST to the type of another one has it; `None` where its type is not cast here. Casts that keep the order of
/// values alone are.
fn in_type_of(value: &FilterValue, other: &FilterValue) -> Option<FilterValue> {
    use FilterValue::{Date, Instant, Number, Whole};
    Some(match (value, other) {
        (Whole(value), Number(_)) => Number(*value as f64),
        (Date(days), Instant(_)) => Instant(i64::from(*days).checked_mul(DAY_MICROS)?),
        (Instant(micros), Date(_)) => Date(i32::try_from(micros.div_euclid(DAY_MICROS)).ok()?),
        (value, other) if std::mem::discriminant(value) == std::mem::discriminant(other) => value.clone(),
        _ => return None,
    })
}

/// How a bound stands to a value; `None` where they are not comparable. NaN is no bound.
pub fn order(bound: &FilterValue, value: &FilterValue) -> Option<Ordering> {
    use FilterValue::{Boolean, Bytes, Date, Instant, Number, Text, Whole};
    match (&in_type_of(bound, value)?, value) {
        (Boolean(bound), Boolean(value)) => Some(bound.cmp(value)),
        (Whole(bound), Whole(value)) => Some(bound.cmp(value)),
        (Number(bound), Number(value)) => bound.partial_cmp(value),
        (Text(bound), Text(value)) => Some(bound.cmp(value)),
        (Bytes(bound), Bytes(value)) => Some(bound.cmp(value)),
        (Date(bound), Date(value)) => Some(bound.cmp(value)),
        (Instant(bound), Instant(value)) => Some(bound.cmp(value)),
        _ => None,
    }
}

/// Whether a value begins with a bound that was cut off.
pub fn begins_with(value: &FilterValue, cut: &FilterValue) -> bool {
    match (value, cut) {
        (FilterValue::Text(value), FilterValue::Text(cut)) => value.starts_with(cut.as_str()),
        (FilterValue::Bytes(value), FilterValue::Bytes(cut)) => value.starts_with(cut),
        _ => false,
    }
}
