//! Bounded inputs: files with bounds, read in whatever order the reader needs.

use crate::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::ops::Range;

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

/// Rows of a file that can be read without those before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowGroup {
    /// How many rows it has; `None` when only the file itself says so.
    pub rows: Option<u64>,
    /// Bounds of timestamp columns by name, where they are known; where they are not, those of the file hold.
    pub bounds: Vec<(String, Bounds)>,
}

/// A file of rows, as a table's manifest or the file's own footer describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedFile {
    /// The path, for messages to people.
    pub path: String,
    /// How many rows it has, those among them that are deleted.
    pub rows: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// Bounds of timestamp columns by name, where they are known.
    pub bounds: Vec<(String, Bounds)>,
    /// Its row groups, in the sequence of the file. Never empty: a file that cannot be cut is one group.
    pub groups: Vec<RowGroup>,
    /// A number that is another one where other rows of the file are deleted, as a table may do without writing it anew;
    /// `None` where none are. Bounds count those rows too, and only reading tells how many come of a row group.
    pub deletes: Option<u64>,
}

impl TimedFile {
    /// A file that is one row group.
    pub fn of_one_group(path: String, rows: u64, bytes: u64, bounds: Vec<(String, Bounds)>) -> TimedFile {
        let groups = vec![RowGroup { rows: Some(rows), bounds: Vec::new() }];
        TimedFile { path, rows, bytes, bounds, groups, deletes: None }
    }

    /// The range of all its row groups, which is what [`TimedFiles::open`] takes for the whole file.
    pub fn all_groups(&self) -> Range<usize> {
        0..self.groups.len()
    }
}

/// Rows of a file, in the sequence of the file.
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
    /// Opens a range of the row groups of a file and reads the named columns of them, in the order of the names, in
    /// batches of about `batch_rows`. A column that the file lacks but the schema has comes as NULLs.
    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches>;
}
