//! The columns that a reader asks for, out of the columns that a file has.

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use dataflow::{Error, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// The type that values of a file's type have once they are read.
pub(super) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, _) | DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

/// The columns of a schema out of a batch, by name; those that it lacks are NULL.
pub(super) fn project(batch: &RecordBatch, schema: &SchemaRef, path: &Path) -> Result<RecordBatch> {
    let by_name: BTreeMap<_, _> = batch.schema_ref().fields().iter().map(|f| f.name()).zip(batch.columns()).collect();
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema.fields().iter().map(|field| match by_name.get(field.name()) {
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) => {
            // Through the type without a zone, so that an instant keeps its UTC time.
            let plain = plain_type(column.data_type());
            cast_with_options(column, &plain, &strict)
                .and_then(|column| cast_with_options(&column, field.data_type(), &strict))
                .map_err(|e| {
                    Error::data(format!(
                        "\"{}\": a value of column \"{}\" ({}) is no {}",
                        path.display(),
                        field.name(),
                        column.data_type(),
                        field.data_type()
                    ))
                    .with_source(e)
                })
        }
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|e| Error::data(format!("\"{}\" does not fit the declared columns", path.display())).with_source(e))
}
