//! Trailing windows: functions of the rows of a key up to each row.

use crate::{Aggregate, columns};
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{Error, Result, Span};
use std::sync::Arc;

/// The windows of one PARTITION BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The key columns; NULL is a key like any other.
    pub partition_by: Vec<usize>,
    /// The functions, one output column each.
    pub functions: Vec<Function>,
}

/// One function over a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name of the output column.
    pub name: String,
    /// What is computed.
    pub aggregate: Aggregate,
    /// The column that it is computed of; `None` for count(*).
    pub argument: Option<usize>,
    /// A boolean column; only rows where it is true count. Not for lag.
    pub filter: Option<usize>,
    /// The rows that count. Lag does not look at it.
    pub frame: Frame,
    /// Columns that order rows of equal time for lag, ascending, NULLs last; rows equal in these too are in `_ord`
    /// order.
    pub order: Vec<usize>,
}

/// The rows of the key with `_time` in `[t - from, t - to]`, where `t` is the row's: both ends included, and with
/// `to` = 0 all rows of equal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// How far back the frame begins.
    pub from: Span,
    /// How far back the frame ends; above 0 it ends before the row.
    pub to: Span,
}

/// The input columns, then one per function.
pub fn output_schema(input: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    columns::types(input, &spec.partition_by, "a PARTITION BY")?;
    let mut fields = input.fields().to_vec();
    for function in &spec.functions {
        check(input, function)?;
        let argument = function.argument.map(|column| columns::field(input, column, "an argument")).transpose()?;
        let data_type = function.aggregate.output_type(argument.map(Field::data_type))?;
        fields.push(Arc::new(Field::new(&function.name, data_type, function.aggregate.is_nullable())));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn check(input: &SchemaRef, function: &Function) -> Result<()> {
    let Function { name, aggregate, filter, frame, order, .. } = function;
    columns::check_filter(input, *filter, name)?;
    columns::types(input, order, "an ORDER BY")?;
    match aggregate {
        Aggregate::Lag { offset: 0 } => {
            Err(Error::invalid(format!("function \"{name}\": lag looks back 0 rows, expected at least 1")))
        }
        Aggregate::Lag { .. } if filter.is_some() => {
            Err(Error::invalid(format!("function \"{name}\": lag takes no FILTER; use a CASE in its argument")))
        }
        Aggregate::Lag { .. } => Ok(()),
        _ if frame.to.0 < 0 || frame.from < frame.to => Err(Error::invalid(format!(
            "function \"{name}\": the frame goes from {} us to {} us before the row, expected a frame that begins at \
             or before its end and ends at or before the row",
            frame.from.0, frame.to.0
        ))),
        _ => Ok(()),
    }
}
