//! The schema of a Parquet file whose columns of UUIDs say so.
//!
//! In memory a UUID is no more than 16 bytes, which others would read as bytes and not as UUIDs: Iceberg has them
//! annotated.

use arrow::datatypes::Schema;
use iceberg::spec::{PrimitiveType, Schema as IcebergSchema, Type as IcebergType};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{ConvertedType, LogicalType};
use parquet::errors::Result;
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};
use std::sync::Arc;

/// The schema of a file of rows whose fields carry their ids; `None` where the library's own is right, as no column of the
/// table is a UUID.
pub fn with_uuids(rows: &Schema, table: &IcebergSchema) -> Result<Option<SchemaDescriptor>> {
    let is_uuid = |id: i32| table.field_by_id(id).is_some_and(|field| *field.field_type == UUID);
    if !(1..=table.highest_field_id()).any(is_uuid) {
        return Ok(None);
    }
    let own = ArrowSchemaConverter::new().convert(rows)?;
    let fields = own.root_schema().get_fields().iter().map(|field| annotated(field, &is_uuid));
    let root = Type::group_type_builder(own.root_schema().name()).with_fields(fields.collect::<Result<_>>()?);
    Ok(Some(SchemaDescriptor::new(Arc::new(root.build()?))))
}

const UUID: IcebergType = IcebergType::Primitive(PrimitiveType::Uuid);

fn annotated(of: &TypePtr, is_uuid: &dyn Fn(i32) -> bool) -> Result<TypePtr> {
    let info = of.get_basic_info();
    let id = info.has_id().then(|| info.id());
    let made = match &**of {
        Type::PrimitiveType { physical_type, type_length, .. } if id.is_some_and(is_uuid) => {
            Type::primitive_type_builder(info.name(), *physical_type)
                .with_repetition(info.repetition())
                .with_length(*type_length)
                .with_logical_type(Some(LogicalType::Uuid))
                .with_converted_type(ConvertedType::NONE)
                .with_id(id)
                .build()?
        }
        Type::PrimitiveType { .. } => return Ok(of.clone()),
        Type::GroupType { fields, .. } => {
            let fields = fields.iter().map(|field| annotated(field, is_uuid)).collect::<Result<_>>()?;
            Type::group_type_builder(info.name())
                .with_repetition(info.repetition())
                .with_logical_type(info.logical_type_ref().cloned())
                .with_converted_type(info.converted_type())
                .with_id(id)
                .with_fields(fields)
                .build()?
        }
    };
    Ok(Arc::new(made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use iceberg::arrow::schema_to_arrow_schema;
    use iceberg::spec::{ListType, NestedField};

    fn table(primitive: PrimitiveType) -> IcebergSchema {
        let of = || IcebergType::Primitive(primitive.clone());
        let list = ListType::new(NestedField::list_element(3, of(), true).into());
        let fields = vec![
            NestedField::optional(1, "one", of()).into(),
            NestedField::required(2, "many", IcebergType::List(list)).into(),
            NestedField::optional(4, "bytes", IcebergType::Primitive(PrimitiveType::Fixed(16))).into(),
        ];
        IcebergSchema::builder().with_fields(fields).build().unwrap()
    }

    #[test]
    fn uuids_are_annotated_wherever_they_are_and_other_bytes_are_not() {
        let table = table(PrimitiveType::Uuid);
        let rows = schema_to_arrow_schema(&table).unwrap();
        let made = with_uuids(&rows, &table).unwrap().unwrap();
        let own = ArrowSchemaConverter::new().convert(&rows).unwrap();
        let told = |schema: &SchemaDescriptor| {
            let leaf = |leaf: &parquet::schema::types::ColumnDescPtr| {
                let info = leaf.self_type().get_basic_info();
                (leaf.path().string(), info.id(), leaf.max_def_level(), leaf.max_rep_level())
            };
            schema.columns().iter().map(leaf).collect::<Vec<_>>()
        };
        assert_eq!(told(&made), told(&own));
        let is_uuid = |at: usize| made.column(at).logical_type_ref() == Some(&LogicalType::Uuid);
        assert_eq!([is_uuid(0), is_uuid(1), is_uuid(2)], [true, true, false]);
    }

    #[test]
    fn a_table_without_uuids_has_the_schema_of_the_library() {
        let table = table(PrimitiveType::Long);
        assert!(with_uuids(&schema_to_arrow_schema(&table).unwrap(), &table).unwrap().is_none());
    }
}
