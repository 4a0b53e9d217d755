//! Columns as they were asked for, made of what one file stores.

use crate::columns::{ColumnSource, FieldNames, default_of, repeated};
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use dataflow::{Error, Result};
use iceberg::spec::{NestedField, NestedFieldRef, StructType, Type};
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use std::sync::Arc;

/// A column of a table: its field as Arrow has it, and where it comes from in a file.
pub type ArrangedColumn = (NestedFieldRef, Field, ColumnSource);

/// Columns of a table as one file has them.
pub struct ArrangedColumns {
    // The file, for messages to people.
    place: String,
    // What fields are called in files without ids, where the table says it.
    names: Option<Arc<FieldNames>>,
    schema: SchemaRef,
    // The same fields as the table has them, with the ids of those within.
    fields: Vec<NestedFieldRef>,
    sources: Vec<ColumnSource>,
    // Where each column is in what the reader gives; `None` when the file does not store it.
    places: Vec<Option<usize>>,
}

impl ArrangedColumns {
    /// Columns with where they come from, and the root columns that the reader gives, sorted.
    pub fn new(
        place: String,
        columns: Vec<ArrangedColumn>,
        roots: &[usize],
        names: Option<Arc<FieldNames>>,
    ) -> ArrangedColumns {
        let (mut fields, mut arrow_fields, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for (field, arrow_field, source) in columns {
            fields.push(field);
            arrow_fields.push(arrow_field);
            sources.push(source);
        }
        let place_of = |source: &ColumnSource| source.root().and_then(|root| roots.binary_search(&root).ok());
        let places = sources.iter().map(place_of).collect();
        ArrangedColumns { place, names, schema: Arc::new(Schema::new(arrow_fields)), fields, sources, places }
    }

    /// The columns of rows that the reader gave.
    pub fn of(&self, given: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.places.len());
        let fields = self.schema.fields().iter().zip(&self.fields);
        for ((field, of_table), (source, place)) in fields.zip(self.sources.iter().zip(&self.places)) {
            columns.push(match (source, place) {
                (_, Some(place)) => self.typed((field, of_table), given.column(*place))?,
                (ColumnSource::Constant(value), None) => repeated(Some(value), field, given.num_rows())?,
                (_, None) => repeated(None, field, given.num_rows())?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(given.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// A column that was widened since the file was written, has fewer bits than the table's types have, or is an instant
    /// with a zone, gets the table's type.
    fn typed(&self, (field, of_table): (&Field, &NestedField), column: &ArrayRef) -> Result<ArrayRef> {
        let (from, to) = (column.data_type(), field.data_type());
        if from == to {
            return Ok(column.clone());
        }
        match (to, &*of_table.field_type) {
            (DataType::Struct(fields), Type::Struct(of_struct)) => {
                if let Some(given) = column.as_struct_opt() {
                    return self.struct_of((fields, of_struct, of_table.id), given);
                }
            }
            (DataType::List(element), Type::List(list)) => {
                if let Some(given) = column.as_list_opt::<i32>() {
                    let values = self.typed((element, &list.element_field), given.values())?;
                    let (offsets, nulls) = (given.offsets().clone(), given.nulls().cloned());
                    let made = ListArray::try_new(element.clone(), offsets, values, nulls);
                    return Ok(Arc::new(made.map_err(|error| self.unfit(field, error))?));
                }
            }
            (DataType::Map(entries, sorted), Type::Map(map)) => {
                if let (Some(given), DataType::Struct(fields)) = (column.as_map_opt(), entries.data_type()) {
                    let keys = self.typed((&fields[0], &map.key_field), given.keys())?;
                    let values = self.typed((&fields[1], &map.value_field), given.values())?;
                    let (offsets, nulls) = (given.offsets().clone(), given.nulls().cloned());
                    let made = StructArray::try_new(fields.clone(), vec![keys, values], None)
                        .and_then(|pairs| MapArray::try_new(entries.clone(), offsets, pairs, nulls, *sorted));
                    return Ok(Arc::new(made.map_err(|error| self.unfit(field, error))?));
                }
            }
            _ => {}
        }
        if !is_widened(from, to) {
            return Err(Error::corrupt(format!(
                "{}: column \"{}\" has type {}, expected {}",
                self.place,
                field.name(),
                values::name(from),
                values::name(to)
            )));
        }
        Ok(cast(column, to)?)
    }

    /// A struct of the fields that the table's struct has.
    fn struct_of(&self, (fields, of_struct, id): (&Fields, &StructType, i32), given: &StructArray) -> Result<ArrayRef> {
        let inner = fields.iter().zip(of_struct.fields()).map(|(field, of_table)| {
            match self.stored_in(given, of_table, id) {
                Some(column) => self.typed((field, of_table), column),
                // The table's struct has gained it since.
                None => {
                    let value =
                        default_of(of_table, field).map_err(|why| Error::corrupt(format!("{} {why}", self.place)))?;
                    repeated(value.as_ref(), field, given.len())
                }
            }
        });
        let inner = inner.collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(StructArray::try_new(fields.clone(), inner, given.nulls().cloned())?))
    }

    /// The field of a file's struct that a field of the table's struct is: the one of its id, and in a file without ids one
    /// of its names, which are those that the table says, or else its own. What a field was called when the file came, and
    /// which other one has had its name, changes nothing.
    fn stored_in<'a>(&self, given: &'a StructArray, of_table: &NestedField, within: i32) -> Option<&'a ArrayRef> {
        let id_of = |field: &Field| field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse::<i32>().ok();
        let fields = || given.fields().iter().zip(given.columns());
        let has_ids = fields().any(|(field, _)| id_of(field).is_some());
        let is_it = |field: &Field| match &self.names {
            _ if has_ids => id_of(field) == Some(of_table.id),
            Some(names) => names.id(Some(within), field.name()) == Some(of_table.id),
            None => *field.name() == of_table.name,
        };
        fields().find(|(field, _)| is_it(field)).map(|(_, column)| column)
    }

    /// The error of a list or a map that the table's type does not take.
    fn unfit(&self, field: &Field, error: ArrowError) -> Error {
        Error::corrupt(format!(
            "{}: column \"{}\" has values that its type {} does not take",
            self.place,
            field.name(),
            values::name(field.data_type())
        ))
        .with_source(error)
    }
}

/// Whether every value of a file's type is one of the table's type.
fn is_widened(from: &DataType, to: &DataType) -> bool {
    matches!(
        (from, to),
        (DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16, DataType::Int32 | DataType::Int64)
            | (DataType::Int32 | DataType::UInt32, DataType::Int64)
            | (DataType::Float16, DataType::Float32 | DataType::Float64)
            | (DataType::Float32, DataType::Float64)
            | (DataType::Timestamp(..), DataType::Timestamp(..))
            | (DataType::Decimal128(..), DataType::Decimal128(..))
            | (
                DataType::Binary | DataType::LargeBinary | DataType::LargeUtf8,
                DataType::Binary | DataType::LargeBinary | DataType::Utf8
            )
            | (DataType::Date32, DataType::Timestamp(..))
            | (DataType::FixedSizeBinary(_), DataType::Binary | DataType::LargeBinary)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, UInt32Array};
    use arrow::buffer::{NullBuffer, OffsetBuffer};
    use arrow::compute::take;
    use arrow::datatypes::Int64Type;
    use arrow::util::display::array_value_to_string;
    use iceberg::arrow::type_to_arrow_type;
    use iceberg::spec::{ListType, Literal, MapType, PrimitiveType};
    use std::collections::HashMap;

    fn numbers(values: [i64; 2]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    /// A struct as a file has it: names, ids, if there are any, and values.
    fn stored(fields: &[(&str, Option<i32>, [i64; 2])]) -> RecordBatch {
        let fields = fields.iter().map(|(name, id, values)| {
            let id = id.map(|id| (PARQUET_FIELD_ID_META_KEY.to_owned(), id.to_string()));
            let field = Field::new(*name, DataType::Int64, true).with_metadata(HashMap::from_iter(id));
            (Arc::new(field), numbers(*values))
        });
        let column: ArrayRef = Arc::new(StructArray::from(fields.collect::<Vec<_>>()));
        let rows = take(&column, &UInt32Array::from(vec![0, 1]), None).unwrap();
        RecordBatch::try_from_iter([("s", rows)]).unwrap()
    }

    #[test]
    fn structs_in_lists_and_maps_are_found_by_their_ids_and_null_stays_null() {
        let long = || Type::Primitive(PrimitiveType::Long);
        let inside = || {
            let fields =
                vec![NestedField::optional(6, "renamed", long()).into(), NestedField::optional(7, "b", long()).into()];
            Type::Struct(StructType::new(fields))
        };
        let (key, value) =
            (NestedField::map_key_element(4, long()), NestedField::map_value_element(5, inside(), false));
        let list = ListType { element_field: NestedField::list_element(3, inside(), false).into() };
        let map = MapType { key_field: key.into(), value_field: value.into() };
        // What the file has: b is another field, which is gone, and the field 6 was called a.
        let stored = stored(&[("b", Some(9), [5, 6]), ("a", Some(6), [1, 2])]);
        let structs = stored.column(0).clone();
        let element = Arc::new(Field::new("item", structs.data_type().clone(), true));
        let (offsets, nulls) = (OffsetBuffer::new(vec![0, 2, 2, 2].into()), NullBuffer::from(vec![true, false, true]));
        let given: ArrayRef =
            Arc::new(ListArray::new(element.clone(), offsets.clone(), structs.clone(), Some(nulls.clone())));
        let pairs = [("k", numbers([8, 9]), false), ("v", structs, true)];
        let fields = pairs.iter().map(|(name, of, null)| Field::new(*name, of.data_type().clone(), *null));
        let fields = fields.collect::<Vec<_>>().into();
        let pairs = StructArray::new(fields, pairs.map(|(_, column, _)| column).to_vec(), None);
        let entries = Arc::new(Field::new("pairs", pairs.data_type().clone(), false));
        let of_map: ArrayRef = Arc::new(MapArray::new(entries, offsets, pairs, Some(nulls), false));
        for (of, given, shown) in [
            (Type::List(list), given, "[{renamed: 1, b: }, {renamed: 2, b: }]"),
            (Type::Map(map), of_map, "{8: {renamed: 1, b: }, 9: {renamed: 2, b: }}"),
        ] {
            let of_table: NestedFieldRef = NestedField::optional(1, "s", of).into();
            let field = Field::new("s", type_to_arrow_type(&of_table.field_type).unwrap(), true);
            let rows = RecordBatch::try_from_iter_with_nullable([("s", given, true)]).unwrap();
            let column = (of_table, field, ColumnSource::Stored(0));
            let arranged = ArrangedColumns::new("t".to_owned(), vec![column], &[0], None).of(&rows).unwrap();
            let column = arranged.column(0);
            assert_eq!(array_value_to_string(column, 0).unwrap(), shown);
            assert_eq!([column.is_null(0), column.is_null(1), column.is_null(2)], [false, true, false]);
        }
    }

    #[test]
    fn fields_of_a_struct_are_found_by_their_ids_whatever_they_were_called() {
        let long = || Type::Primitive(PrimitiveType::Long);
        // The field 3 was called a, and another field, which is gone, had the name b; c came with a default.
        let of_struct = StructType::new(vec![
            NestedField::optional(3, "renamed", long()).into(),
            NestedField::optional(7, "b", long()).into(),
            NestedField::optional(8, "c", long()).with_initial_default(Literal::long(9)).into(),
        ]);
        let of_table: NestedFieldRef = NestedField::optional(1, "s", Type::Struct(of_struct)).into();
        let inner = ["renamed", "b", "c"].map(|name| Field::new(name, DataType::Int64, true));
        let field = Field::new("s", DataType::Struct(inner.to_vec().into()), true);
        let arranged = |rows: &RecordBatch| {
            let column = (of_table.clone(), field.clone(), ColumnSource::Stored(0));
            let arranged = ArrangedColumns::new("t".to_owned(), vec![column], &[0], None).of(rows).unwrap();
            let columns = arranged.column(0).as_struct().columns().to_vec();
            columns.iter().map(|column| column.as_primitive::<Int64Type>().iter().collect()).collect::<Vec<Vec<_>>>()
        };
        let of_ids = arranged(&stored(&[("b", Some(4), [5, 6]), ("a", Some(3), [1, 2])]));
        assert_eq!(of_ids, [[Some(1), Some(2)], [None, None], [Some(9), Some(9)]]);
        let of_names = arranged(&stored(&[("b", None, [5, 6]), ("renamed", None, [1, 2])]));
        assert_eq!(of_names, [[Some(1), Some(2)], [Some(5), Some(6)], [Some(9), Some(9)]]);
        let as_it_is =
            arranged(&stored(&[("renamed", Some(3), [1, 2]), ("b", Some(4), [5, 6]), ("c", Some(8), [7, 8])]));
        assert_eq!(as_it_is, [[Some(1), Some(2)], [None, None], [Some(7), Some(8)]]);
    }
}
