//! An expression for tests, once over a row and once over a batch.

use crate::harness::{Row, Value};
use arrow::datatypes::DataType;
use dataflow::{Batch, Error, Evaluated, Result, Scalar};
use std::sync::Arc;

/// True where the flag is set or, for the second kind, where the number is above 0; it fails where the number is 3.
#[derive(Clone, Copy, Debug)]
pub(super) enum Condition {
    Flag,
    Positive,
}

impl Condition {
    /// The value for a row, or that it fails.
    pub(super) fn of(self, row: &Row) -> std::result::Result<Value, ()> {
        match (self, &row.values[1]) {
            (Condition::Flag, _) => Ok(row.values[4].clone()),
            (Condition::Positive, Value::Integer(3)) => Err(()),
            (Condition::Positive, Value::Integer(number)) => Ok(Value::Boolean(*number > 0)),
            (Condition::Positive, _) => Ok(Value::Null),
        }
    }
}

impl Scalar for Condition {
    fn data_type(&self) -> DataType {
        DataType::Boolean
    }

    fn evaluate(&self, batch: &Batch) -> Result<Evaluated> {
        let (mut values, mut failed) = (Vec::new(), Vec::new());
        for (at, row) in crate::harness::rows(batch).iter().enumerate() {
            match self.of(row) {
                Ok(Value::Boolean(value)) => values.push(Some(value)),
                Ok(_) => values.push(None),
                Err(()) => {
                    values.push(None);
                    failed.push((at, Error::data("the number is 3")));
                }
            }
        }
        let values: arrow::array::ArrayRef = Arc::new(arrow::array::BooleanArray::from(values));
        Ok(Evaluated { values, failed })
    }
}
