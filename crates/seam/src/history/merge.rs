//! Merges row groups into (`_time`, `_ord`) order, with bounded memory however they overlap.
//!
//! Every row group, and every run that was spilled, has a *least unread time*: from its bounds at first, then from
//! a look at its time columns alone, then from the rows themselves. Rows before the least of these can leave; the
//! part that has it is the one to be read next.
//!
//! ```text
//! group 1  ====|----            = given out, - in memory, . not read
//! group 2    ==|-----....
//! group 3      |  ..........
//!              ^ the least unread time is that of group 3: it is read next
//! ```

use super::bytes::HeldBytes;
use super::plan::{HistoryPlan, PlannedGroup, SHARES, gives_letters};
use super::position::{Place, SharePosition};
use super::share_rows::ShareRows;
use super::spill::{Run, RunWriter};
use super::waiting::WaitingRows;
use crate::StreamStats;
use crate::layout::Stamps;
use crate::placing::{Removed, event_time, instants};
use arrow::array::{Array, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use dataflow::{Batch, Error, EventTime, RecordBatches, Result, RowOrder};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// About how many rows leave in one sort, unless they are wide.
const CUT_ROWS: usize = 32_768;
/// How many rows are read from a file at once, unless many row groups are open or rows are wide.
const CHUNK_ROWS: usize = 8_192;
/// How many rows are read from a file at once at least.
const CHUNK_ROWS_MIN: usize = 128;
/// A row group of at most so many decoded bytes is read whole, without a look at its times before.
const WHOLE_BYTES_MAX: usize = 64 << 20;
/// How many row groups the readers of a stream have open at once at most, but for one that each reads whole.
const OPEN_GROUPS_MAX: usize = 200;
/// How many row groups one reader may have open however many readers there are.
const OPEN_GROUPS_MIN: usize = 8;
/// Rows per batch of a spilled run.
const RUN_ROWS: usize = 4_096;
/// Rows that leave at other ports are handed over when there are so many.
const ASIDE_ROWS: usize = 8_192;

/// The greatest least unread time: a bad row without any time leaves there.
const LEAST_UNREAD_MAX: i64 = i64::MAX - 1;

/// How much room the readers of one stream have together.
#[derive(Clone, Debug)]
pub(crate) struct HistoryRoom {
    /// How many bytes of rows may be in memory.
    pub memory_bytes: usize,
    /// How many readers share it.
    pub readers: usize,
    /// Where rows that exceed it are written to.
    pub spill_dir: PathBuf,
}

/// The next rows of a history.
pub(crate) struct Piece {
    /// Sorted, and after all rows before.
    pub rows: ShareRows,
    /// Rows that leave at other ports.
    pub aside: Vec<GroupAside>,
    /// Every row before this is in this piece or one before it.
    pub bound: i64,
    /// Whether nothing comes after it.
    pub is_last: bool,
    /// Its bytes, counted as long as it is there.
    pub _held: HeldBytes,
}

/// What does not go on of a chunk of a row group.
pub(crate) struct GroupAside {
    pub group: usize,
    /// How many rows of the group were read with it.
    pub rows_read: usize,
    pub removed: Removed,
}

/// The row groups of some shares, being merged.
pub(crate) struct Merge {
    plan: Arc<HistoryPlan>,
    stats: Arc<StreamStats>,
    spill_dir: PathBuf,
    memory_bytes: usize,
    chunk_rows: usize,
    cut_rows: usize,
    open_groups_max: usize,
    // By share.
    starts: Vec<Start>,
    aside_given: BTreeMap<u64, u64>,
    parts: Vec<Part>,
    // The parts that are not read to their end, by their least unread time.
    unread: BinaryHeap<Reverse<(i64, usize)>>,
    open_groups: usize,
    waiting: WaitingRows,
    // Bytes read from files since rows were spilled: only these are worth spilling.
    fresh_bytes: usize,
    // Every row before this has left.
    bound: i64,
    aside: Vec<GroupAside>,
    aside_rows: usize,
    // Those of `waiting`.
    held: HeldBytes,
}

/// Where a share was taken up again.
#[derive(Clone, Copy, Default)]
struct Start {
    place: Option<Place>,
    // How many rows exactly there are still to be passed over.
    passed_over: u64,
}

enum Part {
    /// A row group that is not open; `least` are the least times from each chunk on, once they are known.
    Group {
        group: usize,
        least: Option<Vec<i64>>,
    },
    Open(OpenGroup),
    Run(Run),
    Ended,
}

struct OpenGroup {
    group: usize,
    rows: RecordBatches,
    rows_read: usize,
    chunk_rows: usize,
    least: Option<Vec<i64>>,
}

impl OpenGroup {
    /// A time that no unread row lies before, if more is known than the bounds of the group.
    fn least_unread(&self) -> Option<i64> {
        Some(self.least.as_ref()?.get(self.rows_read / self.chunk_rows).copied().unwrap_or(i64::MAX))
    }
}

/// The row groups of shares that hold rows which are still to be given out, with the least time of these.
pub(crate) fn left_of(plan: &HistoryPlan, shares: &BTreeMap<u16, SharePosition>) -> Vec<(i64, usize)> {
    let unfinished = shares.iter().filter(|(_, position)| !position.is_finished);
    let left = unfinished.flat_map(|(&share, position)| {
        let left = plan.groups_of(share).filter(|&group| plan.group(group).last >= position.least());
        left.map(|group| (plan.group(group).span.0.max(position.least()).min(LEAST_UNREAD_MAX), group))
    });
    left.collect()
}

impl Merge {
    /// Begins with shares where their positions say; nothing is opened yet.
    pub fn new(
        plan: &Arc<HistoryPlan>,
        shares: &BTreeMap<u16, SharePosition>,
        stats: &Arc<StreamStats>,
        room: &HistoryRoom,
    ) -> Merge {
        let memory_bytes = room.memory_bytes / room.readers.max(1);
        let mut left = left_of(plan, shares);
        // Parts that begin at one time are read in this sequence, whatever the sequence of the shares.
        left.sort_unstable();
        let spans: Vec<(i64, i64)> = left.iter().map(|&(_, group)| plan.group(group).span).collect();
        let chunk_rows = memory_bytes / 4 / (plan.row_bytes * overlap(&spans).max(1));
        let (mut starts, mut aside_given) = (vec![Start::default(); usize::from(SHARES)], BTreeMap::new());
        for (&share, position) in shares {
            starts[usize::from(share)] = Start { place: position.place, passed_over: position.rows_at_place };
            aside_given.extend(&position.aside);
        }
        let unread: BinaryHeap<_> = left.iter().enumerate().map(|(part, &(least, _))| Reverse((least, part))).collect();
        Merge {
            stats: stats.clone(),
            spill_dir: room.spill_dir.clone(),
            memory_bytes,
            chunk_rows: chunk_rows.clamp(CHUNK_ROWS_MIN, CHUNK_ROWS),
            cut_rows: (memory_bytes / 16 / plan.row_bytes).clamp(512, CUT_ROWS),
            open_groups_max: (OPEN_GROUPS_MAX / room.readers.max(1)).max(OPEN_GROUPS_MIN),
            starts,
            aside_given,
            parts: left.iter().map(|&(_, group)| Part::Group { group, least: None }).collect(),
            open_groups: 0,
            waiting: WaitingRows::new(plan.spec.schema.clone()),
            fresh_bytes: 0,
            bound: unread.peek().map_or(i64::MAX, |Reverse((least, _))| *least),
            unread,
            aside: Vec::new(),
            aside_rows: 0,
            held: HeldBytes::new(stats, 0),
            plan: plan.clone(),
        }
    }

    /// Reads until some rows can leave; ends early, with what there is, when it is told to stop.
    pub fn next_piece(&mut self, stop: &AtomicBool) -> Result<Piece> {
        // What is in memory may do already.
        let mut uncounted = self.cut_rows;
        while !self.unread.is_empty() && self.aside_rows < ASIDE_ROWS && !stop.load(Relaxed) {
            let full = self.waiting.bytes() > self.memory_bytes / 2;
            if (full || uncounted >= self.cut_rows / 2) && self.least_unread() > self.bound {
                uncounted = 0;
                let below = self.waiting.below(self.least_unread());
                if below >= self.cut_rows || (full && below > 0) {
                    break;
                }
            }
            if self.waiting.bytes() > self.memory_bytes / 4 * 3 && self.fresh_bytes > self.memory_bytes / 4 {
                self.spill()?;
            }
            uncounted += self.read_least()?;
            self.held.set(self.waiting.bytes());
        }
        let cut = self.waiting.cut(self.least_unread(), self.cut_rows);
        let rows = self.waiting.take_below(cut)?;
        if rows.rows().times().first().is_some_and(|&first| first < self.bound) {
            return Err(Error::internal(format!(
                "history \"{}\": a row at {} came after {}",
                self.plan.files.name(),
                rows.rows().time(0),
                EventTime(self.bound)
            )));
        }
        self.bound = self.bound.max(cut);
        self.held.set(self.waiting.bytes());
        self.aside_rows = 0;
        Ok(Piece {
            _held: HeldBytes::new(&self.stats, rows.bytes()),
            rows,
            aside: std::mem::take(&mut self.aside),
            bound: self.bound,
            is_last: self.unread.is_empty() && self.waiting.is_empty(),
        })
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
            Part::Group { group, least: None } if !self.is_read_whole(group) => {
                let known = self.least_times(group)?;
                let next = known.first().copied().unwrap_or(i64::MAX).max(first);
                (Part::Group { group, least: Some(known) }, next)
            }
            Part::Group { group, least } => {
                let known = least.filter(|_| self.open_groups < self.open_groups_max);
                let chunk_rows = if known.is_some() { self.chunk_rows } else { CHUNK_ROWS };
                let rows = self.open(group, &self.plan.layout.columns, chunk_rows)?;
                self.open_groups += 1;
                (Part::Open(OpenGroup { group, rows, rows_read: 0, chunk_rows, least: known }), first)
            }
            Part::Open(mut open) => {
                let chunk = open.rows.next().transpose()?;
                if let Some(columns) = &chunk {
                    rows = self.take_chunk(&mut open, columns)?;
                }
                if self.has_ended(&open, chunk.is_none())? {
                    self.open_groups -= 1;
                    return Ok(rows);
                }
                let next = open.least_unread().unwrap_or(first).max(first);
                (Part::Open(open), next)
            }
            Part::Run(mut run) => match run.next()? {
                Some(batch) => {
                    rows = batch.rows().rows();
                    self.waiting.push(batch);
                    let next = run.first().unwrap_or(i64::MAX);
                    (Part::Run(run), next)
                }
                None => return Ok(0),
            },
            Part::Ended => return Err(Error::internal("a row group of history was read on after its end")),
        };
        self.parts[index] = part;
        self.unread.push(Reverse((next.min(LEAST_UNREAD_MAX), index)));
        Ok(rows)
    }

    fn open(&self, group: usize, columns: &[String], batch_rows: usize) -> Result<RecordBatches> {
        let group = self.plan.group(group);
        self.plan.files.open(group.file, group.index..group.index + 1, columns, batch_rows)
    }

    /// Whether all rows of a row group were read; an error when it ends before it has as many as it should.
    fn has_ended(&self, open: &OpenGroup, is_at_end: bool) -> Result<bool> {
        let group = self.plan.group(open.group);
        let Some(expected) = group.rows else { return Ok(is_at_end) };
        if is_at_end && (open.rows_read as u64) < expected {
            let (path, first) = (&self.plan.files.files()[group.file].path, group.first_row.unwrap_or(0));
            return Err(Error::corrupt(format!(
                "file {path} ends after {} rows, expected {}",
                first + open.rows_read as u64,
                first + expected
            )));
        }
        Ok(open.rows_read as u64 >= expected)
    }

    fn take_chunk(&mut self, open: &mut OpenGroup, columns: &RecordBatch) -> Result<usize> {
        let (number, group) = (open.group, *self.plan.group(open.group));
        let (path, first_row) = (&self.plan.files.files()[group.file].path, open.rows_read);
        let at = |row: usize| row_name(path, &group, first_row + row);
        let aside_given = self.aside_given.get(&(number as u64)).map_or(0, |&rows| rows as usize);
        let aside_from = aside_given.saturating_sub(first_row);
        let (batch, removed) = self.plan.layout.place(&self.plan.spec, &self.stats, columns, aside_from, &at)?;
        open.rows_read += columns.num_rows();
        let share = HistoryPlan::share_of(number);
        let batch = self.starts[usize::from(share)].after(batch)?;
        let all = removed.ports.iter().map(|(_, batch)| batch).chain([&batch]);
        let early = |batch: &Batch| (0..batch.rows()).find(|&row| batch.times()[row] < self.bound);
        if let Some((batch, row)) = all.filter_map(|batch| Some((batch, early(batch)?))).next() {
            return Err(Error::corrupt(format!(
                "file {path}: a row at {} lies before the bound that its table tells",
                batch.time(row)
            )));
        }
        if !removed.is_empty() {
            self.aside_rows += removed.ports.iter().map(|(_, batch)| batch.rows()).sum::<usize>();
            self.aside.push(GroupAside { group: number, rows_read: open.rows_read, removed });
        }
        self.fresh_bytes += batch.bytes();
        self.waiting.push(ShareRows::new(batch, share));
        Ok(columns.num_rows())
    }

    /// Whether a row group is read to its end at once: it is small, or too many are open to let it wait half read.
    /// One of several in a file that share their bounds is not: a look at its times costs less than to hold it.
    fn is_read_whole(&self, group: usize) -> bool {
        let group = self.plan.group(group);
        let bytes = (group.rows_about as usize).saturating_mul(self.plan.row_bytes);
        let fits = bytes <= WHOLE_BYTES_MAX && self.waiting.bytes().saturating_add(bytes) <= self.memory_bytes / 4;
        (fits && group.has_own_span) || self.open_groups >= self.open_groups_max
    }

    /// Looks at the time columns alone: the least time from each chunk of rows on.
    fn least_times(&self, group: usize) -> Result<Vec<i64>> {
        let (spec, layout) = (&self.plan.spec, &self.plan.layout);
        let mut least: Vec<i64> = Vec::new();
        let mut row = 0;
        for columns in self.open(group, &layout.time_columns, CHUNK_ROWS)? {
            let columns = columns?;
            let events = instants(columns.column(0))?;
            let clocks = if layout.stamps == Stamps::Nothing { None } else { Some(instants(columns.column(1))?) };
            let arrivals = match (layout.stamps, gives_letters(spec)) {
                (Stamps::Coordinates, true) => Some(instants(columns.column(2))?),
                _ => None,
            };
            for index in 0..columns.num_rows() {
                if row % self.chunk_rows == 0 {
                    least.push(i64::MAX);
                }
                row += 1;
                let event = event_time(&events, index).map(|event| event.0);
                let open = clocks.as_ref().filter(|clocks: &&TimestampMicrosecondArray| clocks.is_valid(index));
                let open = open.map(|clocks| EventTime(clocks.value(index)).minus(spec.delay).0);
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
        let mut writer = RunWriter::create(&self.spill_dir, &self.plan.spec.schema)?;
        while !self.waiting.is_empty() {
            let cut = self.waiting.cut(i64::MAX, RUN_ROWS);
            let rows = self.waiting.take_below(cut)?;
            let count = rows.rows().rows();
            for from in (0..count).step_by(RUN_ROWS) {
                writer.write(&rows.slice(from, RUN_ROWS.min(count - from)))?;
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

impl Start {
    /// Only the rows that were not given out before.
    fn after(&mut self, rows: Batch) -> Result<Batch> {
        let Some(place) = self.place else { return Ok(rows) };
        let mut is_new = |row: usize| {
            let here: Place = (rows.time(row), RowOrder(rows.orders()[row] as u128));
            if here == place && self.passed_over > 0 {
                self.passed_over -= 1;
                return false;
            }
            here >= place
        };
        let mask: BooleanArray = (0..rows.rows()).map(|row| Some(is_new(row))).collect();
        rows.filter(&mask)
    }
}

/// The name of a row of a row group for messages to people.
fn row_name(path: &str, group: &PlannedGroup, row: usize) -> String {
    match group.first_row {
        Some(first) => format!("file {path}, row {}", first + row as u64 + 1),
        None => format!("file {path}, row group {}, row {}", group.index + 1, row + 1),
    }
}

/// The most row groups that have rows at one time.
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
