//! Trailing windows: functions of the rows of a key up to each row.

mod lag;

pub mod join;
pub mod layout;

use crate::aggregate::does_not_fit;
use crate::bad_rows::{BadRows, by_row, good_rows};
use crate::fingerprint::Fingerprint;
use crate::queue::{self, Queue};
use crate::sweep::function_values::FunctionValues;
use crate::sweep::{FramedAggregate, FrozenSweep, Sweep};
use crate::{Aggregate, columns};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Progress, Result, Span, StateReader, StateWriter,
};
use lag::{FrozenLag, Lag};
use state::{GroupBlobs, Pieces, Stored, StoredPage, TablePage};
use std::sync::Arc;

/// The windows of one PARTITION BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The key columns; NULL is a key like any other.
    pub partition_by: Vec<usize>,
    /// The functions, one output column each.
    pub functions: Vec<Function>,
}

/// One function over a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name of the output column.
    pub name: String,
    /// What is computed.
    pub aggregate: Aggregate,
    /// The column that it is computed of; `None` for count(*).
    pub argument: Option<usize>,
    /// A boolean column; only rows where it is true count. Not for lag.
    pub filter: Option<usize>,
    /// The rows that count. Lag does not look at it.
    pub frame: Frame,
    /// Columns that order rows of equal time for lag, ascending, NULLs last; rows equal in these too are in `_ord`
    /// order.
    pub order: Vec<usize>,
}

/// The rows of the key with `_time` in `[t - from, t - to]`, where `t` is the row's: both ends included, and with
/// `to` = 0 all rows of equal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// How far back the frame begins.
    pub from: Span,
    /// How far back the frame ends; above 0 it ends before the row.
    pub to: Span,
}

/// The input columns, then one per function.
pub fn output_schema(input: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    columns::types(input, &spec.partition_by, "a PARTITION BY")?;
    let mut fields = input.fields().to_vec();
    for function in &spec.functions {
        check(input, function)?;
        let argument = function.argument.map(|column| columns::field(input, column, "an argument")).transpose()?;
        let data_type = function.aggregate.output_type(argument.map(Field::data_type))?;
        fields.push(Arc::new(Field::new(&function.name, data_type, function.aggregate.is_nullable())));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn check(input: &SchemaRef, function: &Function) -> Result<()> {
    let Function { name, aggregate, filter, frame, order, .. } = function;
    columns::check_filter(input, *filter, name)?;
    columns::types(input, order, "an ORDER BY")?;
    match aggregate {
        Aggregate::Lag { offset: 0 } => {
            Err(Error::invalid(format!("function \"{name}\": lag looks back 0 rows, expected at least 1")))
        }
        Aggregate::Lag { offset } if *offset > LAG_ROWS_MAX => Err(Error::invalid(format!(
            "function \"{name}\": lag looks back {offset} rows, expected at most {LAG_ROWS_MAX}"
        ))),
        Aggregate::Lag { .. } if filter.is_some() => {
            Err(Error::invalid(format!("function \"{name}\": lag takes no FILTER; use a CASE in its argument")))
        }
        Aggregate::Lag { .. } => Ok(()),
        _ if frame.to.0 < 0 || frame.from < frame.to => Err(Error::invalid(format!(
            "function \"{name}\": the frame goes from {} us to {} us before the row, expected a frame that begins at \
             or before its end and ends at or before the row",
            frame.from.0, frame.to.0
        ))),
        _ => Ok(()),
    }
}

/// Puts out each row with its function values, in order, once the watermark has reached it.
///
/// NULL keys form a key of their own; late rows and duplicates count like all others. A row whose integer sum does not
/// fit a BIGINT is bad and follows the policy of its stream; it still counts for the rows after it.
///
/// State: one log of the rows of the longest frame with the arguments of all functions, accumulators per key and frame,
/// and the rows above the watermark as they came in. A key is forgotten with its last row, except that lag keeps the last
/// values of every key there ever was. Everything is exact: sums and variances are rounded once.
#[derive(Debug)]
pub struct Window {
    input: SchemaRef,
    output: SchemaRef,
    bad_rows: BadRows,
    partition_by: Vec<usize>,
    columns: Vec<Column>,
    sweep: Sweep,
    lags: Vec<Lag>,
    // By key id: lag holds a reference to the key.
    kept: Vec<bool>,
    // The rows that were taken in and not computed; their numbers in the log begin with `next`.
    pending: Queue,
    next: u64,
    // How many rows are computed at a time.
    chunk_rows: usize,
    // FunctionValues rows that wait for room. Invariant: empty whenever a call returns `Done`.
    ready: Queue,
    watermark: EventTime,
    fingerprint: u64,
}

/// Where an output column comes from.
#[derive(Clone, Copy, Debug)]
enum Column {
    Frame(usize),
    Lag(usize),
}

/// How many rows `lag` looks back at most: it keeps so many values of every key there ever was.
pub const LAG_ROWS_MAX: usize = 1_000;

/// Rows are computed about so many at a time; the rows of one moment always together.
const CHUNK_ROWS: usize = 4096;

/// Fewer are computed at a time, down to this many, where their keys bring back much of what memory may hold: all of it has
/// to be there at once.
const CHUNK_ROWS_MIN: usize = 64;

const ROW: u8 = 1;
const PENDING: u8 = 2;
const LAG: u8 = 3;

/// What the state of windows is of: 64 bits that stand in every piece of it.
pub fn fingerprint(input: &SchemaRef, spec: &Spec) -> Result<u64> {
    let mut out = Fingerprint::of("window").schema(input)?.columns(&spec.partition_by).count(spec.functions.len());
    for Function { name: _, aggregate, argument, filter, frame, order } in &spec.functions {
        out = out.aggregate(*aggregate).optional_column(*argument).optional_column(*filter);
        out = out.micros(frame.from.0).micros(frame.to.0).columns(order);
    }
    Ok(out.hash())
}

/// What windows are computed by.
struct Computed {
    columns: Vec<Column>,
    sweep: Sweep,
    lags: Vec<Lag>,
}

impl Computed {
    fn new(input: &SchemaRef, spec: &Spec) -> Result<Computed> {
        let (mut wanted, mut lags, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for function in &spec.functions {
            match (function.aggregate, function.argument) {
                (Aggregate::Lag { offset }, Some(argument)) => {
                    columns.push(Column::Lag(lags.len()));
                    lags.push(Lag::new(input, argument, offset, function.order.clone())?);
                }
                (aggregate, argument) => {
                    columns.push(Column::Frame(wanted.len()));
                    let (from, to) = (function.frame.from.0.saturating_neg(), -function.frame.to.0);
                    wanted.push(FramedAggregate { aggregate, argument, filter: function.filter, from, to });
                }
            }
        }
        let sweep = Sweep::new(input, &spec.partition_by, true, &wanted)?;
        Ok(Computed { columns, sweep, lags })
    }
}

impl Window {
    /// The windows of a spec over rows of a schema.
    pub fn new(input: SchemaRef, spec: Spec, bad_rows: BadRows) -> Result<Window> {
        let output = output_schema(&input, &spec)?;
        let Computed { columns, sweep, lags } = Computed::new(&input, &spec)?;
        let fingerprint = fingerprint(&input, &spec)?;
        Ok(Window {
            input,
            output,
            bad_rows,
            partition_by: spec.partition_by,
            columns,
            sweep,
            lags,
            kept: Vec::new(),
            pending: Queue::default(),
            next: 0,
            chunk_rows: CHUNK_ROWS,
            ready: Queue::default(),
            watermark: EventTime::MIN,
            fingerprint,
        })
    }

    /// How many keys have state.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        self.sweep.keys.len()
    }

    fn take_in(&mut self, batch: &Batch) -> Result<()> {
        let last = self.pending.last_time().or(self.sweep.last_time()).unwrap_or(i64::MIN);
        if !batch.times().is_sorted() || batch.times().first().is_some_and(|&first| first < last) {
            return Err(Error::internal("rows came to a window out of order; it stands after a merge"));
        }
        self.sweep.append(batch)?;
        self.pending.push(batch.clone());
        Ok(())
    }

    /// Computes the first rows that are pending, no moment of which is cut.
    fn compute(&mut self, rows: usize, cx: &mut Context) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let mut batches = Vec::new();
        let mut left = rows;
        while let Some(batch) = self.pending.pop(left) {
            left -= batch.rows();
            batches.push(batch);
        }
        let mut keys = Vec::with_capacity(rows);
        self.sweep.keys_of_rows(self.next, self.next + rows as u64, &mut keys)?;
        let times = batches.iter().map(|batch| &batch.times()[..]).collect::<Vec<_>>().concat();
        let computed = self.sweep.compute(&times, &keys)?;
        self.keep_keys(&keys);
        let mut lagged = Vec::with_capacity(self.lags.len());
        for lag in &mut self.lags {
            lagged.push(lag.compute(&batches, &times, &keys)?);
        }
        self.next += rows as u64;
        self.sweep.drop_passed(self.next)?;
        self.chunk_rows = next_chunk_rows(self.chunk_rows, self.sweep.take_loaded(), cx.memory().limit());
        self.fit(cx)?;
        self.put_out(&batches, &computed, &lagged, cx)
    }

    /// Makes the keys that lag keeps values of stay.
    fn keep_keys(&mut self, keys: &[u32]) {
        if self.lags.is_empty() {
            return;
        }
        self.kept.resize(self.sweep.keys.ids(), false);
        for &key in keys {
            if !std::mem::replace(&mut self.kept[key as usize], true) {
                self.sweep.keys.retain(key);
            }
        }
    }

    /// Appends the function columns to the rows and makes them ready; bad rows follow the policy.
    fn put_out(
        &mut self,
        batches: &[Batch],
        computed: &[FunctionValues],
        lagged: &[ArrayRef],
        cx: &mut Context,
    ) -> Result<()> {
        let mut bad = self.overflows(computed);
        let mut from = 0;
        for batch in batches {
            let mut columns = batch.columns().columns().to_vec();
            columns.extend(self.columns.iter().map(|column| match *column {
                Column::Frame(index) => computed[index].values.slice(from, batch.rows()),
                Column::Lag(index) => lagged[index].slice(from, batch.rows()),
            }));
            let full = batch.with_columns(RecordBatch::try_new(self.output.clone(), columns)?)?;
            let end = from + batch.rows();
            let later = bad.split_off(bad.partition_point(|(row, _)| *row < end));
            let here: Vec<(usize, Error)> =
                std::mem::replace(&mut bad, later).into_iter().map(|(row, error)| (row - from, error)).collect();
            from = end;
            if here.is_empty() {
                self.ready.push(full);
                continue;
            }
            self.ready.push(full.take(&good_rows(batch.rows(), &here))?);
            cx.release(here.len());
            self.bad_rows.remove(batch, &here, cx)?;
        }
        Ok(())
    }

    /// The rows of a chunk whose sum does not fit, in order.
    fn overflows(&self, computed: &[FunctionValues]) -> Vec<(usize, Error)> {
        let mut bad = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            if let Column::Frame(index) = *column {
                let name = self.output.field(self.input.fields().len() + at).name();
                bad.extend(computed[index].bad.iter().map(|&row| (row, does_not_fit(name))));
            }
        }
        by_row(bad)
    }

    fn count_state(&mut self, cx: &mut Context) {
        let lags: usize = self.lags.iter().map(Lag::size).sum();
        let beside = lags + self.kept.capacity() + self.pending.size() + self.ready.size();
        let (sweep, spilled) = self.sweep.counted();
        cx.set_state(beside, sweep, spilled + self.lags.iter().map(Lag::spilled).sum::<usize>());
    }

    /// Puts state aside where memory is short.
    fn fit(&mut self, cx: &mut Context) -> Result<()> {
        self.count_state(cx);
        let mut lags: Vec<&mut dyn Pieces> = self.lags.iter_mut().map(Lag::pieces).collect();
        self.sweep.fit(self.next, &mut lags)?;
        self.count_state(cx);
        Ok(())
    }

    /// Shares memory with other steps.
    fn share(&mut self, cx: &Context) {
        self.sweep.share(cx.memory());
        self.lags.iter_mut().for_each(|lag| lag.spill_to(cx.memory()));
    }

    /// Takes up restored state: rows that were pending are taken in again after the log.
    fn settle(&mut self) -> Result<()> {
        if self.next == self.sweep.end() && self.sweep.has_staged() {
            self.sweep.settle()?;
            self.next = self.sweep.end();
        }
        if self.sweep.end() == self.next && self.pending.rows() > 0 {
            let pending = self.pending.take_sorted(&self.input)?;
            self.take_in(&pending)?;
        }
        Ok(())
    }
}

/// How many rows are computed next, after so many brought back so many bytes of a bound.
fn next_chunk_rows(rows: usize, loaded: usize, limit: usize) -> usize {
    match loaded {
        much if much > limit / 8 => (rows / 2).max(CHUNK_ROWS_MIN),
        little if little < limit / 64 => (rows * 2).min(CHUNK_ROWS),
        _ => rows,
    }
}

impl Operator for Window {
    /// Takes rows in. They are computed in [`Operator::advance`] alone, so that all workers have come equally far
    /// whenever state is frozen.
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        self.share(cx);
        self.settle()?;
        self.take_in(batch)?;
        self.fit(cx)?;
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Held, batch.rows());
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.share(cx);
        self.settle()?;
        self.watermark = self.watermark.max(watermark);
        while self.ready.drain(cx) == Progress::Done {
            let due = self.pending.whole_moments(watermark.0, self.chunk_rows);
            if due == 0 {
                let next = watermark.0.saturating_add(1);
                self.sweep.forget_before(next, self.next)?;
                self.fit(cx)?;
                return Ok(Progress::Done);
            }
            self.compute(due, cx)?;
        }
        self.count_state(cx);
        Ok(Progress::More)
    }

    fn next_due(&self, above: EventTime) -> Option<EventTime> {
        self.pending.first_after(above)
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        self.settle()?;
        Ok(Arc::new(FrozenWindow {
            sweep: self.sweep.freeze(self.next, ROW, self.fingerprint),
            lags: self.lags.iter_mut().map(Lag::freeze).collect(),
            pending: self.pending.freeze(),
            partition_by: self.partition_by.clone(),
            watermark: self.watermark,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        self.share(cx);
        let Window { sweep, lags, kept, pending, input, .. } = self;
        let (groups, mut entries) = (cx.groups(), 0);
        state::read_stored(state, groups, self.fingerprint, &mut watermark, |stored| match stored {
            Stored::Page(page, first) if page.tag == ROW => sweep.stage_page(&page, first, groups),
            Stored::Record(ROW, keys, blob) => sweep.stage(keys, blob),
            Stored::Record(PENDING, _, blob) => {
                let rows = state::get_rows(blob, input)?;
                cx.count(Fate::Held, rows.rows());
                pending.push(rows);
                Ok(())
            }
            Stored::Record(LAG, keys, blob) => {
                let key = sweep.keys.intern_canonical(keys.get(blob)?)?;
                kept.resize(sweep.keys.ids(), false);
                if std::mem::replace(&mut kept[key as usize], true) {
                    sweep.keys.release(key)?;
                }
                lag::restore(lags, key, blob)?;
                entries += 1;
                if entries % CHUNK_ROWS != 0 {
                    return Ok(());
                }
                cx.set_state(lags.iter().map(Lag::size).sum(), 0, 0);
                sweep.fit(u64::MAX, &mut lags.iter_mut().map(Lag::pieces).collect::<Vec<_>>())
            }
            Stored::Record(other, ..) | Stored::Page(StoredPage { tag: other, .. }, _) => {
                Err(Error::corrupt(format!("a record in the state of a window has the unknown tag {other}")))
            }
        })?;
        self.pending.put_in_order(&self.input)?;
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        self.fit(cx)
    }
}

struct FrozenWindow {
    sweep: FrozenSweep,
    lags: Vec<FrozenLag>,
    pending: Vec<Batch>,
    partition_by: Vec<usize>,
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenWindow {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let mut blobs = GroupBlobs::default();
        self.sweep.put(&mut blobs, self.watermark, out)?;
        for (index, lag) in self.lags.iter().enumerate() {
            let page = TablePage { tag: LAG, fingerprint: self.fingerprint };
            lag.put(self.sweep.keys(), page, index as u32, self.watermark, out)?;
        }
        queue::put_by_columns(&mut blobs, PENDING, &self.pending, &self.partition_by)?;
        blobs.write(self.fingerprint, self.watermark, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_rows_are_computed_at_a_time_while_they_bring_back_much_and_more_again_afterwards() {
        let mut rows = CHUNK_ROWS;
        for _ in 0..10 {
            rows = next_chunk_rows(rows, 20, 100);
        }
        assert_eq!(rows, CHUNK_ROWS_MIN);
        assert_eq!(next_chunk_rows(rows, 10, 100), rows);
        for _ in 0..10 {
            rows = next_chunk_rows(rows, 0, 100);
        }
        assert_eq!(rows, CHUNK_ROWS);
        assert_eq!(next_chunk_rows(rows, 1 << 40, usize::MAX), rows);
    }
}
