//! SQL's types as Arrow's, and which type two values meet in.

use super::bound::{Bound, OpenLiteral};
use super::scope::Problem;
use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType::{
    Date32, Decimal128, Duration, Float32, Float64, Int8, Int16, Int32, Int64, Interval, Timestamp, UInt8, UInt16,
    UInt32, UInt64,
};
use arrow::datatypes::{DataType, Int32Type, Int64Type, IntervalUnit, TimeUnit};
use sqlparser::ast::{DataType as Written, ExactNumberInfo, TimezoneInfo};

pub(crate) use values::name;

/// TIMESTAMP: microseconds since 1970 in UTC.
pub(crate) const TIMESTAMP: DataType = Timestamp(TimeUnit::Microsecond, None);
/// INTERVAL without months: a length in microseconds.
pub(crate) const LENGTH: DataType = Duration(TimeUnit::Microsecond);
/// INTERVAL with months: no length until it is added to a time.
pub(crate) const MONTHS: DataType = Interval(IntervalUnit::MonthDayNano);

/// The most digits of a DECIMAL.
pub(crate) const DIGITS_MAX: u8 = 38;

/// The type that a CAST or a column definition names.
pub(crate) fn parse(written: &Written) -> Result<DataType, Problem> {
    use Written as W;
    Ok(match written {
        W::Boolean | W::Bool => DataType::Boolean,
        W::TinyInt(_) | W::Int8(_) if matches!(written, W::TinyInt(_)) => Int8,
        W::SmallInt(_) | W::Int2(_) => Int16,
        W::Int(_) | W::Integer(_) | W::Int4(_) | W::Int32 => Int32,
        W::BigInt(_) | W::Int8(_) | W::Int64 => Int64,
        W::Int16 => Int16,
        W::UTinyInt | W::UInt8 => UInt8,
        W::USmallInt | W::UInt16 => UInt16,
        W::UInt32 => UInt32,
        W::UBigInt | W::UInt64 => UInt64,
        W::Real | W::Float4 | W::Float32 | W::Float(_) => Float32,
        W::Double(_) | W::DoublePrecision | W::Float8 | W::Float64 => Float64,
        W::Decimal(info) | W::Numeric(info) | W::Dec(info) => decimal(info)?,
        W::Text | W::Varchar(_) | W::String(_) | W::Char(_) | W::Nvarchar(_) => DataType::Utf8,
        W::Blob(_) | W::Bytea | W::Varbinary(_) | W::Binary(_) => DataType::Binary,
        W::Date => Date32,
        W::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) | W::Datetime(_) => TIMESTAMP,
        W::Timestamp(..) => Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        other => return parse_named(&other.to_string()),
    })
}

fn parse_named(written: &str) -> Result<DataType, Problem> {
    let known = [
        ("UINTEGER", UInt32),
        ("TIMESTAMPTZ", Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("INT1", Int8),
        ("LONG", Int64),
        ("SHORT", Int16),
        ("INTERVAL", LENGTH),
    ];
    let upper = written.to_uppercase();
    if let Some((_, data_type)) = known.iter().find(|(known, _)| *known == upper) {
        return Ok(data_type.clone());
    }
    if upper.contains("HUGEINT") || upper.contains("INT128") {
        return Err(Problem::new(format!("the type {written} is not known: integers have up to 64 bits"))
            .found(written)
            .hint("write BIGINT, or DOUBLE for numbers beyond 9223372036854775807"));
    }
    let names = ["BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "TEXT", "DATE"];
    let problem = Problem::new(format!("the type {written} is not known")).found(written);
    Err(super::scope::suggest(problem, written, names.into_iter().chain(["TIMESTAMP", "TIMESTAMPTZ"])))
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType, Problem> {
    let (digits, scale) = match *info {
        ExactNumberInfo::None => (18, 3),
        ExactNumberInfo::Precision(digits) => (digits, 0),
        ExactNumberInfo::PrecisionAndScale(digits, scale) => (digits, scale),
    };
    match (u8::try_from(digits), i8::try_from(scale)) {
        (Ok(digits @ 1..=DIGITS_MAX), Ok(scale)) if scale >= 0 && scale as u8 <= digits => {
            Ok(Decimal128(digits, scale))
        }
        _ => Err(Problem::new(format!("DECIMAL({digits},{scale}) is not a type"))
            .expected("1 to 38 digits, and no more of them after the point")),
    }
}

pub(crate) fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer()
}

pub(crate) fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, Float32 | Float64)
}

pub(crate) fn is_number(data_type: &DataType) -> bool {
    is_integer(data_type) || is_float(data_type) || matches!(data_type, Decimal128(..))
}

/// TIMESTAMP, TIMESTAMPTZ or DATE.
pub(crate) fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, Timestamp(..) | Date32)
}

/// The digits and the scale that hold every value of a number type; `None` for floats.
pub(crate) fn digits(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        Int8 | UInt8 => (3, 0),
        Int16 | UInt16 => (5, 0),
        Int32 | UInt32 => (10, 0),
        Int64 => (19, 0),
        UInt64 => (20, 0),
        Decimal128(digits, scale) => (*digits, *scale),
        _ => return None,
    })
}

/// The type that holds the values of two number sql_type, as DuckDB promotes them. `None` where only 128 bits would do.
pub(crate) fn common_number(left: &Bound, right: &Bound) -> Option<DataType> {
    let (l, r) = (&left.data_type, &right.data_type);
    if l == r {
        return Some(l.clone());
    }
    if *l == Float64 || *r == Float64 {
        return Some(Float64);
    }
    if *l == Float32 || *r == Float32 {
        return Some(Float32);
    }
    if is_integer(l) && is_integer(r) {
        return match (left.open, right.open) {
            (None, Some(OpenLiteral::Integer)) if fits(right, l) => Some(l.clone()),
            (Some(OpenLiteral::Integer), None) if fits(left, r) => Some(r.clone()),
            _ => common_integer(l, r),
        };
    }
    let ((left_digits, left_scale), (right_digits, right_scale)) = (digits(l)?, digits(r)?);
    Some(common_decimal((left_digits, left_scale), (right_digits, right_scale)))
}

fn common_decimal(left: (u8, i8), right: (u8, i8)) -> DataType {
    let scale = left.1.max(right.1);
    let whole = (left.0 as i8 - left.1).max(right.0 as i8 - right.1);
    Decimal128(((whole + scale) as u8).min(DIGITS_MAX), scale)
}

fn common_integer(left: &DataType, right: &DataType) -> Option<DataType> {
    let width = |data_type: &DataType| data_type.primitive_width().unwrap_or(8);
    match (left.is_signed_integer(), right.is_signed_integer()) {
        (true, true) | (false, false) => Some(if width(left) >= width(right) { left } else { right }.clone()),
        (true, false) => common_integer(right, left),
        (false, true) if width(right) > width(left) => Some(right.clone()),
        (false, true) => match left {
            UInt8 => Some(Int16),
            UInt16 => Some(Int32),
            UInt32 => Some(Int64),
            _ => None,
        },
    }
}

/// Whether a whole-number literal is a value of an integer type.
fn fits(literal: &Bound, data_type: &DataType) -> bool {
    let Some(array) = &literal.value else { return false };
    let value = match array.data_type() {
        Int32 => i128::from(array.as_primitive::<Int32Type>().value(0)),
        Int64 => i128::from(array.as_primitive::<Int64Type>().value(0)),
        _ => return false,
    };
    match data_type {
        Int8 => i8::try_from(value).is_ok(),
        Int16 => i16::try_from(value).is_ok(),
        Int32 => i32::try_from(value).is_ok(),
        Int64 => i64::try_from(value).is_ok(),
        UInt8 => u8::try_from(value).is_ok(),
        UInt16 => u16::try_from(value).is_ok(),
        UInt32 => u32::try_from(value).is_ok(),
        UInt64 => u64::try_from(value).is_ok(),
        _ => false,
    }
}

/// The type in which two values are compared or, when `mixed`, chosen between (CASE, COALESCE, GREATEST).
pub(crate) fn common(left: &Bound, right: &Bound, mixed: bool) -> Option<DataType> {
    let (l, r) = (&left.data_type, &right.data_type);
    match (left.open, right.open) {
        (Some(OpenLiteral::Null), _) => return Some(r.clone()),
        (_, Some(OpenLiteral::Null)) => return Some(l.clone()),
        (Some(OpenLiteral::Text), _) => return Some(r.clone()),
        (_, Some(OpenLiteral::Text)) => return Some(l.clone()),
        _ => {}
    }
    match (l, r) {
        _ if l == r => Some(l.clone()),
        _ if is_number(l) && is_number(r) => common_number(left, right),
        (DataType::Boolean, number) | (number, DataType::Boolean) if is_integer(number) => Some(number.clone()),
        _ if is_time(l) && is_time(r) => Some(TIMESTAMP),
        (Duration(_), Interval(_)) | (Interval(_), Duration(_)) => Some(MONTHS),
        (DataType::Utf8, other) | (other, DataType::Utf8) if !mixed => Some(other.clone()),
        _ => None,
    }
}

/// The type that all of some values have in common; the two that have none where there is none.
pub(crate) fn common_of(parts: &[Bound], mixed: bool) -> Result<DataType, [DataType; 2]> {
    let Some((first, rest)) = parts.split_first() else { return Ok(DataType::Null) };
    let mut widest = first.clone();
    for part in rest {
        let Some(data_type) = common(&widest, part, mixed) else {
            return Err([widest.data_type, part.data_type.clone()]);
        };
        // Only the type matters from here on. As in DuckDB, a whole number takes the type of a value beside it, but
        // several literals have one of their own: the widest that any of them needs.
        let open = match (widest.open, part.open) {
            (Some(OpenLiteral::Null), Some(OpenLiteral::Null)) => Some(OpenLiteral::Null),
            (Some(OpenLiteral::Null | OpenLiteral::Text), Some(OpenLiteral::Null | OpenLiteral::Text)) => {
                Some(OpenLiteral::Text)
            }
            _ => None,
        };
        widest = Bound { data_type, open, value: None, ..widest };
    }
    Ok(widest.settled().data_type)
}
