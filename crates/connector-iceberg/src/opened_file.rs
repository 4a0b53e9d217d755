//! Parquet files that a manifest names: opened, checked against what it tells of them, and read with errors that name them.

use crate::failure;
use crate::object_files::is_local;
use crate::storage::path_of;
use crate::stored_file::{StoredFile, StoredFiles};
use arrow::array::RecordBatch;
use dataflow::{Error, Result, guarded, rows_at_once};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;

/// A file as a manifest tells of it.
#[derive(Clone, Copy)]
pub struct NamedFile<'a> {
    /// The table, for messages to people.
    pub table: &'a str,
    /// `data file` or `delete file`.
    pub kind: &'static str,
    /// Its path on a disk, or its location in a store.
    pub path: &'a str,
    /// How many bytes it has.
    pub bytes: u64,
    /// How many rows it has.
    pub rows: u64,
}

/// The path of a file on a disk of this machine, or its location elsewhere.
pub fn path_at(location: &str) -> String {
    if is_local(location) { path_of(location).display().to_string() } else { location.to_owned() }
}

impl NamedFile<'_> {
    /// The file, for messages to people.
    pub fn place(&self) -> String {
        format!("table \"{}\": {} \"{}\"", self.table, self.kind, self.path)
    }

    /// What is wrong with it, as an error.
    pub fn failed(&self, what: &str) -> Error {
        Error::corrupt(format!("{} {what}", self.place()))
    }

    /// The error of a file that is damaged.
    fn broken(&self, error: ParquetError) -> Error {
        self.failed("is not whole or not Parquet; restore the file").with_source(error)
    }

    /// Opens it, if it has the size that the manifest tells.
    pub fn open(&self, stores: &StoredFiles) -> Result<StoredFile> {
        let doing = || format!("{} cannot be opened", self.place());
        let opened = stores.open(self.path, self.bytes, &doing)?;
        let bytes = opened.size().map_err(|error| failure::file(doing(), error))?;
        if bytes != self.bytes {
            return Err(self.failed(&format!("has {bytes} bytes, expected {}; restore the file", self.bytes)));
        }
        Ok(opened)
    }

    /// Reads its footer.
    pub fn footer(&self, opened: &StoredFile) -> Result<ArrowReaderMetadata> {
        // The types come from Parquet's own schema: what a writer noted of its Arrow types may differ per file.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let load = || {
            let read = ArrowReaderMetadata::load(opened, options).and_then(with_int96_as_micros);
            read.map_err(|error| match opened.take_failure() {
                Some(failure) => failure.context(format!("{} cannot be read", self.place())),
                None => self.broken(error),
            })
        };
        guarded(|why| self.broken(ParquetError::General(why.to_owned())), load)
    }

    /// Refuses a footer that has another number of rows than the manifest tells.
    pub fn check_rows(&self, footer: &ArrowReaderMetadata) -> Result<()> {
        let rows = footer.metadata().file_metadata().num_rows();
        if u64::try_from(rows) == Ok(self.rows) {
            return Ok(());
        }
        Err(self.failed(&format!("has {rows} rows, expected {}; restore the file", self.rows)))
    }

    /// Reads root columns of some of its row groups, in batches of about so many rows.
    pub fn read(
        &self,
        opened: StoredFile,
        footer: ArrowReaderMetadata,
        (roots, groups): (&[usize], Vec<usize>),
        batch_rows: usize,
    ) -> Result<StoredRows> {
        let reads = opened.clone();
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, footer);
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots.iter().copied());
        reads.plan(builder.metadata(), &mask, &groups);
        let of_groups = groups.iter().map(|&group| rows_of(builder.metadata().row_group(group), &mask));
        let batch_rows = of_groups.fold(batch_rows, usize::min).max(1);
        let open = || {
            let builder = builder.with_projection(mask).with_row_groups(groups).with_batch_size(batch_rows);
            builder.build().map_err(|error| self.broken(error))
        };
        let reader = guarded(|why| self.broken(ParquetError::General(why.to_owned())), open)?;
        Ok(StoredRows { place: self.place(), reads, reader: Some(reader) })
    }
}

/// How many rows of a row group are read at once, by what the footer says of the columns.
fn rows_of(group: &RowGroupMetaData, mask: &ProjectionMask) -> usize {
    let read = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
    let bytes =
        read.map(|(_, column)| column.uncompressed_size().max(column.unencoded_byte_array_data_bytes().unwrap_or(0)));
    let bytes = bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0)).fold(0, u64::saturating_add);
    rows_at_once(u64::try_from(group.num_rows()).unwrap_or(0), bytes)
}

/// The same footer, where timestamps of 96 bits are read as microseconds.
fn with_int96_as_micros(metadata: ArrowReaderMetadata) -> std::result::Result<ArrowReaderMetadata, ParquetError> {
    let leaves = metadata.metadata().file_metadata().schema_descr().columns();
    let is_int96 = |leaf: usize| leaves.get(leaf).is_some_and(|leaf| leaf.physical_type() == PhysicalType::INT96);
    let Some(schema) = values::int96_as_micros(metadata.schema(), is_int96) else { return Ok(metadata) };
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true).with_schema(schema);
    ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
}

/// Rows of one file as it stores them. Nothing comes after an error.
pub struct StoredRows {
    place: String,
    // What the reader reads.
    reads: StoredFile,
    // Until it has failed.
    reader: Option<ParquetRecordBatchReader>,
}

impl Iterator for StoredRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        let mut reader = self.reader.take()?;
        let damaged = |why: Box<dyn std::error::Error + Send + Sync>| {
            if let Some(failure) = self.reads.take_failure() {
                return failure.context(format!("{} cannot be read", self.place));
            }
            Error::corrupt(format!("{} cannot be read; restore the file", self.place)).with_source(why)
        };
        let next = || reader.next().transpose().map_err(|error| damaged(error.into()));
        let batch = match guarded(|why| damaged(why.into()), next) {
            Ok(batch) => batch?,
            Err(error) => return Some(Err(error)),
        };
        self.reader = Some(reader);
        Some(Ok(batch))
    }
}
