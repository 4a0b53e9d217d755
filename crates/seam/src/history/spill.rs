//! Sorted runs of history rows in temporary files, for what exceeds the memory bound.

use super::share_rows::ShareRows;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflow::{Error, Result};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A run being written: batches in (`_time`, `_ord`) order. The file has no name and vanishes with its last user.
pub(crate) struct RunWriter {
    writer: StreamWriter<BufWriter<File>>,
    dir: PathBuf,
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
        let file = open().map_err(|error| cannot_write(dir, error))?;
        let stored = ShareRows::stored_schema(schema);
        let writer = StreamWriter::try_new(BufWriter::new(file), &stored).map_err(|error| of_arrow(dir, error))?;
        Ok(RunWriter { writer, dir: dir.to_owned(), schema: schema.clone(), firsts: VecDeque::new() })
    }

    /// Writes the next rows of the run.
    pub fn write(&mut self, batch: &ShareRows) -> Result<()> {
        if batch.rows().rows() == 0 {
            return Ok(());
        }
        let rows = batch.to_record_batch()?;
        self.writer.write(&rows).map_err(|error| of_arrow(&self.dir, error))?;
        self.firsts.push_back(batch.rows().times()[0]);
        Ok(())
    }

    /// Ends the run, and gives it for reading with its size in bytes.
    pub fn finish(mut self) -> Result<(Run, u64)> {
        let dir = &self.dir;
        self.writer.finish().map_err(|error| of_arrow(dir, error))?;
        let file = self.writer.into_inner().map_err(|error| of_arrow(dir, error))?;
        let mut file = file.into_inner().map_err(|error| cannot_write(dir, error.into_error()))?;
        let bytes = file.stream_position().map_err(|error| cannot_read(dir, error))?;
        file.seek(SeekFrom::Start(0)).map_err(|error| cannot_read(dir, error))?;
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

/// What is wrong when a file in a folder cannot be written, and what to do.
pub(crate) fn cannot_write(dir: &Path, error: io::Error) -> Error {
    let dir = dir.display();
    Error::of_file(format!("rows that exceed the memory bound cannot be written to a temporary file in {dir}"), error)
}

/// What is wrong when what was written to a file in a folder cannot be read.
pub(crate) fn cannot_read(dir: &Path, error: io::Error) -> Error {
    Error::unavailable(format!("a temporary file in {} cannot be read", dir.display())).with_source(error)
}

fn of_arrow(dir: &Path, error: ArrowError) -> Error {
    match error {
        ArrowError::IoError(_, error) => cannot_write(dir, error),
        other => Error::internal("rows cannot be written to a temporary file").with_source(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_takes_no_more_is_told_with_its_folder_and_what_to_do() {
        for (kind, what) in
            [(io::ErrorKind::StorageFull, "free some space"), (io::ErrorKind::FileTooLarge, "ulimit -f")]
        {
            let error = ArrowError::IoError("a write".to_owned(), io::Error::from(kind));
            let told = of_arrow(Path::new("/lake/spill"), error).to_string();
            assert!(told.contains("/lake/spill") && told.contains(what), "{told}");
        }
    }
}
