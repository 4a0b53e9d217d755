//! Rows in memory that are read as files are.

use crate::{RecordBatches, Result, TimedFile, TimedFiles};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use std::ops::Range;

/// Files whose rows are in memory, such as those that a test gives.
///
/// ```
/// use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use dataflow::{MemoryFiles, TimedFile, TimedFiles};
/// let ids: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2, 3]));
/// let rows = RecordBatch::try_from_iter([("id", ids)])?;
/// let file = TimedFile::of_one_group("given".to_owned(), 3, 24, vec![]);
/// let files = MemoryFiles::new("given".to_owned(), rows.schema(), vec![(file, vec![rows])]);
/// let batches = files.open(0, 0..1, &["id".to_owned()], 2)?;
/// assert_eq!(batches.map(|batch| batch.unwrap().num_rows()).collect::<Vec<_>>(), [2, 1]);
/// # Ok::<(), dataflow::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryFiles {
    name: String,
    schema: SchemaRef,
    files: Vec<TimedFile>,
    // By file: the rows of each of its row groups.
    groups: Vec<Vec<RecordBatch>>,
}

impl MemoryFiles {
    /// Files with the rows of their row groups, which have the columns of the schema.
    pub fn new(name: String, schema: SchemaRef, files: Vec<(TimedFile, Vec<RecordBatch>)>) -> MemoryFiles {
        let (files, groups) = files.into_iter().unzip();
        MemoryFiles { name, schema, files, groups }
    }
}

impl TimedFiles for MemoryFiles {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn files(&self) -> &[TimedFile] {
        &self.files
    }

    fn property(&self, _: &str) -> Option<String> {
        None
    }

    fn open(&self, file: usize, groups: Range<usize>, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let indexes = columns.iter().map(|name| Ok(self.schema.index_of(name)?)).collect::<Result<Vec<_>>>()?;
        let rows = concat_batches(&self.schema, &self.groups[file][groups])?.project(&indexes)?;
        let cuts = (0..rows.num_rows()).step_by(batch_rows.max(1));
        Ok(Box::new(cuts.map(move |from| Ok(rows.slice(from, batch_rows.min(rows.num_rows() - from))))))
    }
}
