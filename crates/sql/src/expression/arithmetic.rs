//! `+ - * / // %` over numbers, times and intervals.

use super::bound::{Bound, Fails, OpenLiteral, call, partial};
use super::cast::cast_to;
use super::kernel::{Argument, KernelResult, fails};
use super::operator::{Operator, no_operator};
use super::pairs::{pairs, try_pairs};
use super::scope::Problem;
use super::sql_type::{self, LENGTH};
use super::time_arithmetic;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::kernels::numeric;
use arrow::datatypes::DataType::{self, Decimal128, Duration, Float32, Float64, Int64, Interval};
use arrow::datatypes::{Decimal128Type, Float32Type, Float64Type, Int64Type};
use arrow::error::ArrowError;
use std::fmt;
use std::sync::Arc;

/// An operator over two expressions, with the type that DuckDB gives it.
pub(crate) fn arithmetic(operator: Operator, left: Bound, right: Bound) -> Result<Bound, Problem> {
    let (right, left) = (typed(right.clone(), &left)?, typed(left, &right)?);
    let (l, r) = (left.data_type.clone(), right.data_type.clone());
    let temporal =
        |data_type: &DataType| sql_type::is_time(data_type) || matches!(data_type, Duration(_) | Interval(_));
    if temporal(&l) || temporal(&r) {
        return time_arithmetic::arithmetic(operator, left, right);
    }
    if !sql_type::is_number(&l)
        || !sql_type::is_number(&r)
        || left.open == Some(OpenLiteral::Text)
        || right.open == Some(OpenLiteral::Text)
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
    if bound.open != Some(OpenLiteral::Null) {
        return Ok(bound);
    }
    let data_type = match &other.data_type {
        DataType::Null => Int64,
        data_type if sql_type::is_time(data_type) => LENGTH,
        data_type => data_type.clone(),
    };
    cast_to(bound, &data_type)
}

fn integers(operator: Operator, left: Bound, right: Bound, common: &DataType) -> Result<Bound, Problem> {
    let (left, right) = (cast_to(left, common)?, cast_to(right, common)?);
    let nullable = left.nullable || right.nullable;
    let data_type = common.clone();
    partial("integers", vec![left, right], common.clone(), nullable, move |arguments, _| {
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
        let text = values::arrow_cast(&argument.raw().slice(0, 1), &DataType::Utf8);
        text.map_or(String::new(), |text| text.as_string::<i32>().value(0).to_string())
    };
    if matches!(error, ArrowError::DivideByZero) {
        return fails(format!("division by zero: {} {operator} 0", shown(left)));
    }
    fails(format!("{} {operator} {} does not fit into {}", shown(left), shown(right), sql_type::name(data_type)))
}

fn floats(operator: Operator, left: Bound, right: Bound, to: &DataType) -> Result<Bound, Problem> {
    let (left, right) = (cast_to(left, to)?, cast_to(right, to)?);
    let nullable = left.nullable || right.nullable;
    let single = *to == Float32;
    call(
        "floats",
        Fails::when(operator == Operator::WholeDivide),
        vec![left, right],
        to.clone(),
        nullable,
        move |arguments, rows| {
            let (left, right) = (&arguments[0], &arguments[1]);
            if single {
                return float::<Float32Type>(operator, left, right, rows, |value| value == 0.0);
            }
            float::<Float64Type>(operator, left, right, rows, |value| value == 0.0)
        },
    )
}

fn float<T>(
    operator: Operator,
    left: &Argument,
    right: &Argument,
    rows: usize,
    zero: impl Fn(T::Native) -> bool,
) -> KernelResult
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
                return Err(Problem::new(format!("a product with {scale} digits after the point"))
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
    partial("decimals", vec![left, right], result.clone(), nullable, move |arguments, rows| {
        let limit = values::power_of_ten(u32::from(digits)).unwrap_or(i128::MAX);
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
    let value = if value.open == Some(OpenLiteral::Null) { cast_to(value, &Int64)? } else { value };
    let open = value.open;
    let (data_type, nullable) = (value.data_type.clone(), value.nullable);
    if open == Some(OpenLiteral::Text) || !(sql_type::is_number(&data_type) || data_type == LENGTH) {
        let found = sql_type::name(&data_type);
        return Err(Problem::new(format!("no operator - {found}")).found(found).expected("a number or an interval"));
    }
    let result = data_type.clone();
    let negated = call(
        "negate",
        Fails::when(!sql_type::is_float(&data_type)),
        vec![value],
        data_type.clone(),
        nullable,
        move |arguments, rows| {
            let array = arguments[0].array(rows)?;
            if data_type.is_unsigned_integer() {
                let zero: ArrayRef =
                    values::arrow_cast(&(Arc::new(arrow::array::Int64Array::from(vec![0; rows])) as _), &data_type)?;
                return numeric::sub(&zero, &array).map_err(|_| fails("a negative number does not fit"));
            }
            numeric::neg(&array)
                .map_err(|_| fails(format!("the negated number does not fit into {}", sql_type::name(&data_type))))
        },
    )?;
    let narrowed = match (&negated.value, open) {
        // -2147483648 is written as the negation of a BIGINT.
        (Some(value), Some(OpenLiteral::Integer)) if result == Int64 => {
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
