//! Whether a table that is there takes the rows of an output: the types of its columns, how its rows lie in files, and the
//! columns that it requires.

use crate::layout::check_layout;
use crate::name::TableName;
use crate::required;
use crate::table::{arrow_schema, plain_schema};
use arrow::datatypes::{DataType, Field, Schema};
use dataflow::{Error, Result, TableLayout};
use iceberg::spec::TableMetadata;

/// What helps against a table that does not fit, if it is a job's.
pub const FRESH: &str = "--fresh makes the table anew as the statement says";

/// Which columns of an output have to be in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// All of them.
    All,
    /// Some: the table gets the others.
    Some,
}

/// Refuses a table that does not take the rows of an output. `otherwise` is what else can be done than to change the
/// statement or the table.
pub fn check_output(
    name: &TableName,
    metadata: &TableMetadata,
    (schema, present): (&Schema, Present),
    layout: &TableLayout,
    otherwise: &str,
) -> Result<()> {
    check_columns(name, metadata, (schema, present), otherwise)?;
    check_layout(name, metadata, layout, otherwise)?;
    required::check_columns(name, metadata, schema)
}

/// Refuses a table that cannot take the columns of an output.
pub fn check_columns(
    name: &TableName,
    metadata: &TableMetadata,
    (schema, present): (&Schema, Present),
    otherwise: &str,
) -> Result<()> {
    let found = plain_schema(&*arrow_schema(name, metadata.current_schema())?);
    for field in schema.fields() {
        let there = found.field_with_name(field.name()).map(Field::data_type).ok();
        if there.is_none() && present == Present::Some {
            continue;
        }
        let (has, wanted) = (there.map(values::name), values::name(field.data_type()));
        // Types of one name hold the same, but for structs of many fields, whose names do not tell all.
        let differs = matches!(field.data_type(), DataType::Struct(_)) && there != Some(field.data_type());
        if differs || has.as_ref() != Some(&wanted) {
            return Err(Error::invalid(format!(
                "table \"{name}\": column \"{}\" is {}, and the job writes {wanted}; change the output or the table; \
                 {otherwise}",
                field.name(),
                has.map_or_else(|| "not there".to_owned(), |has| has.to_string())
            )));
        }
    }
    Ok(())
}
