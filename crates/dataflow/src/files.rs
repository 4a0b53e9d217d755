//! Bounded inputs: files with bounds, read in whatever order the reader needs.

use crate::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// The least and greatest value of a timestamp column in a file, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least value that is not NULL.
    pub min: i64,
    /// The greatest value that is not NULL.
    pub max: i64,
    /// How many values are NULL.
    pub nulls: u64,
}

/// A file of rows, as a table's manifest or the file's own footer describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFile {
    /// The path, for messages to people.
    pub path: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// Bounds of timestamp columns by name, where they are known.
    pub bounds: Vec<(String, Bounds)>,
}

/// The rows of a file, in the sequence of the file.
pub type RecordBatches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// A fixed set of files with one schema: a snapshot of a table, or files in a folder.
pub trait TimedFiles: Send + Sync {
    /// The name of the table or the pattern of the files, for messages to people.
    fn name(&self) -> &str;
    /// The schema of all files.
    fn schema(&self) -> SchemaRef;
    /// All files.
    fn files(&self) -> &[TimedFile];
    /// Properties recorded with the set (a table's properties and its snapshot's summary), e.g. `riverrun.frontier`.
    fn property(&self, key: &str) -> Option<String>;
    /// Opens a file and reads the named columns of it, in the order of the names, in batches of about `batch_rows`.
    /// A column that the file lacks but the schema has comes as NULLs.
    fn open(&self, file: usize, columns: &[String], batch_rows: usize) -> Result<RecordBatches>;
}
