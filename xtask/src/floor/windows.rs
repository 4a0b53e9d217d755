//! W1: the trailing features of messages, per author and per guild, over six windows.
//!
//! One log in time order; four cursors sweep it, one per length. A row enters all windows once and leaves each once.

use super::index::{Last, Numbering};
use super::reorder::{Reorder, Row};
use crate::tables::{self, Output};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use dataflow::Result;
use parquet::basic::Compression;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MINUTE: i64 = 60_000_000;
/// One minute, ten minutes, an hour, a day.
const LENGTHS: [i64; 4] = [MINUTE, 10 * MINUTE, 60 * MINUTE, 24 * 60 * MINUTE];
const TEN_MINUTES: usize = 1;
const HOUR: usize = 2;

const INPUTS: [&str; 7] = ["event_id", "ts", "author_id", "guild_id", "content_len", "has_link", "content_hash"];
const COUNTS: [&str; 12] = [
    "a_cnt_1m",
    "a_cnt_10m",
    "a_cnt_1h",
    "a_cnt_24h",
    "a_sum_1m",
    "a_sum_10m",
    "a_sum_1h",
    "a_sum_24h",
    "a_dhash_10m",
    "a_dguild_1h",
    "g_cnt_1m",
    "g_cnt_10m",
];

/// A row of the log.
#[derive(Clone, Copy, Default)]
struct Entry {
    ts: i64,
    content_hash: i64,
    author: u32,
    guild: u32,
    content_len: i32,
    has_link: bool,
}

/// The log's rows that the longest window still holds, by their number since the start.
struct Log {
    entries: Vec<Entry>,
    mask: u64,
    end: u64,
}

impl Log {
    fn at(&self, row: u64) -> &Entry {
        &self.entries[(row & self.mask) as usize]
    }

    fn push(&mut self, entry: Entry, first: u64) {
        if self.end - first == self.entries.len() as u64 {
            let mask = self.mask * 2 + 1;
            let mut entries = vec![Entry::default(); mask as usize + 1];
            (first..self.end).for_each(|row| entries[(row & mask) as usize] = *self.at(row));
            (self.entries, self.mask) = (entries, mask);
        }
        self.entries[(self.end & self.mask) as usize] = entry;
        self.end += 1;
    }
}

/// What is known of an author.
#[derive(Clone, Copy, Default)]
struct Author {
    counts: [u32; 4],
    sums: [i64; 4],
    links: u32,
    hashes: u32,
    guilds: u32,
    seen: bool,
    previous: i64,
}

struct State {
    log: Log,
    cursors: [u64; 4],
    author_numbers: Numbering,
    guild_numbers: Numbering,
    authors: Vec<Author>,
    guilds: Vec<[u32; 2]>,
    hashes: Last,
    author_guilds: Last,
}

/// The output's columns for one batch.
#[derive(Default)]
struct Columns {
    event_id: Vec<i64>,
    author_id: Vec<i64>,
    ts: Vec<i64>,
    counts: [Vec<i64>; 12],
    average_len: Vec<f64>,
    link_ratio: Vec<f64>,
    since_previous: Vec<Option<f64>>,
}

/// Reads messages, writes their features.
pub fn windows(files: Vec<PathBuf>, output: &Path) -> Result<()> {
    let mut reorder = Reorder::new(files, &INPUTS);
    let schema = output_schema();
    let properties = tables::properties().set_dictionary_enabled(false);
    let properties = tables::packed(properties, &["event_id", "ts"]);
    let properties = tables::packed(properties, &COUNTS);
    let properties = properties.set_column_compression("author_id".into(), Compression::UNCOMPRESSED);
    let mut output = Output::create(output, schema.clone(), properties)?;
    let mut state = State::new();
    let mut numbers = Vec::new();
    while let Some(rows) = reorder.next()? {
        let columns = state.features(rows, &mut numbers);
        output.write(&columns.batch(schema.clone())?)?;
    }
    output.close()
}

fn output_schema() -> SchemaRef {
    let mut columns = vec![
        ("event_id", DataType::Int64, false),
        ("author_id", DataType::Int64, false),
        ("ts", tables::timestamp(), false),
    ];
    columns.extend(COUNTS.iter().map(|name| (*name, DataType::Int64, false)));
    columns.push(("a_avglen_1h", DataType::Float64, false));
    columns.push(("a_linkratio_10m", DataType::Float64, false));
    columns.push(("a_since_prev_s", DataType::Float64, true));
    tables::schema(&columns)
}

impl State {
    fn new() -> Self {
        State {
            log: Log { entries: vec![Entry::default(); 1024], mask: 1023, end: 0 },
            cursors: [0; 4],
            author_numbers: Numbering::new(),
            guild_numbers: Numbering::new(),
            authors: Vec::new(),
            guilds: Vec::new(),
            hashes: Last::new(),
            author_guilds: Last::new(),
        }
    }

    /// The features of rows that follow all rows before.
    fn features(&mut self, rows: &[Row], numbers: &mut Vec<(u32, u32)>) -> Columns {
        // Numbers are looked up for all rows first: these loads do not wait for each other.
        numbers.clear();
        let (authors, guilds) = (&mut self.author_numbers, &mut self.guild_numbers);
        numbers.extend(rows.iter().map(|row| (authors.number(row.author_id), guilds.number(row.guild_id))));
        self.authors.resize(self.author_numbers.len(), Author::default());
        self.guilds.resize(self.guild_numbers.len(), [0; 2]);
        let mut columns = Columns::with_capacity(rows.len());
        let mut from = 0;
        while from < rows.len() {
            let ts = rows[from].ts;
            let mut to = from;
            while to < rows.len() && rows[to].ts == ts {
                self.enter(&rows[to], numbers[to]);
                to += 1;
            }
            self.leave(ts);
            for place in from..to {
                let (author, guild) = numbers[place];
                columns.push(&rows[place], &mut self.authors[author as usize], &self.guilds[guild as usize]);
            }
            from = to;
        }
        columns
    }

    fn enter(&mut self, row: &Row, (author, guild): (u32, u32)) {
        let Row { ts, content_hash, content_len, has_link, .. } = *row;
        self.log.push(Entry { ts, content_hash, author, guild, content_len, has_link }, self.cursors[3]);
        let (log, place) = (&self.log, self.log.end - 1);
        let known = &mut self.authors[author as usize];
        for window in 0..LENGTHS.len() {
            known.counts[window] += 1;
            known.sums[window] += i64::from(content_len);
        }
        known.links += u32::from(has_link);
        known.hashes += u32::from(self.hashes.enter(place, |row| hash_key(log, row)));
        known.guilds += u32::from(self.author_guilds.enter(place, |row| guild_key(log, row)));
        let counts = &mut self.guilds[guild as usize];
        counts[0] += 1;
        counts[1] += 1;
    }

    /// Lets the rows go that no window at this time holds.
    fn leave(&mut self, ts: i64) {
        let log = &self.log;
        for (window, length) in LENGTHS.iter().enumerate() {
            let mut row = self.cursors[window];
            while log.at(row).ts < ts - length {
                let entry = log.at(row);
                let known = &mut self.authors[entry.author as usize];
                known.counts[window] -= 1;
                known.sums[window] -= i64::from(entry.content_len);
                if window <= TEN_MINUTES {
                    self.guilds[entry.guild as usize][window] -= 1;
                }
                if window == TEN_MINUTES {
                    known.links -= u32::from(entry.has_link);
                    known.hashes -= u32::from(self.hashes.leave(row, |row| hash_key(log, row)));
                } else if window == HOUR {
                    known.guilds -= u32::from(self.author_guilds.leave(row, |row| guild_key(log, row)));
                }
                row += 1;
            }
            self.cursors[window] = row;
        }
    }
}

fn hash_key(log: &Log, row: u64) -> (u32, i64) {
    let entry = log.at(row);
    (entry.author, entry.content_hash)
}

fn guild_key(log: &Log, row: u64) -> (u32, i64) {
    let entry = log.at(row);
    (entry.author, i64::from(entry.guild))
}

impl Columns {
    fn with_capacity(rows: usize) -> Self {
        Columns {
            event_id: Vec::with_capacity(rows),
            author_id: Vec::with_capacity(rows),
            ts: Vec::with_capacity(rows),
            counts: std::array::from_fn(|_| Vec::with_capacity(rows)),
            average_len: Vec::with_capacity(rows),
            link_ratio: Vec::with_capacity(rows),
            since_previous: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, row: &Row, author: &mut Author, guild: &[u32; 2]) {
        self.event_id.push(row.event_id);
        self.author_id.push(row.author_id);
        self.ts.push(row.ts);
        for window in 0..LENGTHS.len() {
            self.counts[window].push(i64::from(author.counts[window]));
            self.counts[4 + window].push(author.sums[window]);
        }
        self.counts[8].push(i64::from(author.hashes));
        self.counts[9].push(i64::from(author.guilds));
        self.counts[10].push(i64::from(guild[0]));
        self.counts[11].push(i64::from(guild[1]));
        self.average_len.push(author.sums[HOUR] as f64 / f64::from(author.counts[HOUR]));
        self.link_ratio.push(f64::from(author.links) / f64::from(author.counts[TEN_MINUTES]));
        self.since_previous.push(author.seen.then(|| (row.ts - author.previous) as f64 / 1e6));
        (author.seen, author.previous) = (true, row.ts);
    }

    fn batch(self, schema: SchemaRef) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(self.event_id)),
            Arc::new(Int64Array::from(self.author_id)),
            Arc::new(TimestampMicrosecondArray::from(self.ts)),
        ];
        columns.extend(self.counts.into_iter().map(|counts| Arc::new(Int64Array::from(counts)) as ArrayRef));
        columns.push(Arc::new(Float64Array::from(self.average_len)));
        columns.push(Arc::new(Float64Array::from(self.link_ratio)));
        columns.push(Arc::new(Float64Array::from(self.since_previous)));
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
