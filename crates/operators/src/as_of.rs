//! As-of join: each left row meets the last right row of its key at its time.

use crate::columns;
use crate::fingerprint::Fingerprint;
use crate::queue::{self, Queue};
use crate::restored_rows::RestoredRows;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Span, StateReader,
    StateWriter,
};
use state::{GroupBlobs, KeyIndex, Keys, Log, LogSnapshot, NO_KEY, Shape, Values, ValuesSnapshot};
use std::sync::Arc;

/// What is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The key columns of the left input.
    pub left_keys: Vec<usize>,
    /// The key columns of the right input, as many as of the left; a key with a NULL meets nothing.
    pub right_keys: Vec<usize>,
    /// The right columns that are appended, with their names in the output.
    pub columns: Vec<(usize, String)>,
    /// A right row is met when its `_time` is at or before the left row's less this.
    pub behind: Span,
    /// A right row at exactly that time is not met.
    pub strict: bool,
    /// Left rows that meet nothing are removed; otherwise the appended columns are NULL.
    pub inner: bool,
}

/// The left columns, then the appended right columns, which may be NULL.
pub fn output_schema(left: &SchemaRef, right: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    columns::check_keys("an as-of join", (left, &spec.left_keys), (right, &spec.right_keys))?;
    let mut fields = left.fields().to_vec();
    for (column, name) in &spec.columns {
        let found = columns::field(right, *column, "an appended column")?;
        fields.push(Arc::new(Field::new(name, found.data_type().clone(), true)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Puts out each left row, in order and once the watermark has reached it, with columns of the right row of its key
/// that is last in (`_time`, `_ord`) among those at or before its time less `behind`.
///
/// A key with a NULL meets nothing. Counted are left rows; right rows are state. State: the last right row of every
/// key there ever was, right rows that no left row's time has passed, and left rows above the watermark.
#[derive(Debug)]
pub struct AsOf {
    left: SchemaRef,
    output: SchemaRef,
    spec: Spec,
    keys: KeyIndex,
    columns: Vec<Values>,
    // Right rows that were not applied, with the appended columns.
    log: Log,
    last: Last,
    pending: Queue,
    staged: RestoredRows,
    // By key id: the last row of the chunk at hand and 1; 0 outside of chunks.
    newest: Vec<u32>,
    watermark: EventTime,
    fingerprint: u64,
}

/// The last right row of each key, by key id: the values of a row side by side, since all are looked at together.
#[derive(Clone, Debug, Default)]
struct Last {
    values: Vec<u64>,
    // Per key whether there is a row, then for each value whether it is there.
    flags: Vec<u8>,
    columns: usize,
}

/// Right rows that are applied in a chunk, in rows as in [`Last`].
#[derive(Debug, Default)]
struct AppliedRows {
    times: Vec<i64>,
    keys: Vec<u32>,
    values: Vec<u64>,
    flags: Vec<u8>,
}

/// Where the columns of a left row come from.
#[derive(Clone, Copy)]
enum Match {
    Nothing,
    Applied(u32),
    Last(u32),
}

/// How many rows before it is needed an entry is asked for.
const AHEAD: usize = 8;

const ROW: u8 = 1;
const LAST: u8 = 2;
const PENDING: u8 = 3;

/// What the state of an as-of join is of.
pub(crate) fn fingerprint((left, right): (&SchemaRef, &SchemaRef), spec: &Spec) -> Result<u64> {
    let Spec { left_keys, right_keys, columns, behind, strict, inner } = spec;
    let columns: Vec<usize> = columns.iter().map(|(column, _)| *column).collect();
    let out = Fingerprint::of("as-of").schema(left)?.schema(right)?.columns(left_keys).columns(right_keys);
    Ok(out.columns(&columns).micros(behind.0).flag(*strict).flag(*inner).hash())
}

impl AsOf {
    /// Joins a left input with a right one.
    pub fn new(left: SchemaRef, right: SchemaRef, spec: Spec) -> Result<AsOf> {
        let output = output_schema(&left, &right, &spec)?;
        if spec.behind.0 < 0 {
            return Err(Error::invalid(format!("an as-of join looks {} us ahead, expected 0 or less", -spec.behind.0)));
        }
        let types = columns::types(&right, &spec.right_keys, "a right key")?;
        let columns = spec.columns.iter().map(|(column, _)| Values::new(right.field(*column).data_type()));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let shape = Shape { values: columns.len(), flags: columns.len() };
        let last = Last { values: Vec::new(), flags: Vec::new(), columns: columns.len() };
        Ok(AsOf {
            fingerprint: fingerprint((&left, &right), &spec)?,
            left,
            output,
            keys: KeyIndex::new(&types, false),
            log: Log::new(shape),
            staged: RestoredRows::new(shape),
            last,
            columns,
            spec,
            pending: Queue::default(),
            newest: Vec::new(),
            watermark: EventTime::MIN,
        })
    }

    fn take_right(&mut self, batch: &Batch) -> Result<()> {
        let mut keys = Vec::new();
        self.keys.intern(batch, &self.spec.right_keys, &mut keys)?;
        let with_keys: Vec<u32> = (0..keys.len() as u32).filter(|&row| keys[row as usize] != NO_KEY).collect();
        let batch = if with_keys.len() == keys.len() { batch.clone() } else { batch.take(&with_keys)? };
        keys.retain(|&key| key != NO_KEY);
        if batch.times().first().is_some_and(|&first| self.log.last_time().is_some_and(|last| first < last)) {
            return Err(Error::internal("right rows came to an as-of join out of order; it stands after a merge"));
        }
        let (mut values, mut flags) = (Vec::new(), Vec::new());
        for ((column, _), kept) in self.spec.columns.iter().zip(&mut self.columns) {
            let (mut bits, mut there) = (Vec::new(), Vec::new());
            kept.encode(batch.column(*column), &mut bits, &mut there)?;
            values.push(bits);
            flags.push(there);
        }
        self.log.append(batch.times(), &keys, &values, &flags);
        Ok(())
    }

    /// The time up to which a left row meets right rows.
    fn limit(&self, left: i64) -> i64 {
        left.saturating_sub(self.spec.behind.0).saturating_sub(i64::from(self.spec.strict))
    }

    /// Takes the right rows up to a time out of the log.
    fn take_until(&mut self, limit: i64) -> AppliedRows {
        let columns = self.columns.len();
        let mut applied = AppliedRows::default();
        let end = self.log.first_above(self.log.start(), limit);
        let rows = (end - self.log.start()) as usize;
        applied.values.resize(rows * columns, 0);
        applied.flags.resize(rows * columns, 0);
        self.log.drop_before(end, |page, from, to| {
            let first = applied.keys.len() * columns;
            applied.times.extend_from_slice(&page.times[from..to]);
            applied.keys.extend_from_slice(&page.keys[from..to]);
            for column in 0..columns {
                let values = applied.values[first + column..].iter_mut().step_by(columns);
                values.zip(&page.values[column][from..to]).for_each(|(value, &source)| *value = source);
                let flags = applied.flags[first + column..].iter_mut().step_by(columns);
                flags.zip(&page.flags[column][from..to]).for_each(|(flag, &source)| *flag = source);
            }
        });
        applied
    }

    /// The appended columns for left rows in order, and which rows met a right row.
    fn join(&mut self, times: &[i64], keys: &[u32]) -> Result<(Vec<ArrayRef>, Vec<bool>)> {
        let Some(&last) = times.last() else { return Ok((Vec::new(), Vec::new())) };
        let applied = self.take_until(self.limit(last));
        self.newest.resize(self.keys.ids(), 0);
        let met = self.meet(times, keys, &applied);
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, values) in self.columns.iter().enumerate() {
            let (mut bits, mut there) = (Vec::with_capacity(met.len()), Vec::with_capacity(met.len()));
            for met in &met {
                let (value, flag) = match *met {
                    Match::Nothing => (0, 0),
                    Match::Applied(row) => {
                        let at = row as usize * self.columns.len() + index;
                        (applied.values[at], applied.flags[at])
                    }
                    Match::Last(key) => self.last.get(key as usize, index),
                };
                bits.push(value);
                there.push(flag);
            }
            arrays.push(values.decode(&bits, &there)?);
        }
        self.apply(&applied);
        Ok((arrays, met.iter().map(|met| !matches!(met, Match::Nothing)).collect()))
    }

    /// Which right row each left row meets.
    fn meet(&mut self, times: &[i64], keys: &[u32], applied: &AppliedRows) -> Vec<Match> {
        let mut met = Vec::with_capacity(keys.len());
        let mut at = 0;
        for (row, (&time, &key)) in times.iter().zip(keys).enumerate() {
            if let Some(&soon) = keys.get(row + AHEAD) {
                state::prefetch(&self.newest, soon as usize);
                self.last.prefetch(soon as usize);
            }
            let limit = self.limit(time);
            while applied.times.get(at).is_some_and(|&time| time <= limit) {
                if let Some(&soon) = applied.keys.get(at + AHEAD) {
                    state::prefetch(&self.newest, soon as usize);
                }
                self.newest[applied.keys[at] as usize] = at as u32 + 1;
                at += 1;
            }
            met.push(match self.newest.get(key as usize) {
                Some(0) if self.last.is_there(key as usize) => Match::Last(key),
                Some(0) | None => Match::Nothing,
                Some(&row) => Match::Applied(row - 1),
            });
        }
        met
    }

    /// Makes the last applied row of each key the last row of its key; what it replaces is let go.
    fn apply(&mut self, applied: &AppliedRows) {
        self.newest.resize(self.keys.ids(), 0);
        self.last.grow(self.keys.ids());
        for (row, &key) in applied.keys.iter().enumerate() {
            if let Some(&soon) = applied.keys.get(row + AHEAD) {
                state::prefetch(&self.newest, soon as usize);
                self.last.prefetch(soon as usize);
            }
            self.newest[key as usize] = row as u32 + 1;
        }
        let columns = self.columns.len();
        for (row, &key) in applied.keys.iter().enumerate() {
            let slot = key as usize;
            let values = &applied.values[row * columns..][..columns];
            let flags = &applied.flags[row * columns..][..columns];
            if self.newest[slot] != row as u32 + 1 {
                release(&mut self.columns, values, flags);
                self.keys.release(key);
                continue;
            }
            self.newest[slot] = 0;
            let (last_values, last_flags) = self.last.row_mut(slot);
            release(&mut self.columns, last_values, &last_flags[1..]);
            // The entry of the key holds one reference; that of the first row becomes it.
            if std::mem::replace(&mut last_flags[0], 1) != 0 {
                self.keys.release(key);
            }
            last_values.copy_from_slice(values);
            last_flags[1..].copy_from_slice(flags);
        }
    }

    /// Joins left rows and puts them out.
    fn put_out(&mut self, batch: &Batch, cx: &mut Context) -> Result<()> {
        let mut keys = Vec::new();
        self.keys.find(batch, &self.spec.left_keys, &mut keys)?;
        let (appended, met) = self.join(batch.times(), &keys)?;
        let mut columns = batch.columns().columns().to_vec();
        columns.extend(appended);
        let mut joined = batch.with_columns(RecordBatch::try_new(self.output.clone(), columns)?)?;
        if self.spec.inner {
            joined = joined.filter(&met.into())?;
        }
        cx.release(batch.rows());
        cx.count(Fate::Out, joined.rows());
        cx.count(Fate::Filtered, batch.rows() - joined.rows());
        cx.emit(Port::MAIN, joined);
        Ok(())
    }

    fn count_state(&self, cx: &mut Context) {
        let values: usize = self.columns.iter().map(Values::size).sum();
        let state = self.keys.size() + values + self.log.size() + self.last.size() + self.newest.capacity() * 4;
        cx.set_state_bytes(state + self.pending.size());
    }

    fn restore_row(&mut self, keys: &state::BlobKeys, blob: &mut state::Decoder) -> Result<()> {
        self.staged.keys.push(self.keys.intern_canonical(keys.get(blob)?)?);
        self.staged.times.push(blob.i64()?);
        for (index, column) in self.columns.iter_mut().enumerate() {
            let there = blob.u8()?;
            self.staged.flags[index].push(there);
            self.staged.values[index].push(if there != 0 { column.get(blob)? } else { 0 });
        }
        Ok(())
    }

    fn restore_last(&mut self, keys: &state::BlobKeys, blob: &mut state::Decoder) -> Result<()> {
        let key = self.keys.intern_canonical(keys.get(blob)?)?;
        self.last.grow(self.keys.ids());
        let (values, flags) = self.last.row_mut(key as usize);
        if std::mem::replace(&mut flags[0], 1) != 0 {
            return Err(Error::corrupt("the state of an as-of join has two last rows of one key"));
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            let there = blob.u8()?;
            flags[1 + index] = there;
            values[index] = if there != 0 { column.get(blob)? } else { 0 };
        }
        Ok(())
    }

    /// Takes up restored rows.
    fn settle(&mut self) {
        self.staged.append_to(&mut self.log);
    }
}

/// Lets go of the values of a right row.
fn release(columns: &mut [Values], values: &[u64], flags: &[u8]) {
    for ((column, &value), _) in columns.iter_mut().zip(values).zip(flags).filter(|(_, there)| **there != 0) {
        column.release(value);
    }
}

impl Last {
    fn grow(&mut self, ids: usize) {
        if self.flags.len() < ids * (self.columns + 1) {
            self.values.resize(ids * self.columns, 0);
            self.flags.resize(ids * (self.columns + 1), 0);
        }
    }

    fn is_there(&self, key: usize) -> bool {
        self.flags.get(key * (self.columns + 1)).is_some_and(|&flag| flag != 0)
    }

    /// A value, and whether it is there, of a key that has a row.
    fn get(&self, key: usize, column: usize) -> (u64, u8) {
        (self.values[key * self.columns + column], self.flags[key * (self.columns + 1) + 1 + column])
    }

    fn row_mut(&mut self, key: usize) -> (&mut [u64], &mut [u8]) {
        let width = self.columns + 1;
        (&mut self.values[key * self.columns..][..self.columns], &mut self.flags[key * width..][..width])
    }

    /// The row of a key is needed soon.
    fn prefetch(&self, key: usize) {
        state::prefetch(&self.values, key * self.columns);
        state::prefetch(&self.flags, key * (self.columns + 1));
    }

    /// The keys that have a row, with its values and flags.
    fn rows(&self) -> impl Iterator<Item = (u32, &[u64], &[u8])> {
        let flags = self.flags.chunks_exact(self.columns + 1).enumerate().filter(|(_, flags)| flags[0] != 0);
        flags.map(|(key, flags)| (key as u32, &self.values[key * self.columns..][..self.columns], &flags[1..]))
    }

    fn size(&self) -> usize {
        self.values.capacity() * 8 + self.flags.capacity()
    }
}

impl Operator for AsOf {
    fn process(&mut self, input: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        self.settle();
        if input == Input(0) {
            self.pending.push_in_order(batch, "an as-of join")?;
            cx.count(Fate::In, batch.rows());
            cx.count(Fate::Held, batch.rows());
        } else {
            self.take_right(batch)?;
        }
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.settle();
        self.watermark = self.watermark.max(watermark);
        while self.pending.first_time().is_some_and(|first| first <= watermark.0) {
            let Some(batch) = self.pending.pop_until(watermark.0, cx) else {
                self.count_state(cx);
                return Ok(Progress::More);
            };
            self.put_out(&batch, cx)?;
        }
        // The next left row is above the watermark, so that it meets these or later ones.
        let passed = self.take_until(self.limit(watermark.0.saturating_add(1)).min(watermark.0));
        self.apply(&passed);
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn next_due(&self, above: EventTime) -> Option<EventTime> {
        self.pending.first_after(above)
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        self.settle();
        Ok(Arc::new(FrozenAsOf {
            log: self.log.snapshot(),
            keys: self.keys.keys().clone(),
            columns: self.columns.iter().map(Values::snapshot).collect(),
            last: self.last.clone(),
            pending: self.pending.freeze(),
            left_keys: self.spec.left_keys.clone(),
            watermark: self.watermark,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        state::read_blobs(state, cx.groups(), self.fingerprint, &mut watermark, |tag, keys, blob| match tag {
            ROW => self.restore_row(keys, blob),
            LAST => self.restore_last(keys, blob),
            PENDING => {
                let rows = state::get_rows(blob, &self.left)?;
                cx.count(Fate::Held, rows.rows());
                self.pending.push(rows);
                Ok(())
            }
            other => Err(Error::corrupt(format!("a record in the state of an as-of join has the unknown tag {other}"))),
        })?;
        self.pending.put_in_order(&self.left)?;
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        self.count_state(cx);
        Ok(())
    }
}

struct FrozenAsOf {
    log: LogSnapshot,
    keys: Keys,
    columns: Vec<ValuesSnapshot>,
    last: Last,
    pending: Vec<Batch>,
    left_keys: Vec<usize>,
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenAsOf {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let mut blobs = GroupBlobs::default();
        self.log.for_each(u64::MAX, |page, row| {
            let record = blobs.record(ROW, &self.keys, page.keys[row]);
            record.i64(page.times[row]);
            for (index, column) in self.columns.iter().enumerate() {
                record.u8(page.flags[index][row]);
                if page.flags[index][row] != 0 {
                    column.put(page.values[index][row], record);
                }
            }
        });
        for (key, values, flags) in self.last.rows() {
            let record = blobs.record(LAST, &self.keys, key);
            for (index, column) in self.columns.iter().enumerate() {
                record.u8(flags[index]);
                if flags[index] != 0 {
                    column.put(values[index], record);
                }
            }
        }
        queue::put_by_columns(&mut blobs, PENDING, &self.pending, &self.left_keys)?;
        blobs.write(self.fingerprint, self.watermark, out)
    }
}
