//! A batch as one record batch, for what is spilled and read back by the same process.

use crate::{Batch, Result, RowOrder};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use std::sync::Arc;

impl Batch {
    /// The schema of the record batches that [`Batch::to_record_batch`] makes of batches with these columns.
    pub fn stored_schema(schema: &SchemaRef) -> SchemaRef {
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        for (name, data_type) in [
            ("_time", DataType::Int64),
            ("_ord_high", DataType::UInt64),
            ("_ord_low", DataType::UInt64),
            ("_late", DataType::Boolean),
        ] {
            fields.push(Arc::new(Field::new(name, data_type, false)));
        }
        Arc::new(Schema::new(fields))
    }

    /// The declared columns, and after them times, orders and lateness. Key hashes are left out.
    pub fn to_record_batch(&self) -> Result<RecordBatch> {
        let half = |shift: u32| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(self.orders().iter().map(|&order| (order as u128 >> shift) as u64)))
        };
        let mut columns = self.columns().columns().to_vec();
        columns.push(Arc::new(Int64Array::new(self.times().clone(), None)));
        columns.extend([half(64), half(0), self.late_column()]);
        Ok(RecordBatch::try_new(Batch::stored_schema(&self.schema()), columns)?)
    }

    /// The batch that [`Batch::to_record_batch`] was given.
    pub fn from_record_batch(schema: &SchemaRef, rows: &RecordBatch) -> Result<Batch> {
        let declared = schema.fields().len();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns = RecordBatch::try_new_with_options(schema.clone(), rows.columns()[..declared].to_vec(), &options)?;
        let times = rows.column(declared).as_primitive::<Int64Type>().values().to_vec();
        let high = rows.column(declared + 1).as_primitive::<UInt64Type>();
        let low = rows.column(declared + 2).as_primitive::<UInt64Type>();
        let orders =
            high.values().iter().zip(low.values()).map(|(&high, &low)| RowOrder::of_hashes(high, low)).collect();
        let late = rows.column(declared + 3).as_boolean();
        let batch = Batch::new(columns, times, orders)?;
        if late.true_count() > 0 { batch.with_late(late.values().clone()) } else { Ok(batch) }
    }
}
