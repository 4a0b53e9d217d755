//! Functions over frames of a time-ordered log: one log for all keys, one cursor per distinct frame bound.
//!
//! Windows and aggregates over another stream are the same thing here. A frame is `[t + from, t + to]` around the time
//! `t` of the row that asks. Two cursors go over the log for it: one adds rows up to `t + to`, one takes those before
//! `t + from` away; every row passes each cursor once, for all keys. Rows that all cursors have passed are dropped, and
//! with its last row a key is forgotten.
//!
//! ```text
//!   log:      ... x x x x x x x x x x x x x x x x x x x
//!   1 hour:            ^ leaves                   ^ enters
//!   1 minute:                               ^ leaves ^ enters
//! ```

mod accumulator;
mod bound;
mod cell_pages;
mod cells;
mod chunk;
mod counts;
mod distinct;
mod exact;
mod extreme;
mod flag;
mod frozen;
pub(crate) mod function_values;
pub(crate) mod mapped;
mod paged_cells;
mod places;
mod steps;
mod sums;

mod groups;

use crate::Aggregate;
use crate::restored_rows::RestoredRows;
use accumulator::Accumulator;
use arrow::datatypes::{DataType, SchemaRef};
use bound::Bound;
use cell_pages::{CellPages, PagedAccumulators};
use cells::LogColumns;
use chunk::{PassedRows, Probes};
use dataflow::{Batch, Error, KeyGroups, Result, StateMemory};
use flag::Flag;
pub(crate) use frozen::FrozenSweep;
use function_values::FunctionValues;
pub use groups::GroupAggregate;
use state::{BlobKeys, Counted, Decoder, KeyIndex, Log, NO_KEY, PageCodec, Pieces, Shape, StoredPage, Values};
use std::borrow::Cow;
use std::sync::Arc;
use steps::{Entrances, KEYS_MAX, Steps};

/// A cursor passes about so many pages at once where nobody asks.
const STEP_PAGES: usize = 16;
/// So many rows are let go of before keys are forgotten to which no row refers.
const RELEASED_AT_ONCE: u64 = 1 << 20;

/// A function to be computed over the log.
#[derive(Clone, Debug)]
pub(crate) struct FramedAggregate {
    pub(crate) aggregate: Aggregate,
    pub(crate) argument: Option<usize>,
    pub(crate) filter: Option<usize>,
    /// The frame: rows with a time in `[t + from, t + to]`.
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// The log of one set of keys, and everything that is computed over it.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) keys: KeyIndex,
    key_columns: Vec<usize>,
    log: Log,
    columns: Vec<Column>,
    flags: Vec<Flag>,
    bounds: Vec<Bound>,
    frames: Vec<Frame>,
    accumulators: Vec<Accumulator>,
    cells: CellPages,
    // Per wanted function: its accumulator and what is asked of it.
    outputs: Vec<(usize, Aggregate)>,
    probes: Probes,
    staged: RestoredRows,
    counted: Counted,
}

/// A column of the log: the argument of functions.
#[derive(Debug)]
struct Column {
    input: usize,
    values: Values,
    // The flag that tells whether the value is there.
    there: usize,
}

/// The rows between two bounds, and what happens to them in the chunk at hand.
#[derive(Debug)]
struct Frame {
    enter: usize,
    leave: usize,
    steps: Steps,
}

impl Sweep {
    /// A sweep over rows of a schema with key columns. Where `nulls_match`, NULL is a key like any other; otherwise
    /// rows with a NULL key are in no frame.
    pub(crate) fn new(
        input: &SchemaRef,
        key_columns: &[usize],
        nulls_match: bool,
        wanted: &[FramedAggregate],
    ) -> Result<Sweep> {
        let types = crate::columns::types(input, key_columns, "a key")?;
        let mut sweep = Sweep {
            keys: KeyIndex::new(&types, nulls_match),
            key_columns: key_columns.to_vec(),
            log: Log::new(Shape::default()),
            columns: Vec::new(),
            flags: Vec::new(),
            bounds: Vec::new(),
            frames: Vec::new(),
            accumulators: Vec::new(),
            cells: CellPages::default(),
            outputs: Vec::new(),
            probes: Probes::default(),
            staged: RestoredRows::default(),
            counted: Counted::default(),
        };
        for function in wanted {
            let output = sweep.plan(input, function)?;
            sweep.outputs.push(output);
        }
        sweep.share_counts();
        let shape = Shape { values: sweep.columns.len(), flags: sweep.flags.len() };
        sweep.log = Log::new(shape);
        for bound in &mut sweep.bounds {
            bound.passed.values.resize(shape.values, Vec::new());
            bound.passed.flags.resize(shape.flags, Vec::new());
        }
        sweep.staged = RestoredRows::new(shape);
        Ok(sweep)
    }

    /// Finds or makes the accumulator that a function reads.
    fn plan(&mut self, input: &SchemaRef, function: &FramedAggregate) -> Result<(usize, Aggregate)> {
        let data_type = match function.argument {
            Some(column) => Some(crate::columns::field(input, column, "an argument")?.data_type().clone()),
            None => None,
        };
        let flag = (function.argument.is_some() || function.filter.is_some())
            .then(|| self.flag(Flag { argument: function.argument, filter: function.filter }));
        let value = match (function.argument, &data_type) {
            (Some(column), Some(data_type)) if Accumulator::needs_value(function.aggregate) => {
                Some(self.column(column, data_type)?)
            }
            _ => None,
        };
        let columns = LogColumns { value, flag };
        let frame = self.frame(function, columns);
        let planned = Accumulator::new(function.aggregate, data_type.as_ref(), columns, frame)?;
        let found = self.accumulators.iter().position(|other| other.is_same(&planned));
        let index = found.unwrap_or_else(|| {
            self.accumulators.push(planned);
            self.accumulators.len() - 1
        });
        Ok((index, function.aggregate))
    }

    /// Takes `count(*)` from the sums of the same frame where there are some, and drops the accumulators of its own.
    fn share_counts(&mut self) {
        let beside = |frame: usize| {
            self.accumulators.iter().position(|other| other.frame == frame && other.counts_rows_beside())
        };
        let serves = |(at, accumulator): (usize, &Accumulator)| match accumulator.counts_all_rows() {
            true => beside(accumulator.frame).unwrap_or(at),
            false => at,
        };
        let serving: Vec<usize> = self.accumulators.iter().enumerate().map(serves).collect();
        let is_kept: Vec<bool> = serving.iter().enumerate().map(|(at, &by)| at == by).collect();
        let place = |at: usize| is_kept[..serving[at]].iter().filter(|kept| **kept).count();
        self.outputs.iter_mut().for_each(|(accumulator, _)| *accumulator = place(*accumulator));
        let mut kept = is_kept.iter();
        self.accumulators.retain(|_| kept.next() == Some(&true));
    }

    fn flag(&mut self, flag: Flag) -> usize {
        self.flags.iter().position(|other| *other == flag).unwrap_or_else(|| {
            self.flags.push(flag);
            self.flags.len() - 1
        })
    }

    fn column(&mut self, input: usize, data_type: &DataType) -> Result<usize> {
        if let Some(found) = self.columns.iter().position(|column| column.input == input) {
            return Ok(found);
        }
        let there = self.flag(Flag { argument: Some(input), filter: None });
        self.columns.push(Column { input, values: Values::new(data_type)?, there });
        Ok(self.columns.len() - 1)
    }

    fn frame(&mut self, function: &FramedAggregate, columns: LogColumns) -> usize {
        let enter = self.bound(function.to, columns);
        let leave = self.bound(function.from.saturating_sub(1), columns);
        let found = self.frames.iter().position(|frame| (frame.enter, frame.leave) == (enter, leave));
        found.unwrap_or_else(|| {
            self.bounds[enter].entrances.get_or_insert_default();
            self.frames.push(Frame { enter, leave, steps: Steps::default() });
            self.frames.len() - 1
        })
    }

    fn bound(&mut self, limit: i64, columns: LogColumns) -> usize {
        let index = self.bounds.iter().position(|bound| bound.limit == limit).unwrap_or_else(|| {
            let passed = PassedRows::default();
            self.bounds.push(Bound {
                limit,
                cursor: 0,
                values: Vec::new(),
                flags: Vec::new(),
                passed,
                entrances: None,
            });
            self.bounds.len() - 1
        });
        let bound = &mut self.bounds[index];
        for (needs, column) in [(&mut bound.values, columns.value), (&mut bound.flags, columns.flag)] {
            needs.extend(column.filter(|column| !needs.contains(column)));
        }
        index
    }

    /// The time of the last row of the log that is still in memory.
    pub(crate) fn last_time(&self) -> Option<i64> {
        self.log.last_time()
    }

    /// The number of the next row of the log.
    pub(crate) fn end(&self) -> u64 {
        self.log.end()
    }

    /// Appends rows, in order of time after all rows before.
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<()> {
        let mut keys = Vec::new();
        self.keys.intern(batch, &self.key_columns, &mut keys)?;
        if keys.contains(&NO_KEY) {
            let rows: Vec<u32> = (0..keys.len() as u32).filter(|&row| keys[row as usize] != NO_KEY).collect();
            keys.retain(|&key| key != NO_KEY);
            return self.append_with_keys(&batch.take(&rows)?, &keys);
        }
        self.append_with_keys(batch, &keys)
    }

    fn append_with_keys(&mut self, batch: &Batch, keys: &[u32]) -> Result<()> {
        let mut values = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let mut bits = Vec::with_capacity(batch.rows());
            column.values.encode(batch.column(column.input), &mut bits, &mut Vec::new())?;
            values.push(bits);
        }
        let flags: Vec<Vec<u8>> = self.flags.iter().map(|flag| flag.of(batch)).collect();
        self.log.append(batch.times(), keys, &values, &flags);
        self.grow()
    }

    /// Makes room for all keys of the log.
    fn grow(&mut self) -> Result<()> {
        let ids = self.keys.ids();
        if ids >= KEYS_MAX {
            return Err(Error::invalid(format!(
                "a window has {ids} keys in one worker, expected fewer than {KEYS_MAX}; run it with more workers"
            )));
        }
        self.cells.grow(ids, &mut self.accumulators);
        Ok(())
    }

    /// Appends the keys of the rows `from .. to` of the log.
    pub(crate) fn keys_of_rows(&mut self, from: u64, to: u64, keys: &mut Vec<u32>) -> Result<()> {
        self.log.for_pieces(from, to, |page, from, to| keys.extend_from_slice(&page.keys[from..to]))
    }

    /// Computes all functions for rows that ask, given by time (ascending, not before any asked earlier) and key.
    pub(crate) fn compute(&mut self, times: &[i64], keys: &[u32]) -> Result<Vec<FunctionValues>> {
        if let Some(&first) = times.first() {
            self.approach(first)?;
        }
        self.probes.set(times);
        self.run(keys)?;
        let mut computed = Vec::with_capacity(self.outputs.len());
        for &(accumulator, aggregate) in &self.outputs {
            let accumulator = &self.accumulators[accumulator];
            let values = accumulator.columns.value.map(|column| &self.columns[column].values);
            computed.push(accumulator.finish(aggregate, values)?);
        }
        Ok(computed)
    }

    /// Moves all cursors towards a moment in steps, where they have more rows to pass than should be copied at once: after
    /// state was restored, and where nothing has asked for long.
    fn approach(&mut self, moment: i64) -> Result<()> {
        loop {
            let ahead = |bound: &Bound| {
                let last = self.log.time_ahead(bound.cursor, STEP_PAGES)?;
                Some(last.saturating_sub(bound.limit))
            };
            match self.bounds.iter().filter_map(ahead).min() {
                Some(next) if next < moment => self.pass_until(next)?,
                _ => return Ok(()),
            }
            self.fit(u64::MAX, &mut [])?;
        }
    }

    /// Moves all cursors to a moment at which nobody asks.
    fn pass_until(&mut self, moment: i64) -> Result<()> {
        self.probes.times.clear();
        self.probes.ends.clear();
        self.probes.times.push(moment);
        self.probes.ends.push(0);
        self.run(&[])
    }

    /// Puts state aside where memory is short: rows but for those that cursors need soon, then keys, accumulators, and what
    /// the caller has beside them, that were not used for longest. `next` is the first row that somebody else still asks for.
    pub(crate) fn fit(&mut self, next: u64, others: &mut [&mut dyn Pieces]) -> Result<()> {
        let Some(memory) = self.counted.memory().cloned() else { return Ok(()) };
        self.count();
        let cursors = self.bounds.iter().map(|bound| bound.cursor).chain([next.min(self.log.end())]);
        self.log.fit(cursors)?;
        let mut cells = PagedAccumulators { pages: &mut self.cells, accumulators: &mut self.accumulators };
        let mut parts: Vec<&mut dyn Pieces> = vec![&mut self.keys, &mut cells];
        parts.extend(others.iter_mut().map(|part| &mut **part as &mut dyn Pieces));
        let fitted = state::fit(&memory, &mut parts);
        self.count();
        fitted
    }

    fn count(&mut self) {
        self.counted.set(self.size(), self.keys.spilled() + self.cells.spilled());
    }

    /// Brings the cells back that rows use which pass a cursor or ask, and says where they are: the rows that pass are told,
    /// and those that ask are given.
    fn place<'a>(&mut self, keys: &'a [u32]) -> Result<Cow<'a, [u32]>> {
        let used = self.bounds.iter().map(|bound| &bound.passed.keys[..]).chain([keys]);
        self.cells.load(used, &mut self.accumulators)?;
        if !self.cells.is_moved() {
            return Ok(Cow::Borrowed(keys));
        }
        self.bounds.iter_mut().for_each(|bound| self.cells.place(&mut bound.passed.keys));
        let mut keys = keys.to_vec();
        self.cells.place(&mut keys);
        Ok(Cow::Owned(keys))
    }

    /// Moves all cursors over the moments that ask, and has every accumulator follow.
    fn run(&mut self, keys: &[u32]) -> Result<()> {
        for bound in &mut self.bounds {
            bound.pass(&mut self.log, &self.probes)?;
        }
        let keys = self.place(keys)?;
        for bound in &mut self.bounds {
            if let Some(entrances) = &mut bound.entrances {
                entrances.set(&self.probes, &keys, self.cells.no_key(), &bound.passed, bound.limit);
            }
        }
        for Frame { enter, leave, steps } in &mut self.frames {
            if let Some(entrances) = &self.bounds[*enter].entrances {
                steps.set(entrances, &self.bounds[*leave].passed, self.bounds[*leave].limit);
            }
        }
        for accumulator in &mut self.accumulators {
            let values = accumulator.columns.value.map(|column| &self.columns[column].values);
            let Frame { enter, leave, steps } = &self.frames[accumulator.frame];
            let passed = (&self.bounds[*enter].passed, &self.bounds[*leave].passed);
            accumulator.run(steps, passed, values, self.cells.places());
        }
        Ok(())
    }

    /// Lets go of the rows that no row at or after a time can ask for, all of them before `end`.
    pub(crate) fn forget_before(&mut self, next: i64, end: u64) -> Result<()> {
        if self.log.start() == self.log.end() {
            return Ok(());
        }
        let mut leaving = end;
        for bound in &self.bounds {
            leaving = leaving.min(self.log.first_above(bound.cursor, next.saturating_add(bound.limit))?);
        }
        // Moving the cursors costs a pass over all accumulators, so that they move only when rows can go.
        if leaving > self.log.start() {
            self.approach(next)?;
            self.pass_until(next)?;
        }
        self.drop_passed(end)
    }

    /// Drops the rows before `end` that all cursors have passed.
    pub(crate) fn drop_passed(&mut self, end: u64) -> Result<()> {
        let to = self.bounds.iter().map(|bound| bound.cursor).min().unwrap_or(end).min(end);
        while self.log.start() < to {
            let until = to.min(self.log.start() + RELEASED_AT_ONCE);
            let (keys, columns, mut unheld) = (&mut self.keys, &mut self.columns, Vec::new());
            self.log.drop_before(until, |page, from, to| {
                keys.unreference(&page.keys[from..to], &mut unheld);
                for (index, column) in columns.iter_mut().enumerate().filter(|(_, column)| column.values.is_interned())
                {
                    let rows = page.values[index][from..to].iter().zip(&page.flags[column.there][from..to]);
                    rows.filter(|(_, there)| **there != 0).for_each(|(&bits, _)| column.values.release(bits));
                }
            })?;
            self.forget_keys(unheld)?;
        }
        Ok(())
    }

    /// Forgets keys to which no row refers, chunk by chunk where some are on disk: not all of them come back at once.
    fn forget_keys(&mut self, mut unheld: Vec<u32>) -> Result<()> {
        if self.keys.spilled() > 0 {
            unheld.sort_unstable();
        }
        while !unheld.is_empty() {
            self.keys.forget_last(&mut unheld)?;
            if self.keys.spilled() > 0 && self.counted.memory().is_some_and(|memory| memory.is_short()) {
                self.fit(u64::MAX, &mut [])?;
            }
        }
        Ok(())
    }

    /// The bytes of cells that were brought back since the last call.
    pub(crate) fn take_loaded(&mut self) -> usize {
        self.cells.take_loaded()
    }

    /// The bytes of all of it, which it has told of: in memory, and put aside.
    pub(crate) fn counted(&mut self) -> (usize, usize) {
        self.count();
        let spilled = self.log.spilled() + self.keys.spilled() + self.cells.spilled();
        (self.log.size() + self.size(), spilled)
    }

    /// The bytes that everything takes beside the log.
    fn size(&self) -> usize {
        let accumulators: usize = self.accumulators.iter().map(Accumulator::size).sum();
        let values: usize = self.columns.iter().map(|column| column.values.size()).sum();
        let entrances = |bound: &Bound| bound.entrances.as_ref().map_or(0, Entrances::size);
        let passed: usize = self.bounds.iter().map(|bound| bound.passed.size() + entrances(bound)).sum();
        let steps: usize = self.frames.iter().map(|frame| frame.steps.size()).sum();
        self.keys.size() + self.cells.size() + accumulators + values + passed + steps
    }

    /// The rows before `end` as they are now.
    pub(crate) fn freeze(&mut self, end: u64, tag: u8, fingerprint: u64) -> FrozenSweep {
        let columns = self.columns.iter_mut().map(|column| (column.values.snapshot(), column.there)).collect();
        let codec = PageCodec { keys: self.keys.snapshot(), columns, tag, fingerprint };
        FrozenSweep { log: self.log.snapshot(), end, codec }
    }

    /// Reads a row that [`FrozenSweep::put`] wrote.
    pub(crate) fn stage(&mut self, keys: &BlobKeys, blob: &mut Decoder) -> Result<()> {
        let rows = &mut self.staged.records;
        rows.keys.push(self.keys.intern_canonical(keys.get(blob)?)?);
        rows.times.push(blob.i64()?);
        for flags in &mut rows.flags {
            flags.push(blob.u8()?);
        }
        for (column, bits) in self.columns.iter_mut().zip(&mut rows.values) {
            let is_there = rows.flags[column.there].last().is_some_and(|&there| there != 0);
            bits.push(if is_there { column.values.get(blob)? } else { 0 });
        }
        Ok(())
    }

    /// Takes up the rows of a page that [`FrozenSweep::put`] wrote, from one on, as far as their keys are held.
    pub(crate) fn stage_page(&mut self, page: &StoredPage, first: u32, held: KeyGroups) -> Result<()> {
        let columns = self.columns.iter_mut().map(|column| (&mut column.values, column.there)).collect();
        self.staged.add(&frozen::stage_page(page, first, held, &mut self.keys, columns, self.flags.len())?)?;
        self.fit(u64::MAX, &mut [])
    }

    /// Whether restored rows wait for [`Sweep::settle`].
    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Shares memory with other steps; called before anything else.
    pub(crate) fn share(&mut self, memory: &Arc<StateMemory>) {
        self.log.share(memory);
        self.staged.share(memory);
        self.keys.spill_to(memory);
        self.cells.spill_to(memory);
        self.counted.share(memory);
    }

    /// Takes up the rows that were staged; nothing was appended before.
    pub(crate) fn settle(&mut self) -> Result<()> {
        self.staged.append_to(&mut self.log)?;
        self.grow()
    }
}
