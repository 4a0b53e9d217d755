//! W5: each message with its author's profile as of its time.

use super::index::Numbering;
use super::reorder::{Reorder, Row};
use crate::failure;
use crate::tables::{self, Output};
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use dataflow::Result;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::basic::Compression;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Copy, Default)]
struct Profile {
    ts: i64,
    followers: i64,
    plan: i32,
    verified: bool,
    known: bool,
}

/// The profiles up to some time, from a file in time order.
struct Profiles {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    next: usize,
    numbers: Numbering,
    latest: Vec<Profile>,
}

impl Profiles {
    fn open(path: PathBuf) -> Result<Self> {
        let reader = tables::read(&path, &["ts", "author_id", "followers", "plan", "verified"])?;
        Ok(Profiles { path, reader, batch: None, next: 0, numbers: Numbering::new(), latest: Vec::new() })
    }

    /// Takes in all profiles up to and at a time.
    fn advance(&mut self, to: i64) -> Result<()> {
        loop {
            let Some(batch) = &self.batch else {
                match self.reader.next() {
                    None => return Ok(()),
                    Some(batch) => self.batch = Some(batch.map_err(|error| failure::file("read", &self.path, error))?),
                }
                self.next = 0;
                continue;
            };
            let times = batch.column(0).as_primitive::<TimestampMicrosecondType>().values();
            let authors = batch.column(1).as_primitive::<Int64Type>().values();
            let followers = batch.column(2).as_primitive::<Int64Type>().values();
            let plans = batch.column(3).as_primitive::<Int32Type>().values();
            let verified = batch.column(4).as_boolean().values();
            let mut row = self.next;
            while row < times.len() && times[row] <= to {
                let number = self.numbers.number(authors[row]) as usize;
                if number == self.latest.len() {
                    self.latest.push(Profile::default());
                }
                self.latest[number] = Profile {
                    ts: times[row],
                    followers: followers[row],
                    plan: plans[row],
                    verified: verified.value(row),
                    known: true,
                };
                row += 1;
            }
            self.next = row;
            if row < times.len() {
                return Ok(());
            }
            self.batch = None;
        }
    }

    fn of(&mut self, author_id: i64) -> Profile {
        let number = self.numbers.number(author_id) as usize;
        if number == self.latest.len() {
            self.latest.push(Profile::default());
        }
        self.latest[number]
    }
}

/// Reads messages and profiles, writes messages with profiles.
pub fn as_of(files: Vec<PathBuf>, profiles: PathBuf, output: &Path) -> Result<()> {
    let mut reorder = Reorder::new(files, &["event_id", "ts", "author_id"]);
    let mut profiles = Profiles::open(profiles)?;
    let schema = output_schema();
    let properties = tables::properties().set_dictionary_enabled(false);
    let properties = tables::packed(properties, &["event_id", "ts", "profile_ts", "followers", "plan"]);
    let properties = properties.set_column_compression("author_id".into(), Compression::UNCOMPRESSED);
    let mut output = Output::create(output, schema.clone(), properties)?;
    while let Some(rows) = reorder.next()? {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            profiles.advance(row.ts)?;
            found.push(profiles.of(row.author_id));
        }
        output.write(&batch(rows, &found, schema.clone())?)?;
    }
    output.close()
}

fn output_schema() -> SchemaRef {
    tables::schema(&[
        ("event_id", DataType::Int64, false),
        ("author_id", DataType::Int64, false),
        ("ts", tables::timestamp(), false),
        ("profile_ts", tables::timestamp(), true),
        ("followers", DataType::Int64, true),
        ("plan", DataType::Int32, true),
        ("verified", DataType::Boolean, true),
    ])
}

fn batch(rows: &[Row], found: &[Profile], schema: SchemaRef) -> Result<RecordBatch> {
    let known = || found.iter().map(|profile| profile.known.then_some(profile));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.event_id))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.author_id))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.ts))),
        Arc::new(TimestampMicrosecondArray::from_iter(known().map(|profile| Some(profile?.ts)))),
        Arc::new(Int64Array::from_iter(known().map(|profile| Some(profile?.followers)))),
        Arc::new(Int32Array::from_iter(known().map(|profile| Some(profile?.plan)))),
        Arc::new(BooleanArray::from_iter(known().map(|profile| Some(profile?.verified)))),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}
