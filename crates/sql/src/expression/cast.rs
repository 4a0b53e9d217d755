//! CAST and TRY_CAST between all types.

use super::bound::{Bound, Fails, OpenLiteral, call, total};
use super::calendar;
use super::kernel::{Argument, KernelResult, fails};
use super::scope::Problem;
use super::sql_type::{self, LENGTH, MONTHS};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Float32Array,
    Float64Array, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType::{
    self, Binary, Boolean, Date32, Decimal128, Duration, Float32, Float64, Timestamp, Utf8,
};
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, TimeUnit, TimestampMicrosecondType,
};
use std::sync::Arc;

/// Casts as CAST does, or as TRY_CAST: NULL for what cannot be cast.
pub(crate) fn cast(bound: Bound, to: &DataType, tries: bool) -> Result<Bound, Problem> {
    if bound.data_type == *to {
        return Ok(bound.settled());
    }
    if bound.open == Some(OpenLiteral::Null) || bound.data_type == DataType::Null {
        return Ok(Bound::literal(new_null_array(to, 1), None));
    }
    if !known(&bound.data_type, to) {
        if tries {
            return Ok(Bound::literal(new_null_array(to, 1), None));
        }
        let (from, to) = (sql_type::name(&bound.data_type), sql_type::name(to));
        let hint = match (&from[..], &to[..]) {
            (_, "TIMESTAMP") => Some("write epoch_ms(x) for milliseconds, make_timestamp(x) for microseconds"),
            ("TIMESTAMP" | "DATE" | "INTERVAL", _) => Some("write epoch(x) for seconds, epoch_ms(x) or epoch_us(x)"),
            _ => None,
        };
        let problem = Problem::new(format!("{from} cannot be cast to {to}")).found(&from);
        return Err(hint.into_iter().fold(problem, Problem::hint));
    }
    let nullable = bound.nullable || tries;
    let target = to.clone();
    let fails = Fails::when(!tries && !always_fits(&bound.data_type, to));
    call("cast", fails, vec![bound], to.clone(), nullable, move |arguments, _| checked(&arguments[0], &target, tries))
}

/// Casts an expression to the type that its place needs. A text literal that cannot be read is a problem now.
pub(crate) fn cast_to(bound: Bound, to: &DataType) -> Result<Bound, Problem> {
    let literal = bound.open == Some(OpenLiteral::Text);
    let cast = cast(plain(bound)?, to, false)?;
    match (literal, &cast.value) {
        (true, None) => cast.constant().map(|_| cast.clone()),
        _ => Ok(cast),
    }
}

/// The same values in one of the types that functions know: other widths and encodings of Arrow are cast.
pub(crate) fn plain(bound: Bound) -> Result<Bound, Problem> {
    let to = match &bound.data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Microsecond => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.clone())
        }
        DataType::Duration(unit) if *unit != TimeUnit::Microsecond => LENGTH,
        DataType::Date64 => DataType::Date32,
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
            DataType::Decimal128(*digits, *scale)
        }
        DataType::Dictionary(_, values) => (**values).clone(),
        _ => return Ok(bound),
    };
    let nullable = bound.nullable;
    let target = to.clone();
    total("plain", vec![bound], to, nullable, move |arguments, _| arrow_cast(arguments[0].raw(), &target))
}

fn known(from: &DataType, to: &DataType) -> bool {
    let number = |data_type: &DataType| sql_type::is_number(data_type);
    match (from, to) {
        (Utf8, Binary) => false,
        (Utf8, _) | (_, Utf8) if *from != Binary => true,
        (Boolean, to) => number(to),
        (from, Boolean) => number(from),
        (from, to) if number(from) && number(to) => true,
        (from, to) if sql_type::is_time(from) && sql_type::is_time(to) => true,
        (from, to) => *from == LENGTH && *to == MONTHS,
    }
}

/// Whether a type has a value for every value of another.
fn always_fits(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (_, Utf8) => true,
        (Boolean, to) => !matches!(to, Decimal128(..)),
        (from, Boolean) => sql_type::is_number(from),
        (from, Float64) => sql_type::is_number(from),
        (from, Float32) => from.is_integer(),
        (from, to) if from.is_integer() && to.is_integer() => holds_integers(from, to),
        (from, Decimal128(digits, scale)) if from.is_integer() => sql_type::digits(from)
            .is_some_and(|(needed, _)| i16::from(needed) <= i16::from(*digits) - i16::from(*scale)),
        (Decimal128(digits, scale), Decimal128(to_digits, to_scale)) => {
            scale <= to_scale && i16::from(*digits) - i16::from(*scale) <= i16::from(*to_digits) - i16::from(*to_scale)
        }
        (Timestamp(..), Timestamp(..)) => true,
        _ => false,
    }
}

fn holds_integers(from: &DataType, to: &DataType) -> bool {
    let width = |data_type: &DataType| data_type.primitive_width().unwrap_or(0);
    match (from.is_signed_integer(), to.is_signed_integer()) {
        (true, false) => false,
        (false, true) => width(from) < width(to),
        _ => width(from) <= width(to),
    }
}

/// The text of one value, as CAST gives it.
pub(crate) fn text_of(value: &ArrayRef) -> Result<String, arrow::error::ArrowError> {
    Ok(lenient(value, &Utf8)?.as_string::<i32>().value(0).to_string())
}

/// Everything is cast so that failures are NULL; then a NULL that was none before is the failure.
fn checked(argument: &Argument, to: &DataType, tries: bool) -> KernelResult {
    let from = argument.raw();
    let result = lenient(from, to)?;
    if !tries && result.null_count() > from.null_count() {
        let row = (0..from.len()).find(|&row| from.is_valid(row) && result.is_null(row)).unwrap_or(0);
        return Err(fails(complaint(from, row, to)));
    }
    Ok(result)
}

fn complaint(from: &ArrayRef, row: usize, to: &DataType) -> String {
    let shown = lenient(&from.slice(row, 1), &Utf8).ok();
    let shown = shown.as_ref().map_or("", |text| text.as_string::<i32>().value(0));
    match from.data_type() {
        Utf8 => format!("the text '{shown}' cannot be read as {}", sql_type::name(to)),
        other => format!("{} {shown} does not fit into {}", sql_type::name(other), sql_type::name(to)),
    }
}

/// Arrow's own cast with NULL for what fails.
pub(crate) fn arrow_cast(array: &ArrayRef, to: &DataType) -> KernelResult {
    cast_with_options(array, to, &CastOptions { safe: true, ..CastOptions::default() })
}

fn lenient(array: &ArrayRef, to: &DataType) -> KernelResult {
    match (array.data_type(), to) {
        (from, to) if from == to => Ok(array.clone()),
        (Utf8, _) => from_text(array.as_string::<i32>(), to),
        (_, Utf8) => to_text(array),
        (Boolean, Decimal128(..)) => lenient(&arrow_cast(array, &DataType::Int64)?, to),
        (Float32 | Float64, _) => from_float(array, to),
        (Decimal128(_, scale), _) => from_decimal(array.as_primitive(), *scale, to),
        (from, Decimal128(digits, scale)) if from.is_integer() => {
            let wide = arrow_cast(array, &Decimal128(sql_type::DIGITS_MAX, 0))?;
            rescale(wide.as_primitive(), 0, *digits, *scale)
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

fn from_float(array: &ArrayRef, to: &DataType) -> KernelResult {
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

fn from_decimal(values: &Decimal128Array, scale: i8, to: &DataType) -> KernelResult {
    let factor = 10f64.powi(i32::from(scale));
    match to {
        Float64 => Ok(Arc::new(values.unary::<_, Float64Type>(|value| value as f64 / factor))),
        Float32 => Ok(Arc::new(values.unary::<_, Float32Type>(|value| (value as f64 / factor) as f32))),
        Boolean => Ok(Arc::new(BooleanArray::from_unary(values, |value| value != 0))),
        Decimal128(digits, to_scale) => rescale(values, scale, *digits, *to_scale),
        _ => arrow_cast(&rescale(values, scale, sql_type::DIGITS_MAX, 0)?, to),
    }
}

/// A power of ten as an integer; `None` beyond 38 digits.
pub(crate) fn power_of_ten(digits: u32) -> Option<i128> {
    10i128.checked_pow(digits)
}

/// Moves the point of a decimal; halves go away from zero.
pub(crate) fn moved(value: i128, by: i32) -> Option<i128> {
    if by >= 0 {
        return value.checked_mul(power_of_ten(by as u32)?);
    }
    let Some(factor) = power_of_ten(by.unsigned_abs()) else { return Some(0) };
    let (whole, rest) = (value / factor, value % factor);
    Some(if rest.abs() >= factor - rest.abs() { whole + value.signum() } else { whole })
}

/// The same numbers with another scale; NULL where they do not fit.
pub(crate) fn rescale(values: &Decimal128Array, from: i8, digits: u8, to: i8) -> KernelResult {
    let limit = power_of_ten(u32::from(digits)).unwrap_or(i128::MAX);
    let by = i32::from(to) - i32::from(from);
    let moved = |value: i128| moved(value, by).filter(|value| value.abs() < limit);
    Ok(Arc::new(values.unary_opt::<_, Decimal128Type>(moved).with_precision_and_scale(digits, to)?))
}

fn from_text(texts: &StringArray, to: &DataType) -> KernelResult {
    let read = texts.iter();
    Ok(match to {
        Float64 => Arc::new(read.map(|text| read_float(text?)).collect::<Float64Array>()),
        Float32 => {
            let narrow = |value: f64| Some(value as f32).filter(|narrow| narrow.is_finite() || !value.is_finite());
            Arc::new(read.map(|text| read_float(text?).and_then(narrow)).collect::<Float32Array>())
        }
        Boolean => Arc::new(read.map(|text| read_boolean(text?)).collect::<BooleanArray>()),
        Date32 => Arc::new(read.map(|text| i32::try_from(calendar::read_date(text?)?).ok()).collect::<Date32Array>()),
        Timestamp(_, None) => {
            let local = |text: Option<&str>| Some(calendar::read_timestamp(text?)?.0);
            Arc::new(read.map(local).collect::<TimestampMicrosecondArray>())
        }
        Timestamp(..) => {
            let instant =
                |text: Option<&str>| calendar::read_timestamp(text?).and_then(|(t, offset)| t.checked_sub(offset));
            let instants = read.map(instant).collect::<TimestampMicrosecondArray>();
            Arc::new(instants.with_data_type(to.clone()))
        }
        Duration(_) => {
            let length = |text: Option<&str>| super::interval::read(text?).and_then(|interval| interval.micros());
            Arc::new(read.map(length).collect::<DurationMicrosecondArray>())
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

fn read_boolean(text: &str) -> Option<bool> {
    match &text.to_ascii_lowercase()[..] {
        "true" | "t" | "yes" | "y" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

fn read_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.trim_start_matches(['+', '-']);
    if text.len() - digits.len() > 1 {
        return None;
    }
    match digits.bytes().next()? {
        b'0'..=b'9' | b'.' if digits.contains('_') => {
            let apart = digits.as_bytes().windows(3).filter(|around| around[1] == b'_');
            let fine = apart.clone().all(|around| around[0].is_ascii_digit() && around[2].is_ascii_digit());
            (fine && apart.count() == digits.matches('_').count()).then(|| text.replace('_', "").parse().ok())?
        }
        _ => text.parse().ok(),
    }
}

fn read_whole(text: &str) -> Option<i128> {
    let trimmed = text.trim();
    let based = |prefix: [&str; 2], base| {
        let digits = prefix.iter().find_map(|prefix| trimmed.strip_prefix(prefix))?;
        digits.bytes().all(|digit| digit.is_ascii_alphanumeric()).then(|| i128::from_str_radix(digits, base).ok())?
    };
    based(["0x", "0X"], 16)
        .or_else(|| based(["0b", "0B"], 2))
        .or_else(|| read_exact(text, 0))
        .filter(|v| v.abs() < 1 << 65)
}

/// Reads a number with this many digits after the point; halves go away from zero.
pub(crate) fn read_exact(text: &str, scale: i32) -> Option<i128> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut value, mut point) = (0i128, exponent.checked_add(scale)?);
    let mut last = b'_';
    for digit in whole.bytes() {
        match digit {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?,
            b'_' if last != b'_' => {}
            _ => return None,
        }
        last = digit;
    }
    for digit in fraction.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Digits that no decimal can hold are too small to matter.
        if value < i128::MAX / 100 {
            value = value * 10 + i128::from(digit - b'0');
            point = point.checked_sub(1)?;
        }
    }
    if last == b'_' && !whole.is_empty() {
        return None;
    }
    let value = if value == 0 { 0 } else { moved(value, point)? };
    Some(if negative { -value } else { value })
}

fn to_text(array: &ArrayRef) -> KernelResult {
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

fn write_decimal(value: i128, scale: i8) -> String {
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale as usize);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// From the shortest digits with an exponent: plain from 1e-4 up to 1e16, else `1e+16`.
fn write_float(scientific: &str) -> String {
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific.to_lowercase() };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_with_their_shortest_digits() {
        let written = |value: f64| write_float(&format!("{value:e}"));
        let values = [0.1, 1.0, -2.5, 1e15, 1e16, 1e-4, 1e-5, 123.456, 0.0, -0.0, f64::INFINITY, f64::NAN];
        let texts = [
            "0.1",
            "1.0",
            "-2.5",
            "1000000000000000.0",
            "1e+16",
            "0.0001",
            "1e-05",
            "123.456",
            "0.0",
            "-0.0",
            "inf",
            "nan",
        ];
        assert_eq!(values.map(written), texts);
    }

    #[test]
    fn points_move_and_halves_go_away_from_zero() {
        assert_eq!(moved(25, -1), Some(3));
        assert_eq!(moved(-25, -1), Some(-3));
        assert_eq!(moved(24, -1), Some(2));
        assert_eq!(moved(1, -40), Some(0));
        assert_eq!(read_exact("1.55e1", 0), Some(16));
        assert_eq!(read_exact("1__0", 0), None);
    }
}
