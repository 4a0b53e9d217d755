//! The state of windows to which functions were added, or of which some were taken: what they had, and what was built for
//! the added ones.
//!
//! ```text
//!   had:    . . x x x x x x x x x x      rows of the longest frame that there was, with its columns
//!   built:              y y y y y y      rows of the longest frame that was added, with its own
//!   now:    . . x x x x z z z z z z      one log with all columns, as it would be if all had always been there
//! ```
//!
//! Both have the same rows where both go back so far, key by key in the same order, which is checked: rows that were read
//! again and are others must not be mixed with those that were kept. A column that only one of them has is empty in the
//! rows of the other, which no frame of its functions reaches.

use super::layout::Layout;
use super::{Computed, FrozenWindow, LAG, PENDING, ROW, Spec, fingerprint, lag};
use crate::queue::Queue;
use crate::restored_rows::RestoredRows;
use crate::sweep::mapped::LogMap;
use arrow::datatypes::SchemaRef;
use dataflow::{Error, EventTime, Frozen, KeyGroups, Result, Scope, Span, StateMemory, StateReader, StateWriter};
use state::{Log, Page, Shape, Stored, StoredPage};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// How windows take over state of windows with other functions.
#[derive(Clone, Debug)]
pub struct Join {
    input: SchemaRef,
    spec: Spec,
    layout: Layout,
    kept: Layout,
    added: Layout,
    is_added: Vec<bool>,
    keeps_rows: bool,
    // How far back the frames go whose state is kept, and those whose state was built.
    kept_reach: Option<Span>,
    added_reach: Option<Span>,
}

/// What has become of state that was to be put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// It was written.
    Done,
    /// What was built is of other rows than what was kept: history has changed since they came.
    OtherRows,
}

/// About so many rows of a log are joined at a time; those of one moment always together.
const ROWS_AT_ONCE: u64 = 4096;

impl Join {
    /// How the windows of a spec over rows of a schema take over state of another layout; nothing where it holds no function
    /// of them. What the columns of their input and the functions hold is given. Rows that wait are kept only where
    /// `keeps_rows` says that they carry the same.
    pub fn new(
        input: SchemaRef,
        spec: Spec,
        (columns, functions): (&[u128], &[u128]),
        kept: Layout,
        keeps_rows: bool,
    ) -> Result<Option<Join>> {
        let layout = Layout::of(&input, &spec, columns, functions)?;
        let of_some = |wanted: &dyn Fn(usize) -> bool| {
            let which = (0..spec.functions.len()).filter(|at| wanted(*at));
            let ids: Vec<u128> = which.clone().filter_map(|at| functions.get(at).copied()).collect();
            let functions = which.map(|at| spec.functions[at].clone()).collect();
            Layout::of(&input, &Spec { functions, ..spec.clone() }, columns, &ids)
        };
        let mut is_added = Vec::with_capacity(spec.functions.len());
        for at in 0..spec.functions.len() {
            is_added.push(!kept.covers(&of_some(&|other| other == at)?));
        }
        if is_added.iter().all(|added| *added) || !layout.tells_columns_apart() || !kept.tells_columns_apart() {
            return Ok(None);
        }
        let (old, added) = (of_some(&|at| !is_added[at])?, of_some(&|at| is_added[at])?);
        let (kept_reach, added_reach) = (old.reaches, added.reaches);
        Ok(Some(Join { layout, input, spec, kept, added, is_added, keeps_rows, kept_reach, added_reach }))
    }

    /// Per function whether its state is built.
    pub fn is_added(&self) -> &[bool] {
        &self.is_added
    }

    /// The windows whose state is built.
    pub fn added_spec(&self) -> Spec {
        let functions = self.spec.functions.iter().zip(&self.is_added).filter(|(_, added)| **added);
        Spec { functions: functions.map(|(function, _)| function.clone()).collect(), ..self.spec.clone() }
    }

    /// Writes the state of all functions, given all pieces of what there was and of what was built.
    pub fn write(
        &self,
        kept: &mut dyn StateReader,
        added: Option<&mut dyn StateReader>,
        memory: &Arc<StateMemory>,
        to: &mut dyn StateWriter,
    ) -> Result<Joining> {
        let fingerprint = fingerprint(&self.input, &self.spec)?;
        let mut joined = Joined {
            join: self,
            computed: Computed::new(&self.input, &self.spec)?,
            memory,
            fingerprint,
            pending: Queue::default(),
            watermark: None,
        };
        joined.computed.sweep.share(memory);
        let (is_built, rows_wait) = (added.is_some(), self.keeps_rows);
        let mut had = joined.take(kept, &self.kept, !is_built && rows_wait)?;
        let mut built = match added {
            Some(added) => joined.take(added, &self.added, true)?,
            None => Log::new(joined.computed.sweep.shape()),
        };
        match joined.merge(&mut had, &mut built)? {
            Joining::Done => joined.finish()?.write(to).map(|()| Joining::Done),
            Joining::OtherRows => Ok(Joining::OtherRows),
        }
    }
}

/// The state of all functions as it is put together.
struct Joined<'a> {
    join: &'a Join,
    computed: Computed,
    memory: &'a Arc<StateMemory>,
    fingerprint: u64,
    pending: Queue,
    watermark: Option<EventTime>,
}

impl Joined<'_> {
    /// Takes up state of a layout, and gives the rows of its log. Rows that wait are taken or left.
    fn take(&mut self, from: &mut dyn StateReader, layout: &Layout, takes_rows: bool) -> Result<Log> {
        let (log_map, lag_map) = (layout.log_map(&self.join.layout), layout.lag_map(&self.join.layout));
        let Joined { join, computed, memory, fingerprint, pending, watermark } = self;
        let Computed { sweep, lags, .. } = computed;
        let mut rows = sweep.restored_rows();
        rows.share(memory);
        let mut from = AsOwn { from, fingerprint: *fingerprint };
        state::read_stored(&mut from, KeyGroups::ALL, *fingerprint, watermark, |stored| match stored {
            Stored::Page(page, first) if page.tag == ROW => {
                sweep.take_page(&page, first, &log_map, &mut rows)?;
                sweep.fit(u64::MAX, &mut [])
            }
            Stored::Record(ROW, keys, blob) => sweep.take_record(keys, blob, &log_map, &mut rows),
            Stored::Record(PENDING, _, blob) if takes_rows || join.keeps_rows => {
                let waiting = state::get_rows(blob, &join.input)?;
                if takes_rows {
                    pending.push(waiting);
                }
                Ok(())
            }
            Stored::Record(PENDING, ..) => {
                Err(Error::internal("windows hold rows that carry other columns than they did"))
            }
            Stored::Record(LAG, keys, blob) => {
                let key = sweep.keys.intern_canonical(keys.get(blob)?)?;
                lag::restore_mapped(lags, key, blob, &lag_map)
            }
            Stored::Record(other, ..) | Stored::Page(StoredPage { tag: other, .. }, _) => {
                Err(Error::corrupt(format!("a record in the state of a window has the unknown tag {other}")))
            }
        })?;
        sorted(rows, sweep.shape(), memory)
    }

    /// The first time that the rows of a frame have which goes so far back; none where there is no frame.
    fn since(&self, reach: Option<Span>) -> i64 {
        let watermark = self.watermark.unwrap_or(EventTime::MIN);
        reach.map_or(i64::MAX, |reach| watermark.0.saturating_sub(reach.0).saturating_add(1))
    }

    /// Makes one log of both, so many rows at a time that none of them fills memory.
    fn merge(&mut self, had: &mut Log, built: &mut Log) -> Result<Joining> {
        let (had_since, built_since) = (self.since(self.join.kept_reach), self.since(self.join.added_reach));
        let both_since = had_since.max(built_since);
        let (had_map, built_map) =
            (self.join.kept.log_map(&self.join.layout), self.join.added.log_map(&self.join.layout));
        let kept = &self.join.kept;
        let values_since: Vec<i64> =
            had_map.values.iter().map(since_of(self, &kept.values, |value| value.reaches)).collect();
        let flags_since: Vec<i64> =
            had_map.flags.iter().map(since_of(self, &kept.flags, |flag| flag.reaches)).collect();
        while had.start() < had.end() || built.start() < built.end() {
            self.computed.sweep.fit(u64::MAX, &mut [])?;
            had.fit(std::iter::empty())?;
            built.fit(std::iter::empty())?;
            let until = next_bound(had)?.min(next_bound(built)?);
            let (had, built) = (self.rows_until(had, until, had_since)?, self.rows_until(built, until, built_since)?);
            let (layout, shape) = (&self.join.layout, self.computed.sweep.shape());
            let since = Since { values: &values_since, flags: &flags_since };
            let rows = Rows { had, since, built: &built, built_map: &built_map, layout, shape };
            let Some((joined, twice)) = rows.joined(both_since) else { return Ok(Joining::OtherRows) };
            self.computed.sweep.release_rows(&twice)?;
            self.computed.sweep.append_taken(&joined)?;
        }
        Ok(Joining::Done)
    }

    /// Takes the rows up to a time out of a log, but for those that no frame reaches.
    fn rows_until(&mut self, log: &mut Log, until: i64, since: i64) -> Result<Page> {
        let shape = self.computed.sweep.shape();
        let (mut gone, mut rows) = (empty(shape), empty(shape));
        let end = log.first_above(log.start(), until)?;
        log.drop_before(end, |page, from, to| {
            let first = from + page.times[from..to].partition_point(|&time| time < since);
            append(&mut gone, page, from..first);
            append(&mut rows, page, first..to);
        })?;
        self.computed.sweep.release_rows(&gone)?;
        Ok(rows)
    }

    fn finish(mut self) -> Result<FrozenWindow> {
        self.pending.put_in_order(&self.join.input)?;
        let Computed { sweep, lags, .. } = &mut self.computed;
        Ok(FrozenWindow {
            sweep: sweep.freeze(sweep.end(), ROW, self.fingerprint),
            lags: lags.iter_mut().map(lag::Lag::freeze).collect(),
            pending: self.pending.freeze(),
            partition_by: self.join.spec.partition_by.clone(),
            watermark: self.watermark.unwrap_or(EventTime::MIN),
            fingerprint: self.fingerprint,
        })
    }
}

/// Since when a stored column says something, given its place and how far back it was used.
fn since_of<'a, C>(
    joined: &'a Joined,
    columns: &'a [C],
    reaches: impl Fn(&C) -> Span + 'a,
) -> impl Fn(&Option<usize>) -> i64 + 'a {
    move |stored| joined.since(stored.and_then(|at| columns.get(at)).map(&reaches))
}

/// The rows of one log, in order of time.
fn sorted(mut rows: RestoredRows, shape: Shape, memory: &Arc<StateMemory>) -> Result<Log> {
    let mut log = Log::new(shape);
    log.share(memory);
    rows.append_to(&mut log)?;
    Ok(log)
}

/// The time of the last of the next rows of a log; the end of time where there are fewer.
fn next_bound(log: &mut Log) -> Result<i64> {
    let (last, mut time) = (log.start() + ROWS_AT_ONCE, i64::MAX);
    if last < log.end() {
        log.for_pieces(last, last + 1, |page, row, _| time = page.times[row])?;
    }
    Ok(time)
}

/// Since when the rows that were kept say something in each column of the log: since the frames of the functions that used
/// it there, and never where it was not there.
struct Since<'a> {
    values: &'a [i64],
    flags: &'a [i64],
}

/// Rows of both logs up to a time.
struct Rows<'a> {
    had: Page,
    since: Since<'a>,
    built: &'a Page,
    built_map: &'a LogMap,
    layout: &'a Layout,
    shape: Shape,
}

impl Rows<'_> {
    /// All rows in order of time, and what is referred to twice since a row is in both. At and after a time both have to
    /// have all rows; `None` where they have others.
    fn joined(mut self, both_since: i64) -> Option<(Page, Page)> {
        let (mut all, mut twice) = (empty(self.shape), empty(self.shape));
        let (mut at, mut other) = (0, 0);
        while let Some(&time) = [self.had.times.get(at), self.built.times.get(other)].into_iter().flatten().min() {
            let end = at + self.had.times[at..].partition_point(|&next| next == time);
            let built_end = other + self.built.times[other..].partition_point(|&next| next == time);
            if time >= both_since {
                self.pair(at..end, other..built_end, &mut twice)?;
                append(&mut all, &self.had, at..end);
            } else {
                // Only one of them reaches so far back.
                append(&mut all, &self.had, at..end);
                append(&mut all, self.built, other..built_end);
            }
            (at, other) = (end, built_end);
        }
        Some((all, twice))
    }

    /// Gives the rows of a moment what was built of the same, key by key in their order.
    fn pair(&mut self, had: Range<usize>, built: Range<usize>, twice: &mut Page) -> Option<()> {
        if had.len() != built.len() {
            return None;
        }
        let mut of_key: HashMap<u32, VecDeque<usize>> = HashMap::new();
        for row in built {
            of_key.entry(self.built.keys[row]).or_default().push_back(row);
        }
        for row in had {
            let same = of_key.get_mut(&self.had.keys[row]).and_then(VecDeque::pop_front);
            self.complete(row, same?, twice)?;
        }
        Some(())
    }

    /// Gives a row the columns that it lacks; those that both have are the same.
    fn complete(&mut self, row: usize, same: usize, twice: &mut Page) -> Option<()> {
        let time = self.had.times[row];
        twice.times.push(time);
        twice.keys.push(self.had.keys[row]);
        twice.flags.iter_mut().for_each(|flags| flags.push(0));
        for (at, values) in self.had.values.iter_mut().enumerate() {
            let (value, there) = (self.built.values[at][same], self.layout.values[at].there);
            // Where a flag says that a value is there, what stands for one that is not known is referred to, too.
            let (had_there, built_there) = (self.had.flags[there][row], self.built.flags[there][same]);
            let (is_kept, is_built) = (time >= self.since.values[at], self.built_map.values[at].is_some());
            if is_kept && is_built && values[row] != value {
                return None;
            }
            let (gone, was_there) = match !is_kept && (is_built || had_there == 0) {
                true => (std::mem::replace(&mut values[row], value), had_there),
                false => (value, built_there),
            };
            twice.values[at].push(gone);
            set_last(&mut twice.flags[there], was_there);
        }
        for (at, flags) in self.had.flags.iter_mut().enumerate() {
            let flag = self.built.flags[at][same];
            match (time >= self.since.flags[at], self.built_map.flags[at]) {
                (true, Some(_)) if flags[row] != flag => return None,
                (false, Some(_)) => flags[row] = flag,
                _ => {}
            }
        }
        Some(())
    }
}

fn set_last(flags: &mut [u8], flag: u8) {
    flags.iter_mut().last().into_iter().for_each(|last| *last = flag);
}

/// State under the fingerprint of the windows that take it over.
struct AsOwn<'a> {
    from: &'a mut dyn StateReader,
    fingerprint: u64,
}

impl StateReader for AsOwn<'_> {
    fn next(&mut self) -> Result<Option<(Scope, Vec<u8>)>> {
        let Some((scope, bytes)) = self.from.next()? else { return Ok(None) };
        Ok(Some((scope, state::with_fingerprint(bytes, self.fingerprint)?)))
    }
}

fn append(to: &mut Page, from: &Page, rows: Range<usize>) {
    to.times.extend_from_slice(&from.times[rows.clone()]);
    to.keys.extend_from_slice(&from.keys[rows.clone()]);
    for (column, values) in to.values.iter_mut().zip(&from.values) {
        column.extend_from_slice(&values[rows.clone()]);
    }
    for (column, flags) in to.flags.iter_mut().zip(&from.flags) {
        column.extend_from_slice(&flags[rows.clone()]);
    }
}

fn empty(shape: Shape) -> Page {
    Page { values: vec![Vec::new(); shape.values], flags: vec![Vec::new(); shape.flags], ..Page::default() }
}
