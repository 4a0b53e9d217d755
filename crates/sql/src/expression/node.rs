//! The parts of a compiled expression.

use super::scope::{ColumnId, Place};
use arrow::array::{Array, ArrayRef, BooleanArray, StringArray, UInt32Array, new_null_array};
use arrow::compute;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use dataflow::Batch;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// The rows that failed, and why.
pub(crate) type Failures = BTreeMap<usize, Arc<str>>;

/// A column or one value for all rows, and the rows that failed.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) array: ArrayRef,
    // Invariant: one value for all rows never fails.
    pub(crate) scalar: bool,
    pub(crate) failed: Failures,
}

impl Values {
    pub(crate) fn column(array: ArrayRef) -> Values {
        Values { array, scalar: false, failed: Failures::new() }
    }

    /// A column of which some rows failed: a function that has a value for NULL has one for them as well, which nothing
    /// above may take for theirs.
    pub(crate) fn with_failures(array: ArrayRef, failed: Failures) -> Result<Values, ArrowError> {
        if failed.is_empty() {
            return Ok(Values::column(array));
        }
        let is_failed: BooleanArray = (0..array.len()).map(|row| Some(failed.contains_key(&row))).collect();
        Ok(Values { array: compute::nullif(&array, &is_failed)?, scalar: false, failed })
    }

    /// The same as a column: one value is repeated.
    pub(crate) fn into_column(self, rows: usize) -> dataflow::Result<Values> {
        Ok(Values { array: expand(self.array, self.scalar, rows)?, scalar: false, failed: self.failed })
    }
}

/// Repeats one value; a column stays as it is.
pub(crate) fn expand(array: ArrayRef, scalar: bool, rows: usize) -> Result<ArrayRef, ArrowError> {
    if !scalar {
        return Ok(array);
    }
    if array.is_null(0) {
        return Ok(new_null_array(array.data_type(), rows));
    }
    compute::take(&array, &UInt32Array::from(vec![0; rows]), None)
}

/// A part of an expression: a pure function of the row.
pub(crate) trait Node: Debug + Send + Sync {
    /// One value per row; NULL where it failed.
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values>;
}

pub(crate) type NodeRef = Arc<dyn Node>;

/// A column of the batch, or what stands beside its columns.
#[derive(Debug)]
pub(crate) struct Reference(pub(crate) Place);

impl Node for Reference {
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values> {
        Ok(Values::column(match self.0 {
            Place::Column(ColumnId(index)) if index < batch.columns().num_columns() => batch.column(index).clone(),
            Place::Column(ColumnId(index)) => {
                let columns = batch.columns().num_columns();
                return Err(dataflow::Error::internal(format!("column {index} of a batch of {columns} columns")));
            }
            Place::Time => batch.time_column(),
            Place::Late => batch.late_column(),
            Place::Position => {
                let orders = (0..batch.rows()).map(|row| format!("{:032x}", batch.order(row).0));
                Arc::new(StringArray::from_iter_values(orders))
            }
        }))
    }
}

/// One value for all rows.
#[derive(Debug)]
pub(crate) struct Literal(pub(crate) ArrayRef);

impl Node for Literal {
    fn evaluate(&self, _: &Batch) -> dataflow::Result<Values> {
        Ok(Values { array: self.0.clone(), scalar: true, failed: Failures::new() })
    }
}

/// A constant that cannot be computed: it fails on every row that gets to it.
#[derive(Debug)]
pub(crate) struct Failing {
    pub(crate) message: Arc<str>,
    pub(crate) data_type: DataType,
}

impl Node for Failing {
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values> {
        let failed = (0..batch.rows()).map(|row| (row, self.message.clone())).collect();
        Ok(Values { array: new_null_array(&self.data_type, batch.rows()), scalar: false, failed })
    }
}
