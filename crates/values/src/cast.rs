//! CAST between all types, with NULL for what does not fit.

use crate::calendar;
use crate::number::{
    moved, power_of_ten, read_boolean, read_exact, read_float, read_whole, write_decimal, write_float,
};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType::{
    self, Binary, Boolean, Date32, Decimal128, Duration, Float32, Float64, Interval, Timestamp, Utf8,
};
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, TimestampMicrosecondType,
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
        (Utf8, _) | (_, Utf8) if *from != Binary => true,
        (Boolean, to) => number(to),
        (from, Boolean) => number(from),
        (from, to) if number(from) && number(to) => true,
        (from, to) if is_time(from) && is_time(to) => true,
        (from, to) => matches!((from, to), (Duration(_), Interval(_))),
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
            let factor = 10f64.powi(i32::from(*scale));
            let limit = 10f64.powi(i32::from(*digits));
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
    let factor = 10f64.powi(i32::from(scale));
    match to {
        Float64 => Ok(Arc::new(values.unary::<_, Float64Type>(|value| value as f64 / factor))),
        Float32 => Ok(Arc::new(values.unary::<_, Float32Type>(|value| (value as f64 / factor) as f32))),
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
    let rows = 0..array.len();
    let texts: StringArray = match array.data_type() {
        Boolean => array.as_boolean().iter().map(|value| value.map(|v| v.to_string())).collect(),
        Float64 => array
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| value.map(|v| write_float(&format!("{v:e}"))))
            .collect(),
        Float32 => array
            .as_primitive::<Float32Type>()
            .iter()
            .map(|value| value.map(|v| write_float(&format!("{v:e}"))))
            .collect(),
        Decimal128(_, scale) => {
            array.as_primitive::<Decimal128Type>().iter().map(|value| value.map(|v| write_decimal(v, *scale))).collect()
        }
        Date32 => {
            array.as_primitive::<Date32Type>().iter().map(|day| day.map(|d| calendar::write_date(d.into()))).collect()
        }
        Timestamp(_, zone) => {
            let zone = if zone.is_some() { "+00" } else { "" };
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            micros.iter().map(|micros| micros.map(|m| calendar::write_timestamp(m) + zone)).collect()
        }
        Duration(_) => {
            let micros = array.as_primitive::<DurationMicrosecondType>();
            micros.iter().map(|micros| micros.map(calendar::write_length)).collect()
        }
        DataType::UInt64 => return arrow_cast(array, &Utf8),
        from if from.is_integer() => {
            let wide = arrow_cast(array, &DataType::Int64)?;
            let wide = wide.as_primitive::<Int64Type>();
            rows.map(|row| wide.is_valid(row).then(|| wide.value(row).to_string())).collect()
        }
        _ => return arrow_cast(array, &Utf8),
    };
    Ok(Arc::new(texts))
}

/// Arrow's own cast with NULL for what fails.
pub fn arrow_cast(array: &ArrayRef, to: &DataType) -> Cast {
    cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })
}
