//! What a query gives, of the rows of streams and of tables.

use crate::open::Project;
use crate::spill_folder::SpillFolder;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use bounded::{Resources, StopCheck};
use dataflow::{Error, RecordBatches, Result, RowFilter};
use sql::{QueryInput, QueryPlan};
use std::path::Path;
use std::sync::Arc;

/// The memory that the steps of a query take before rows are spilled.
const QUERY_BYTES_MAX: usize = 256 << 20;
/// The memory that rows of several streams take while they wait for each other.
const STREAMS_BYTES_MAX: usize = 128 << 20;
/// Rows of a table that are read at once.
const READ_ROWS: usize = 16_384;

impl Project {
    /// The rows of a query, of those that streams give and those of tables. What does not fit in memory goes to the
    /// folder. Where there are several streams, returns when all of them have ended. An error of `stop` ends the rows.
    pub fn answer(
        &self,
        query: &QueryPlan,
        streams: Vec<RecordBatches>,
        spill: &Path,
        stop: &StopCheck,
    ) -> Result<RecordBatches> {
        let mut streams = put_down(streams, spill, stop)?.into_iter().map(Some).collect::<Vec<_>>();
        let mut input = |input: &QueryInput| match input {
            QueryInput::Table { name, used, wanted } => self.table_rows(name, used, wanted),
            QueryInput::Stream(number) => {
                let rows = streams.get_mut(*number).and_then(Option::take);
                rows.ok_or_else(|| Error::internal(format!("the job of the query has no output {number}")))
            }
        };
        let inputs = query.inputs.iter().map(&mut input).collect::<Result<Vec<_>>>()?;
        let resources = Resources { memory_bytes: QUERY_BYTES_MAX, folder: spill.to_owned(), stop: stop.clone() };
        bounded::run(&query.plan, inputs, &resources)
    }

    /// A folder for rows that do not fit in memory.
    pub fn spill_folder(&self) -> SpillFolder {
        SpillFolder::new(&self.warehouse_path())
    }

    /// The rows of the current snapshot of a table, file by file, without files that hold no wanted row. Columns that are
    /// not used are NULL.
    fn table_rows(&self, table: &str, used: &[bool], wanted: &RowFilter) -> Result<RecordBatches> {
        let files = self.warehouse()?.read_where(table, None, &|_| wanted.clone())?;
        let (count, schema) = (files.files().len(), read_schema(&files.schema()));
        if schema.fields().len() != used.len() {
            return Err(Error::unavailable(format!(
                "table \"{table}\" got other columns while the query was planned; ask again"
            )));
        }
        let columns = schema.fields().iter().zip(used);
        let names: Vec<String> = columns.filter(|(_, used)| **used).map(|(field, _)| field.name().clone()).collect();
        let used = used.to_vec();
        let open = move |file: usize| -> RecordBatches {
            let (schema, used) = (schema.clone(), used.clone());
            match files.open(file, files.files()[file].all_groups(), &names, READ_ROWS) {
                Ok(rows) => Box::new(rows.map(move |rows| as_read(&rows?, &schema, &used))),
                Err(error) => Box::new(std::iter::once(Err(error))),
            }
        };
        Ok(Box::new((0..count).flat_map(open)))
    }
}

/// The schema of a table as a query reads it: bytes of a fixed length are a UUID or bytes.
pub(crate) fn read_schema(stored: &SchemaRef) -> SchemaRef {
    let field = |field: &FieldRef| match field.data_type() {
        DataType::FixedSizeBinary(_) => {
            Arc::new(field.as_ref().clone().with_data_type(values::plain_type(field.data_type())))
        }
        _ => field.clone(),
    };
    Arc::new(Schema::new(stored.fields().iter().map(field).collect::<Vec<_>>()))
}

/// Rows of the used columns of a table in the types of that schema, with NULL in all others.
fn as_read(rows: &RecordBatch, schema: &SchemaRef, used: &[bool]) -> Result<RecordBatch> {
    let mut read = rows.columns().iter();
    let column = |(field, used): (&FieldRef, &bool)| match used.then(|| read.next()).flatten() {
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        Some(column) => match column.data_type() {
            DataType::FixedSizeBinary(_) => Ok(values::read_stored(column, field.data_type())?),
            _ => Ok(column.clone()),
        },
    };
    let columns = schema.fields().iter().zip(used).map(column).collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Takes the rows of all streams as they come, where there are several. A join asks for one side before the other, and a
/// job in which nobody takes one of its outputs stands still.
fn put_down(streams: Vec<RecordBatches>, spill: &Path, stop: &StopCheck) -> Result<Vec<RecordBatches>> {
    if streams.len() < 2 {
        return Ok(streams);
    }
    let memory_bytes = STREAMS_BYTES_MAX / streams.len();
    std::thread::scope(|scope| {
        let take = |rows: RecordBatches| {
            scope.spawn(move || {
                let resources = Resources { memory_bytes, folder: spill.to_owned(), stop: stop.clone() };
                bounded::put_down(rows, &resources)
            })
        };
        let taking: Vec<_> = streams.into_iter().map(take).collect();
        let panicked = |_| Err(Error::internal("what takes the rows of a stream ended without a word"));
        taking.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    })
}
