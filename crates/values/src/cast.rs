//! CAST between all types, with NULL for what does not fit.

use crate::calendar;
use crate::nested;
use crate::number::{
    decimal_to_double, decimal_to_float, moved, power_of_ten, read_boolean, read_exact, read_float, read_whole,
    scientific, scientific_single, write_decimal, write_float,
};
use crate::plain::{arrow_cast, plain};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, PrimitiveArray,
    StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::DataType::{
    self, Binary, Boolean, Date32, Decimal128, Duration, Float32, Float64, Interval, Timestamp, Utf8,
};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The most digits of a DECIMAL.
const DIGITS_MAX: u8 = 38;

type Cast = Result<ArrayRef, ArrowError>;

/// Whether CAST takes values of one type to the other at all.
pub fn is_cast(from: &DataType, to: &DataType) -> bool {
    let number = |data_type: &DataType| is_number(data_type);
    match (from, to) {
        (DataType::Null, _) => true,
        (Utf8, Binary) => false,
        (Utf8, _) => true,
        (_, Utf8) => *from != Binary && has_text(from),
        (Boolean, to) => number(to),
        (from, Boolean) => number(from),
        (from, to) if number(from) && number(to) => true,
        (from, to) if is_time(from) && is_time(to) => true,
        (from, to) => matches!((from, to), (Duration(_), Interval(_))),
    }
}

/// Whether values of a type have a text. The intervals of Parquet are none that can be read: the library that reads them
/// leaves out their months, or all but these.
fn has_text(data_type: &DataType) -> bool {
    match nested::inner_types(data_type) {
        Some(inner) => inner.into_iter().all(has_text),
        None => !matches!(
            data_type,
            Interval(IntervalUnit::DayTime | IntervalUnit::YearMonth)
                | DataType::Union(..)
                | DataType::RunEndEncoded(..)
                | DataType::ListView(_)
                | DataType::LargeListView(_)
        ),
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, Float32 | Float64 | Decimal128(..))
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, Timestamp(..) | Date32)
}

/// The values in another type; NULL where CAST fails.
pub fn cast(array: &ArrayRef, to: &DataType) -> Cast {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.clone()),
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (Utf8, _) => from_text(array.as_string::<i32>(), to),
        (_, Utf8) => to_text(array),
        (Boolean, Decimal128(..)) => cast(&arrow_cast(array, &DataType::Int64)?, to),
        (Float32 | Float64, _) => from_float(array, to),
        (Decimal128(_, scale), _) => from_decimal(array.as_primitive(), *scale, to),
        (from, Decimal128(digits, scale)) if from.is_integer() => {
            let wide = arrow_cast(array, &Decimal128(DIGITS_MAX, 0))?;
            rescale(wide.as_primitive(), 0, *digits, *scale)
        }
        (Date32, Timestamp(..)) => {
            let days = array.as_primitive::<Date32Type>();
            let micros = days
                .unary_opt::<_, TimestampMicrosecondType>(|day| i64::from(day).checked_mul(calendar::DAY))
                .with_data_type(to.clone());
            Ok(Arc::new(micros))
        }
        (Timestamp(..), Date32) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            Ok(Arc::new(
                micros.unary_opt::<_, Date32Type>(|micros| i32::try_from(micros.div_euclid(calendar::DAY)).ok()),
            ))
        }
        (Timestamp(..), Timestamp(..)) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(micros.with_data_type(to.clone())))
        }
        (Duration(_), _) => {
            let micros = array.as_primitive::<DurationMicrosecondType>();
            Ok(Arc::new(micros.unary_opt::<_, IntervalMonthDayNanoType>(|micros| {
                Some(IntervalMonthDayNano::new(0, 0, micros.checked_mul(1000)?))
            })))
        }
        _ => arrow_cast(array, to),
    }
}

fn from_float(array: &ArrayRef, to: &DataType) -> Cast {
    let wide = arrow_cast(array, &Float64)?;
    let values = wide.as_primitive::<Float64Type>();
    match to {
        Float64 => Ok(wide),
        Float32 => {
            let narrow = |value: f64| Some(value as f32).filter(|narrow| narrow.is_finite() || !value.is_finite());
            Ok(Arc::new(values.unary_opt::<_, Float32Type>(narrow)))
        }
        Boolean => Ok(Arc::new(BooleanArray::from_unary(values, |value| value != 0.0))),
        Decimal128(digits, scale) => {
            let power = |digits: u32| power_of_ten(digits).map_or(f64::INFINITY, |power| power as f64);
            let (factor, limit) = (power(scale.unsigned_abs().into()), power((*digits).into()));
            let exact = |value: f64| {
                let scaled = (value * factor).round();
                (scaled.abs() < limit).then_some(scaled as i128)
            };
            Ok(Arc::new(values.unary_opt::<_, Decimal128Type>(exact).with_precision_and_scale(*digits, *scale)?))
        }
        _ => {
            // Halves go to the even neighbour. 2^64 and -2^64 bound what an integer type can hold.
            let whole = |value: f64| Some(value.round_ties_even()).filter(|v| v.abs() < 2e19).map(|v| v as i128);
            arrow_cast(
                &(Arc::new(values.unary_opt::<_, Decimal128Type>(whole).with_precision_and_scale(38, 0)?) as _),
                to,
            )
        }
    }
}

fn from_decimal(values: &Decimal128Array, scale: i8, to: &DataType) -> Cast {
    match to {
        Float64 => Ok(Arc::new(values.unary::<_, Float64Type>(|value| decimal_to_double(value, scale)))),
        Float32 => Ok(Arc::new(values.unary::<_, Float32Type>(|value| decimal_to_float(value, scale)))),
        Boolean => Ok(Arc::new(BooleanArray::from_unary(values, |value| value != 0))),
        Decimal128(digits, to_scale) => rescale(values, scale, *digits, *to_scale),
        _ => arrow_cast(&rescale(values, scale, DIGITS_MAX, 0)?, to),
    }
}

/// The same numbers with another scale; NULL where they do not fit.
pub fn rescale(values: &Decimal128Array, from: i8, digits: u8, to: i8) -> Cast {
    let limit = power_of_ten(u32::from(digits)).unwrap_or(i128::MAX);
    let by = i32::from(to) - i32::from(from);
    let moved = |value: i128| moved(value, by).filter(|value| value.abs() < limit);
    Ok(Arc::new(values.unary_opt::<_, Decimal128Type>(moved).with_precision_and_scale(digits, to)?))
}

fn from_text(texts: &StringArray, to: &DataType) -> Cast {
    let read = texts.iter();
    Ok(match to {
        Float64 => Arc::new(read.map(|text| read_float(text?)).collect::<Float64Array>()),
        Float32 => Arc::new(read.map(|text| read_float(text?)).collect::<Float32Array>()),
        Boolean => Arc::new(read.map(|text| read_boolean(text?)).collect::<BooleanArray>()),
        Date32 => Arc::new(read.map(|text| calendar::read_date(text?)).collect::<Date32Array>()),
        Timestamp(_, None) => {
            Arc::new(read.map(|text| calendar::read_timestamp(text?)).collect::<TimestampMicrosecondArray>())
        }
        Timestamp(..) => {
            let instants = read.map(|text| calendar::read_instant(text?)).collect::<TimestampMicrosecondArray>();
            Arc::new(instants.with_data_type(to.clone()))
        }
        Decimal128(digits, scale) => {
            let limit = power_of_ten(u32::from(*digits)).unwrap_or(i128::MAX);
            let exact = |text: Option<&str>| read_exact(text?, i32::from(*scale)).filter(|value| value.abs() < limit);
            Arc::new(read.map(exact).collect::<Decimal128Array>().with_precision_and_scale(*digits, *scale)?)
        }
        _ => {
            let whole: Decimal128Array = read.map(|text| read_whole(text?)).collect();
            return arrow_cast(&(Arc::new(whole.with_precision_and_scale(38, 0)?) as _), to);
        }
    })
}

fn to_text(array: &ArrayRef) -> Cast {
    let texts: StringArray = match array.data_type() {
        from if nested::inner_types(from).is_some() => nested::texts(array, &inner_to_text)?,
        Boolean => array.as_boolean().iter().map(|value| value.map(|v| v.to_string())).collect(),
        Float64 => written::<Float64Type>(array, |value| write_float(&scientific(value))),
        Float32 => written::<Float32Type>(array, |value| write_float(&scientific_single(value))),
        Decimal128(digits, scale) => written::<Decimal128Type>(array, |value| write_decimal(value, *digits, *scale)),
        Date32 => written::<Date32Type>(array, |day| calendar::write_date(day.into())),
        Timestamp(TimeUnit::Nanosecond, _) => return nanoseconds_to_text(array),
        Timestamp(_, zone) => {
            let zone = if zone.is_some() { "+00" } else { "" };
            written::<TimestampMicrosecondType>(array, |micros| calendar::write_timestamp(micros) + zone)
        }
        DataType::Time32(_) | DataType::Time64(_) => {
            let micros = arrow_cast(array, &DataType::Time64(TimeUnit::Microsecond))?;
            written::<Time64MicrosecondType>(&micros, calendar::write_time)
        }
        Duration(_) => written::<DurationMicrosecondType>(array, calendar::write_length),
        Interval(IntervalUnit::MonthDayNano) => written::<IntervalMonthDayNanoType>(array, |interval| {
            calendar::write_interval(interval.months.into(), interval.days.into(), interval.nanoseconds / 1000)
        }),
        DataType::UInt64 => return arrow_cast(array, &Utf8),
        from if from.is_integer() => {
            let wide = arrow_cast(array, &DataType::Int64)?;
            written::<Int64Type>(&wide, |value| value.to_string())
        }
        _ => return arrow_cast(array, &Utf8),
    };
    Ok(Arc::new(texts))
}

fn written<T: ArrowPrimitiveType>(array: &ArrayRef, write: impl Fn(T::Native) -> String) -> StringArray {
    array.as_primitive::<T>().iter().map(|value| value.map(&write)).collect()
}

/// The text of stored values inside of lists, structs and maps, where bytes are no text.
fn inner_to_text(array: &ArrayRef) -> Cast {
    if let Timestamp(TimeUnit::Nanosecond, _) = array.data_type() {
        return nanoseconds_to_text(array);
    }
    let zone = matches!(array.data_type(), Timestamp(_, Some(_)));
    let array = plain(array)?;
    match array.data_type() {
        Binary => {
            let bytes = array.as_binary::<i32>().iter();
            Ok(Arc::new(bytes.map(|bytes| bytes.map(bytes_to_text)).collect::<StringArray>()))
        }
        Timestamp(..) if zone => cast(&cast(&array, &Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?, &Utf8),
        _ => cast(&array, &Utf8),
    }
}

/// Bytes as DuckDB writes them: those that are no letters of ASCII by two digits each.
fn bytes_to_text(bytes: &[u8]) -> String {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'\\');
    let written = |&byte: &u8| if is_plain(byte) { char::from(byte).to_string() } else { format!("\\x{byte:02X}") };
    bytes.iter().map(written).collect()
}

/// Microseconds as text, and the nanoseconds after them.
fn nanoseconds_to_text(array: &ArrayRef) -> Cast {
    let nanos: &PrimitiveArray<TimestampNanosecondType> = array.as_primitive();
    let whole: TimestampMicrosecondArray = nanos.unary(|nanos| nanos.div_euclid(1000));
    let texts = to_text(&(Arc::new(whole) as ArrayRef))?;
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
