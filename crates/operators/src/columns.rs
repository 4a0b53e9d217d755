//! Checks of the column numbers that specs carry.

use arrow::datatypes::{DataType, Field, SchemaRef};
use dataflow::{Error, Result};

/// The field of a column that a spec names by number.
pub(crate) fn field<'a>(schema: &'a SchemaRef, column: usize, what: &str) -> Result<&'a Field> {
    schema.fields().get(column).map(AsRef::as_ref).ok_or_else(|| {
        Error::invalid(format!("{what} is column {column}, but the input has {} columns", schema.fields().len()))
    })
}

/// The types of columns.
pub(crate) fn types(schema: &SchemaRef, columns: &[usize], what: &str) -> Result<Vec<DataType>> {
    columns.iter().map(|&column| Ok(field(schema, column, what)?.data_type().clone())).collect()
}

/// Checks that a FILTER column is boolean.
pub(crate) fn check_filter(schema: &SchemaRef, filter: Option<usize>, function: &str) -> Result<()> {
    let Some(column) = filter else { return Ok(()) };
    let found = field(schema, column, "a FILTER")?;
    if *found.data_type() != DataType::Boolean {
        return Err(Error::invalid(format!(
            "function \"{function}\": FILTER column \"{}\" is {}, expected BOOLEAN",
            found.name(),
            found.data_type()
        )));
    }
    Ok(())
}
