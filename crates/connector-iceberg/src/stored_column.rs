//! Columns as they were asked for, made of what one file stores.

use crate::columns::{ColumnSource, repeated};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use dataflow::{Error, Result};
use std::sync::Arc;

/// Columns of a table as one file has them.
pub struct ArrangedColumns {
    // The file, for messages to people.
    place: String,
    schema: SchemaRef,
    sources: Vec<ColumnSource>,
    // Where each column is in what the reader gives; `None` when the file does not store it.
    places: Vec<Option<usize>>,
}

impl ArrangedColumns {
    /// Columns with where they come from, and the root columns that the reader gives, sorted.
    pub fn new(place: String, columns: Vec<(Field, ColumnSource)>, roots: &[usize]) -> ArrangedColumns {
        let (fields, sources): (Vec<Field>, Vec<ColumnSource>) = columns.into_iter().unzip();
        let place_of = |source: &ColumnSource| source.root().and_then(|root| roots.binary_search(&root).ok());
        let places = sources.iter().map(place_of).collect();
        ArrangedColumns { place, schema: Arc::new(Schema::new(fields)), sources, places }
    }

    /// The columns of rows that the reader gave.
    pub fn of(&self, given: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.places.len());
        for (field, (source, place)) in self.schema.fields().iter().zip(self.sources.iter().zip(&self.places)) {
            columns.push(match (source, place) {
                (_, Some(place)) => self.typed(field, given.column(*place))?,
                (ColumnSource::Constant(value), None) => repeated(Some(value), field, given.num_rows())?,
                (_, None) => repeated(None, field, given.num_rows())?,
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(given.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    /// A column that was widened since the file was written, has fewer bits than the table's types have, or is an instant
    /// with a zone, gets the table's type.
    fn typed(&self, field: &Field, column: &ArrayRef) -> Result<ArrayRef> {
        let (from, to) = (column.data_type(), field.data_type());
        if from == to {
            return Ok(column.clone());
        }
        if let (Some(given), DataType::Struct(fields)) = (column.as_struct_opt(), to) {
            let inner = fields.iter().map(|field| match given.column_by_name(field.name()) {
                Some(column) => self.typed(field, column),
                // The table's struct has gained it since.
                None => Ok(new_null_array(field.data_type(), column.len())),
            });
            let inner = inner.collect::<Result<Vec<_>>>()?;
            return Ok(Arc::new(StructArray::try_new(fields.clone(), inner, given.nulls().cloned())?));
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
            | (DataType::Binary | DataType::LargeBinary | DataType::LargeUtf8, DataType::Binary | DataType::Utf8)
            | (DataType::Date32, DataType::Timestamp(..))
            | (DataType::FixedSizeBinary(_), DataType::Binary)
    )
}
