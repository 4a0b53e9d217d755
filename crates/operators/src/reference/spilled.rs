//! State of many keys keeps to the bound on memory, whatever it is of.

use super::bad_rows;
use super::bounded::{STEPS, rows};
use crate::harness::{batch, schema};
use crate::window::{Frame, Function, Spec, Window};
use crate::{Aggregate, AsOf, Dedup, as_of};
use dataflow::{
    BadRowPolicy, Context, EventTime, Input, KeyGroups, Operator, Progress, Span, SpillInMemory, StateMemory,
};

/// No key comes again.
const NEVER: i64 = i64::MAX;
/// Many keys for a page, and many pages.
const PAGE_ROWS: usize = 64;

/// The most bytes of state in memory after a step, and those on disk at the end.
fn bytes(mut operator: impl Operator, inputs: &[usize], limit: usize) -> (usize, usize) {
    let memory = StateMemory::with_pages_of(PAGE_ROWS, limit, Box::new(SpillInMemory));
    let (mut cx, mut most) = (Context::with_memory(KeyGroups::ALL, memory.clone()), 0);
    for step in 0..STEPS {
        let batch = batch(&schema(), &rows(step, NEVER));
        for &input in inputs {
            cx.set_room(1000, usize::MAX);
            operator.process(Input(input), &batch, &mut cx).unwrap();
        }
        loop {
            cx.set_room(1000, usize::MAX);
            let progress = operator.advance(EventTime(step * 10 + 9), &mut cx).unwrap();
            cx.take_emitted();
            if progress == Progress::Done {
                break;
            }
        }
        assert_eq!(memory.used(), cx.state_bytes(), "not all of the state is counted");
        most = most.max(memory.used());
    }
    (most, cx.spilled_bytes())
}

fn assert_bounded<O: Operator>(name: &str, make: impl Fn() -> O, inputs: &[usize]) {
    let (whole, spilled) = bytes(make(), inputs, usize::MAX);
    assert_eq!(spilled, 0, "{name} has memory for everything");
    let limit = whole * 3 / 4;
    let (most, spilled) = bytes(make(), inputs, limit);
    assert!(most <= limit, "{name} held {most} bytes with a bound of {limit}");
    assert!(spilled * 6 > whole - limit, "{name} has {spilled} bytes on disk of {whole} with a bound of {limit}");
}

#[test]
fn windows_keep_to_their_bound() {
    let function = |aggregate, argument| Function {
        name: format!("{aggregate:?}"),
        aggregate,
        argument: Some(argument),
        filter: None,
        frame: Frame { from: Span(2_000), to: Span(0) },
        order: vec![],
    };
    let make = |key: usize| {
        let functions = vec![
            function(Aggregate::Max, 1),
            function(Aggregate::Sum, 2),
            function(Aggregate::Avg, 1),
            function(Aggregate::Lag { offset: 1 }, 1),
        ];
        let spec = Spec { partition_by: vec![key], functions };
        Window::new(schema(), spec, bad_rows(BadRowPolicy::Skip)).unwrap()
    };
    assert_bounded("a window of integers", || make(0), &[0]);
    assert_bounded("a window of texts", || make(3), &[0]);
}

#[test]
fn last_rows_and_deliveries_keep_to_their_bound() {
    let spec = as_of::Spec {
        left_keys: vec![0],
        right_keys: vec![0],
        columns: vec![(1, "number".to_owned()), (2, "price".to_owned())],
        behind: Span(0),
        strict: false,
        inner: false,
    };
    let as_of = || AsOf::new(schema(), schema(), spec.clone()).unwrap();
    assert_bounded("an as-of join", as_of, &[0, 1]);
    let dedup = || Dedup::new(schema(), vec![3], Span(NEVER)).unwrap();
    assert_bounded("a dedup of texts", dedup, &[0]);
}
