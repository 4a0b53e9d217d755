//! The rows of a row group, in batches that are bounded in bytes as well as in rows.

use super::parquet_footer::Damage;
use arrow::array::RecordBatch;
use dataflow::rows_at_once;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;
use std::fs::File;

/// What the library says where the text of a batch is more than a column holds.
const TOO_MUCH: &str = "overflow";

/// Reads a row group from its first row to its last.
pub(super) struct GroupRows {
    file: File,
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    group: usize,
    batch_rows: usize,
    given: usize,
    reader: Option<ParquetRecordBatchReader>,
}

impl GroupRows {
    /// Reads the columns of a mask, at most so many rows at once.
    pub fn new(
        file: File,
        metadata: ArrowReaderMetadata,
        roots: &[usize],
        group: usize,
        batch_rows: usize,
    ) -> GroupRows {
        let of_group = metadata.metadata().row_group(group);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.iter().copied());
        let batch_rows = rows_of(of_group, &mask).min(batch_rows);
        GroupRows { file, metadata, mask, group, batch_rows, given: 0, reader: None }
    }

    /// The next rows; nobody asks again after an error.
    pub fn next(&mut self) -> Result<Option<RecordBatch>, Damage> {
        loop {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open()?,
            };
            match reader.next().transpose() {
                Ok(batch) => {
                    self.given += batch.as_ref().map_or(0, RecordBatch::num_rows);
                    self.reader = Some(reader);
                    return Ok(batch);
                }
                // A dictionary says nothing of how much text its rows come to.
                Err(error) if self.batch_rows > 1 && error.to_string().contains(TOO_MUCH) => self.batch_rows /= 8,
                Err(error) => return Err(error.into()),
            }
            self.batch_rows = self.batch_rows.max(1);
        }
    }

    fn open(&self) -> Result<ParquetRecordBatchReader, Damage> {
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.try_clone()?, self.metadata.clone());
        let builder = builder.with_projection(self.mask.clone()).with_row_groups(vec![self.group]);
        Ok(builder.with_offset(self.given).with_batch_size(self.batch_rows).build()?)
    }
}

/// How many rows of a group are read at once, by what its footer says.
fn rows_of(group: &RowGroupMetaData, mask: &ProjectionMask) -> usize {
    let read = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
    let bytes = read.map(|(_, column)| {
        column.uncompressed_size().max(column.unencoded_byte_array_data_bytes().unwrap_or_default()).max(0) as u64
    });
    rows_at_once(u64::try_from(group.num_rows()).unwrap_or_default(), bytes.fold(0, u64::saturating_add))
}
