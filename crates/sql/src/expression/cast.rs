//! CAST and TRY_CAST between all types.

use super::bound::{Bound, Fails, OpenLiteral, call, total};
use super::kernel::{Argument, KernelResult, fails};
use super::scope::Problem;
use super::sql_type::{self, LENGTH};
use arrow::array::{Array, ArrayRef, AsArray, DurationMicrosecondArray, new_null_array};
use arrow::datatypes::DataType::{self, Boolean, Decimal128, Duration, Float32, Float64, Timestamp, Utf8};
use arrow::datatypes::TimeUnit;
use std::sync::Arc;
use values::{arrow_cast, is_cast};

/// Casts as CAST does, or as TRY_CAST: NULL for what cannot be cast.
pub(crate) fn cast(bound: Bound, to: &DataType, tries: bool) -> Result<Bound, Problem> {
    if bound.data_type == *to {
        return Ok(bound.settled());
    }
    if bound.open == Some(OpenLiteral::Null) || bound.data_type == DataType::Null {
        return Ok(Bound::literal(new_null_array(to, 1), None));
    }
    if !is_cast(&bound.data_type, to) {
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
        stored @ DataType::FixedSizeBinary(_) => values::plain_type(stored),
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
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
    if let DataType::FixedSizeBinary(_) = bound.data_type {
        return total("plain", vec![bound], to, nullable, move |arguments, _| {
            values::read_stored(arguments[0].raw(), &target)
        });
    }
    total("plain", vec![bound], to, nullable, move |arguments, _| arrow_cast(arguments[0].raw(), &target))
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

/// The values in another type; NULL where CAST fails.
fn lenient(array: &ArrayRef, to: &DataType) -> KernelResult {
    match (array.data_type(), to) {
        (Utf8, Duration(_)) => {
            let length = |text: Option<&str>| super::interval::read(text?).and_then(|interval| interval.micros());
            Ok(Arc::new(array.as_string::<i32>().iter().map(length).collect::<DurationMicrosecondArray>()))
        }
        _ => values::cast(array, to),
    }
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
