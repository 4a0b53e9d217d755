//! Checks of the column numbers that specs carry.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, SchemaRef};
use dataflow::{Batch, Error, Result};
use std::mem::discriminant;

/// The field of a column that a spec names by number.
pub(crate) fn field<'a>(schema: &'a SchemaRef, column: usize, what: &str) -> Result<&'a Field> {
    schema.fields().get(column).map(AsRef::as_ref).ok_or_else(|| {
        Error::invalid(format!("{what} is column {column}, but the input has {} columns", schema.fields().len()))
    })
}

/// A column's name as whoever wrote the SQL knows it: those that the planner adds begin with two underscores.
pub(crate) fn shown_name(name: &str) -> &str {
    name.trim_start_matches("__")
}

/// Whether the planner has added a column, which says nothing to whoever wrote the SQL.
pub(crate) fn is_added(name: &str) -> bool {
    name.starts_with("__")
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

/// The arrays of columns.
pub(crate) fn arrays(batch: &Batch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|&column| batch.column(column).clone()).collect()
}

/// Checks that keys of two inputs can be equal: as many of one as of the other, and of comparable types.
pub(crate) fn check_keys(
    what: &str,
    (left, left_keys): (&SchemaRef, &[usize]),
    (right, right_keys): (&SchemaRef, &[usize]),
) -> Result<()> {
    if left_keys.len() != right_keys.len() {
        return Err(Error::invalid(format!(
            "{what} has {} left keys and {} right keys, expected as many of one as of the other",
            left_keys.len(),
            right_keys.len()
        )));
    }
    for (&one, &other) in left_keys.iter().zip(right_keys) {
        let (one, other) = (field(left, one, "a left key")?, field(right, other, "a right key")?);
        let (one_type, other_type) = (one.data_type(), other.data_type());
        if discriminant(&family(one_type)) != discriminant(&family(other_type)) {
            return Err(Error::invalid(format!(
                "{what} compares \"{}\" ({one_type}) with \"{}\" ({other_type}), expected keys of one type; cast one of \
                 them",
                one.name(),
                other.name()
            )));
        }
    }
    Ok(())
}

/// One type that stands for all whose equal values have equal canonical bytes.
fn family(data_type: &DataType) -> DataType {
    match data_type {
        integer if integer.is_integer() => DataType::Int64,
        float if float.is_floating() => DataType::Float64,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => DataType::Date64,
        DataType::Dictionary(_, values) => family(values),
        other => other.clone(),
    }
}
