//! What a function gives.

use arrow::array::ArrayRef;

/// A column of function values, and the rows on which the function failed.
pub(crate) struct FunctionValues {
    pub(crate) values: ArrayRef,
    pub(crate) bad: Vec<usize>,
}
