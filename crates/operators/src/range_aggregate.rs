//! Aggregates over another stream: for each left row, functions of the right rows of its key in a range of time.

use crate::{Aggregate, columns};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{Error, Result};
use std::sync::Arc;

/// The functions and the keys that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The key columns of the left input.
    pub left_keys: Vec<usize>,
    /// The key columns of the right input, as many as of the left; a key with a NULL matches nothing.
    pub right_keys: Vec<usize>,
    /// The functions, one output column each.
    pub functions: Vec<Function>,
}

/// One function of the right rows in a range of time around a left row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name of the output column.
    pub name: String,
    /// What is computed.
    pub aggregate: RangeAggregateKind,
    /// The right column that it is computed of; `None` for count(*) and EXISTS.
    pub argument: Option<usize>,
    /// A boolean right column; only rows where it is true count.
    pub filter: Option<usize>,
    /// Right rows count from left `_time` and so many microseconds on, which may be negative.
    pub from: i64,
    /// Right rows count up to left `_time` and so many microseconds on, that time included.
    pub to: i64,
}

/// What is computed of right rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RangeAggregateKind {
    /// See [`Aggregate::Count`].
    Count,
    /// See [`Aggregate::CountDistinct`].
    CountDistinct,
    /// See [`Aggregate::Sum`].
    Sum,
    /// See [`Aggregate::Avg`].
    Avg,
    /// See [`Aggregate::Min`].
    Min,
    /// See [`Aggregate::Max`].
    Max,
    /// Whether there is a row at all; never NULL.
    Exists,
}

impl RangeAggregateKind {
    /// The aggregate that is kept for this.
    pub(crate) fn aggregate(self) -> Aggregate {
        match self {
            RangeAggregateKind::Count | RangeAggregateKind::Exists => Aggregate::Count,
            RangeAggregateKind::CountDistinct => Aggregate::CountDistinct,
            RangeAggregateKind::Sum => Aggregate::Sum,
            RangeAggregateKind::Avg => Aggregate::Avg,
            RangeAggregateKind::Min => Aggregate::Min,
            RangeAggregateKind::Max => Aggregate::Max,
        }
    }

    /// The type of the values for an argument of a type.
    pub fn output_type(self, argument: Option<&DataType>) -> Result<DataType> {
        match self {
            RangeAggregateKind::Exists => Ok(DataType::Boolean),
            other => other.aggregate().output_type(argument),
        }
    }
}

impl Spec {
    /// How long a left row waits for right rows: the greatest `to`, at least 0. `_time` of what comes out is the left
    /// row's and this.
    pub fn hold_us(&self) -> i64 {
        self.functions.iter().map(|function| function.to).max().unwrap_or(0).max(0)
    }
}

/// The left columns, then one per function.
pub fn output_schema(left: &SchemaRef, right: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    if spec.left_keys.len() != spec.right_keys.len() {
        return Err(Error::invalid(format!(
            "an aggregate over another stream has {} left keys and {} right keys, expected as many of one as of the \
             other",
            spec.left_keys.len(),
            spec.right_keys.len()
        )));
    }
    let mut fields = left.fields().to_vec();
    for function in &spec.functions {
        if function.from > function.to {
            return Err(Error::invalid(format!(
                "function \"{}\": the range begins {} us after it ends",
                function.name,
                i128::from(function.from) - i128::from(function.to)
            )));
        }
        columns::check_filter(right, function.filter, &function.name)?;
        let argument = function.argument.map(|column| columns::field(right, column, "an argument")).transpose()?;
        let data_type = function.aggregate.output_type(argument.map(Field::data_type))?;
        let nullable =
            function.aggregate != RangeAggregateKind::Exists && function.aggregate.aggregate().is_nullable();
        fields.push(Arc::new(Field::new(&function.name, data_type, nullable)));
    }
    Ok(Arc::new(Schema::new(fields)))
}
