//! Rows that do not fit in memory, in files without names.

use crate::stop::StopCheck;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflow::{Error, RecordBatches, Result};
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The folder of the files; it is made with the first of them.
#[derive(Clone, Debug)]
pub(crate) struct Spill {
    folder: PathBuf,
    pub stop: StopCheck,
}

/// Rows on their way into a file.
pub(crate) struct RunWriter {
    writer: StreamWriter<BufWriter<File>>,
    folder: PathBuf,
    stop: StopCheck,
}

/// Rows in a file, which goes with its last reader.
#[derive(Debug)]
pub(crate) struct Run {
    file: File,
    stop: StopCheck,
}

/// How many bytes the rows of a batch take. They may lie in buffers that many batches share.
pub(crate) fn bytes_of(rows: &RecordBatch) -> usize {
    let of = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or(column.get_array_memory_size());
    rows.columns().iter().map(of).sum()
}

impl Spill {
    pub fn new(folder: PathBuf, stop: StopCheck) -> Spill {
        Spill { folder, stop }
    }

    /// Begins a file of rows.
    pub fn writer(&self, schema: &SchemaRef) -> Result<RunWriter> {
        let made = std::fs::create_dir_all(&self.folder).and_then(|()| tempfile::tempfile_in(&self.folder));
        let file =
            made.map_err(|error| Error::of_file(format!("no file can be made in {}", self.folder.display()), error))?;
        let writer = StreamWriter::try_new(BufWriter::new(file), schema);
        let writer = writer.map_err(|error| failed(&self.folder, error))?;
        Ok(RunWriter { writer, folder: self.folder.clone(), stop: self.stop.clone() })
    }
}

impl RunWriter {
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).map_err(|error| failed(&self.folder, error))
    }

    pub fn finish(self) -> Result<Run> {
        let RunWriter { writer, folder, stop } = self;
        let written = writer
            .into_inner()
            .and_then(|buffer| buffer.into_inner().map_err(|error| ArrowError::from(error.into_error())));
        Ok(Run { file: written.map_err(|error| failed(&folder, error))?, stop })
    }
}

impl Run {
    /// The rows, from the first on. One reader at a time: they share the place in the file.
    pub fn read(&self) -> Result<RecordBatches> {
        let unreadable = |error| Error::unavailable("spilled rows cannot be read").with_source(error);
        let mut file = self.file.try_clone().map_err(unreadable)?;
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let reader = StreamReader::try_new(BufReader::new(file), None)?;
        Ok(self.stop.watch(Box::new(reader.map(|rows| rows.map_err(Error::from)))))
    }
}

fn failed(folder: &Path, error: ArrowError) -> Error {
    let failed = format!("rows cannot be spilled to {}", folder.display());
    match error {
        ArrowError::IoError(_, error) => Error::of_file(failed, error),
        other => Error::unavailable(failed).with_source(other),
    }
}
