//! Batches that do not fit in memory, in a file without a name that vanishes with its last user.

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflow::{Batch, Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a batch lies in the file.
#[derive(Clone, Debug)]
pub struct Place {
    file: Arc<File>,
    schema: SchemaRef,
    offset: u64,
    bytes: usize,
}

/// A file that batches are appended to, and read from by their places.
pub struct SpillFile {
    folder: PathBuf,
    file: Option<Arc<File>>,
    end: u64,
}

impl SpillFile {
    /// A file in a folder; it is made when the first batch is written.
    pub fn new(folder: PathBuf) -> SpillFile {
        SpillFile { folder, file: None, end: 0 }
    }

    /// Writes a batch. Each lies there as a stream of its own, so that it can be read whatever comes after it.
    pub fn write(&mut self, batch: &Batch) -> Result<Place> {
        let rows = batch.to_record_batch()?;
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema())?;
        writer.write(&rows)?;
        writer.finish()?;
        drop(writer);
        let file = self.open()?;
        let failed = |error| {
            Error::unavailable(format!("rows cannot be spilled to {}", self.folder.display())).with_source(error)
        };
        file.write_all_at(&bytes, self.end).map_err(failed)?;
        let place = Place { file, schema: batch.schema(), offset: self.end, bytes: bytes.len() };
        self.end += bytes.len() as u64;
        Ok(place)
    }

    /// Forgets what was written, when all of it has been read.
    pub fn clear(&mut self) {
        // A new file is begun with the next batch; the old one goes with those that still read it.
        (self.file, self.end) = (None, 0);
    }

    fn open(&mut self) -> Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let made = std::fs::create_dir_all(&self.folder).and_then(|()| tempfile::tempfile_in(&self.folder));
        let file = Arc::new(made.map_err(|error| {
            Error::unavailable(format!("no file can be made in {}", self.folder.display())).with_source(error)
        })?);
        self.file = Some(file.clone());
        Ok(file)
    }
}

impl Place {
    /// The batch that lies here.
    pub fn read(&self) -> Result<Batch> {
        let mut bytes = vec![0; self.bytes];
        self.file
            .read_exact_at(&mut bytes, self.offset)
            .map_err(|error| Error::unavailable("spilled rows cannot be read").with_source(error))?;
        let mut reader = StreamReader::try_new(bytes.as_slice(), None)?;
        let rows = reader.next().ok_or_else(|| Error::internal("a spilled batch is empty"))??;
        Batch::from_record_batch(&self.schema, &rows)
    }

    /// How many bytes it takes on disk.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
