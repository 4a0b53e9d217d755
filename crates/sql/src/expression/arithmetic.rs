//! `+ - * / // %` over numbers, times and intervals.

use super::bind::{Bound, Open, call, cast_to};
use super::calendar::{self, DAY};
use super::cast::power_of_ten;
use super::kernel::{Argument, Column, fails};
use super::scope::Problem;
use super::sql_type::{self, LENGTH, MONTHS, TIMESTAMP};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, new_null_array};
use arrow::compute::kernels::{arity, numeric};
use arrow::datatypes::DataType::{self, Date32, Decimal128, Duration, Float32, Float64, Int64, Interval};
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int64Type, IntervalMonthDayNanoType,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use std::fmt;
use std::sync::Arc;

/// The operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    WholeDivide,
    Remainder,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::WholeDivide => "//",
            Operator::Remainder => "%",
        })
    }
}

/// An operator over two expressions, with the type that DuckDB gives it.
pub(crate) fn arithmetic(operator: Operator, left: Bound, right: Bound) -> Result<Bound, Problem> {
    let (right, left) = (typed(right.clone(), &left)?, typed(left, &right)?);
    let (l, r) = (left.data_type.clone(), right.data_type.clone());
    let temporal =
        |data_type: &DataType| sql_type::is_time(data_type) || matches!(data_type, Duration(_) | Interval(_));
    if temporal(&l) || temporal(&r) {
        return super::time::arithmetic(operator, left, right);
    }
    if !sql_type::is_number(&l)
        || !sql_type::is_number(&r)
        || left.open == Some(Open::Text)
        || right.open == Some(Open::Text)
    {
        return Err(no_operator(operator, &l, &r));
    }
    let common = match sql_type::common_number(&left, &right) {
        Some(common) => common,
        None => return Err(no_operator(operator, &l, &r)),
    };
    // DuckDB has no addition of UTINYINT and TINYINT: both become BIGINT.
    let mixed = l.is_unsigned_integer() != r.is_unsigned_integer() && common != l && common != r;
    let common = if mixed && common.is_integer() { Int64 } else { common };
    match (operator, &common) {
        (Operator::Divide, Float32) => floats(operator, left, right, &Float32),
        (Operator::Divide, _) => floats(operator, left, right, &Float64),
        (Operator::WholeDivide, Decimal128(..)) => floats(operator, left, right, &Float64),
        (_, Float32 | Float64) => floats(operator, left, right, &common),
        (_, Decimal128(..)) => decimals(operator, left, right, &common),
        _ => integers(operator, left, right, &common),
    }
}

/// NULL takes the other's type; next to a time it is an interval.
fn typed(bound: Bound, other: &Bound) -> Result<Bound, Problem> {
    if bound.open != Some(Open::Null) {
        return Ok(bound);
    }
    let data_type = match &other.data_type {
        DataType::Null => Int64,
        data_type if sql_type::is_time(data_type) => LENGTH,
        data_type => data_type.clone(),
    };
    cast_to(bound, &data_type)
}

/// No such operator for these types.
pub(crate) fn no_operator(operator: Operator, left: &DataType, right: &DataType) -> Problem {
    let (left, right) = (sql_type::name(left), sql_type::name(right));
    let problem =
        Problem::new(format!("no operator {left} {operator} {right}")).found(format!("{left} {operator} {right}"));
    match (&left[..], &right[..]) {
        ("TEXT", _) | (_, "TEXT") => problem.hint("cast the text to a number, e.g. x::DOUBLE, or join texts with ||"),
        ("BOOLEAN", _) | (_, "BOOLEAN") => problem.hint("cast the condition to a number, e.g. x::INT"),
        ("UBIGINT", _) | (_, "UBIGINT") => problem.hint("the result may need 128 bits: cast to BIGINT or DOUBLE"),
        _ => problem,
    }
}

fn integers(operator: Operator, left: Bound, right: Bound, common: &DataType) -> Result<Bound, Problem> {
    let (left, right) = (cast_to(left, common)?, cast_to(right, common)?);
    let nullable = left.nullable || right.nullable;
    let data_type = common.clone();
    call("integers", vec![left, right], common.clone(), nullable, move |arguments, _| {
        let (left, right) = (&arguments[0], &arguments[1]);
        let result = match operator {
            Operator::Add => numeric::add(left, right),
            Operator::Subtract => numeric::sub(left, right),
            Operator::Multiply => numeric::mul(left, right),
            Operator::Divide | Operator::WholeDivide => numeric::div(left, right),
            Operator::Remainder => numeric::rem(left, right),
        };
        result.map_err(|error| failure(operator, left, right, &data_type, error))
    })
}

fn failure(
    operator: Operator,
    left: &Argument,
    right: &Argument,
    data_type: &DataType,
    error: ArrowError,
) -> ArrowError {
    let shown = |argument: &Argument| {
        let text = super::cast::arrow_cast(&argument.raw().slice(0, 1), &DataType::Utf8);
        text.map_or(String::new(), |text| text.as_string::<i32>().value(0).to_string())
    };
    if matches!(error, ArrowError::DivideByZero) {
        return fails(format!("division by zero: {} {operator} 0", shown(left)));
    }
    fails(format!("{} {operator} {} does not fit into {}", shown(left), shown(right), sql_type::name(data_type)))
}

/// A function of two columns that cannot fail.
pub(crate) fn pairs<A, B, O>(
    left: &Argument,
    right: &Argument,
    rows: usize,
    function: impl Fn(A::Native, B::Native) -> O::Native,
) -> Column
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let (l, r): (&PrimitiveArray<A>, &PrimitiveArray<B>) = (left.raw().as_primitive(), right.raw().as_primitive());
    let result: PrimitiveArray<O> = match (left.one(), right.one()) {
        (Some(_), _) if l.is_null(0) => return Ok(new_null_array(&O::DATA_TYPE, rows)),
        (_, Some(_)) if r.is_null(0) => return Ok(new_null_array(&O::DATA_TYPE, rows)),
        (None, Some(_)) => {
            let right = r.value(0);
            l.unary(|left| function(left, right))
        }
        (Some(_), None) => {
            let left = l.value(0);
            r.unary(|right| function(left, right))
        }
        _ => arity::binary(l, r, function)?,
    };
    Ok(Arc::new(result))
}

/// A function of two columns that may fail on a row.
pub(crate) fn try_pairs<A, B, O>(
    left: &Argument,
    right: &Argument,
    rows: usize,
    function: impl Fn(A::Native, B::Native) -> Result<O::Native, ArrowError>,
) -> Result<PrimitiveArray<O>, ArrowError>
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
    O: ArrowPrimitiveType,
{
    let (l, r): (&PrimitiveArray<A>, &PrimitiveArray<B>) = (left.raw().as_primitive(), right.raw().as_primitive());
    match (left.one(), right.one()) {
        (Some(_), _) if l.is_null(0) => Ok(PrimitiveArray::new_null(rows)),
        (_, Some(_)) if r.is_null(0) => Ok(PrimitiveArray::new_null(rows)),
        (None, Some(_)) => {
            let right = r.value(0);
            l.try_unary(|left| function(left, right))
        }
        (Some(_), None) => {
            let left = l.value(0);
            r.try_unary(|right| function(left, right))
        }
        _ => arity::try_binary(l, r, function),
    }
}

fn floats(operator: Operator, left: Bound, right: Bound, to: &DataType) -> Result<Bound, Problem> {
    let (left, right) = (cast_to(left, to)?, cast_to(right, to)?);
    let nullable = left.nullable || right.nullable;
    let single = *to == Float32;
    call("floats", vec![left, right], to.clone(), nullable, move |arguments, rows| {
        let (left, right) = (&arguments[0], &arguments[1]);
        if single {
            return float::<Float32Type>(operator, left, right, rows, |value| value == 0.0);
        }
        float::<Float64Type>(operator, left, right, rows, |value| value == 0.0)
    })
}

fn float<T>(
    operator: Operator,
    left: &Argument,
    right: &Argument,
    rows: usize,
    zero: impl Fn(T::Native) -> bool,
) -> Column
where
    T: ArrowPrimitiveType,
    T::Native: std::ops::Add<Output = T::Native>
        + std::ops::Sub<Output = T::Native>
        + std::ops::Mul<Output = T::Native>
        + std::ops::Div<Output = T::Native>
        + std::ops::Rem<Output = T::Native>
        + fmt::Display,
{
    match operator {
        Operator::Add => pairs::<T, T, T>(left, right, rows, |a, b| a + b),
        Operator::Subtract => pairs::<T, T, T>(left, right, rows, |a, b| a - b),
        Operator::Multiply => pairs::<T, T, T>(left, right, rows, |a, b| a * b),
        Operator::Divide => pairs::<T, T, T>(left, right, rows, |a, b| a / b),
        Operator::Remainder => pairs::<T, T, T>(left, right, rows, |a, b| a % b),
        // DuckDB's // over floats is a true division that refuses zero.
        Operator::WholeDivide => Ok(Arc::new(try_pairs::<T, T, T>(left, right, rows, |a, b| {
            if zero(b) { Err(fails(format!("division by zero: {a} // 0"))) } else { Ok(a / b) }
        })?)),
    }
}

fn decimals(operator: Operator, left: Bound, right: Bound, common: &DataType) -> Result<Bound, Problem> {
    let Decimal128(common_digits, common_scale) = *common else { return Err(Problem::new("not a decimal")) };
    let of = |bound: &Bound| sql_type::digits(&bound.data_type).unwrap_or((sql_type::DIGITS_MAX, 0));
    let (result, left_type, right_type) = match operator {
        Operator::Multiply => {
            let ((l, left_scale), (r, right_scale)) = (of(&left), of(&right));
            let scale = left_scale + right_scale;
            if scale > sql_type::DIGITS_MAX as i8 {
                return Err(Problem::new(format!("a product with {scale} digits behind the point"))
                    .expected("at most 38")
                    .hint("cast one side to DOUBLE"));
            }
            let narrow = l <= 18 && r <= 18 && l + r > 18 && scale < 18;
            let digits = if narrow { 18 } else { (l + r).min(sql_type::DIGITS_MAX) };
            (Decimal128(digits, scale), Decimal128(l, left_scale), Decimal128(r, right_scale))
        }
        Operator::Remainder => (common.clone(), common.clone(), common.clone()),
        _ => {
            let digits = (common_digits + 1).min(sql_type::DIGITS_MAX);
            (Decimal128(digits, common_scale), common.clone(), common.clone())
        }
    };
    let (left, right) = (cast_to(left, &left_type)?, cast_to(right, &right_type)?);
    let nullable = left.nullable || right.nullable;
    let Decimal128(digits, scale) = result else { return Err(Problem::new("not a decimal")) };
    call("decimals", vec![left, right], result.clone(), nullable, move |arguments, rows| {
        let limit = power_of_ten(u32::from(digits)).unwrap_or(i128::MAX);
        let values =
            try_pairs::<Decimal128Type, Decimal128Type, Decimal128Type>(&arguments[0], &arguments[1], rows, |a, b| {
                let value = match operator {
                    Operator::Add => a.checked_add(b),
                    Operator::Subtract => a.checked_sub(b),
                    Operator::Multiply => a.checked_mul(b),
                    _ if b == 0 => return Err(fails("division by zero in a remainder of decimals")),
                    _ => a.checked_rem(b),
                };
                let value = value.filter(|value| value.abs() < limit);
                value.ok_or_else(|| {
                    fails(format!("the result of {operator} does not fit into DECIMAL({digits},{scale})"))
                })
            })?;
        Ok(Arc::new(values.with_precision_and_scale(digits, scale)?))
    })
}

/// `-x`.
pub(crate) fn negate(value: Bound) -> Result<Bound, Problem> {
    let value = if value.open == Some(Open::Null) { cast_to(value, &Int64)? } else { value };
    let open = value.open;
    let (data_type, nullable) = (value.data_type.clone(), value.nullable);
    if open == Some(Open::Text) || !(sql_type::is_number(&data_type) || data_type == LENGTH) {
        let found = sql_type::name(&data_type);
        return Err(Problem::new(format!("no operator - {found}")).found(found).expected("a number or an interval"));
    }
    let result = data_type.clone();
    let negated = call("negate", vec![value], data_type.clone(), nullable, move |arguments, rows| {
        let array = arguments[0].array(rows)?;
        if data_type.is_unsigned_integer() {
            let zero: ArrayRef =
                super::cast::arrow_cast(&(Arc::new(arrow::array::Int64Array::from(vec![0; rows])) as _), &data_type)?;
            return numeric::sub(&zero, &array).map_err(|_| fails("a negative number does not fit"));
        }
        numeric::neg(&array)
            .map_err(|_| fails(format!("the negated number does not fit into {}", sql_type::name(&data_type))))
    })?;
    let narrowed = match (&negated.value, open) {
        // -2147483648 is written as the negation of a BIGINT.
        (Some(value), Some(Open::Integer)) if result == Int64 => {
            let number = value.as_primitive::<Int64Type>().value(0);
            i32::try_from(number).ok().map(|number| Arc::new(arrow::array::Int32Array::from(vec![number])) as ArrayRef)
        }
        _ => None,
    };
    Ok(match narrowed {
        Some(value) => Bound::literal(value, open),
        None => Bound { open, ..negated },
    })
}

/// Adds days to dates.
pub(crate) fn date_plus_days(date: Bound, days: Bound, sign: i64) -> Result<Bound, Problem> {
    let (date, days) = (cast_to(date, &Date32)?, cast_to(days, &Int64)?);
    let nullable = date.nullable || days.nullable;
    call("date plus days", vec![date, days], Date32, nullable, move |arguments, rows| {
        let sum = try_pairs::<Date32Type, Int64Type, Date32Type>(&arguments[0], &arguments[1], rows, |date, days| {
            let sum = days.checked_mul(sign).and_then(|days| days.checked_add(i64::from(date)));
            sum.and_then(|sum| i32::try_from(sum).ok()).ok_or_else(|| fails("the date is out of range"))
        })?;
        Ok(Arc::new(sum))
    })
}

/// Adds an interval with months to a timestamp: months, then days, then the rest.
pub(crate) fn plus_months(time: Bound, interval: Bound, sign: i64) -> Result<Bound, Problem> {
    let (time, interval) = (cast_to(time, &TIMESTAMP)?, cast_to(interval, &MONTHS)?);
    let nullable = time.nullable || interval.nullable;
    call("plus months", vec![time, interval], TIMESTAMP, nullable, move |arguments, rows| {
        type T = TimestampMicrosecondType;
        let sum = try_pairs::<T, IntervalMonthDayNanoType, T>(&arguments[0], &arguments[1], rows, |time, interval| {
            let rest = i64::from(interval.days) * DAY + interval.nanoseconds / 1000;
            let moved = calendar::add_months(time, sign * i64::from(interval.months));
            moved.and_then(|time| time.checked_add(sign * rest)).ok_or_else(|| fails("the timestamp is out of range"))
        })?;
        Ok(Arc::new(sum))
    })
}

/// An interval times or divided by a number.
pub(crate) fn scale_length(operator: Operator, length: Bound, number: Bound) -> Result<Bound, Problem> {
    type D = DurationMicrosecondType;
    let nullable = length.nullable || number.nullable;
    let whole = sql_type::is_integer(&number.data_type) && operator == Operator::Multiply;
    let number = cast_to(number, if whole { &Int64 } else { &Float64 })?;
    call("scaled interval", vec![length, number], LENGTH, nullable, move |arguments, rows| {
        let (length, number) = (&arguments[0], &arguments[1]);
        let too_long = || fails("the interval is too long for 64 bits of microseconds");
        if whole {
            let times = |length: i64, number: i64| length.checked_mul(number).ok_or_else(too_long);
            return Ok(Arc::new(try_pairs::<D, Int64Type, D>(length, number, rows, times)?));
        }
        let scaled = try_pairs::<D, Float64Type, D>(length, number, rows, |length, number| {
            if operator == Operator::Divide && number == 0.0 {
                return Err(fails("division of an interval by zero"));
            }
            let exact = if operator == Operator::Divide { length as f64 / number } else { length as f64 * number };
            Some(exact.round()).filter(|micros| micros.abs() < 9.2e18).map(|micros| micros as i64).ok_or_else(too_long)
        })?;
        Ok(Arc::new(scaled))
    })
}
