//! Messages in the order of (time, event id), from files in the order of arrival.

use crate::events::DELAY_MS;
use crate::failure;
use crate::tables;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use dataflow::Result;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use std::path::PathBuf;

/// What the loops need of a message; columns that were not asked for are zero.
#[derive(Clone, Copy, Default)]
pub struct Row {
    pub ts: i64,
    pub event_id: i64,
    pub author_id: i64,
    pub guild_id: i64,
    pub content_hash: i64,
    pub content_len: i32,
    pub has_link: bool,
}

/// Reads messages and gives them out in order, each once all that come before it have been read.
pub struct Reorder {
    files: std::vec::IntoIter<PathBuf>,
    columns: &'static [&'static str],
    reader: Option<(PathBuf, ParquetRecordBatchReader)>,
    /// Rows that are read and not given out yet, sorted.
    held: Vec<Row>,
    sorted: Vec<Row>,
    keys: Vec<u64>,
    newest: i64,
}

impl Reorder {
    /// Reads some columns of files; `event_id`, `ts` and `author_id` must be among them.
    pub fn new(files: Vec<PathBuf>, columns: &'static [&'static str]) -> Self {
        Reorder {
            files: files.into_iter(),
            columns,
            reader: None,
            held: Vec::new(),
            sorted: Vec::new(),
            keys: Vec::new(),
            newest: i64::MIN,
        }
    }

    /// The next rows, never none; `None` at the end. Rows of equal time come together.
    pub fn next(&mut self) -> Result<Option<&[Row]>> {
        loop {
            let batch = self.next_batch()?;
            let done = batch.is_none();
            if let Some(batch) = batch {
                self.hold(&batch);
            }
            if done && self.held.is_empty() {
                return Ok(None);
            }
            let watermark = if done { i64::MAX } else { self.newest - DELAY_MS * 1000 };
            self.release(watermark);
            if !self.sorted.is_empty() {
                return Ok(Some(&self.sorted));
            }
        }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some((path, reader)) = &mut self.reader {
                match reader.next() {
                    Some(batch) => return batch.map(Some).map_err(|error| failure::file("read", path, error)),
                    None => self.reader = None,
                }
            }
            let Some(path) = self.files.next() else { return Ok(None) };
            let reader = tables::read(&path, self.columns)?;
            self.reader = Some((path, reader));
        }
    }

    fn hold(&mut self, batch: &RecordBatch) {
        let from = self.held.len();
        self.held.resize(from + batch.num_rows(), Row::default());
        let rows = &mut self.held[from..];
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let longs = match field.data_type() {
                DataType::Int64 => column.as_primitive::<Int64Type>().values(),
                DataType::Int32 => {
                    let values = column.as_primitive::<Int32Type>().values();
                    rows.iter_mut().zip(values).for_each(|(row, value)| row.content_len = *value);
                    continue;
                }
                DataType::Boolean => {
                    let values = column.as_boolean().values();
                    rows.iter_mut().zip(values).for_each(|(row, value)| row.has_link = value);
                    continue;
                }
                _ => column.as_primitive::<TimestampMicrosecondType>().values(),
            };
            let pairs = rows.iter_mut().zip(longs);
            match field.name().as_str() {
                "ts" => pairs.for_each(|(row, value)| row.ts = *value),
                "event_id" => pairs.for_each(|(row, value)| row.event_id = *value),
                "author_id" => pairs.for_each(|(row, value)| row.author_id = *value),
                "guild_id" => pairs.for_each(|(row, value)| row.guild_id = *value),
                _ => pairs.for_each(|(row, value)| row.content_hash = *value),
            }
        }
        self.newest = rows.iter().fold(self.newest, |newest, row| newest.max(row.ts));
    }

    /// Moves the rows up to the watermark from `held` to `sorted`, in order.
    fn release(&mut self, watermark: i64) {
        self.sorted.clear();
        let base = self.held.iter().map(|row| row.ts).min().unwrap_or_default();
        self.keys.clear();
        let key = |(place, row): (usize, &Row)| ((row.ts - base) as u64) << 24 | place as u64;
        self.keys.extend(self.held.iter().enumerate().map(key));
        sort_near(&mut self.keys);
        let up_to = ((watermark.min(base + (1 << 39)) - base).max(-1) + 1) as u64;
        let released = self.keys.partition_point(|key| key >> 24 < up_to);
        let place = |key: &u64| (*key & 0xff_ffff) as usize;
        self.sorted.extend(self.keys[..released].iter().map(|key| self.held[place(key)]));
        let rest: Vec<Row> = self.keys[released..].iter().map(|key| self.held[place(key)]).collect();
        self.held.clear();
        self.held.extend(rest);
        order_ties(&mut self.sorted);
    }
}

/// Sorts keys that are near their places: by insertion, and by a general sort when they are not near after all.
fn sort_near(keys: &mut [u64]) {
    let mut moves_left = keys.len() * 24;
    for place in 1..keys.len() {
        let key = keys[place];
        let mut to = place;
        while to > 0 && keys[to - 1] > key {
            keys[to] = keys[to - 1];
            to -= 1;
        }
        keys[to] = key;
        moves_left = moves_left.saturating_sub(place - to);
        if moves_left == 0 {
            return keys.sort_unstable();
        }
    }
}

/// Orders rows of equal time by their event id.
fn order_ties(rows: &mut [Row]) {
    let mut from = 0;
    while from + 1 < rows.len() {
        if rows[from].ts != rows[from + 1].ts {
            from += 1;
            continue;
        }
        let ts = rows[from].ts;
        let to = from + rows[from..].iter().take_while(|row| row.ts == ts).count();
        rows[from..to].sort_by_key(|row| row.event_id);
        from = to;
    }
}
