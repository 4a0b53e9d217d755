//! Columns that a table of another engine requires: no row may have NULL in them.
//!
//! Others take the table at its word: they answer `k IS NULL` with no row, without a look at the files.

use crate::name::TableName;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{filter, is_not_null};
use arrow::datatypes::Schema;
use dataflow::{Error, Result};
use iceberg::spec::{NestedField, TableMetadata, Type};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Refuses an output without a column that the table requires.
pub fn check_columns(table: &TableName, metadata: &TableMetadata, written: &Schema) -> Result<()> {
    let fields = metadata.current_schema().as_struct().fields().iter();
    let is_missing = |field: &&Arc<NestedField>| field.required && written.index_of(&field.name).is_err();
    match fields.into_iter().find(is_missing) {
        Some(field) => Err(Error::invalid(format!(
            "table \"{table}\" requires column \"{}\", and the output does not have it: write it, or let the table take NULL \
             there with the engine that made it",
            field.name
        ))),
        None => Ok(()),
    }
}

/// Refuses rows, whose columns are those of the table, that have NULL where the table requires a value.
pub fn check_rows(table: &TableName, metadata: &TableMetadata, columns: &[ArrayRef]) -> Result<()> {
    let fields = metadata.current_schema().as_struct().fields();
    for (field, column) in fields.iter().zip(columns) {
        if let Some(name) = null_in(field, column)? {
            return Err(Error::invalid(format!(
                "table \"{table}\" requires column \"{name}\", and a row has NULL in it: leave such rows out, as with WHERE \
                 {name} IS NOT NULL, or let the table take NULL there with the engine that made it"
            )));
        }
    }
    Ok(())
}

/// Which fields rows were written with, by their numbers. A table may have others, and require them, by the time that the
/// rows are committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenFields {
    // Those that have a value in some row.
    values: BTreeSet<i32>,
    // Those that have NULL in some row in which the field that they lie in has a value.
    nulls: BTreeSet<i32>,
}

impl WrittenFields {
    /// Takes rows that are written in columns of a table.
    pub fn add(&mut self, metadata: &TableMetadata, columns: &[ArrayRef]) -> Result<()> {
        let fields = metadata.current_schema().as_struct().fields();
        fields.iter().zip(columns).try_for_each(|(field, column)| self.add_field(field, column))
    }

    fn add_field(&mut self, field: &NestedField, column: &ArrayRef) -> Result<()> {
        if column.null_count() > 0 {
            self.nulls.insert(field.id);
        }
        if column.null_count() < column.len() {
            self.values.insert(field.id);
        }
        let (Type::Struct(inner), Some(values)) = (&*field.field_type, column.as_struct_opt()) else { return Ok(()) };
        let is_there = is_not_null(values)?;
        let mut fields = inner.fields().iter().zip(values.columns());
        fields.try_for_each(|(field, column)| self.add_field(field, &filter(column, &is_there)?))
    }

    /// A field that is required and that some row has no value in. Rows from before a field that has a first value have that
    /// one.
    fn missing<'f>(&self, fields: &'f [Arc<NestedField>]) -> Option<&'f NestedField> {
        fields.iter().find_map(|field| {
            let (has_values, has_null) = (self.values.contains(&field.id), self.nulls.contains(&field.id));
            let is_missing = has_null || (!has_values && field.initial_default.is_none());
            match &*field.field_type {
                _ if field.required && is_missing => Some(&**field),
                Type::Struct(inner) if has_values => self.missing(inner.fields()),
                _ => None,
            }
        })
    }

    /// The name that a field had whose values were written and that the table has no more.
    fn dropped(&self, metadata: &TableMetadata) -> Option<String> {
        let schema = metadata.current_schema();
        let id = self.values.iter().find(|id| schema.field_by_id(**id).is_none())?;
        let name = metadata.schemas_iter().find_map(|schema| schema.name_by_field_id(*id));
        Some(name.map_or_else(|| format!("field {id}"), |name| format!("column \"{name}\"")))
    }
}

/// Refuses rows that are about to be committed and have no value in a column that the table requires by now, or values in one
/// that it has no more: nobody would read them, also where there is another column of the same name.
pub fn check_written(table: &TableName, metadata: &TableMetadata, written: &WrittenFields) -> Result<()> {
    if let Some(dropped) = written.dropped(metadata) {
        return Err(Error::invalid(format!(
            "table \"{table}\" has no more the {dropped} that rows were written with which are about to be committed; one of \
             the same name that was added since is another one. {KEPT}: set the columns of the table back with the engine that \
             has changed them, and start again, which commits the rows; or start over with --fresh"
        )));
    }
    let Some(field) = written.missing(metadata.current_schema().as_struct().fields()) else { return Ok(()) };
    let have = if written.nulls.contains(&field.id) { "have NULL in it" } else { "do not have it" };
    Err(Error::invalid(format!(
        "table \"{table}\" requires column \"{0}\" by now, and rows that are about to be committed {have}. {KEPT}: let the table \
         take NULL in \"{0}\" with the engine that has changed it, and start again, which commits the rows; or write the column, \
         and start over with --fresh",
        field.name
    )))
}

/// What has become of a commit that is refused.
const KEPT: &str = "Nothing of this commit was written, and nothing is lost";

/// The name of a field that is required and has NULL.
fn null_in(field: &NestedField, column: &ArrayRef) -> Result<Option<String>> {
    if field.required && column.null_count() > 0 {
        return Ok(Some(field.name.clone()));
    }
    let (Type::Struct(inner), Some(values)) = (&*field.field_type, column.as_struct_opt()) else { return Ok(None) };
    let is_there = is_not_null(values)?;
    for (field, column) in inner.fields().iter().zip(values.columns()) {
        // What is in a struct that is NULL itself is not there.
        if let Some(name) = null_in(field, &filter(column, &is_there)?)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray, StructArray};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{DataType, Field};
    use iceberg::TableCreation;
    use iceberg::spec::{PrimitiveType, Schema as IcebergSchema, StructType, TableMetadataBuilder};

    fn metadata() -> TableMetadata {
        let long = Type::Primitive(PrimitiveType::Long);
        let inner = NestedField::required(4, "x", long.clone());
        let fields = vec![
            NestedField::required(1, "id", long).into(),
            NestedField::optional(2, "k", Type::Primitive(PrimitiveType::String)).into(),
            NestedField::optional(3, "of", Type::Struct(StructType::new(vec![inner.into()]))).into(),
        ];
        let schema = IcebergSchema::builder().with_fields(fields).build().unwrap();
        let creation = TableCreation::builder().name("t".to_owned()).location("/t".to_owned()).schema(schema).build();
        TableMetadataBuilder::from_table_creation(creation).unwrap().build().unwrap().metadata
    }

    fn rows(ids: [Option<i64>; 2], inner: [Option<i64>; 2], is_there: [bool; 2]) -> Vec<ArrayRef> {
        let x = Arc::new(Field::new("x", DataType::Int64, true));
        let of = StructArray::new(
            vec![x].into(),
            vec![Arc::new(Int64Array::from(inner.to_vec()))],
            Some(NullBuffer::from(is_there.to_vec())),
        );
        vec![
            Arc::new(Int64Array::from(ids.to_vec())),
            Arc::new(StringArray::from(vec![None::<&str>, Some("a")])),
            Arc::new(of),
        ]
    }

    #[test]
    fn no_row_has_null_where_the_table_requires_a_value() {
        let (table, metadata) = (TableName::parse("lake.t").unwrap(), metadata());
        let told = |columns: Vec<ArrayRef>| check_rows(&table, &metadata, &columns).map_err(|error| error.to_string());
        assert_eq!(told(rows([Some(1), Some(2)], [Some(1), None], [true, false])), Ok(()));
        let refused = told(rows([Some(1), None], [Some(1), Some(2)], [true, true])).unwrap_err();
        assert!(refused.contains("requires column \"id\"") && refused.contains("id IS NOT NULL"), "{refused}");
        let refused = told(rows([Some(1), Some(2)], [Some(1), None], [true, true])).unwrap_err();
        assert!(refused.contains("requires column \"x\""), "{refused}");
    }

    #[test]
    fn rows_that_were_written_have_a_value_in_what_the_table_requires_by_now() {
        let (table, metadata) = (TableName::parse("lake.t").unwrap(), metadata());
        let written = |ids, inner, is_there| {
            let mut written = WrittenFields::default();
            written.add(&metadata, &rows([Some(1), Some(2)], [Some(1), Some(2)], [true, true])).unwrap();
            written.add(&metadata, &rows(ids, inner, is_there)).unwrap();
            let text = serde_json::to_string(&written).unwrap();
            let written: WrittenFields = serde_json::from_str(&text).unwrap();
            check_written(&table, &metadata, &written).map_err(|error| error.to_string())
        };
        assert_eq!(written([Some(1), Some(2)], [Some(1), None], [true, false]), Ok(()));
        let refused = written([Some(1), None], [Some(1), Some(2)], [true, true]).unwrap_err();
        assert!(refused.contains("requires column \"id\" by now") && refused.contains("have NULL in it"), "{refused}");
        let refused = written([Some(1), Some(2)], [Some(1), None], [true, true]).unwrap_err();
        assert!(refused.contains("requires column \"x\" by now"), "{refused}");
        let refused = check_written(&table, &metadata, &WrittenFields::default()).unwrap_err().to_string();
        assert!(refused.contains("requires column \"id\" by now") && refused.contains("do not have it"), "{refused}");
    }

    #[test]
    fn an_output_has_all_columns_that_the_table_requires() {
        let (table, metadata) = (TableName::parse("lake.t").unwrap(), metadata());
        let written = |names: &[&str]| {
            let fields = names.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect::<Vec<_>>();
            check_columns(&table, &metadata, &Schema::new(fields)).map_err(|error| error.to_string())
        };
        assert_eq!(written(&["id", "k"]), Ok(()));
        assert!(written(&["k", "of"]).unwrap_err().contains("requires column \"id\""));
    }
}
