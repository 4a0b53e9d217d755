//! As-of join: each left row meets the last right row of its key at its time.

use crate::columns;
use crate::fingerprint::Fingerprint;
use crate::queue::{self, Queue};
use crate::restored_rows::RestoredRows;
use crate::right_rows::{RightRow, RightRows, RowLayout};
use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Span, StateReader,
    StateWriter,
};
use state::{
    Encoder, GroupBlobs, KeyIndex, Keys, Log, LogSnapshot, NO_KEY, Shape, Table, TablePage, Values, ValuesSnapshot,
};
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
    // By key id a row as its layout says.
    layout: RowLayout,
    last: Table<u64>,
    pending: Queue,
    staged: RestoredRows,
    watermark: EventTime,
    fingerprint: u64,
}

/// Right rows that become last ones. Each that has become one leaves the row here that it replaces.
struct AppliedRows {
    times: Vec<i64>,
    keys: Vec<u32>,
    rows: RightRows,
}

/// What left rows meet, by column.
struct MetRows {
    values: Vec<Vec<u64>>,
    flags: Vec<Vec<u8>>,
    is_met: Vec<bool>,
}

/// How many rows before it is needed an entry is asked for.
const AHEAD: usize = 8;

/// So many entries are restored before it is looked whether memory is short.
const ENTRIES_AT_ONCE: usize = 4096;

const ROW: u8 = 1;
const LAST: u8 = 2;
const PENDING: u8 = 3;

/// What the state of an as-of join is of: 64 bits that stand in every piece of it.
pub fn fingerprint((left, right): (&SchemaRef, &SchemaRef), spec: &Spec) -> Result<u64> {
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
        let layout = RowLayout { columns: columns.len() };
        Ok(AsOf {
            fingerprint: fingerprint((&left, &right), &spec)?,
            left,
            output,
            keys: KeyIndex::new(&types, false),
            log: Log::new(shape),
            staged: RestoredRows::new(shape),
            layout,
            last: Table::new(layout.width(), 0),
            columns,
            spec,
            pending: Queue::default(),
            watermark: EventTime::MIN,
        })
    }

    fn take_right(&mut self, batch: &Batch) -> Result<()> {
        let mut keys = Vec::new();
        self.keys.intern(batch, &self.spec.right_keys, &mut keys)?;
        let mut batch = batch.clone();
        if keys.contains(&NO_KEY) {
            let with_keys: Vec<u32> = (0..keys.len() as u32).filter(|&row| keys[row as usize] != NO_KEY).collect();
            batch = batch.take(&with_keys)?;
            keys.retain(|&key| key != NO_KEY);
        }
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
    fn take_until(&mut self, limit: i64) -> Result<AppliedRows> {
        let end = self.log.first_above(self.log.start(), limit)?;
        let rows = (end - self.log.start()) as usize;
        let mut applied = AppliedRows {
            times: Vec::with_capacity(rows),
            keys: Vec::with_capacity(rows),
            rows: RightRows { words: vec![0; rows * self.layout.width()], layout: self.layout },
        };
        self.log.drop_before(end, |page, from, to| {
            let first = applied.keys.len();
            applied.times.extend_from_slice(&page.times[from..to]);
            applied.keys.extend_from_slice(&page.keys[from..to]);
            applied.rows.set_there(first, to - from);
            for (column, (values, flags)) in page.values.iter().zip(&page.flags).enumerate() {
                applied.rows.set_column(first, column, &values[from..to], &flags[from..to]);
            }
        })?;
        Ok(applied)
    }

    /// What left rows in order meet: each the last row of its key once the right rows up to its limit have been applied.
    fn meet(&mut self, times: &[i64], keys: &[u32], applied: &mut AppliedRows) -> MetRows {
        let (rows, columns) = (keys.len(), self.columns.len());
        let mut met = MetRows {
            values: vec![vec![0; rows]; columns],
            flags: vec![vec![0; rows]; columns],
            is_met: vec![false; rows],
        };
        let mut at = 0;
        for (row, (&time, &key)) in times.iter().zip(keys).enumerate() {
            if let Some(&soon) = keys.get(row + AHEAD) {
                self.last.prefetch(soon);
            }
            let limit = self.limit(time);
            while applied.times.get(at).is_some_and(|&time| time <= limit) {
                self.apply(applied, at);
                at += 1;
            }
            if let Some(last) = self.last_of(key) {
                met.is_met[row] = true;
                for (column, (values, flags)) in met.values.iter_mut().zip(&mut met.flags).enumerate() {
                    values[row] = last.values[column];
                    flags[row] = u8::from(last.has(column));
                }
            }
        }
        met
    }

    /// Makes a right row the last one of its key, and leaves in its place the one that it replaces.
    fn apply(&mut self, applied: &mut AppliedRows, row: usize) {
        if let Some(&soon) = applied.keys.get(row + AHEAD) {
            self.last.prefetch(soon);
        }
        let key = applied.keys[row];
        self.last.row_mut(key).swap_with_slice(applied.rows.words_mut(row));
    }

    /// The last right row of a key.
    fn last_of(&self, key: u32) -> Option<RightRow<'_>> {
        self.last.row(key).and_then(|words| self.layout.of_words(words))
    }

    /// Lets go of rows that were replaced: of their values, and of a reference to the key, since an entry holds one.
    fn release(&mut self, replaced: &AppliedRows) -> Result<()> {
        let AppliedRows { keys, rows, .. } = replaced;
        for (column, values) in self.columns.iter_mut().enumerate().filter(|(_, values)| values.is_interned()) {
            let rows = rows.iter().map(|(_, row)| row).filter(|row| row.has(column));
            rows.for_each(|row| values.release(row.values[column]));
        }
        let keys: Vec<u32> = rows.iter().map(|(row, _)| keys[row as usize]).collect();
        self.keys.release_all(&keys)
    }

    /// Joins left rows and puts them out.
    fn put_out(&mut self, batch: &Batch, cx: &mut Context) -> Result<()> {
        let mut keys = Vec::new();
        self.keys.find(batch, &self.spec.left_keys, &mut keys)?;
        let mut applied = self.take_until(batch.times().last().map_or(i64::MIN, |&last| self.limit(last)))?;
        self.last.load(keys.iter().chain(&applied.keys).copied())?;
        let met = self.meet(batch.times(), &keys, &mut applied);
        let mut columns = batch.columns().columns().to_vec();
        for (values, (bits, there)) in self.columns.iter().zip(met.values.iter().zip(&met.flags)) {
            columns.push(values.decode(bits, there)?);
        }
        self.release(&applied)?;
        let mut joined = batch.with_columns(RecordBatch::try_new(self.output.clone(), columns)?)?;
        if self.spec.inner {
            joined = joined.filter(&met.is_met.into())?;
        }
        cx.release(batch.rows());
        cx.count(Fate::Out, joined.rows());
        cx.count(Fate::Filtered, batch.rows() - joined.rows());
        cx.emit(Port::MAIN, joined);
        self.fit(cx)
    }

    /// Shares memory with other steps.
    fn share(&mut self, cx: &Context) {
        self.log.share(cx.memory());
        self.keys.spill_to(cx.memory());
        self.last.spill_to(cx.memory());
    }

    /// Puts state aside where memory is short.
    fn fit(&mut self, cx: &mut Context) -> Result<()> {
        self.count_state(cx);
        self.log.fit(std::iter::empty())?;
        state::fit(cx.memory(), &mut [&mut self.keys, &mut self.last])?;
        self.count_state(cx);
        Ok(())
    }

    fn count_state(&self, cx: &mut Context) {
        let values: usize = self.columns.iter().map(Values::size).sum();
        let beside = self.keys.size() + values + self.last.size() + self.pending.size();
        let spilled = self.log.spilled() + self.keys.spilled() + self.last.spilled();
        cx.set_state(beside, self.log.size(), spilled);
    }

    fn restore_row(&mut self, keys: &state::BlobKeys, blob: &mut state::Decoder) -> Result<()> {
        self.staged.records.keys.push(self.keys.intern_canonical(keys.get(blob)?)?);
        self.staged.records.times.push(blob.i64()?);
        for (index, column) in self.columns.iter_mut().enumerate() {
            let there = blob.u8()?;
            self.staged.records.flags[index].push(there);
            self.staged.records.values[index].push(if there != 0 { column.get(blob)? } else { 0 });
        }
        Ok(())
    }

    fn restore_last(&mut self, keys: &state::BlobKeys, blob: &mut state::Decoder) -> Result<()> {
        let key = self.keys.intern_canonical(keys.get(blob)?)?;
        self.last.load_one(key)?;
        if self.last_of(key).is_some() {
            return Err(Error::corrupt("the state of an as-of join has two last rows of one key"));
        }
        let words = self.last.row_mut(key);
        self.layout.set_there(words);
        for (index, column) in self.columns.iter_mut().enumerate() {
            let there = blob.u8()?;
            let value = if there != 0 { column.get(blob)? } else { 0 };
            self.layout.set(words, index, value, there);
        }
        Ok(())
    }

    /// Takes up restored rows.
    fn settle(&mut self) -> Result<()> {
        self.staged.append_to(&mut self.log)
    }
}

impl Operator for AsOf {
    fn process(&mut self, input: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        self.share(cx);
        self.settle()?;
        if input == Input(0) {
            self.pending.push_in_order(batch, "an as-of join")?;
            cx.count(Fate::In, batch.rows());
            cx.count(Fate::Held, batch.rows());
        } else {
            self.take_right(batch)?;
        }
        self.fit(cx)?;
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.share(cx);
        self.settle()?;
        self.watermark = self.watermark.max(watermark);
        while self.pending.first_time().is_some_and(|first| first <= watermark.0) {
            let Some(batch) = self.pending.pop_until(watermark.0, cx) else {
                self.count_state(cx);
                return Ok(Progress::More);
            };
            self.put_out(&batch, cx)?;
        }
        // The next left row is above the watermark, so that it meets these or later ones.
        let mut passed = self.take_until(self.limit(watermark.0.saturating_add(1)).min(watermark.0))?;
        self.last.load(passed.keys.iter().copied())?;
        (0..passed.keys.len()).for_each(|row| self.apply(&mut passed, row));
        self.release(&passed)?;
        self.fit(cx)?;
        Ok(Progress::Done)
    }

    fn next_due(&self, above: EventTime) -> Option<EventTime> {
        self.pending.first_after(above)
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        self.settle()?;
        self.last.share();
        Ok(Arc::new(FrozenAsOf {
            log: self.log.snapshot(),
            keys: self.keys.snapshot(),
            columns: self.columns.iter_mut().map(Values::snapshot).collect(),
            layout: self.layout,
            last: self.last.clone(),
            pending: self.pending.freeze(),
            left_keys: self.spec.left_keys.clone(),
            watermark: self.watermark,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        self.share(cx);
        let mut entries = 0;
        state::read_blobs(state, cx.groups(), self.fingerprint, &mut watermark, |tag, keys, blob| match tag {
            ROW => self.restore_row(keys, blob),
            LAST => {
                self.restore_last(keys, blob)?;
                entries += 1;
                if entries % ENTRIES_AT_ONCE == 0 { self.fit(cx) } else { Ok(()) }
            }
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
        self.fit(cx)
    }
}

struct FrozenAsOf {
    log: LogSnapshot,
    keys: Keys,
    columns: Vec<ValuesSnapshot>,
    layout: RowLayout,
    last: Table<u64>,
    pending: Vec<Batch>,
    left_keys: Vec<usize>,
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenAsOf {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let mut blobs = GroupBlobs::default();
        self.log.try_for_each(0, u64::MAX, |page, row| {
            let record = blobs.record(ROW, &self.keys, page.keys[row])?;
            record.i64(page.times[row]);
            for (index, column) in self.columns.iter().enumerate() {
                record.u8(page.flags[index][row]);
                if page.flags[index][row] != 0 {
                    column.put(page.values[index][row], record);
                }
            }
            Ok(())
        })?;
        let record = |words: &[u64], out: &mut Encoder| {
            let Some(row) = self.layout.of_words(words) else { return false };
            for (index, column) in self.columns.iter().enumerate() {
                out.u8(u8::from(row.has(index)));
                if row.has(index) {
                    column.put(row.values[index], out);
                }
            }
            true
        };
        let page = TablePage { tag: LAST, fingerprint: self.fingerprint };
        self.last.put(&self.keys, page, self.watermark, &record, out)?;
        queue::put_by_columns(&mut blobs, PENDING, &self.pending, &self.left_keys)?;
        blobs.write(self.fingerprint, self.watermark, out)
    }
}
