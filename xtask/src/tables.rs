//! Parquet files of Arrow columns: how the inputs are laid out, and how the floor reads and writes.

use crate::events::{Message, Profile};
use crate::failure;
use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use dataflow::Result;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The rows of a row group.
const GROUP_ROWS_MAX: usize = 131_072;
/// The rows that are read or written at once.
pub const BATCH_ROWS: usize = 16_384;

/// UTC microseconds, as SQL's TIMESTAMP.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// A schema of columns that hold no NULL unless they say so.
pub fn schema(columns: &[(&str, DataType, bool)]) -> SchemaRef {
    let field = |(name, kind, nullable): &(&str, DataType, bool)| Field::new(*name, kind.clone(), *nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// The columns of messages.
pub fn message_schema() -> SchemaRef {
    schema(&[
        ("event_id", DataType::Int64, false),
        ("ts", timestamp(), false),
        ("author_id", DataType::Int64, false),
        ("guild_id", DataType::Int64, false),
        ("channel_id", DataType::Int64, false),
        ("account_age_s", DataType::Int64, false),
        ("content_len", DataType::Int32, false),
        ("has_link", DataType::Boolean, false),
        ("mention_count", DataType::Int32, false),
        ("content_hash", DataType::Int64, false),
        ("is_edit", DataType::Boolean, false),
    ])
}

/// Messages as columns.
pub fn message_batch(rows: &[&Message]) -> Result<RecordBatch> {
    let long = |value: fn(&Message) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| value(row))))
    };
    let int = |value: fn(&Message) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| value(row))))
    };
    let flag = |value: fn(&Message) -> bool| -> ArrayRef {
        Arc::new(BooleanArray::from(rows.iter().map(|row| value(row)).collect::<Vec<_>>()))
    };
    let ts = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.ts_ms * 1000));
    let columns = vec![
        long(|row| row.event_id),
        Arc::new(ts) as ArrayRef,
        long(|row| row.author_id),
        long(|row| row.guild_id),
        long(|row| row.channel_id),
        long(|row| row.account_age_s),
        int(|row| row.content_len),
        flag(|row| row.has_link),
        int(|row| row.mention_count),
        long(|row| row.content_hash),
        flag(|row| row.is_edit),
    ];
    Ok(RecordBatch::try_new(message_schema(), columns)?)
}

/// The columns of profiles.
pub fn profile_schema() -> SchemaRef {
    schema(&[
        ("ts", timestamp(), false),
        ("author_id", DataType::Int64, false),
        ("followers", DataType::Int64, false),
        ("plan", DataType::Int32, false),
        ("verified", DataType::Boolean, false),
    ])
}

/// Profiles as columns.
pub fn profile_batch(rows: &[Profile]) -> Result<RecordBatch> {
    let columns = vec![
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.ts_ms * 1000))) as ArrayRef,
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.author_id))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.followers))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.plan))),
        Arc::new(BooleanArray::from(rows.iter().map(|row| row.verified).collect::<Vec<_>>())),
    ];
    Ok(RecordBatch::try_new(profile_schema(), columns)?)
}

/// What all files are written with.
pub fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX))
}

/// Stores columns of integers as packed differences, which a general compressor then cannot make smaller.
pub fn packed(properties: WriterPropertiesBuilder, columns: &[&str]) -> WriterPropertiesBuilder {
    columns.iter().fold(properties, |properties, name| {
        let properties = properties.set_column_encoding((*name).into(), Encoding::DELTA_BINARY_PACKED);
        let properties = properties.set_column_dictionary_enabled((*name).into(), false);
        properties.set_column_compression((*name).into(), Compression::UNCOMPRESSED)
    })
}

/// A Parquet file under way.
pub struct Output<'a> {
    path: &'a Path,
    writer: ArrowWriter<File>,
}

impl<'a> Output<'a> {
    /// Begins a file.
    pub fn create(path: &'a Path, schema: SchemaRef, properties: WriterPropertiesBuilder) -> Result<Self> {
        let file = File::create(path).map_err(|error| failure::file("make", path, error))?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties.build()))
            .map_err(|error| failure::file("begin", path, error))?;
        Ok(Output { path, writer })
    }

    /// Adds rows.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).map_err(|error| failure::file("write", self.path, error))
    }

    /// Ends the file.
    pub fn close(self) -> Result<()> {
        self.writer.close().map_err(|error| failure::file("end", self.path, error))?;
        Ok(())
    }
}

/// Opens a Parquet file for some of its columns.
pub fn read(path: &Path, columns: &[&str]) -> Result<ParquetRecordBatchReader> {
    let failed = |error| failure::file("read", path, error);
    let file = File::open(path).map_err(|error| failure::file("open", path, error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(failed)
}
