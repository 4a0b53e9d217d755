//! Batches that do not fit in memory, in files without names that vanish with their last users.

use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use dataflow::{Batch, Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A file gets no more batches when it has reached this size: while rows come as fast as they are read, what was read
/// is never all there is, and one file would only grow.
const FILE_BYTES: u64 = 64 << 20;

/// Where a batch lies.
#[derive(Clone, Debug)]
pub struct Place {
    file: Arc<File>,
    schema: SchemaRef,
    offset: u64,
    bytes: usize,
}

/// Files that batches are appended to, one after the other, and read from by their places.
pub struct SpillFile {
    folder: PathBuf,
    // The one that is written to.
    file: Option<Arc<File>>,
    end: u64,
}

impl SpillFile {
    /// Files in a folder; the first is made when the first batch is written.
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
        let failed = |error| Error::of_file(format!("rows cannot be spilled to {}", self.folder.display()), error);
        file.write_all_at(&bytes, self.end).map_err(failed)?;
        let place = Place { file, schema: batch.schema(), offset: self.end, bytes: bytes.len() };
        self.end += bytes.len() as u64;
        if self.end >= FILE_BYTES {
            self.clear();
        }
        Ok(place)
    }

    /// Begins a new file with the next batch. The old one goes when the last of its batches has been read.
    pub fn clear(&mut self) {
        (self.file, self.end) = (None, 0);
    }

    fn open(&mut self) -> Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let made = std::fs::create_dir_all(&self.folder).and_then(|()| tempfile::tempfile_in(&self.folder));
        let failed = |error| Error::of_file(format!("no file can be made in {}", self.folder.display()), error);
        let file = Arc::new(made.map_err(failed)?);
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

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use dataflow::RowOrder;
    use std::collections::VecDeque;
    use std::os::unix::fs::MetadataExt;

    fn batch(first: i64) -> Batch {
        let rows = 100_000;
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
        let columns = RecordBatch::try_from_iter([("value", values)]).unwrap();
        Batch::new(columns, (first..first + rows).collect(), vec![RowOrder::default(); rows as usize]).unwrap()
    }

    #[test]
    fn what_was_read_does_not_stay_on_disk_while_more_comes() {
        let folder = tempfile::tempdir().unwrap();
        let mut spill = SpillFile::new(folder.path().to_owned());
        let (mut places, mut written, mut most) = (VecDeque::<(i64, Place)>::new(), 0, 0);
        for turn in 0..150 {
            let place = spill.write(&batch(turn)).unwrap();
            written += place.bytes() as u64;
            places.push_back((turn, place));
            if places.len() > 10 {
                let (turn, place) = places.pop_front().unwrap();
                assert_eq!(place.read().unwrap().times()[0], turn);
            }
            let mut files: Vec<_> = places.iter().map(|(_, place)| place.file.metadata().unwrap()).collect();
            files.sort_by_key(MetadataExt::ino);
            files.dedup_by_key(|file| file.ino());
            most = most.max(files.iter().map(|file| file.len()).sum::<u64>());
        }
        assert!(written > 5 * FILE_BYTES, "{written} bytes are too few to tell");
        assert!(most < 3 * FILE_BYTES, "{most} bytes of files hold what is to be read of {written}");
    }
}
