//! Expressions and models as operators see them: a batch in, a column out.

use crate::{Batch, Error, Result};
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use std::fmt::Debug;

/// A column and the rows on which the expression failed.
#[derive(Debug)]
pub struct Evaluated {
    /// One value per row; NULL where it failed.
    pub values: ArrayRef,
    /// The rows that failed and why, ascending. A row is here if and only if the expression fails on it alone.
    pub failed: Vec<(usize, Error)>,
}

impl From<ArrayRef> for Evaluated {
    fn from(values: ArrayRef) -> Self {
        Evaluated { values, failed: Vec::new() }
    }
}

/// A pure function of a row: a compiled SQL expression, or a model bound to columns.
pub trait Scalar: Debug + Send + Sync {
    /// The type of the values.
    fn data_type(&self) -> DataType;
    /// One value per row of the batch. An error is one of the whole (our bug, say), not of a row.
    fn evaluate(&self, batch: &Batch) -> Result<Evaluated>;
}

/// One input of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScorerInput {
    /// The name, when the model's file tells it.
    pub name: Option<String>,
}

/// A loaded model with its output chosen: what planning checks and what scoring calls.
pub trait Scorer: Debug + Send + Sync {
    /// The inputs in the model's order.
    fn inputs(&self) -> &[ScorerInput];
    /// The type of the chosen output.
    fn output(&self) -> DataType;
    /// The version that rows carry: the digest of the model's file.
    fn version(&self) -> &str;
    /// Scores rows: numeric or boolean columns in the model's order, NULL for a missing value. NULL comes out for a
    /// row on which the model fails.
    fn score(&self, inputs: &[ArrayRef]) -> Result<ArrayRef>;
}
