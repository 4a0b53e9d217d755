//! Reads the rows of a set of files in (`_time`, `_ord`) order, with bounded memory however the files overlap.
//!
//! Every file, and every run that was spilled, has a *least unread time*: from the file's bounds at first, then from
//! a look at its time columns alone, then from the rows themselves. Rows before the least of these can leave; the
//! part that has it is the one to be read next.
//!
//! ```text
//! file 1  ====|----            = given out, - in memory, . not read
//! file 2    ==|-----....
//! file 3      |  ..........
//!             ^ the least unread time is that of file 3: it is read next
//! ```

use crate::held::Held;
use crate::placing::{Aside, Layout, event_time, instants};
use crate::spill::{Run, RunWriter};
use crate::{BadRows, StreamSpec, StreamStats};
use arrow::array::{Array, RecordBatch};
use dataflow::{Batch, Bounds, Error, EventTime, RecordBatches, Result, TimedFile, TimedFiles};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// About how many rows leave in one sort, unless they are wide.
const CUT_ROWS: usize = 32_768;
/// How many rows are read from a file at once, unless many files are open or rows are wide.
const CHUNK_ROWS: usize = 8_192;
/// How many rows are read from a file at once at least.
const CHUNK_ROWS_MIN: usize = 128;
/// A file of at most so many decoded bytes is read whole, without a look at its times before.
const WHOLE_BYTES_MAX: usize = 64 << 20;
/// How many files are open at once at most, but for one that is read whole.
const OPEN_FILES_MAX: usize = 200;
/// How many chunks one call reads at most.
const CHUNKS_PER_CALL: usize = 64;
/// Rows per batch of a spilled run.
const RUN_ROWS: usize = 4_096;

/// The rows of a history, in order.
pub(crate) struct History {
    spec: StreamSpec,
    files: Arc<dyn TimedFiles>,
    layout: Layout,
    stats: Arc<StreamStats>,
    spill_dir: PathBuf,
    memory_bytes: usize,
    row_bytes: usize,
    chunk_rows: usize,
    parts: Vec<Part>,
    // The parts that are not read to their end, by their least unread time.
    unread: BinaryHeap<Reverse<(i64, usize)>>,
    open_files: usize,
    held: Held,
    // Bytes read from files since rows were spilled: only these are worth spilling.
    fresh_bytes: usize,
    ready: Batch,
    ready_given: usize,
    // Every row before this was made ready.
    bound: i64,
    // Rows that leave at other ports, until they are taken.
    aside: Aside,
}

enum Part {
    /// A file that is not open; `least` are the least times from each chunk on, once they are known.
    File {
        file: usize,
        least: Option<Vec<i64>>,
    },
    Open(OpenFile),
    Run(Run),
    Ended,
}

struct OpenFile {
    file: usize,
    rows: RecordBatches,
    rows_read: usize,
    chunk_rows: usize,
    least: Option<Vec<i64>>,
}

impl OpenFile {
    /// A time that no unread row lies before, if more is known than the file's own bounds.
    fn least_unread(&self) -> Option<i64> {
        Some(self.least.as_ref()?.get(self.rows_read / self.chunk_rows).copied().unwrap_or(i64::MAX))
    }
}

impl History {
    /// Plans the reading of a set of files; nothing is opened yet.
    pub fn new(
        spec: &StreamSpec,
        files: Arc<dyn TimedFiles>,
        stats: Arc<StreamStats>,
        memory_bytes: usize,
        spill_dir: PathBuf,
    ) -> Result<History> {
        let layout = Layout::of(spec, files.name(), &files.schema())?;
        let row_bytes = row_bytes(&layout, files.as_ref());
        let spans: Vec<(i64, i64)> = files.files().iter().map(|file| span_of(spec, &layout, file)).collect();
        let room = memory_bytes / 4 / (row_bytes * overlap(&spans).max(1));
        let (mut parts, mut unread) = (Vec::new(), BinaryHeap::new());
        for (file, &(least, _)) in spans.iter().enumerate().filter(|&(file, _)| files.files()[file].rows > 0) {
            unread.push(Reverse((least, parts.len())));
            parts.push(Part::File { file, least: None });
        }
        Ok(History {
            held: Held::new(spec.schema.clone()),
            ready: Batch::empty(spec.schema.clone()),
            ready_given: 0,
            bound: unread.peek().map_or(i64::MAX, |Reverse((least, _))| *least),
            spec: spec.clone(),
            files,
            layout,
            stats,
            spill_dir,
            memory_bytes,
            row_bytes,
            chunk_rows: room.clamp(CHUNK_ROWS_MIN, CHUNK_ROWS),
            parts,
            unread,
            open_files: 0,
            fresh_bytes: 0,
            aside: Vec::new(),
        })
    }

    /// The next rows, sorted: at most so many, none above the ceiling. `None` when the ceiling holds the next one
    /// back, at the end, and from time to time while much is read for few rows.
    pub fn next(&mut self, rows_max: usize, ceiling: EventTime) -> Result<Option<Batch>> {
        if self.ready_given == self.ready.rows() {
            self.fill()?;
        }
        let times = &self.ready.times()[self.ready_given..];
        let rows = times.partition_point(|&time| time <= ceiling.0).min(rows_max);
        if rows == 0 {
            return Ok(None);
        }
        let batch = self.ready.slice(self.ready_given, rows);
        self.ready_given += rows;
        self.stats.history_rows.fetch_add(rows as u64, Relaxed);
        if self.ready_given == self.ready.rows() {
            // Others learn at once how far the next rows reach.
            self.fill()?;
        }
        Ok(Some(batch))
    }

    /// No row at or before this comes later.
    pub fn watermark(&self) -> EventTime {
        if self.is_finished() {
            return EventTime::MAX;
        }
        match self.ready.times().get(self.ready_given) {
            Some(&next) => EventTime(next).before(),
            None => EventTime(self.bound).before(),
        }
    }

    /// Rows that leave at other ports, since the last call: ahead of the watermark, in no order.
    pub fn take_aside(&mut self) -> Aside {
        std::mem::take(&mut self.aside)
    }

    /// Whether all rows were given out.
    pub fn is_finished(&self) -> bool {
        self.unread.is_empty() && self.held.is_empty() && self.ready_given == self.ready.rows()
    }

    /// The time up to which rows are ready; `None` when none are.
    pub fn ready_to(&self) -> Option<EventTime> {
        self.ready.times()[self.ready_given..].last().map(|&last| EventTime(last))
    }

    /// Makes the next rows ready, or does a bounded part of the work.
    fn fill(&mut self) -> Result<()> {
        (self.ready, self.ready_given) = (Batch::empty(self.spec.schema.clone()), 0);
        let cut_rows = (self.memory_bytes / 8 / self.row_bytes).clamp(512, CUT_ROWS);
        // What is in memory may do already.
        let mut uncounted = cut_rows;
        for _ in 0..CHUNKS_PER_CALL {
            if self.unread.is_empty() {
                break;
            }
            let full = self.held.bytes() > self.memory_bytes / 2;
            if (full || uncounted >= cut_rows / 2) && self.least_unread() > self.bound {
                uncounted = 0;
                let below = self.held.below(self.least_unread());
                if below >= cut_rows || (full && below > 0) {
                    break;
                }
            }
            if self.held.bytes() > self.memory_bytes / 4 * 3 && self.fresh_bytes > self.memory_bytes / 4 {
                self.spill()?;
            }
            uncounted += self.read_least()?;
        }
        let cut = self.held.cut(self.least_unread(), cut_rows);
        self.ready = self.held.take_below(cut)?;
        if self.ready.rows() > 0 && self.ready.times()[0] < self.bound {
            return Err(Error::internal(format!(
                "history \"{}\": a row at {} came behind {}",
                self.files.name(),
                self.ready.time(0),
                EventTime(self.bound)
            )));
        }
        self.bound = self.bound.max(cut);
        self.stats.set_held_bytes(self.held.bytes() + self.ready.bytes());
        self.stats.in_history.store(!self.is_finished(), Relaxed);
        Ok(())
    }

    fn least_unread(&self) -> i64 {
        self.unread.peek().map_or(i64::MAX, |Reverse((least, _))| *least)
    }

    /// Reads on in the part that has the least unread time; gives the number of rows read.
    fn read_least(&mut self) -> Result<usize> {
        let Some(Reverse((first, index))) = self.unread.pop() else {
            return Ok(0);
        };
        let mut rows = 0;
        let (part, next) = match std::mem::replace(&mut self.parts[index], Part::Ended) {
            Part::File { file, least: None } if !self.is_read_whole(file) => {
                let known = self.least_times(file)?;
                let next = known.first().copied().unwrap_or(i64::MAX).max(first);
                (Part::File { file, least: Some(known) }, next)
            }
            Part::File { file, least } => {
                let known = least.filter(|_| self.open_files < OPEN_FILES_MAX);
                self.open_files += 1;
                let chunk_rows = if known.is_some() { self.chunk_rows } else { CHUNK_ROWS };
                let rows = self.files.open(file, &self.layout.columns, chunk_rows)?;
                (Part::Open(OpenFile { file, rows, rows_read: 0, chunk_rows, least: known }), first)
            }
            Part::Open(mut open) => {
                let chunk = open.rows.next().transpose()?;
                if let Some(columns) = &chunk {
                    rows = self.take_chunk(&mut open, columns)?;
                }
                let file = &self.files.files()[open.file];
                if chunk.is_none() && (open.rows_read as u64) < file.rows {
                    return Err(Error::corrupt(format!(
                        "file {} ends after {} rows, expected {}",
                        file.path, open.rows_read, file.rows
                    )));
                }
                if open.rows_read as u64 >= file.rows {
                    self.open_files -= 1;
                    return Ok(rows);
                }
                let next = open.least_unread().unwrap_or(first).max(first);
                (Part::Open(open), next)
            }
            Part::Run(mut run) => match run.next()? {
                Some(batch) => {
                    rows = batch.rows();
                    self.held.push(batch)?;
                    let next = run.first().unwrap_or(i64::MAX);
                    (Part::Run(run), next)
                }
                None => return Ok(0),
            },
            Part::Ended => return Err(Error::internal("a file of history was read on behind its end")),
        };
        self.parts[index] = part;
        self.unread.push(Reverse((next, index)));
        Ok(rows)
    }

    fn take_chunk(&mut self, open: &mut OpenFile, columns: &RecordBatch) -> Result<usize> {
        let file = &self.files.files()[open.file];
        let first_row = open.rows_read;
        let at = |row: usize| format!("file {}, row {}", file.path, first_row + row + 1);
        let (batch, aside) = self.layout.place(&self.spec, &self.stats, columns, &at)?;
        open.rows_read += columns.num_rows();
        let all = aside.iter().map(|(_, batch)| batch).chain([&batch]);
        let behind = |batch: &Batch| (0..batch.rows()).find(|&row| batch.times()[row] < self.bound);
        if let Some((batch, row)) = all.filter_map(|batch| Some((batch, behind(batch)?))).next() {
            return Err(Error::corrupt(format!(
                "file {}: a row at {} lies before the bound that its table tells",
                file.path,
                batch.time(row)
            )));
        }
        self.aside.extend(aside);
        self.fresh_bytes += batch.bytes();
        self.held.push(batch)?;
        self.stats.set_held_bytes(self.held.bytes());
        Ok(columns.num_rows())
    }

    /// Whether a file is read to its end at once: it is small, or too many are open to let it wait half read.
    fn is_read_whole(&self, file: usize) -> bool {
        let bytes = (self.files.files()[file].rows as usize).saturating_mul(self.row_bytes);
        let fits = bytes <= WHOLE_BYTES_MAX && self.held.bytes().saturating_add(bytes) <= self.memory_bytes / 4;
        fits || self.open_files >= OPEN_FILES_MAX
    }

    /// Looks at the time columns alone: the least time from each chunk of rows on.
    fn least_times(&self, file: usize) -> Result<Vec<i64>> {
        let mut least: Vec<i64> = Vec::new();
        let mut row = 0;
        for columns in self.files.open(file, &self.layout.time_columns, CHUNK_ROWS)? {
            let columns = columns?;
            let events = instants(columns.column(0))?;
            let clocks = if self.layout.archive { Some(instants(columns.column(1))?) } else { None };
            let arrivals = match (&clocks, gives_letters(&self.spec)) {
                (Some(_), true) => Some(instants(columns.column(2))?),
                _ => None,
            };
            for index in 0..columns.num_rows() {
                if row % self.chunk_rows == 0 {
                    least.push(i64::MAX);
                }
                row += 1;
                let event = event_time(&events, index).map(|event| event.0);
                let open = clocks.as_ref().filter(|clocks| clocks.is_valid(index));
                let open = open.map(|clocks| EventTime(clocks.value(index)).minus(self.spec.delay).0);
                let row_time = event.map(|event| open.map_or(event, |open| event.max(open)));
                // A row that is bad leaves at the moment that is still open.
                let letter_time = arrivals.as_ref().map(|arrivals| open.unwrap_or(arrivals.value(index)));
                if let Some(chunk) = least.last_mut() {
                    *chunk = row_time.into_iter().chain(letter_time).fold(*chunk, i64::min);
                }
            }
        }
        for chunk in (1..least.len()).rev() {
            least[chunk - 1] = least[chunk - 1].min(least[chunk]);
        }
        Ok(least)
    }

    /// Moves all rows in memory to a sorted run on disk.
    fn spill(&mut self) -> Result<()> {
        let mut writer = RunWriter::create(&self.spill_dir, &self.spec.schema)?;
        while !self.held.is_empty() {
            let cut = self.held.cut(i64::MAX, RUN_ROWS);
            let rows = self.held.take_below(cut)?;
            for from in (0..rows.rows()).step_by(RUN_ROWS) {
                writer.write(&rows.slice(from, RUN_ROWS.min(rows.rows() - from)))?;
            }
        }
        let (run, bytes) = writer.finish()?;
        self.stats.spilled_bytes.fetch_add(bytes, Relaxed);
        self.fresh_bytes = 0;
        if let Some(first) = run.first() {
            self.unread.push(Reverse((first, self.parts.len())));
            self.parts.push(Part::Run(run));
        }
        Ok(())
    }
}

/// Whether rows that are bad leave, so that they have to be ahead of the watermark.
fn gives_letters(spec: &StreamSpec) -> bool {
    matches!(spec.bad_rows, BadRows::DeadLetter(_))
}

/// The times between which the rows of a file lie, by what its table tells of it.
fn span_of(spec: &StreamSpec, layout: &Layout, file: &TimedFile) -> (i64, i64) {
    let bounds = |name: &str| file.bounds.iter().find(|(column, _)| column == name).map(|(_, bounds)| *bounds);
    let Some(event) = bounds(&layout.time_columns[0]) else {
        return (i64::MIN, i64::MAX);
    };
    if layout.archive && gives_letters(spec) {
        // Rows that are bad leave at the moment still open, which bounds of event times do not tell.
        let clock = bounds(crate::placing::CLOCK).filter(|clock| clock.nulls == 0);
        let open = clock.map_or(i64::MIN, |clock| EventTime(clock.min).minus(spec.delay).0);
        return (open, i64::MAX);
    }
    if event.nulls >= file.rows {
        return (i64::MAX, i64::MAX);
    }
    let clock: Option<Bounds> = if layout.archive { bounds(crate::placing::CLOCK) } else { None };
    let open = |clock: i64| EventTime(clock).minus(spec.delay).0;
    match clock {
        Some(clock) if clock.nulls == 0 => (event.min.max(open(clock.min)), event.max.max(open(clock.max))),
        Some(clock) if clock.nulls < file.rows => (event.min, event.max.max(open(clock.max))),
        _ => (event.min, if layout.archive { i64::MAX } else { event.max }),
    }
}

/// The most files that have rows at one time.
fn overlap(spans: &[(i64, i64)]) -> usize {
    let mut edges: Vec<(i64, i32)> = spans.iter().flat_map(|&(from, to)| [(from, -1), (to, 1)]).collect();
    // Of edges at one time those that open come first.
    edges.sort_unstable();
    let (mut open, mut most) = (0, 0);
    for (_, edge) in edges {
        open -= edge;
        most = most.max(open);
    }
    most as usize
}

/// About how many bytes a decoded row takes.
fn row_bytes(layout: &Layout, files: &dyn TimedFiles) -> usize {
    let schema = files.schema();
    let fixed: usize = layout
        .columns
        .iter()
        .filter_map(|name| schema.field_with_name(name).ok())
        .map(|field| field.data_type().primitive_width().unwrap_or(24))
        .sum();
    let (rows, bytes) = files.files().iter().fold((0, 0), |(r, b), file| (r + file.rows, b + file.bytes));
    fixed.max(2 * bytes.checked_div(rows).unwrap_or(0) as usize) + 24
}
