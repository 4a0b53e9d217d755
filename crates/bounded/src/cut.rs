//! Rows that are put aside until there is memory for them, cut by the hashes of their keys.

use crate::spill::{Run, RunWriter, Spill};
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use dataflow::Result;

/// How many parts rows are cut into at once.
const PARTS: usize = 16;

/// Files of rows; rows of one key lie in one of them.
pub(crate) struct Parts {
    schema: SchemaRef,
    spill: Spill,
    writers: [Option<RunWriter>; PARTS],
    // How often these rows were cut before: each time by other bits of the hash.
    depth: u32,
}

impl Parts {
    pub fn new(schema: SchemaRef, spill: Spill, depth: u32) -> Parts {
        Parts { schema, spill, writers: Default::default(), depth }
    }

    /// Puts some rows aside; `hashes` are those of all rows of the batch.
    pub fn write(&mut self, batch: &RecordBatch, rows: &[u32], hashes: &[u64]) -> Result<()> {
        let mut by_part: [Vec<u32>; PARTS] = Default::default();
        for &row in rows {
            by_part[(hashes[row as usize].rotate_left(4 * (self.depth + 1)) as usize) % PARTS].push(row);
        }
        for (part, rows) in by_part.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()) {
            let some = take_record_batch(batch, &UInt32Array::from(rows))?;
            let writer = match &mut self.writers[part] {
                Some(writer) => writer,
                none => none.insert(self.spill.writer(&self.schema)?),
            };
            writer.write(&some)?;
        }
        Ok(())
    }

    /// The parts that have rows.
    pub fn finish(self) -> Result<Vec<Run>> {
        self.writers.into_iter().flatten().map(RunWriter::finish).collect()
    }
}
