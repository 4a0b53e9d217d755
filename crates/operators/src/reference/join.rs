//! State of windows that is put together of what there was and what was built, against windows that always had all
//! functions.

use super::window::{specs, twin};
use super::{bad_rows, config, rows};
use crate::harness::{Row, Value, assert_near, batch, rows as rows_of, schema};
use crate::window::join::{Join, Joining};
use crate::window::layout::Layout;
use crate::window::{Frame, Function, Spec};
use crate::{Aggregate, Window};
use dataflow::{
    BadRowPolicy, Batch, Context, EventTime, Input, KeyGroups, Operator, Port, Progress, Scope, Snapshot, Span,
    SpillInMemory, StateMemory, StateReader, StateWriter,
};
use proptest::prelude::*;
use std::sync::Arc;

/// What columns of the input hold, and what functions do, by what they compute of which columns.
fn ids(spec: &Spec) -> (Vec<u128>, Vec<u128>) {
    let columns = (0..schema().fields().len() as u128).map(|column| column + 100).collect();
    let id = |text: String| text.bytes().fold(7_u128, |id, byte| id.wrapping_mul(1_000_003) ^ u128::from(byte));
    let of = |function: &Function| {
        let mut unnamed = function.clone();
        unnamed.name.clear();
        id(format!("{unnamed:?}"))
    };
    (columns, spec.functions.iter().map(of).collect())
}

fn layout(spec: &Spec) -> Layout {
    let (columns, functions) = ids(spec);
    let layout = Layout::of(&schema(), spec, &columns, &functions).unwrap();
    assert_eq!(Layout::parse(&layout.to_bytes()).unwrap(), layout);
    layout
}

struct Running {
    window: Window,
    cx: Context,
    out: Vec<Batch>,
}

impl Running {
    fn new(spec: &Spec, memory: &Arc<StateMemory>) -> Running {
        let window = Window::new(schema(), spec.clone(), bad_rows(BadRowPolicy::Skip)).unwrap();
        Running { window, cx: Context::with_memory(KeyGroups::ALL, memory.clone()), out: vec![] }
    }

    /// Takes rows in order up to a watermark, and a few that lie above it.
    fn run(&mut self, rows: &[Row], watermark: i64) {
        for chunk in rows.chunks(7) {
            self.cx.set_room(1000, usize::MAX);
            self.window.process(Input(0), &batch(&schema(), chunk), &mut self.cx).unwrap();
        }
        self.cx.set_room(1000, usize::MAX);
        while self.window.advance(EventTime(watermark), &mut self.cx).unwrap() == Progress::More {
            self.cx.set_room(1000, usize::MAX);
        }
        let emitted = self.cx.take_emitted().into_iter().filter(|(port, _)| *port == Port::MAIN);
        self.out.extend(emitted.map(|(_, batch)| batch));
    }

    /// What came out since it was made.
    fn rows(&self) -> Vec<Row> {
        self.out.iter().flat_map(rows_of).collect()
    }

    /// Windows of another spec that go on with the state of these, and with what rows of history up to a watermark tell;
    /// nothing where these hold nothing of them.
    fn change(&mut self, from: &Spec, to: &Spec, (rows, at): (&[Row], i64)) -> Option<Running> {
        let (columns, ids) = ids(to);
        let join = Join::new(schema(), to.clone(), (&columns, &ids), layout(from), true).unwrap()?;
        let memory = self.cx.memory().clone();
        let is_built = join.is_added().contains(&true);
        let mut built = Running::new(&join.added_spec(), &memory);
        if is_built {
            // History is read so far back as the functions look that are added.
            let since = layout(&join.added_spec()).look_back_us().map_or(i64::MIN, |reach| at - reach + 1);
            built.run(&rows[rows.partition_point(|row| row.time < since)..], at);
        }
        let (mut kept, mut added, mut joined) = (self.stored(), built.stored(), Snapshot::default());
        let added = is_built.then_some(&mut added as &mut dyn StateReader);
        assert_eq!(join.write(&mut kept, added, &memory, &mut joined).unwrap(), Joining::Done);
        let mut running = Running::new(to, &memory);
        running.window.restore(&mut joined, &mut running.cx).unwrap();
        Some(running)
    }

    fn stored(&mut self) -> Snapshot {
        let (frozen, mut stored) = (self.window.freeze().unwrap(), Snapshot::default());
        frozen.write(&mut stored).unwrap();
        stored
    }
}

fn memory(is_small: bool) -> Arc<StateMemory> {
    match is_small {
        true => StateMemory::with_pages_of(3, 0, Box::new(SpillInMemory)),
        false => StateMemory::unbounded(),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn windows_go_on_with_what_some_functions_had(
        before in specs(), now in specs(), later in specs(), shared in (0usize..4, 0usize..4), rows in rows(80),
        at in 0i64..60, pause in 0i64..20, is_small in any::<bool>(),
    ) {
        let now = changed(&before, &now, shared.0);
        let later = changed(&now, &later, shared.1);
        let mut rows = rows;
        rows.sort_by_key(|row| (row.time, row.order));
        let memory = memory(is_small);
        // Above the watermark a few rows wait.
        let waiting = |at: i64| (rows.partition_point(|row| row.time <= at) + 3).min(rows.len());
        let mut had = Running::new(&before, &memory);
        had.run(&rows[..waiting(at)], at);
        let Some(mut running) = had.change(&before, &now, (&rows[..waiting(at)], at)) else { return Ok(()) };
        let (next, from) = (at + pause, waiting(at));
        running.run(&rows[from..waiting(next).max(from)], next);
        assert_near(&running.rows(), &wanted(&now, &rows, at, next));
        let Some(mut last) = running.change(&now, &later, (&rows[..waiting(next).max(from)], next)) else { return Ok(()) };
        last.run(&rows[waiting(next).max(from)..], 1000);
        assert_near(&last.rows(), &wanted(&later, &rows, next, 1000));
    }
}

/// A spec with other functions, of which some stay.
fn changed(before: &Spec, with: &Spec, shared: usize) -> Spec {
    let stay = before.functions.iter().take(shared).cloned();
    let mut functions: Vec<_> = with.functions.iter().cloned().chain(stay).collect();
    for (index, function) in functions.iter_mut().enumerate() {
        function.name = format!("f{index}");
    }
    Spec { partition_by: before.partition_by.clone(), functions }
}

/// The rows after a time up to another that windows give which always had all functions.
fn wanted(spec: &Spec, rows: &[Row], after: i64, to: i64) -> Vec<Row> {
    let (good, _) = twin(spec, rows);
    good.into_iter().filter(|row| row.time > after && row.time <= to).collect()
}

/// Counts over frames of so long.
fn counts(lengths: &[i64]) -> Spec {
    let count = |(at, length): (usize, &i64)| Function {
        name: format!("f{at}"),
        aggregate: Aggregate::Count,
        argument: Some(1),
        filter: None,
        frame: Frame { from: Span(*length), to: Span(0) },
        order: vec![],
    };
    Spec { partition_by: vec![0], functions: lengths.iter().enumerate().map(count).collect() }
}

/// Notes how much of the state that is written lies on disk meanwhile.
struct Watched<'a> {
    memory: &'a StateMemory,
    spilled: usize,
}

impl StateWriter for Watched<'_> {
    fn put(&mut self, _: Scope, _: &[u8]) -> dataflow::Result<()> {
        self.spilled = self.spilled.max(self.memory.spilled());
        Ok(())
    }
}

#[test]
fn state_that_is_put_together_goes_to_disk_where_memory_is_short() {
    let row = |time: i64| Row {
        time,
        order: time as u128,
        values: vec![Value::Integer(time % 2), Value::Integer(1), Value::Null, Value::Null, Value::Null],
    };
    let rows: Vec<Row> = (0..4_000).map(row).collect();
    let (before, now) = (counts(&[2_000]), counts(&[2_000, 3_000]));
    let (columns, ids) = ids(&now);
    let join = Join::new(schema(), now, (&columns, &ids), layout(&before), true).unwrap().unwrap();
    let (mut had, mut built) =
        (Running::new(&before, &memory(false)), Running::new(&join.added_spec(), &memory(false)));
    had.run(&rows, 3_999);
    built.run(&rows, 3_999);
    let (mut kept, mut added) = (had.stored(), built.stored());
    let memory = StateMemory::with_pages_of(64, 20_000, Box::new(SpillInMemory));
    let mut watched = Watched { memory: &memory, spilled: 0 };
    assert_eq!(join.write(&mut kept, Some(&mut added), &memory, &mut watched).unwrap(), Joining::Done);
    assert!(watched.spilled > 20_000, "{} bytes are on disk", watched.spilled);
}

#[test]
fn rows_that_are_others_than_those_that_were_kept_are_refused() {
    let row = |time: i64| Row {
        time,
        order: time as u128,
        values: vec![Value::Integer(time % 2), Value::Integer(1), Value::Null, Value::Null, Value::Null],
    };
    let rows: Vec<Row> = (0..40).map(row).collect();
    let (before, now) = (counts(&[5]), counts(&[5, 20]));
    let (columns, ids) = ids(&now);
    let join = Join::new(schema(), now, (&columns, &ids), layout(&before), true).unwrap().unwrap();
    assert_eq!(join.is_added(), [false, true]);
    let memory = memory(false);
    let write = |lost: i64| {
        let read: Vec<Row> = rows.iter().filter(|row| row.time != lost).cloned().collect();
        let (mut had, mut built) = (Running::new(&before, &memory), Running::new(&join.added_spec(), &memory));
        had.run(&rows, 39);
        built.run(&read, 39);
        let (mut kept, mut added, mut joined) = (had.stored(), built.stored(), Snapshot::default());
        join.write(&mut kept, Some(&mut added), &memory, &mut joined)
    };
    assert_eq!(write(-1).unwrap(), Joining::Done);
    // No frame of what was kept goes so far back.
    assert_eq!(write(30).unwrap(), Joining::Done);
    assert_eq!(write(37).unwrap(), Joining::OtherRows);
}

#[test]
fn windows_take_over_nothing_of_windows_with_none_of_their_functions() {
    let join = |before: &Spec, now: &Spec| {
        let (columns, ids) = ids(now);
        Join::new(schema(), now.clone(), (&columns, &ids), layout(before), true)
            .unwrap()
            .map(|join| join.is_added().to_vec())
    };
    assert_eq!(join(&counts(&[5]), &counts(&[20])), None);
    assert_eq!(join(&counts(&[20]), &counts(&[5, 30])), Some(vec![false, true]), "a shorter frame is held");
}
