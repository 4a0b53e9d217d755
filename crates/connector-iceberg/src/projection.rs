//! Where a data file has the columns of a table, and what stands for those that it lacks: Iceberg's column projection.

use crate::name::TableName;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use dataflow::{Error, Result};
use iceberg::spec::{
    DEFAULT_SCHEMA_NAME_MAPPING, DataFile, Literal, NameMapping, NestedField, PartitionSpec, PrimitiveLiteral,
    TableMetadata, Transform,
};
use parquet::schema::types::SchemaDescriptor;
use std::collections::HashMap;
use std::sync::Arc;

/// The names that a column has in files without field ids, by its id; none without a mapping.
pub(crate) struct FieldNames(Option<HashMap<i32, Vec<String>>>);

impl FieldNames {
    /// The name mapping of a table.
    pub fn of_table(name: &TableName, metadata: &TableMetadata) -> Result<FieldNames> {
        let Some(text) = metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING) else { return Ok(FieldNames(None)) };
        let mapping: NameMapping = serde_json::from_str(text).map_err(|error| {
            Error::corrupt(format!("table \"{name}\": its property {DEFAULT_SCHEMA_NAME_MAPPING} cannot be read"))
                .with_source(error)
        })?;
        let names = mapping.fields().iter().filter_map(|field| Some((field.field_id()?, field.names().to_vec())));
        Ok(FieldNames(Some(names.collect())))
    }

    /// Where a file has a column at its root: by id where its columns have ids, else by the mapping, or by the
    /// column's own name where the table has no mapping.
    pub fn find(&self, file: &SchemaDescriptor, column: &NestedField) -> Option<usize> {
        let fields = file.root_schema().get_fields();
        if fields.iter().any(|field| field.get_basic_info().has_id()) {
            let is_it = |info: &parquet::schema::types::BasicTypeInfo| info.has_id() && info.id() == column.id;
            return fields.iter().position(|field| is_it(field.get_basic_info()));
        }
        let own = std::slice::from_ref(&column.name);
        let names = match &self.0 {
            Some(names) => names.get(&column.id).map_or(&[][..], Vec::as_slice),
            None => own,
        };
        fields.iter().position(|field| names.iter().any(|name| name == field.name()))
    }
}

/// The values of identity partitions of a file, by the id of their column: writers may leave such columns out.
pub(crate) fn partition_values(spec: Option<&PartitionSpec>, file: &DataFile) -> HashMap<i32, Option<Literal>> {
    let fields = spec.map(PartitionSpec::fields).unwrap_or_default();
    let values = fields.iter().zip(file.partition().iter());
    let identity = values.filter(|(field, _)| field.transform == Transform::Identity);
    identity.map(|(field, value)| (field.source_id, value.cloned())).collect()
}

/// A value of a table's metadata as a column of one row.
pub(crate) fn one_value(name: &TableName, column: &NestedField, value: &Literal, to: &DataType) -> Result<ArrayRef> {
    let Literal::Primitive(value) = value else { return Err(unknown(name, column)) };
    let array: ArrayRef = match value {
        PrimitiveLiteral::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
        PrimitiveLiteral::Int(value) if *to == DataType::Date32 => Arc::new(Date32Array::from(vec![*value])),
        PrimitiveLiteral::Int(value) => Arc::new(Int32Array::from(vec![*value])),
        PrimitiveLiteral::Long(value) if matches!(to, DataType::Timestamp(..)) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*value]))
        }
        PrimitiveLiteral::Long(value) => Arc::new(Int64Array::from(vec![*value])),
        PrimitiveLiteral::Float(value) => Arc::new(Float32Array::from(vec![value.0])),
        PrimitiveLiteral::Double(value) => Arc::new(Float64Array::from(vec![value.0])),
        PrimitiveLiteral::String(value) => Arc::new(StringArray::from(vec![value.as_str()])),
        PrimitiveLiteral::Binary(value) => Arc::new(BinaryArray::from(vec![value.as_slice()])),
        PrimitiveLiteral::Int128(value) => match to {
            DataType::Decimal128(digits, scale) => {
                Arc::new(Decimal128Array::from(vec![*value]).with_precision_and_scale(*digits, *scale)?)
            }
            _ => return Err(unknown(name, column)),
        },
        _ => return Err(unknown(name, column)),
    };
    Ok(if array.data_type() == to { array } else { cast(&array, to)? })
}

fn unknown(name: &TableName, column: &NestedField) -> Error {
    Error::invalid(format!(
        "table \"{name}\": the value that column \"{}\" has in files which lack it is of a type that is not read; leave the \
         column out",
        column.name
    ))
}
