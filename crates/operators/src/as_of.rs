//! As-of join: each left row meets the last right row of its key at its time.

use crate::columns;
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{Error, Result, Span};
use std::sync::Arc;

/// What is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The key columns of the left input.
    pub left_keys: Vec<usize>,
    /// The key columns of the right input, as many as of the left; a key with a NULL meets nothing.
    pub right_keys: Vec<usize>,
    /// The right columns that are appended, with their names in the output.
    pub columns: Vec<(usize, String)>,
    /// A right row is met when its `_time` is at or before the left row's less this.
    pub behind: Span,
    /// A right row at exactly that time is not met.
    pub strict: bool,
    /// Left rows that meet nothing are removed; otherwise the appended columns are NULL.
    pub inner: bool,
}

/// The left columns, then the appended right columns, which may be NULL.
pub fn output_schema(left: &SchemaRef, right: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    if spec.left_keys.len() != spec.right_keys.len() {
        return Err(Error::invalid(format!(
            "an as-of join has {} left keys and {} right keys, expected as many of one as of the other",
            spec.left_keys.len(),
            spec.right_keys.len()
        )));
    }
    let mut fields = left.fields().to_vec();
    for (column, name) in &spec.columns {
        let found = columns::field(right, *column, "an appended column")?;
        fields.push(Arc::new(Field::new(name, found.data_type().clone(), true)));
    }
    Ok(Arc::new(Schema::new(fields)))
}
