//! State stays flat while rows come and go, also when no key ever returns.

use super::bad_rows;
use crate::harness::{Row, Value, batch, schema};
use crate::window::{Frame, Function, Spec, Window};
use crate::{Aggregate, AsOf, Dedup, RangeAggregate, RangeFunction, Zip, as_of, range, zip};
use dataflow::{BadRowPolicy, Context, EventTime, Input, KeyGroups, Operator, Progress, Snapshot, Span};

pub(super) const STEPS: i64 = 400;
const STEP_ROWS: i64 = 300;

/// The rows of a step: its time, and keys and words that come back after so many rows.
pub(super) fn rows(step: i64, period: i64) -> Vec<Row> {
    let row = |at: i64| {
        let number = step * STEP_ROWS + at;
        Row {
            time: step * 10 + at * 10 / STEP_ROWS,
            order: number as u128,
            values: vec![
                Value::Integer(number % period),
                Value::Integer(number),
                Value::Float(number as f64 * 0.1),
                Value::Text(format!("word number {}", number % period)),
                Value::Boolean(number % 3 == 0),
            ],
        }
    };
    (0..STEP_ROWS).map(row).collect()
}

/// The bytes of state after half of the steps and after all. Rows go to the inputs given; the others stay silent.
fn bytes(mut operator: impl Operator, inputs: &[usize], period: i64) -> (usize, usize) {
    let mut cx = Context::new(KeyGroups::ALL);
    let mut half = 0;
    for step in 0..STEPS {
        let batch = batch(&schema(), &rows(step, period));
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
        if step == STEPS / 2 {
            half = cx.state_bytes();
        }
    }
    (half, cx.state_bytes())
}

fn assert_flat(name: &str, (half, end): (usize, usize)) {
    assert!(half > 0, "{name} counts no bytes");
    assert!(end * 10 <= half * 11, "{name} held {half} bytes after half of the rows and {end} after all");
}

const NEVER: i64 = i64::MAX;

fn range_of(aggregate: Aggregate, from: i64, to: i64) -> RangeAggregate {
    let function = range::Function {
        name: "f".to_owned(),
        computes: RangeFunction::Aggregate(aggregate),
        argument: Some(3),
        filter: None,
        from,
        to,
    };
    let spec = range::Spec { left_keys: vec![0], right_keys: vec![0], functions: vec![function] };
    RangeAggregate::new(schema(), schema(), spec, bad_rows(BadRowPolicy::Skip)).unwrap()
}

#[test]
fn keys_that_never_return_leave() {
    let function = |aggregate, argument| Function {
        name: format!("{aggregate:?}"),
        aggregate,
        argument: Some(argument),
        filter: Some(4),
        frame: Frame { from: Span(200), to: Span(5) },
        order: vec![],
    };
    let functions = vec![
        function(Aggregate::Max, 3),
        function(Aggregate::CountDistinct, 3),
        function(Aggregate::StddevPop, 2),
        function(Aggregate::Sum, 1),
    ];
    let window =
        Window::new(schema(), Spec { partition_by: vec![3], functions }, bad_rows(BadRowPolicy::Skip)).unwrap();
    assert_flat("a window", bytes(window, &[0], NEVER));
    assert_flat("a dedup", bytes(Dedup::new(schema(), vec![0], Span(200)).unwrap(), &[0], NEVER));
    let both = range_of(Aggregate::CountDistinct, -200, 100);
    assert_flat("an aggregate over another stream", bytes(both, &[0, 1], NEVER));
}

#[test]
fn a_dense_right_side_leaves_while_the_left_one_is_silent() {
    assert_flat("an aggregate", bytes(range_of(Aggregate::Max, -200, 0), &[1], NEVER));
    let spec = as_of::Spec {
        left_keys: vec![0],
        right_keys: vec![0],
        columns: vec![(3, "met".to_owned())],
        behind: Span(50),
        strict: false,
        inner: false,
    };
    let as_of = || AsOf::new(schema(), schema(), spec.clone()).unwrap();
    assert_flat("an as-of join", bytes(as_of(), &[1], 1000));
    assert_flat("an as-of join of both", bytes(as_of(), &[0, 1], 1000));
}

#[test]
fn a_zip_lets_go_of_what_it_had_restored() {
    let columns = vec![(4, "again".to_owned())];
    let spec = zip::Spec { left_keys: vec![0], right_keys: vec![0], columns };
    let zip = || Zip::new(schema(), schema(), spec.clone()).unwrap();
    let (mut operator, mut cx, mut bytes) = (zip(), Context::new(KeyGroups::ALL), Vec::new());
    // Right rows come so many steps after the left ones.
    let behind = 20;
    for step in 0..STEPS {
        for (input, step) in [(0, step), (1, step - behind)] {
            if step >= 0 {
                cx.set_room(1000, usize::MAX);
                operator.process(Input(input), &batch(&schema(), &rows(step, NEVER)), &mut cx).unwrap();
            }
        }
        cx.set_room(1000, usize::MAX);
        let progress = operator.advance(EventTime((step - behind) * 10 + 9), &mut cx).unwrap();
        assert_eq!(progress, Progress::Done);
        cx.take_emitted();
        if step % 50 == 40 {
            let mut snapshot = Snapshot::default();
            operator.freeze().unwrap().write(&mut snapshot).unwrap();
            (operator, cx) = (zip(), Context::new(KeyGroups::ALL));
            operator.restore(&mut snapshot, &mut cx).unwrap();
            bytes.push(cx.state_bytes());
        }
    }
    assert_flat("a zip that is restored", (bytes[bytes.len() / 2], bytes[bytes.len() - 1]));
}

#[test]
fn lag_keeps_one_value_per_key() {
    let lag = Function {
        name: "before".to_owned(),
        aggregate: Aggregate::Lag { offset: 1 },
        argument: Some(3),
        filter: None,
        frame: Frame { from: Span(0), to: Span(0) },
        order: vec![],
    };
    let spec = Spec { partition_by: vec![0], functions: vec![lag] };
    let window = || Window::new(schema(), spec.clone(), bad_rows(BadRowPolicy::Skip)).unwrap();
    assert_flat("lag", bytes(window(), &[0], 1000));
    let (half, end) = bytes(window(), &[0], NEVER);
    assert!(end > half, "lag forgot keys: {half} bytes, then {end}");
}
