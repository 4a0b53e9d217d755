//! Sorted runs of history rows in temporary files, for what exceeds the memory bound.

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflow::{Batch, Error, Result, RowOrder};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

/// A run being written: batches in (`_time`, `_ord`) order. The file has no name and vanishes with its last user.
pub(crate) struct RunWriter {
    writer: StreamWriter<BufWriter<File>>,
    schema: SchemaRef,
    stored: SchemaRef,
    firsts: VecDeque<i64>,
}

/// A run being read, batch by batch.
pub(crate) struct Run {
    reader: StreamReader<BufReader<File>>,
    schema: SchemaRef,
    // The least time of each batch that is still to be read.
    firsts: VecDeque<i64>,
}

impl RunWriter {
    /// A new run in a folder, which is made when it is not there.
    pub fn create(dir: &Path, schema: &SchemaRef) -> Result<RunWriter> {
        let open = || {
            std::fs::create_dir_all(dir)?;
            tempfile::tempfile_in(dir)
        };
        let file = open().map_err(|error| {
            Error::unavailable(format!("no temporary file can be made in {}", dir.display())).with_source(error)
        })?;
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        for (name, data_type) in [
            ("_time", DataType::Int64),
            ("_ord_high", DataType::UInt64),
            ("_ord_low", DataType::UInt64),
            ("_late", DataType::Boolean),
        ] {
            fields.push(Arc::new(Field::new(name, data_type, false)));
        }
        let stored = Arc::new(Schema::new(fields));
        let writer = StreamWriter::try_new(BufWriter::new(file), &stored).map_err(cannot_write)?;
        Ok(RunWriter { writer, schema: schema.clone(), stored, firsts: VecDeque::new() })
    }

    /// Writes the next rows of the run.
    pub fn write(&mut self, batch: &Batch) -> Result<()> {
        if batch.rows() == 0 {
            return Ok(());
        }
        let half = |shift: u32| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(batch.orders().iter().map(|&order| (order as u128 >> shift) as u64)))
        };
        let mut columns = batch.columns().columns().to_vec();
        columns.push(Arc::new(Int64Array::new(batch.times().clone(), None)));
        columns.extend([half(64), half(0), batch.late_column()]);
        let rows = RecordBatch::try_new(self.stored.clone(), columns)?;
        self.writer.write(&rows).map_err(cannot_write)?;
        self.firsts.push_back(batch.times()[0]);
        Ok(())
    }

    /// Ends the run, and gives it for reading with its size in bytes.
    pub fn finish(mut self) -> Result<(Run, u64)> {
        self.writer.finish().map_err(cannot_write)?;
        let file = self.writer.into_inner().map_err(cannot_write)?;
        let read = |error: std::io::Error| Error::unavailable("a temporary file cannot be read").with_source(error);
        let mut file = file.into_inner().map_err(|error| read(error.into_error()))?;
        let bytes = file.stream_position().map_err(read)?;
        file.seek(SeekFrom::Start(0)).map_err(read)?;
        let reader = StreamReader::try_new(BufReader::new(file), None)?;
        Ok((Run { reader, schema: self.schema, firsts: self.firsts }, bytes))
    }
}

impl Run {
    /// The least time that is still to be read.
    pub fn first(&self) -> Option<i64> {
        self.firsts.front().copied()
    }

    /// The next rows; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Batch>> {
        let Some(rows) = self.reader.next() else {
            return Ok(None);
        };
        let rows = rows?;
        self.firsts.pop_front();
        let declared = self.schema.fields().len();
        let columns = RecordBatch::try_new(self.schema.clone(), rows.columns()[..declared].to_vec())?;
        let times = rows.column(declared).as_primitive::<Int64Type>().values().to_vec();
        let high = rows.column(declared + 1).as_primitive::<UInt64Type>();
        let low = rows.column(declared + 2).as_primitive::<UInt64Type>();
        let orders =
            high.values().iter().zip(low.values()).map(|(&high, &low)| RowOrder::of_hashes(high, low)).collect();
        let late: &BooleanArray = rows.column(declared + 3).as_boolean();
        let batch = Batch::new(columns, times, orders)?;
        Ok(Some(if late.true_count() > 0 { batch.with_late(late.values().clone())? } else { batch }))
    }
}

fn cannot_write(error: arrow::error::ArrowError) -> Error {
    Error::unavailable("rows that exceed the memory bound cannot be written to a temporary file").with_source(error)
}
