//! Aggregates over another stream: for each left row, functions of the right rows of its key in a range of time.

use crate::aggregate::does_not_fit;
use crate::bad_rows::{BadRows, by_row, good_rows};
use crate::fingerprint::Fingerprint;
use crate::queue::{self, Queue};
use crate::sweep::{FramedAggregate, FrozenSweep, Sweep};
use crate::{Aggregate, columns};
use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, Operator, Port, Progress, Result, Span, StateReader,
    StateWriter,
};
use state::{GroupBlobs, Stored, StoredPage};
use std::fmt;
use std::sync::Arc;

/// The functions and the keys that match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The key columns of the left input.
    pub left_keys: Vec<usize>,
    /// The key columns of the right input, as many as of the left; a key with a NULL matches nothing.
    pub right_keys: Vec<usize>,
    /// The functions, one output column each.
    pub functions: Vec<Function>,
}

/// One function of the right rows in a range of time around a left row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name of the output column.
    pub name: String,
    /// What is computed.
    pub computes: RangeFunction,
    /// The right column that it is computed of; `None` for count(*) and EXISTS.
    pub argument: Option<usize>,
    /// A boolean right column; only rows where it is true count.
    pub filter: Option<usize>,
    /// Right rows count from left `_time` and so many microseconds on, which may be negative.
    pub from: i64,
    /// Right rows count up to left `_time` and so many microseconds on, that time included.
    pub to: i64,
}

/// What is computed of right rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeFunction {
    /// Whether there is a row at all; never NULL.
    Exists,
    /// An aggregate that has a frame: lag has none.
    Aggregate(Aggregate),
}

impl RangeFunction {
    /// The aggregate that is kept for this.
    pub(crate) fn aggregate(self) -> Aggregate {
        match self {
            RangeFunction::Exists => Aggregate::Count,
            RangeFunction::Aggregate(aggregate) => aggregate,
        }
    }

    /// The type of the values for an argument of a type.
    pub fn output_type(self, argument: Option<&DataType>) -> Result<DataType> {
        match self {
            RangeFunction::Exists => Ok(DataType::Boolean),
            RangeFunction::Aggregate(aggregate) => aggregate.output_type(argument),
        }
    }
}

/// Writes the function as plans show it.
impl fmt::Display for RangeFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RangeFunction::Exists => "exists",
            RangeFunction::Aggregate(Aggregate::CountDistinct) => "countdistinct",
            RangeFunction::Aggregate(aggregate) => aggregate.name(),
        })
    }
}

impl Spec {
    /// How long a left row waits for right rows: the greatest `to`, at least 0. `_time` of what comes out is the left
    /// row's and this.
    pub fn hold_us(&self) -> i64 {
        self.functions.iter().map(|function| function.to).max().unwrap_or(0).max(0)
    }
}

/// The left columns, then one per function.
pub fn output_schema(left: &SchemaRef, right: &SchemaRef, spec: &Spec) -> Result<SchemaRef> {
    columns::check_keys("an aggregate over another stream", (left, &spec.left_keys), (right, &spec.right_keys))?;
    let mut fields = left.fields().to_vec();
    for function in &spec.functions {
        if function.from > function.to {
            return Err(Error::invalid(format!(
                "function \"{}\": the range begins {} us after it ends",
                function.name,
                i128::from(function.from) - i128::from(function.to)
            )));
        }
        columns::check_filter(right, function.filter, &function.name)?;
        let argument = function.argument.map(|column| columns::field(right, column, "an argument")).transpose()?;
        let data_type = function.computes.output_type(argument.map(Field::data_type))?;
        let nullable = function.computes.aggregate().is_nullable();
        fields.push(Arc::new(Field::new(&function.name, data_type, nullable)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Puts out each left row with function values of the right rows around it, in order, once no right row that counts is
/// still to come: at the watermark of its time and the greatest `to`, which becomes its `_time`.
///
/// Right rows at both ends of a range count. A key with a NULL matches nothing. Counted are left rows; right rows are
/// state. A row whose integer sum does not fit a BIGINT is bad and follows the policy of the left stream. State: one log
/// of the right rows that a left row could still ask for, accumulators per key and function, and the left rows that wait.
#[derive(Debug)]
pub struct RangeAggregate {
    left: SchemaRef,
    output: SchemaRef,
    spec: Spec,
    bad_rows: BadRows,
    hold_us: i64,
    sweep: Sweep,
    pending: Queue,
    watermark: EventTime,
    fingerprint: u64,
}

const ROW: u8 = 1;
const PENDING: u8 = 2;

/// What the state of an aggregate over another stream is of: 64 bits that stand in every piece of it.
pub fn fingerprint((left, right): (&SchemaRef, &SchemaRef), spec: &Spec) -> Result<u64> {
    let out = Fingerprint::of("range").schema(left)?.schema(right)?.columns(&spec.left_keys).columns(&spec.right_keys);
    let mut out = out.count(spec.functions.len());
    for Function { name: _, computes, argument, filter, from, to } in &spec.functions {
        out = out.flag(*computes == RangeFunction::Exists).aggregate(computes.aggregate());
        out = out.optional_column(*argument).optional_column(*filter).micros(*from).micros(*to);
    }
    Ok(out.hash())
}

impl RangeAggregate {
    /// Functions of rows of a right input for each row of a left one.
    pub fn new(left: SchemaRef, right: SchemaRef, spec: Spec, bad_rows: BadRows) -> Result<RangeAggregate> {
        let output = output_schema(&left, &right, &spec)?;
        let wanted: Vec<FramedAggregate> = spec
            .functions
            .iter()
            .map(|function| FramedAggregate {
                aggregate: function.computes.aggregate(),
                argument: function.argument,
                filter: function.filter,
                from: function.from,
                to: function.to,
            })
            .collect();
        let sweep = Sweep::new(&right, &spec.right_keys, false, &wanted)?;
        Ok(RangeAggregate {
            fingerprint: fingerprint((&left, &right), &spec)?,
            left,
            output,
            bad_rows,
            hold_us: spec.hold_us(),
            sweep,
            spec,
            pending: Queue::default(),
            watermark: EventTime::MIN,
        })
    }

    fn put_out(&mut self, batch: &Batch, cx: &mut Context) -> Result<()> {
        let mut keys = Vec::new();
        self.sweep.keys.find(batch, &self.spec.left_keys, &mut keys)?;
        let computed = self.sweep.compute(batch.times(), &keys)?;
        self.sweep.drop_passed(self.sweep.end())?;
        self.sweep.fit(u64::MAX, &mut [])?;
        let mut columns = batch.columns().columns().to_vec();
        let mut bad = Vec::new();
        for (function, column) in self.spec.functions.iter().zip(computed) {
            bad.extend(column.bad.into_iter().map(|row| (row, does_not_fit(&function.name))));
            columns.push(match function.computes {
                RangeFunction::Exists => is_positive(&column.values),
                RangeFunction::Aggregate(_) => column.values,
            });
        }
        let times = batch.times().iter().map(|time| time.saturating_add(self.hold_us)).collect();
        let full = batch.with_columns(RecordBatch::try_new(self.output.clone(), columns)?)?.with_times(times)?;
        let bad = by_row(bad);
        cx.release(batch.rows());
        cx.count(Fate::Out, batch.rows() - bad.len());
        if bad.is_empty() {
            cx.emit(Port::MAIN, full);
            return Ok(());
        }
        // Bad rows leave when the others do: an earlier moment is closed.
        self.bad_rows.remove(&batch.with_times(full.times().to_vec())?, &bad, cx)?;
        cx.emit(Port::MAIN, full.take(&good_rows(batch.rows(), &bad))?);
        Ok(())
    }

    fn count_state(&mut self, cx: &mut Context) {
        let (sweep, spilled) = self.sweep.counted();
        cx.set_state(self.pending.size(), sweep, spilled);
    }
}

/// Whether counts are above 0.
fn is_positive(counts: &ArrayRef) -> ArrayRef {
    let counts = counts.as_primitive::<Int64Type>();
    Arc::new(counts.values().iter().map(|&count| Some(count > 0)).collect::<BooleanArray>())
}

impl Operator for RangeAggregate {
    fn process(&mut self, input: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        self.sweep.share(cx.memory());
        self.sweep.settle()?;
        if input == Input(0) {
            self.pending.push_in_order(batch, "an aggregate over another stream")?;
            cx.count(Fate::In, batch.rows());
            cx.count(Fate::Held, batch.rows());
        } else {
            let last = self.sweep.last_time().unwrap_or(i64::MIN);
            if batch.times().first().is_some_and(|&first| first < last) || !batch.times().is_sorted() {
                return Err(Error::internal(
                    "right rows came to an aggregate over another stream out of order; it stands after a merge",
                ));
            }
            self.sweep.append(batch)?;
            self.sweep.fit(u64::MAX, &mut [])?;
        }
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.sweep.share(cx.memory());
        self.sweep.settle()?;
        self.watermark = self.watermark.max(watermark);
        let hold_us = self.hold_us;
        let is_due = |first: i64| first.saturating_add(hold_us) <= watermark.0;
        while self.pending.first_time().is_some_and(is_due) {
            // At the end of all rows everything is due, also what is held beyond the range of time.
            let until = if watermark == EventTime::MAX { i64::MAX } else { watermark.0.saturating_sub(hold_us) };
            let Some(batch) = self.pending.pop_until(until, cx) else {
                self.count_state(cx);
                return Ok(Progress::More);
            };
            self.put_out(&batch, cx)?;
        }
        let next = watermark.0.saturating_add(1);
        let next = self.pending.first_time().map_or(next, |first| first.min(next));
        self.sweep.forget_before(next, self.sweep.end())?;
        self.sweep.fit(u64::MAX, &mut [])?;
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn next_due(&self, above: EventTime) -> Option<EventTime> {
        let hold = Span(self.hold_us);
        self.pending.first_after(above.minus(hold)).map(|first| first.plus(hold))
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        self.sweep.settle()?;
        Ok(Arc::new(FrozenRangeAggregate {
            sweep: self.sweep.freeze(u64::MAX, ROW, self.fingerprint),
            pending: self.pending.freeze(),
            left_keys: self.spec.left_keys.clone(),
            watermark: self.watermark,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        let RangeAggregate { sweep, pending, left, .. } = self;
        let groups = cx.groups();
        sweep.share(cx.memory());
        state::read_stored(state, groups, self.fingerprint, &mut watermark, |stored| match stored {
            Stored::Page(page, first) if page.tag == ROW => sweep.stage_page(&page, first, groups),
            Stored::Record(ROW, keys, blob) => sweep.stage(keys, blob),
            Stored::Record(PENDING, _, blob) => {
                let rows = state::get_rows(blob, left)?;
                cx.count(Fate::Held, rows.rows());
                pending.push(rows);
                Ok(())
            }
            Stored::Record(other, ..) | Stored::Page(StoredPage { tag: other, .. }, _) => Err(Error::corrupt(format!(
                "a record in the state of an aggregate over another stream has the unknown tag {other}"
            ))),
        })?;
        self.pending.put_in_order(&self.left)?;
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        self.count_state(cx);
        Ok(())
    }
}

struct FrozenRangeAggregate {
    sweep: FrozenSweep,
    pending: Vec<Batch>,
    left_keys: Vec<usize>,
    watermark: EventTime,
    fingerprint: u64,
}

impl Frozen for FrozenRangeAggregate {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let mut blobs = GroupBlobs::default();
        self.sweep.put(&mut blobs, self.watermark, out)?;
        queue::put_by_columns(&mut blobs, PENDING, &self.pending, &self.left_keys)?;
        blobs.write(self.fingerprint, self.watermark, out)
    }
}
