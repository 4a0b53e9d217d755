//! Computes new columns from the columns of each row.

use crate::bad_rows::{BadRows, by_row, good_rows};
use crate::columns::shown_name;
use crate::filter::no_state;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Scalar, StateReader,
};
use std::sync::Arc;

/// Puts out computed columns, at once and in the order of the rows; time, order and lateness stay.
///
/// A row on which a column fails is bad and follows the policy of its stream. No state.
#[derive(Debug)]
pub struct Project {
    schema: SchemaRef,
    columns: Vec<Arc<dyn Scalar>>,
    bad_rows: BadRows,
}

impl Project {
    /// Computes the columns of a schema, one expression each.
    pub fn new(schema: SchemaRef, columns: Vec<Arc<dyn Scalar>>, bad_rows: BadRows) -> Result<Project> {
        if schema.fields().len() != columns.len() {
            return Err(Error::internal(format!(
                "a projection has {} names and {} expressions",
                schema.fields().len(),
                columns.len()
            )));
        }
        for (field, column) in schema.fields().iter().zip(&columns) {
            if *field.data_type() != column.data_type() {
                return Err(Error::internal(format!(
                    "column \"{}\" is declared as {} and computed as {}",
                    field.name(),
                    field.data_type(),
                    column.data_type()
                )));
            }
        }
        Ok(Project { schema, columns, bad_rows })
    }

    /// The rows that are good, with their new columns, and those that are not, with the column that fails.
    fn compute(&self, batch: &Batch) -> Result<(Batch, Vec<(usize, Error)>)> {
        let (mut values, mut bad) = (Vec::with_capacity(self.columns.len()), Vec::new());
        for (column, field) in self.columns.iter().zip(self.schema.fields()) {
            let evaluated = column.evaluate(batch)?;
            let named = |error: Error| error.context(format!("column \"{}\"", shown_name(field.name())));
            bad.extend(evaluated.failed.into_iter().map(|(row, error)| (row, named(error))));
            values.push(evaluated.values);
        }
        if !bad.is_empty() {
            // NULLs of failed rows may not fit the schema, so the good rows are computed by themselves.
            let bad = by_row(bad);
            let (computed, bad_again) = self.compute(&batch.take(&good_rows(batch.rows(), &bad))?)?;
            if !bad_again.is_empty() {
                return Err(Error::internal("an expression fails on a row only beside certain other rows"));
            }
            return Ok((computed, bad));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.rows()));
        let columns = RecordBatch::try_new_with_options(self.schema.clone(), values, &options)?;
        Ok((batch.with_columns(columns)?, bad))
    }
}

impl Operator for Project {
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        let (computed, bad) = self.compute(batch)?;
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Out, computed.rows());
        cx.emit(Port::MAIN, computed);
        self.bad_rows.remove(batch, &bad, cx)?;
        Ok(Progress::Done)
    }

    fn advance(&mut self, _: EventTime, _: &mut Context) -> Result<Progress> {
        Ok(Progress::Done)
    }

    fn next_due(&self, _: EventTime) -> Option<EventTime> {
        None
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(()))
    }

    fn restore(&mut self, state: &mut dyn StateReader, _: &mut Context) -> Result<()> {
        no_state(state, "projection")
    }
}
