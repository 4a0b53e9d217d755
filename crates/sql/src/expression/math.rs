//! Functions over numbers.

use super::arguments::exactly;
use super::arithmetic::arithmetic;
use super::bound::{Bound, Fails, OpenLiteral, call, partial, total};
use super::cast::cast_to;
use super::kernel::fails;
use super::operator::Operator;
use super::scope::Problem;
use super::sql_type;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int8Array, PrimitiveArray};
use arrow::datatypes::DataType::{self, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64};
use arrow::datatypes::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// How a number loses its fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounding {
    /// Halves go away from zero.
    Nearest,
    Floor,
    Ceiling,
    Truncate,
}

/// A number argument; NULL and text literals become DOUBLE.
fn number(value: Bound, function: &str) -> Result<Bound, Problem> {
    match value.open {
        Some(OpenLiteral::Null) => return cast_to(value, &Int64),
        Some(OpenLiteral::Text) => return cast_to(value, &Float64),
        _ => {}
    }
    if sql_type::is_number(&value.data_type) {
        return Ok(value);
    }
    let found = sql_type::name(&value.data_type);
    Err(Problem::new(format!("{function} needs a number")).found(found).expected("a number"))
}

/// A function of a DOUBLE.
pub(crate) fn double(name: &'static str, value: Bound, function: fn(f64) -> f64) -> Result<Bound, Problem> {
    let value = cast_to(number(value, name)?, &Float64)?;
    let nullable = value.nullable;
    total(name, vec![value], Float64, nullable, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(function)))
    })
}

/// A function of two DOUBLEs.
pub(crate) fn doubles(
    name: &'static str,
    left: Bound,
    right: Bound,
    function: fn(f64, f64) -> f64,
) -> Result<Bound, Problem> {
    let (left, right) = (cast_to(number(left, name)?, &Float64)?, cast_to(number(right, name)?, &Float64)?);
    let nullable = left.nullable || right.nullable;
    total(name, vec![left, right], Float64, nullable, move |arguments, rows| {
        super::pairs::pairs::<Float64Type, Float64Type, Float64Type>(&arguments[0], &arguments[1], rows, function)
    })
}

/// A test of a float; other numbers are finite.
pub(crate) fn float_test(name: &'static str, value: Bound, function: fn(f64) -> bool) -> Result<Bound, Problem> {
    let value = cast_to(number(value, name)?, &Float64)?;
    let nullable = value.nullable;
    total(name, vec![value], DataType::Boolean, nullable, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        Ok(Arc::new(BooleanArray::from_unary(array.as_primitive::<Float64Type>(), function)))
    })
}

/// `sign(x)`: -1, 0 or 1; 0 for NaN.
fn sign(value: Bound) -> Result<Bound, Problem> {
    let value = cast_to(number(value, "sign")?, &Float64)?;
    let nullable = value.nullable;
    total("sign", vec![value], Int8, nullable, |arguments, rows| {
        let array = arguments[0].array(rows)?;
        let signs = array.as_primitive::<Float64Type>().iter();
        let signs = signs.map(|value| value.map(|value| i8::from(value > 0.0) - i8::from(value < 0.0)));
        Ok(Arc::new(signs.collect::<Int8Array>()))
    })
}

fn mapped<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    function: impl Fn(T::Native) -> Option<T::Native>,
    failure: impl Fn(T::Native) -> ArrowError,
) -> Result<PrimitiveArray<T>, ArrowError> {
    let values = array.as_primitive::<T>();
    let mapped = values.try_unary::<_, T, _>(|value| function(value).ok_or_else(|| failure(value)))?;
    Ok(mapped.with_data_type(array.data_type().clone()))
}

/// `abs(x)`, of the argument's type.
fn absolute(value: Bound) -> Result<Bound, Problem> {
    let value = number(value, "abs")?;
    let (data_type, nullable) = (value.data_type.clone(), value.nullable);
    if data_type.is_unsigned_integer() {
        return Ok(value);
    }
    call(
        "abs",
        Fails::when(!sql_type::is_float(&data_type)),
        vec![value],
        data_type.clone(),
        nullable,
        move |arguments, rows| {
            let array = arguments[0].array(rows)?;
            let name = sql_type::name(&data_type);
            Ok(match data_type {
                Int8 => Arc::new(mapped::<Int8Type>(&array, i8::checked_abs, |v| {
                    fails(format!("abs({v}) does not fit into {name}"))
                })?),
                Int16 => Arc::new(mapped::<Int16Type>(&array, i16::checked_abs, |v| {
                    fails(format!("abs({v}) does not fit into {name}"))
                })?),
                Int32 => Arc::new(mapped::<Int32Type>(&array, i32::checked_abs, |v| {
                    fails(format!("abs({v}) does not fit into {name}"))
                })?),
                Int64 => Arc::new(mapped::<Int64Type>(&array, i64::checked_abs, |v| {
                    fails(format!("abs({v}) does not fit into {name}"))
                })?),
                Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs)) as ArrayRef,
                Float64 => Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)),
                _ => Arc::new(mapped::<Decimal128Type>(&array, i128::checked_abs, |_| fails("abs does not fit"))?),
            })
        },
    )
}

/// `round`, `floor`, `ceil`, `trunc` with a constant number of digits after the point.
fn round(how: Rounding, value: Bound, digits: Option<Bound>) -> Result<Bound, Problem> {
    let value = number(value, "round")?;
    let digits = match digits {
        Some(digits) => Some(constant_digits(&digits)?),
        None => None,
    };
    let (data_type, nullable) = (value.data_type.clone(), value.nullable);
    match data_type {
        Float64 | Float32 => {
            let narrow = data_type == Float32;
            let wide = cast_to(value, &Float64)?;
            let rounded = total("round", vec![wide], Float64, nullable, move |arguments, rows| {
                let array = arguments[0].array(rows)?;
                let rounded = array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(|v| rounded(how, v, digits.unwrap_or(0)));
                Ok(Arc::new(rounded))
            })?;
            if narrow { cast_to(rounded, &Float32) } else { Ok(rounded) }
        }
        Decimal128(width, scale) => decimal(how, value, width, scale, digits.unwrap_or(0)),
        _ if matches!(how, Rounding::Floor | Rounding::Ceiling) => cast_to(value, &Float64),
        _ => match digits {
            Some(digits) if digits < 0 => integer(how, value, digits.unsigned_abs()),
            _ => Ok(value),
        },
    }
}

/// More digits than any number has, on either side of its point.
const ROUNDED_DIGITS_MAX: i32 = 400;

fn constant_digits(digits: &Bound) -> Result<i32, Problem> {
    let problem = || Problem::new("the number of digits must be a constant whole number").expected("e.g. round(x, 2)");
    match &digits.value {
        Some(value) if *value.data_type() == Int32 && value.is_valid(0) => {
            Ok(value.as_primitive::<Int32Type>().value(0).clamp(-ROUNDED_DIGITS_MAX, ROUNDED_DIGITS_MAX))
        }
        _ => Err(problem()),
    }
}

fn rounded(how: Rounding, value: f64, digits: i32) -> f64 {
    let plain = |value: f64| match how {
        Rounding::Nearest => value.round(),
        Rounding::Floor => value.floor(),
        Rounding::Ceiling => value.ceil(),
        Rounding::Truncate => value.trunc(),
    };
    if digits == 0 || !value.is_finite() {
        return plain(value);
    }
    let factor = 10f64.powi(digits.abs());
    let result = if digits < 0 { plain(value / factor) * factor } else { plain(value * factor) / factor };
    match result.is_finite() {
        true => result,
        false if digits < 0 => 0.0,
        false => value,
    }
}

fn decimal(how: Rounding, value: Bound, width: u8, scale: i8, digits: i32) -> Result<Bound, Problem> {
    if digits >= i32::from(scale) {
        return Ok(value);
    }
    let nullable = value.nullable;
    let to = digits.max(0) as i8;
    let drop = i32::from(scale) - digits;
    let result = Decimal128(width, to);
    partial("round", vec![value], result, nullable, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        let too_wide = || fails(format!("the rounded number does not fit into DECIMAL({width},{to})"));
        let factor = values::power_of_ten(drop.unsigned_abs());
        let round = |value: i128| {
            let whole = match (how, factor) {
                (_, None) => Some(0),
                (Rounding::Nearest, _) => values::moved(value, -drop),
                (Rounding::Floor, Some(factor)) => Some(value.div_euclid(factor)),
                (Rounding::Ceiling, Some(factor)) => Some(-(-value).div_euclid(factor)),
                (Rounding::Truncate, Some(factor)) => Some(value / factor),
            };
            let value = if digits < 0 { whole.and_then(|whole| values::moved(whole, -digits)) } else { whole };
            let limit = values::power_of_ten(u32::from(width)).unwrap_or(i128::MAX);
            value.filter(|value| value.abs() < limit)
        };
        let rounded = array
            .as_primitive::<Decimal128Type>()
            .try_unary::<_, Decimal128Type, _>(|v| round(v).ok_or_else(too_wide))?;
        Ok(Arc::new(rounded.with_precision_and_scale(width, to)?))
    })
}

fn integer(how: Rounding, value: Bound, digits: u32) -> Result<Bound, Problem> {
    let (data_type, nullable) = (value.data_type.clone(), value.nullable);
    let wide = cast_to(value, &Decimal128(sql_type::DIGITS_MAX, 0))?;
    let rounded =
        partial("round", vec![wide], Decimal128(sql_type::DIGITS_MAX, 0), nullable, move |arguments, rows| {
            let array = arguments[0].array(rows)?;
            let round = |value: i128| match values::power_of_ten(digits) {
                None => 0,
                Some(factor) if how == Rounding::Truncate => value / factor * factor,
                Some(factor) => {
                    values::moved(value, -(digits as i32)).and_then(|whole| whole.checked_mul(factor)).unwrap_or(0)
                }
            };
            let rounded = array.as_primitive::<Decimal128Type>().unary::<_, Decimal128Type>(round);
            Ok(Arc::new(rounded.with_precision_and_scale(sql_type::DIGITS_MAX, 0)?))
        })?;
    cast_to(rounded, &data_type)
}

/// `log(base, x)`.
fn log_of(base: f64, value: f64) -> f64 {
    value.log10() / base.log10()
}

/// `round(x, digits)` and `trunc(x, digits)`.
fn to_digits(how: Rounding, name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let mut arguments = arguments.into_iter();
    match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(value), digits, None) => round(how, value, digits),
        _ => Err(Problem::new(format!("{name} takes a number and, if wanted, the digits after the point"))),
    }
}

/// The functions over numbers of any type, by name.
pub(crate) fn numeric(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    match name {
        "round" => return to_digits(Rounding::Nearest, name, arguments),
        "trunc" => return to_digits(Rounding::Truncate, name, arguments),
        "log" if arguments.len() == 2 => {
            let [base, value] = exactly(name, arguments)?;
            return doubles("log", base, value, log_of);
        }
        "mod" => {
            let [left, right] = exactly(name, arguments)?;
            return arithmetic(Operator::Remainder, left, right);
        }
        "pi" => {
            let [] = exactly(name, arguments)?;
            return Ok(Bound::literal(Arc::new(Float64Array::from(vec![std::f64::consts::PI])), None));
        }
        _ => {}
    }
    let [value] = exactly(name, arguments)?;
    match name {
        "abs" => absolute(value),
        "sign" => sign(value),
        "floor" => round(Rounding::Floor, value, None),
        "ceil" | "ceiling" => round(Rounding::Ceiling, value, None),
        _ => double("log", value, f64::log10),
    }
}
