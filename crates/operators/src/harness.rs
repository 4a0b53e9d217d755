//! Drives an operator through a plan of batches, watermarks, rooms and one freeze, for tests.

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef};
use dataflow::{
    Batch, Context, EventTime, Fate, Fates, Input, KeyGroups, Operator, Port, Progress, RowOrder, Snapshot,
    SpillInMemory, StateMemory, key_group, key_hashes,
};
use proptest::sample::Index;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value of a row.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Float(f64),
    Text(String),
    Boolean(bool),
}

impl Value {
    pub(crate) fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    /// Whether two values are the same but for the last digits of floats.
    fn is_near(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(left), Value::Float(right)) => {
                let is_same = left == right || (left.is_nan() && right.is_nan());
                is_same || (left - right).abs() <= 1e-9 * left.abs().max(right.abs())
            }
            _ => self == other,
        }
    }
}

/// A row with its time and order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) order: u128,
    pub(crate) values: Vec<Value>,
}

/// The columns of all test inputs.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("number", DataType::Int64, true),
        Field::new("price", DataType::Float64, true),
        Field::new("word", DataType::Utf8, true),
        Field::new("flag", DataType::Boolean, true),
    ]))
}

/// A batch of rows of a schema.
pub(crate) fn batch(schema: &SchemaRef, rows: &[Row]) -> Batch {
    let columns: Vec<ArrayRef> = (0..schema.fields().len())
        .map(|column| {
            let values = rows.iter().map(|row| &row.values[column]);
            match schema.field(column).data_type() {
                DataType::Int64 => Arc::new(
                    values
                        .map(|value| if let Value::Integer(value) = value { Some(*value) } else { None })
                        .collect::<Int64Array>(),
                ) as ArrayRef,
                DataType::Timestamp(..) => Arc::new(
                    values
                        .map(|value| if let Value::Integer(value) = value { Some(*value) } else { None })
                        .collect::<TimestampMicrosecondArray>(),
                ),
                DataType::Float64 => Arc::new(
                    values
                        .map(|value| if let Value::Float(value) = value { Some(*value) } else { None })
                        .collect::<Float64Array>(),
                ),
                DataType::Utf8 => Arc::new(
                    values
                        .map(|value| if let Value::Text(value) = value { Some(value.as_str()) } else { None })
                        .collect::<StringArray>(),
                ),
                _ => Arc::new(
                    values
                        .map(|value| if let Value::Boolean(value) = value { Some(*value) } else { None })
                        .collect::<BooleanArray>(),
                ),
            }
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let columns = RecordBatch::try_new_with_options(schema.clone(), columns, &options).unwrap();
    let orders = rows.iter().map(|row| RowOrder(row.order)).collect();
    Batch::new(columns, rows.iter().map(|row| row.time).collect(), orders).unwrap()
}

/// The rows of a batch.
pub(crate) fn rows(batch: &Batch) -> Vec<Row> {
    (0..batch.rows())
        .map(|row| Row {
            time: batch.time(row).0,
            order: batch.order(row).0,
            values: batch.columns().columns().iter().map(|column| value(column, row)).collect(),
        })
        .collect()
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        DataType::Timestamp(..) => {
            Value::Integer(column.as_primitive::<arrow::datatypes::TimestampMicrosecondType>().value(row))
        }
        other => panic!("the tests know no {other}"),
    }
}

/// How an operator is driven. Nothing in here may change what comes out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Watermarks, in any order; the end follows.
    pub(crate) watermarks: Vec<i64>,
    /// Sizes of batches, over and over.
    pub(crate) cuts: Vec<usize>,
    /// The room of each call.
    pub(crate) room: usize,
    /// How far beyond the next watermark each input is read.
    pub(crate) ahead: Vec<i64>,
    /// Between which two calls the state is frozen and restored into as many instances as the second number says.
    pub(crate) freeze_at: Option<Index>,
    /// Instances before and after.
    pub(crate) workers: [usize; 2],
    /// How many bytes of state all instances may have in memory.
    pub(crate) state_bytes: usize,
}

/// How many rows a page of state has: tests have few.
const PAGE_ROWS: usize = 3;

/// A stream of rows into an operator.
pub(crate) struct Stream {
    pub(crate) schema: SchemaRef,
    pub(crate) rows: Vec<Row>,
    pub(crate) keys: Vec<usize>,
    /// Rows come in order, as after a merge.
    pub(crate) is_sorted: bool,
}

impl Plan {
    /// How many of so many calls come before the freeze: at least one does, and one is left.
    fn calls_before_freeze(&self, calls: usize) -> Option<usize> {
        let between = calls.checked_sub(1).filter(|between| *between > 0)?;
        Some(1 + self.freeze_at?.index(between))
    }
}

impl Stream {
    pub(crate) fn sorted(rows: &[Row], keys: &[usize]) -> Stream {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| (row.time, row.order));
        Stream { schema: schema(), rows, keys: keys.to_vec(), is_sorted: true }
    }
}

enum Call {
    Feed(usize, Batch),
    Advance(i64),
}

/// What came out: rows by port, in the order in which they did.
pub(crate) struct Output {
    pub(crate) ports: BTreeMap<Port, Vec<Row>>,
    pub(crate) fates: Fates,
    /// Whether the state was frozen on the way.
    pub(crate) was_frozen: bool,
    /// The state of the last instances at the end.
    pub(crate) state_bytes: usize,
}

impl Output {
    /// The rows of a port in order of time, order and values.
    pub(crate) fn port(&self, port: Port) -> Vec<Row> {
        let mut rows = self.ports.get(&port).cloned().unwrap_or_default();
        sort(&mut rows);
        rows
    }

    pub(crate) fn main(&self) -> Vec<Row> {
        self.port(Port::MAIN)
    }
}

pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by(|left, right| {
        let by_place = (left.time, left.order).cmp(&(right.time, right.order));
        by_place.then_with(|| format!("{:?}", left.values).cmp(&format!("{:?}", right.values)))
    });
}

/// Asserts that rows are the same, floats to nine digits.
pub(crate) fn assert_near(found: &[Row], expected: &[Row]) {
    let is_near = |(left, right): (&Row, &Row)| {
        (left.time, left.order) == (right.time, right.order)
            && left.values.len() == right.values.len()
            && left.values.iter().zip(&right.values).all(|(left, right)| left.is_near(right))
    };
    for pair in found.iter().zip(expected) {
        assert!(is_near(pair), "found    {:?}\nexpected {:?}", pair.0, pair.1);
    }
    assert_eq!(found.len(), expected.len(), "found {found:?}\nexpected {expected:?}");
}

/// Asserts that rows are the same to the bit.
pub(crate) fn assert_same(found: &[Row], expected: &[Row]) {
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

/// Drives an operator and checks what every operator owes: the room is kept, main rows come in order and ahead of the
/// watermark, and the counts of rows add up.
pub(crate) fn drive(make: &dyn Fn() -> Box<dyn Operator>, streams: &[Stream], plan: &Plan) -> Output {
    let mut instances = start(make, plan.workers[0], plan.state_bytes);
    let calls = calls(streams, plan);
    let freeze_after = plan.calls_before_freeze(calls.len());
    let was_frozen = freeze_after.is_some();
    let mut output = Output { ports: BTreeMap::new(), fates: Fates::default(), was_frozen, state_bytes: 0 };
    for (index, call) in calls.into_iter().enumerate() {
        if freeze_after == Some(index) {
            instances = hand_over(make, &mut instances, plan, &mut output);
        }
        let count = instances.len();
        for (worker, instance) in instances.iter_mut().enumerate() {
            match &call {
                Call::Feed(input, batch) => {
                    let share = share(batch, &streams[*input].keys, worker, count);
                    if share.rows() > 0 {
                        instance
                            .call(plan.room, &mut output, |operator, cx| operator.process(Input(*input), &share, cx));
                    }
                }
                Call::Advance(to) => {
                    instance.call(plan.room, &mut output, |operator, cx| operator.advance(EventTime(*to), cx));
                    instance.watermark = *to;
                }
            }
        }
    }
    for instance in &instances {
        output.fates.merge(instance.cx.fates());
        output.state_bytes += instance.cx.state_bytes();
    }
    let of = |fate| output.fates.of(fate);
    assert_eq!(of(Fate::Held), 0, "rows are held after the end");
    let removed = of(Fate::Filtered) + of(Fate::Deduplicated) + of(Fate::Bad) + of(Fate::DeadLettered);
    assert_eq!(of(Fate::In), of(Fate::Out) + removed);
    output
}

struct Instance {
    operator: Box<dyn Operator>,
    cx: Context,
    watermark: i64,
    last: (i64, u128),
}

impl Instance {
    fn call(
        &mut self,
        room: usize,
        output: &mut Output,
        mut call: impl FnMut(&mut dyn Operator, &mut Context) -> dataflow::Result<Progress>,
    ) {
        loop {
            // Rows of any size go on, whichever of the two is used up first.
            self.cx.set_room(room, 100 * room);
            let progress = call(self.operator.as_mut(), &mut self.cx).unwrap();
            let mut is_any = false;
            for (port, batch) in self.cx.take_emitted() {
                is_any |= port == Port::MAIN;
                for row in rows(&batch) {
                    if port == Port::MAIN {
                        assert!(
                            row.time > self.watermark || self.watermark == i64::MIN,
                            "behind the watermark: {row:?}"
                        );
                        assert!((row.time, row.order) >= self.last, "out of order: {row:?}");
                        self.last = (row.time, row.order);
                    }
                    output.ports.entry(port).or_default().push(row);
                }
            }
            if progress == Progress::Done {
                return;
            }
            assert!(is_any, "a call asked for more room without using any");
        }
    }
}

fn start(make: &dyn Fn() -> Box<dyn Operator>, workers: usize, state_bytes: usize) -> Vec<Instance> {
    let memory = StateMemory::with_pages_of(PAGE_ROWS, state_bytes, Box::new(SpillInMemory));
    (0..workers)
        .map(|worker| Instance {
            operator: make(),
            cx: Context::with_memory(KeyGroups::of_worker(worker, workers), memory.clone()),
            watermark: i64::MIN,
            last: (i64::MIN, 0),
        })
        .collect()
}

/// Freezes all instances and restores them into others.
fn hand_over(
    make: &dyn Fn() -> Box<dyn Operator>,
    old: &mut [Instance],
    plan: &Plan,
    output: &mut Output,
) -> Vec<Instance> {
    let mut new = start(make, plan.workers[1], plan.state_bytes);
    for instance in old {
        let mut snapshot = Snapshot::default();
        instance.operator.freeze().unwrap().write(&mut snapshot).unwrap();
        for next in &mut new {
            next.operator.restore(&mut snapshot.clone(), &mut next.cx).unwrap();
            next.watermark = instance.watermark;
        }
        // Held rows are counted again by whoever takes them up.
        let held = instance.cx.fates().of(Fate::Held);
        instance.cx.release(held as usize);
        output.fates.merge(instance.cx.fates());
    }
    new
}

fn share(batch: &Batch, keys: &[usize], worker: usize, workers: usize) -> Batch {
    let columns: Vec<ArrayRef> = keys.iter().map(|&column| batch.column(column).clone()).collect();
    let hashes = key_hashes(&columns, batch.rows()).unwrap();
    let mine: Vec<u32> = (0..batch.rows() as u32)
        .filter(|&row| KeyGroups::worker_of(key_group(hashes[row as usize]), workers) == worker)
        .collect();
    batch.clone().with_key_hashes(keys, hashes).unwrap().take(&mine).unwrap()
}

fn calls(streams: &[Stream], plan: &Plan) -> Vec<Call> {
    let mut watermarks = plan.watermarks.clone();
    watermarks.sort_unstable();
    watermarks.push(i64::MAX);
    let mut fed: Vec<Vec<bool>> = streams.iter().map(|stream| vec![false; stream.rows.len()]).collect();
    let mut cuts = plan.cuts.iter().cycle();
    let mut calls = Vec::new();
    for watermark in watermarks {
        for (input, stream) in streams.iter().enumerate() {
            let limit = watermark.saturating_add(plan.ahead[input]);
            let due = (0..stream.rows.len()).filter(|&row| !fed[input][row] && stream.rows[row].time <= limit);
            let due: Vec<usize> = due.collect();
            due.iter().for_each(|&row| fed[input][row] = true);
            let mut rest = &due[..];
            while !rest.is_empty() {
                let size = cuts.next().copied().unwrap_or(1).clamp(1, plan.room).min(rest.len());
                let rows: Vec<Row> = rest[..size].iter().map(|&row| stream.rows[row].clone()).collect();
                debug_assert!(!stream.is_sorted || rows.is_sorted_by_key(|row| (row.time, row.order)));
                calls.push(Call::Feed(input, batch(&stream.schema, &rows)));
                rest = &rest[size..];
            }
        }
        calls.push(Call::Advance(watermark));
    }
    calls
}
