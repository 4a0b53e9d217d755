//! Sorted runs of history rows in temporary files, for what exceeds the memory bound.

use super::share_rows::ShareRows;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflow::{Error, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::path::Path;

/// A run being written: batches in (`_time`, `_ord`) order. The file has no name and vanishes with its last user.
pub(crate) struct RunWriter {
    writer: StreamWriter<BufWriter<File>>,
    schema: SchemaRef,
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
        let stored = ShareRows::stored_schema(schema);
        let writer = StreamWriter::try_new(BufWriter::new(file), &stored).map_err(cannot_write)?;
        Ok(RunWriter { writer, schema: schema.clone(), firsts: VecDeque::new() })
    }

    /// Writes the next rows of the run.
    pub fn write(&mut self, batch: &ShareRows) -> Result<()> {
        if batch.rows().rows() == 0 {
            return Ok(());
        }
        let rows = batch.to_record_batch()?;
        self.writer.write(&rows).map_err(cannot_write)?;
        self.firsts.push_back(batch.rows().times()[0]);
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
    pub fn next(&mut self) -> Result<Option<ShareRows>> {
        let Some(rows) = self.reader.next() else {
            return Ok(None);
        };
        let rows = rows?;
        self.firsts.pop_front();
        Ok(Some(ShareRows::from_record_batch(&self.schema, &rows)?))
    }
}

fn cannot_write(error: arrow::error::ArrowError) -> Error {
    Error::unavailable("rows that exceed the memory bound cannot be written to a temporary file").with_source(error)
}
