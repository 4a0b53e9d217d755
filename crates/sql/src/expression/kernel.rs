//! Functions over columns, and how they are kept to the rows that fail.

use super::node::{Failures, Node, NodeRef, Values, expand};
use arrow::array::{Array, ArrayRef, Datum, new_null_array};
use arrow::compute;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use dataflow::Batch;
use std::fmt;
use std::sync::Arc;

/// What a kernel returns: one value per row, or why some row fails.
pub(crate) type KernelResult = Result<ArrayRef, ArrowError>;

/// One value per row from one column per argument. An error means that at least one row fails.
pub(crate) type Kernel = Arc<dyn Fn(&[Argument], usize) -> KernelResult + Send + Sync>;

/// A column, or one value for all rows.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    array: ArrayRef,
    scalar: bool,
}

impl Argument {
    /// The column; one value is repeated.
    pub(crate) fn array(&self, rows: usize) -> KernelResult {
        expand(self.array.clone(), self.scalar, rows)
    }

    /// The one value, when it is the same for all rows.
    pub(crate) fn one(&self) -> Option<&ArrayRef> {
        self.scalar.then_some(&self.array)
    }

    /// The column, or the one value as a column of one row.
    pub(crate) fn raw(&self) -> &ArrayRef {
        &self.array
    }

    /// The index of a row's value in the raw column.
    pub(crate) fn row(&self, row: usize) -> usize {
        if self.scalar { 0 } else { row }
    }

    pub(crate) fn column(array: ArrayRef) -> Argument {
        Argument { array, scalar: false }
    }

    pub(crate) fn data_type(&self) -> &DataType {
        self.array.data_type()
    }

    fn slice(&self, from: usize, rows: usize) -> Argument {
        match self.scalar {
            true => self.clone(),
            false => Argument { array: self.array.slice(from, rows), scalar: false },
        }
    }
}

impl Datum for Argument {
    fn get(&self) -> (&dyn Array, bool) {
        (self.array.as_ref(), self.scalar)
    }
}

/// A function of the values of its arguments.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) kernel: Kernel,
    pub(crate) arguments: Vec<NodeRef>,
    pub(crate) data_type: DataType,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("arguments", &self.arguments).field("type", &self.data_type).finish()
    }
}

impl Node for Call {
    fn evaluate(&self, batch: &Batch) -> dataflow::Result<Values> {
        let mut failed = Failures::new();
        let mut arguments = Vec::with_capacity(self.arguments.len());
        for node in &self.arguments {
            let values = node.evaluate(batch)?;
            for (row, message) in values.failed {
                failed.entry(row).or_insert(message);
            }
            arguments.push(Argument { array: values.array, scalar: values.scalar });
        }
        let array = match (self.kernel)(&arguments, batch.rows()) {
            Ok(array) => array,
            Err(error) => self.bisect(&arguments, 0, batch.rows(), error, &mut failed)?,
        };
        debug_assert_eq!(array.data_type(), &self.data_type, "{}", self.name);
        debug_assert_eq!(array.len(), batch.rows(), "{}", self.name);
        Ok(Values::with_failures(array, failed)?)
    }
}

impl Call {
    /// Halves the rows until those that fail stand alone: about `2 k log n` calls for k of n rows.
    fn bisect(
        &self,
        arguments: &[Argument],
        from: usize,
        rows: usize,
        error: ArrowError,
        failed: &mut Failures,
    ) -> dataflow::Result<ArrayRef> {
        if rows <= 1 {
            failed.entry(from).or_insert_with(|| message(&error).into());
            return Ok(new_null_array(&self.data_type, rows));
        }
        let half = rows / 2;
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(2);
        for (start, count) in [(0, half), (half, rows - half)] {
            let part: Vec<Argument> = arguments.iter().map(|argument| argument.slice(start, count)).collect();
            parts.push(match (self.kernel)(&part, count) {
                Ok(array) => array,
                Err(error) => self.bisect(&part, from + start, count, error, failed)?,
            });
        }
        Ok(compute::concat(&[parts[0].as_ref(), parts[1].as_ref()])?)
    }
}

/// The error's own words, without the name of its kind.
pub(crate) fn message(error: &ArrowError) -> String {
    match error {
        ArrowError::ComputeError(text)
        | ArrowError::CastError(text)
        | ArrowError::ParseError(text)
        | ArrowError::InvalidArgumentError(text)
        | ArrowError::ArithmeticOverflow(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A row's failure in words.
pub(crate) fn fails(text: impl Into<String>) -> ArrowError {
    ArrowError::ComputeError(text.into())
}
