//! Where the columns of a table come from in one data file, by Iceberg's rules of projection.
//!
//! ```text
//! a column of the file with the field's id           that column
//! a value of the partition, by an identity transform that value
//! no ids in the file, and the table has a mapping    the column under one of the field's names
//! no ids in the file, and the table has none         the column of the field's name, or an error
//! an initial default                                 that value
//! otherwise                                          NULL
//! ```

use crate::name::TableName;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int32Array, Int64Array, StringArray, UInt32Array, new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field};
use dataflow::{Error, Result};
use iceberg::spec::{
    DEFAULT_SCHEMA_NAME_MAPPING, DataFile, Literal, MappedField, NameMapping, NestedField, PrimitiveLiteral,
    TableMetadata, Transform,
};
use parquet::schema::types::SchemaDescriptor;
use std::collections::HashMap;
use std::sync::Arc;

/// The fields that all rows of a file have one value of, or NULL, since a partition tells it.
pub type PartitionValues = Vec<(i32, Option<Literal>)>;

/// The values of a file's partition that are those of its rows: identity transforms, no days and no buckets.
pub fn partition_values(
    name: &TableName,
    metadata: &TableMetadata,
    spec: i32,
    file: &DataFile,
) -> Result<PartitionValues> {
    let spec = metadata.partition_spec_by_id(spec).ok_or_else(|| {
        Error::corrupt(format!(
            "table \"{name}\": data file \"{}\" is of partition spec {spec}, which the table does not have",
            file.file_path()
        ))
    })?;
    let fields = spec.fields().iter().zip(file.partition().iter());
    let same = fields.filter(|(field, _)| field.transform == Transform::Identity);
    Ok(same.map(|(field, value)| (field.source_id, value.cloned())).collect())
}

/// The names under which files without field ids have the fields of a table, also those within others.
///
/// Ids by name, by the id of the field that they lie within; columns lie within none.
#[derive(Debug, Default)]
pub struct FieldNames {
    within: HashMap<Option<i32>, HashMap<String, i32>>,
}

impl FieldNames {
    /// The names that a table says; `None` when it does not.
    pub fn of(name: &TableName, metadata: &TableMetadata) -> Result<Option<Arc<FieldNames>>> {
        let Some(text) = metadata.properties().get(DEFAULT_SCHEMA_NAME_MAPPING) else { return Ok(None) };
        let mapping: NameMapping = serde_json::from_str(text).map_err(|error| {
            Error::invalid(format!(
                "table \"{name}\": the property {DEFAULT_SCHEMA_NAME_MAPPING} is not a name mapping"
            ))
            .with_source(error)
        })?;
        let mut names = FieldNames::default();
        names.add(None, mapping.fields());
        Ok(Some(Arc::new(names)))
    }

    fn add(&mut self, within: Option<i32>, fields: &[MappedField]) {
        for field in fields {
            let Some(id) = field.field_id() else { continue };
            let named = field.names().iter().map(|name| (name.clone(), id));
            self.within.entry(within).or_default().extend(named);
            let inner: Vec<MappedField> = field.fields().iter().map(|inner| inner.as_ref().clone()).collect();
            self.add(Some(id), &inner);
        }
    }

    /// The id of the field that has a name within another one.
    pub fn id(&self, within: Option<i32>, name: &str) -> Option<i32> {
        self.within.get(&within)?.get(name).copied()
    }
}

/// Where a column comes from in one file.
#[derive(Clone, Debug)]
pub enum ColumnSource {
    /// The root column of the file with this index.
    Stored(usize),
    /// One value for all rows: an array of it alone.
    Constant(ArrayRef),
    Null,
}

impl ColumnSource {
    /// The root column of the file, where the file stores it.
    pub fn root(&self) -> Option<usize> {
        match self {
            ColumnSource::Stored(root) => Some(*root),
            _ => None,
        }
    }
}

/// The root columns of a file, by what they are found by.
pub struct FileColumns<'a> {
    by_id: HashMap<i32, usize>,
    by_name: HashMap<String, usize>,
    names: Option<&'a FieldNames>,
    partition: &'a PartitionValues,
}

impl<'a> FileColumns<'a> {
    /// The columns of a file's schema.
    pub fn new(
        schema: &SchemaDescriptor,
        names: Option<&'a FieldNames>,
        partition: &'a PartitionValues,
    ) -> FileColumns<'a> {
        let mut columns = FileColumns { by_id: HashMap::new(), by_name: HashMap::new(), names, partition };
        for (index, field) in schema.root_schema().get_fields().iter().enumerate() {
            let info = field.get_basic_info();
            if info.has_id() {
                columns.by_id.insert(info.id(), index);
            }
            columns.by_name.insert(field.name().to_owned(), index);
        }
        columns
    }

    /// Where a column of the table comes from; or why that cannot be said.
    pub fn source(&self, column: &NestedField, field: &Field) -> std::result::Result<ColumnSource, String> {
        if let Some(root) = self.by_id.get(&column.id) {
            return Ok(ColumnSource::Stored(*root));
        }
        if let Some((_, value)) = self.partition.iter().find(|(id, _)| *id == column.id) {
            let value = value.as_ref().map(|value| constant(value, column, field)).transpose()?;
            return Ok(value.map_or(ColumnSource::Null, ColumnSource::Constant));
        }
        match self.names {
            _ if !self.by_id.is_empty() => {}
            Some(names) => {
                let named = self.by_name.iter().filter(|(name, _)| names.id(None, name) == Some(column.id));
                if let Some(root) = named.map(|(_, root)| *root).min() {
                    return Ok(ColumnSource::Stored(root));
                }
            }
            None => return self.of_the_same_name(column),
        }
        Ok(default_of(column, field)?.map_or(ColumnSource::Null, ColumnSource::Constant))
    }

    /// Of a file without ids in a table that does not say what its columns were called before.
    fn of_the_same_name(&self, column: &NestedField) -> std::result::Result<ColumnSource, String> {
        self.by_name.get(&column.name).map(|root| ColumnSource::Stored(*root)).ok_or_else(|| {
            format!(
                "has no field ids and no column \"{}\", and the table has no property {DEFAULT_SCHEMA_NAME_MAPPING} \
                 that tells under which name it has it; set the property",
                column.name
            )
        })
    }
}

/// What a column has in files from before it came, `None` for NULL; or why that cannot be.
pub fn default_of(column: &NestedField, field: &Field) -> std::result::Result<Option<ArrayRef>, String> {
    match &column.initial_default {
        Some(value) => constant(value, column, field).map(Some),
        None if column.required => Err(format!("lacks column \"{}\", which the table requires", column.name)),
        None => Ok(None),
    }
}

fn constant(value: &Literal, column: &NestedField, field: &Field) -> std::result::Result<ArrayRef, String> {
    let unknown = || format!("has a value for column \"{}\" that is no {}", column.name, column.field_type);
    let Literal::Primitive(value) = value else { return Err(unknown()) };
    one_value(value, field.data_type()).ok_or_else(unknown)
}

/// An array of one value, in the type of a column; `None` when the type has no such value.
fn one_value(value: &PrimitiveLiteral, to: &DataType) -> Option<ArrayRef> {
    let one: ArrayRef = match (value, to) {
        (PrimitiveLiteral::Boolean(value), _) => Arc::new(BooleanArray::from(vec![*value])),
        (PrimitiveLiteral::Int(days), DataType::Date32 | DataType::Timestamp(..)) => {
            Arc::new(Date32Array::from(vec![*days]))
        }
        (PrimitiveLiteral::Int(value), _) => Arc::new(Int32Array::from(vec![*value])),
        // Times are numbers of the unit that their type names.
        (PrimitiveLiteral::Long(value), _) => Arc::new(Int64Array::from(vec![*value])),
        (PrimitiveLiteral::Float(value), _) => Arc::new(Float32Array::from(vec![value.0])),
        (PrimitiveLiteral::Double(value), _) => Arc::new(Float64Array::from(vec![value.0])),
        (PrimitiveLiteral::String(value), _) => Arc::new(StringArray::from(vec![value.as_str()])),
        (PrimitiveLiteral::Binary(value), DataType::FixedSizeBinary(_)) => {
            Arc::new(FixedSizeBinaryArray::try_from_iter(std::iter::once(value)).ok()?)
        }
        (PrimitiveLiteral::Binary(value), _) => Arc::new(BinaryArray::from(vec![value.as_slice()])),
        (PrimitiveLiteral::Int128(value), DataType::Decimal128(digits, scale)) => {
            Arc::new(Decimal128Array::from(vec![*value]).with_precision_and_scale(*digits, *scale).ok()?)
        }
        (PrimitiveLiteral::UInt128(value), DataType::FixedSizeBinary(16)) => {
            Arc::new(FixedSizeBinaryArray::try_from_iter(std::iter::once(value.to_be_bytes())).ok()?)
        }
        _ => return None,
    };
    let typed = if one.data_type() == to { one } else { cast(&one, to).ok()? };
    typed.is_valid(0).then_some(typed)
}

/// A column of so many rows that no file stores.
pub fn repeated(value: Option<&ArrayRef>, field: &Field, rows: usize) -> Result<ArrayRef> {
    match value {
        None => Ok(new_null_array(field.data_type(), rows)),
        Some(value) => Ok(take(value, &UInt32Array::from(vec![0; rows]), None)?),
    }
}

/// The root columns of a file that are read, in the file's sequence, each once: what a reader gives.
pub fn roots_of<'a>(sources: impl Iterator<Item = &'a ColumnSource>) -> Vec<usize> {
    let mut roots: Vec<usize> = sources.filter_map(ColumnSource::root).collect();
    roots.sort_unstable();
    roots.dedup();
    roots
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Int64Type, TimeUnit};
    use iceberg::spec::{PrimitiveType, Type};
    use parquet::schema::parser::parse_message_type;

    #[test]
    fn a_file_from_before_a_column_came_has_its_initial_default() {
        let stored = parse_message_type("message rows { optional int64 n = 1; }").unwrap();
        let stored = SchemaDescriptor::new(Arc::new(stored));
        let partition = PartitionValues::default();
        let file = FileColumns::new(&stored, None, &partition);
        let source = |column: NestedField| file.source(&column, &Field::new(&column.name, DataType::Int64, true));
        let long = || Type::Primitive(PrimitiveType::Long);
        assert!(matches!(source(NestedField::optional(1, "renamed", long())), Ok(ColumnSource::Stored(0))));
        for column in [NestedField::optional(2, "x", long()), NestedField::required(2, "x", long())] {
            let Ok(ColumnSource::Constant(value)) = source(column.with_initial_default(Literal::long(7))) else {
                panic!("the column has a default");
            };
            assert_eq!(value.as_primitive::<Int64Type>().values(), &[7]);
        }
        assert!(matches!(source(NestedField::optional(2, "x", long())), Ok(ColumnSource::Null)));
        let why = source(NestedField::required(2, "x", long())).unwrap_err();
        assert_eq!(why, "lacks column \"x\", which the table requires");
        let text = NestedField::optional(2, "x", long()).with_initial_default(Literal::string("seven"));
        assert!(source(text).unwrap_err().contains("has a value for column \"x\" that is no long"));
    }

    #[test]
    fn values_of_partitions_and_defaults() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let (day, second) = (PrimitiveLiteral::Int(1), PrimitiveLiteral::Long(1_000_000));
        let at = |value| TimestampMicrosecondArray::from(vec![value]);
        assert_eq!(one_value(&day, &micros).unwrap().as_ref(), &at(86_400_000_000));
        assert_eq!(one_value(&second, &micros).unwrap().as_ref(), &at(1_000_000));
        // A partition of a column that was INTEGER when its file came.
        assert_eq!(one_value(&day, &DataType::Int64).unwrap().as_primitive::<Int64Type>().values(), &[1]);
        assert_eq!(one_value(&day, &DataType::Date32).unwrap().as_ref(), &Date32Array::from(vec![1]));
        let cents = one_value(&PrimitiveLiteral::Int128(150), &DataType::Decimal128(9, 2)).unwrap();
        assert_eq!(arrow::util::display::array_value_to_string(&cents, 0).unwrap(), "1.50");
        let text = PrimitiveLiteral::String("x".to_owned());
        assert_eq!(one_value(&text, &DataType::Utf8).unwrap().as_string::<i32>().value(0), "x");
        assert!(one_value(&text, &DataType::Int64).is_none());
        assert!(one_value(&PrimitiveLiteral::AboveMax, &DataType::Int64).is_none());
    }
}
