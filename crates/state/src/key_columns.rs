//! The key columns of a batch, as an index of keys reads them.

use arrow::array::{Array, ArrayRef};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use dataflow::{Batch, Error, Result};

/// The one column of an index of integers, as 64 bits.
pub(crate) fn integers(columns: &[ArrayRef]) -> Result<ArrayRef> {
    match columns {
        [one] if *one.data_type() == DataType::Int64 => Ok(one.clone()),
        [one] => Ok(cast(one, &DataType::Int64)?),
        _ => Err(Error::internal(format!("{} key columns, expected one", columns.len()))),
    }
}

/// Which rows have a NULL in a key column; `None` when NULLs match or there are none.
pub(crate) fn absent_rows(columns: &[ArrayRef], rows: usize, nulls_match: bool) -> Option<Vec<bool>> {
    if nulls_match || columns.iter().all(|column| column.null_count() == 0) {
        return None;
    }
    Some((0..rows).map(|row| columns.iter().any(|column| column.is_null(row))).collect())
}

/// Columns of a batch.
pub(crate) fn arrays(batch: &Batch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|&column| batch.column(column).clone()).collect()
}
