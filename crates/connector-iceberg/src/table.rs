//! Schemas, partitions and properties of tables, between Arrow and Iceberg.

use crate::compression::not_followed;
use crate::failure;
use crate::file_settings::{DATA_PATH, FileSettings, check_data_place};
use crate::layout::{partition_spec, sort_order};
use crate::name::TableName;
use crate::upkeep::{self, DELETE_OLD_METADATA};
use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::{Error, PartitionField, PartitionTransform, Result, SortField, TableLayout};
use iceberg::TableCreation;
use iceberg::arrow::type_to_arrow_type;
use iceberg::spec::{NestedField, PrimitiveType, Schema as IcebergSchema, StructType, Type};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What other tools that write to the table are told, and what we keep to ourselves: every commit makes a metadata
/// file, and of those only the newest are of use.
///
/// Snapshots are for those who want to see what a table was: a day of them, and not more than a reader likes to load.
const DEFAULT_PROPERTIES: [(&str, &str); 6] = [
    ("write.parquet.compression-codec", "zstd"),
    (DELETE_OLD_METADATA, "true"),
    ("write.metadata.previous-versions-max", "10"),
    (upkeep::AGE_MS_MAX, "86400000"),
    (upkeep::SNAPSHOTS_MIN, "100"),
    (upkeep::SNAPSHOTS_MAX, "1000"),
];

/// How a table is made.
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// The timestamp column whose day cuts the table into partitions; such a table is declared sorted by it, too.
    /// `None` for tables that stay small.
    pub partition_day: Option<String>,
    /// How rows lie in its files beside that, and properties of it.
    pub layout: TableLayout,
    /// Properties of the table.
    pub properties: Vec<(String, String)>,
}

/// What the iceberg library needs to make a table.
pub fn creation(
    name: &TableName,
    location: Option<String>,
    schema: &Schema,
    options: &TableOptions,
) -> Result<TableCreation> {
    let columns = iceberg_schema(name, schema)?;
    let mut layout = options.layout.clone();
    if let Some(column) = &options.partition_day {
        day_column(name, &columns, column)?;
        layout.partition_by.insert(0, PartitionField { column: column.clone(), transform: PartitionTransform::Day });
        if layout.sort_by.is_empty() {
            layout.sort_by.push(SortField { column: column.clone(), descending: false, nulls_first: true });
        }
    }
    let (spec, order) = (partition_spec(name, &columns, &layout)?, sort_order(name, &columns, &layout)?);
    let mut properties: HashMap<String, String> =
        DEFAULT_PROPERTIES.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    properties.extend(options.properties.iter().chain(&options.layout.properties).cloned());
    check_properties(name, &columns, &properties)?;
    Ok(TableCreation::builder()
        .name(name.name.clone())
        .location_opt(location)
        .schema(columns)
        .partition_spec(spec)
        .sort_order(order)
        .properties(properties)
        .build())
}

/// Refuses properties of files whose values are none, or that name columns which the table does not have.
fn check_properties(name: &TableName, columns: &IcebergSchema, properties: &HashMap<String, String>) -> Result<()> {
    FileSettings::of(name, properties)?;
    if let Some(told) = not_followed(properties).first() {
        return Err(Error::invalid(format!("table \"{name}\" cannot have the property {told}")));
    }
    match FileSettings::named_columns(properties)
        .into_iter()
        .find(|(_, column)| columns.field_by_name(column).is_none())
    {
        Some((key, column)) => {
            Err(Error::invalid(format!("table \"{name}\" has no column \"{column}\", which its property {key} names")))
        }
        None => Ok(()),
    }
}

/// Refuses a layout that a table with these columns cannot have.
pub fn check_layout(name: &str, schema: &Schema, layout: &TableLayout) -> Result<()> {
    let options = TableOptions { layout: layout.clone(), ..TableOptions::default() };
    creation(&TableName::parse(name)?, None, schema, &options).map(drop)
}

/// Refuses a layout whose data files cannot be those of a table at a location.
pub fn check_place(name: &str, location: &str, layout: &TableLayout) -> Result<()> {
    let name = TableName::parse(name)?;
    let own = layout.properties.iter().filter(|(key, _)| key == DATA_PATH);
    own.map(|(_, path)| check_data_place(&name, location, path)).collect()
}

/// A table's columns as Arrow has them, all of them nullable, each with its field id.
///
/// Timestamps with a zone are instants, as those without are here, and come without one.
pub fn arrow_schema(name: &TableName, schema: &IcebergSchema) -> Result<SchemaRef> {
    let fields = schema.as_struct().fields().iter().map(|field| {
        let id = HashMap::from([(PARQUET_FIELD_ID_META_KEY.to_owned(), field.id.to_string())]);
        Ok(arrow_field(name, field)?.with_metadata(id))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// A column as Arrow has it, nullable, without its id.
pub fn arrow_field(name: &TableName, field: &NestedField) -> Result<Field> {
    let data_type = match field.field_type.as_primitive_type() {
        Some(PrimitiveType::Timestamp | PrimitiveType::Timestamptz) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Some(PrimitiveType::Binary) => DataType::Binary,
        _ => type_to_arrow_type(&field.field_type).map_err(|error| {
            failure::iceberg(format!("table \"{name}\": column \"{}\" cannot be read", field.name), error)
        })?,
    };
    Ok(Field::new(&field.name, data_type, true))
}

/// The same columns without field ids, as other crates see them.
pub fn plain_schema(schema: &Schema) -> SchemaRef {
    let plain = |field: &Arc<Field>| Field::new(field.name(), plain_type(field.data_type()), true);
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}

/// The same type, the fields of structs without ids.
pub fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Struct(fields) => {
            let plain = |field: &Arc<Field>| Field::new(field.name(), plain_type(field.data_type()), true);
            DataType::Struct(fields.iter().map(plain).collect())
        }
        other => other.clone(),
    }
}

/// The same values under the field ids of a table's type.
pub fn with_field_ids(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let (DataType::Struct(fields), Some(given)) = (data_type, column.as_struct_opt()) else {
        return Ok(column.clone());
    };
    let columns = fields.iter().zip(given.columns());
    let columns = columns.map(|(field, column)| with_field_ids(column, field.data_type()));
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns.collect::<Result<_>>()?, given.nulls().cloned())?))
}

/// Refuses a name that no table can have, and columns that no table can hold.
pub fn check_table(name: &str, schema: &Schema) -> Result<()> {
    iceberg_schema(&TableName::parse(name)?, schema).map(drop)
}

fn iceberg_schema(name: &TableName, schema: &Schema) -> Result<IcebergSchema> {
    let mut seen = HashSet::new();
    let mut fields = Vec::with_capacity(schema.fields().len());
    let mut inner_id = schema.fields().len() as i32;
    for (index, field) in schema.fields().iter().enumerate() {
        if !seen.insert(field.name().to_lowercase()) {
            return Err(Error::invalid(format!(
                "table \"{name}\": column \"{}\" is there twice; give each column a name of its own",
                field.name()
            )));
        }
        let field_type = iceberg_type(name, field, &mut inner_id)?;
        fields.push(Arc::new(NestedField::optional(index as i32 + 1, field.name(), field_type)));
    }
    let schema = IcebergSchema::builder().with_fields(fields).build();
    schema.map_err(|error| failure::iceberg(format!("table \"{name}\" cannot be made"), error))
}

/// The columns that a table lacks.
pub fn missing_columns(name: &TableName, wanted: &Schema, there: &IcebergSchema) -> Result<Vec<(String, Type)>> {
    let is_missing = |field: &&Arc<Field>| there.field_by_name(field.name()).is_none();
    let missing = wanted.fields().iter().filter(is_missing);
    // The library gives the fields their ids, when it adds the columns.
    missing.map(|field| Ok((field.name().clone(), iceberg_type(name, field, &mut 0)?))).collect()
}

/// The type of a column; the fields of a struct get ids after those that are taken.
fn iceberg_type(name: &TableName, field: &Field, taken: &mut i32) -> Result<Type> {
    let DataType::Struct(inner) = field.data_type() else { return primitive_type(name, field).map(Type::Primitive) };
    let mut fields = Vec::with_capacity(inner.len());
    for inner in inner {
        *taken += 1;
        let id = *taken;
        let path = format!("{}.{}", field.name(), inner.name());
        let field_type = iceberg_type(name, &inner.as_ref().clone().with_name(path), taken)?;
        fields.push(Arc::new(NestedField::optional(id, inner.name(), field_type)));
    }
    Ok(Type::Struct(StructType::new(fields)))
}

fn primitive_type(name: &TableName, field: &Field) -> Result<PrimitiveType> {
    Ok(match field.data_type() {
        DataType::Boolean => PrimitiveType::Boolean,
        DataType::Int32 => PrimitiveType::Int,
        DataType::Int64 => PrimitiveType::Long,
        DataType::Float32 => PrimitiveType::Float,
        DataType::Float64 => PrimitiveType::Double,
        DataType::Utf8 => PrimitiveType::String,
        DataType::Binary => PrimitiveType::Binary,
        DataType::Date32 => PrimitiveType::Date,
        DataType::Timestamp(TimeUnit::Microsecond, None) => PrimitiveType::Timestamp,
        other => {
            return Err(Error::invalid(format!(
                "table \"{name}\": column \"{}\" has type {}, which tables cannot hold; expected BIGINT, INTEGER, \
                 DOUBLE, FLOAT, BOOLEAN, TEXT, TIMESTAMP (microseconds, no zone), DATE, BLOB or a STRUCT of these; cast it",
                field.name(),
                values::name(other)
            )));
        }
    })
}

fn day_column(name: &TableName, schema: &IcebergSchema, column: &str) -> Result<i32> {
    let field = schema
        .field_by_name(column)
        .ok_or_else(|| Error::invalid(format!("table \"{name}\": there is no column \"{column}\" to partition by")))?;
    match field.field_type.as_primitive_type() {
        Some(PrimitiveType::Timestamp) => Ok(field.id),
        _ => Err(Error::invalid(format!(
            "table \"{name}\": column \"{column}\" is to be cut by day and has type {}, expected timestamp",
            field.field_type
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(field: Field, partition_day: Option<&str>) -> Result<TableCreation> {
        let options = TableOptions { partition_day: partition_day.map(str::to_owned), ..TableOptions::default() };
        creation(&TableName::parse("lake.t").unwrap(), Some("file:///w".into()), &Schema::new(vec![field]), &options)
    }

    #[test]
    fn a_type_that_tables_cannot_hold_is_named() {
        let error = create(Field::new("n", DataType::UInt64, true), None).unwrap_err();
        assert!(error.to_string().contains("column \"n\" has type UBIGINT"), "{error}");
    }

    #[test]
    fn only_a_timestamp_is_cut_by_day() {
        let error = create(Field::new("n", DataType::Int64, true), Some("n")).unwrap_err();
        assert!(error.to_string().contains("expected timestamp"), "{error}");
        let error = create(Field::new("n", DataType::Int64, true), Some("m")).unwrap_err();
        assert!(error.to_string().contains("no column \"m\""), "{error}");
    }
}
