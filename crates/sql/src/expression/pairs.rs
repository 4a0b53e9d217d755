//! Kernels over two columns, of which either may be one value for all rows.

use super::kernel::{Argument, KernelResult};
use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray, new_null_array};
use arrow::compute::kernels::arity;
use arrow::error::ArrowError;
use std::sync::Arc;

/// A function of two columns that cannot fail.
pub(crate) fn pairs<A, B, O>(
    left: &Argument,
    right: &Argument,
    rows: usize,
    function: impl Fn(A::Native, B::Native) -> O::Native,
) -> KernelResult
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
