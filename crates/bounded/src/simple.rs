//! Steps that hold no rows: WHERE and HAVING, columns, LIMIT, and UNION ALL.

use crate::plan::PlanColumn;
use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use dataflow::{Batch, RecordBatches, Result, RowOrder, Scalar};
use std::sync::Arc;

/// The values of an expression. The first row on which it fails ends the query: there is no stream whose policy could
/// say otherwise.
pub(crate) fn evaluate(scalar: &Arc<dyn Scalar>, rows: &RecordBatch) -> Result<ArrayRef> {
    let count = rows.num_rows();
    let batch = Batch::new(rows.clone(), vec![0; count], vec![RowOrder::default(); count])?;
    let evaluated = scalar.evaluate(&batch)?;
    match evaluated.failed.into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(evaluated.values),
    }
}

/// The rows on which a condition is true.
pub(crate) fn passing(condition: &Arc<dyn Scalar>, rows: &RecordBatch) -> Result<RecordBatch> {
    Ok(filter_record_batch(rows, evaluate(condition, rows)?.as_boolean())?)
}

/// Rows with other columns.
pub(crate) fn project(columns: &[PlanColumn], schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    let value = |column: &PlanColumn| {
        evaluate(&column.scalar, rows).map_err(|error| error.context(format!("column \"{}\"", column.name)))
    };
    let values = columns.iter().map(value).collect::<Result<Vec<_>>>()?;
    with_columns(schema, values, rows.num_rows())
}

/// Columns under a schema; there may be none of them.
pub(crate) fn with_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// LIMIT and OFFSET. Nothing more is asked of the rows once enough have come.
pub(crate) struct Limit {
    pub rows: RecordBatches,
    pub offset: usize,
    pub left: usize,
}

impl Iterator for Limit {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let rows = match self.rows.next()? {
                Ok(rows) => rows,
                error => return Some(error),
            };
            let skipped = rows.num_rows().min(self.offset);
            self.offset -= skipped;
            let taken = (rows.num_rows() - skipped).min(self.left);
            self.left -= taken;
            if taken > 0 {
                return Some(Ok(rows.slice(skipped, taken)));
            }
        }
        None
    }
}
