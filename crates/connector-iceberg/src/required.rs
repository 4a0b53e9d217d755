//! Columns that a table of another engine requires: no row may have NULL in them.
//!
//! Others take the table at its word: they answer `k IS NULL` with no row, without a look at the files.

use crate::name::TableName;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{filter, is_not_null};
use arrow::datatypes::Schema;
use dataflow::{Error, Result};
use iceberg::spec::{NestedField, TableMetadata, Type};

/// Refuses an output without a column that the table requires.
pub fn check_columns(table: &TableName, metadata: &TableMetadata, written: &Schema) -> Result<()> {
    let fields = metadata.current_schema().as_struct().fields().iter();
    let is_missing = |field: &&std::sync::Arc<NestedField>| field.required && written.index_of(&field.name).is_err();
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
    use std::sync::Arc;

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
