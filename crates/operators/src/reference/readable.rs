//! What the operators mean, by example: few rows in, few rows out.

use super::bad_rows;
use crate::as_of::AsOf;
use crate::harness::{Plan, Row, Stream, Value, drive, schema};
use crate::window::{Frame, Function, Spec, Window};
use crate::{Aggregate, Dedup, RangeAggregate, RangeFunction, as_of, range};
use dataflow::{BadRowPolicy, Operator, Span};

const PLAIN: Plan = Plan {
    watermarks: Vec::new(),
    cuts: Vec::new(),
    room: 100,
    ahead: Vec::new(),
    freeze_at: None,
    workers: [1, 1],
    state_bytes: usize::MAX,
};

fn plan() -> Plan {
    Plan { cuts: vec![3], ahead: vec![0, 0], ..PLAIN }
}

/// Rows of key 1, in the sequence of their orders: time, number and price.
fn rows(rows: &[(i64, i64, f64)]) -> Vec<Row> {
    let row = |(order, &(time, number, price)): (usize, &(i64, i64, f64))| Row {
        time,
        order: order as u128,
        values: vec![Value::Integer(1), Value::Integer(number), Value::Float(price), Value::Null, Value::Null],
    };
    rows.iter().enumerate().map(row).collect()
}

/// The last column of what comes out.
fn last_column(make: &dyn Fn() -> Box<dyn Operator>, streams: &[Stream]) -> Vec<Value> {
    let output = drive(make, streams, &plan());
    output.main().into_iter().map(|mut row| row.values.pop().unwrap()).collect()
}

fn window(function: Function, rows: &[Row]) -> Vec<Value> {
    let spec = Spec { partition_by: vec![0], functions: vec![function] };
    last_column(
        &|| Box::new(Window::new(schema(), spec.clone(), bad_rows(BadRowPolicy::Skip)).unwrap()),
        &[Stream::sorted(rows, &[0])],
    )
}

fn function(aggregate: Aggregate, argument: usize, from: i64, to: i64) -> Function {
    let frame = Frame { from: Span(from), to: Span(to) };
    Function { name: "f".to_owned(), aggregate, argument: Some(argument), filter: None, frame, order: vec![] }
}

fn integers(values: &[i64]) -> Vec<Value> {
    values.iter().map(|&value| Value::Integer(value)).collect()
}

#[test]
fn a_window_has_both_ends_and_rows_of_equal_time() {
    let rows = rows(&[(0, 1, 0.0), (10, 1, 0.0), (10, 1, 0.0), (11, 1, 0.0)]);
    assert_eq!(window(function(Aggregate::Count, 1, 10, 0), &rows), integers(&[1, 3, 3, 3]));
    // It ends before the row: neither the row nor those of equal time are in.
    assert_eq!(window(function(Aggregate::Count, 1, 10, 1), &rows), integers(&[0, 1, 1, 2]));
}

#[test]
fn a_sum_of_floats_is_that_of_its_window_alone() {
    let rows = rows(&[(0, 1, 1e9), (5, 1, 0.1), (11, 1, 0.2)]);
    let expected = [1e9, 1_000_000_000.1, 0.1 + 0.2].map(Value::Float);
    assert_eq!(window(function(Aggregate::Sum, 2, 10, 0), &rows), expected);
}

#[test]
fn a_sample_of_one_has_no_deviation() {
    let rows = rows(&[(0, 1, 2.0), (5, 1, 4.0)]);
    let expected = [Value::Null, Value::Float(2f64.sqrt())];
    assert_eq!(window(function(Aggregate::StddevSamp, 2, 10, 0), &rows), expected);
    assert_eq!(window(function(Aggregate::StddevPop, 2, 10, 0), &rows), [0.0, 1.0].map(Value::Float));
}

#[test]
fn lag_goes_row_by_row_and_ties_are_broken_as_told() {
    let rows = rows(&[(0, 1, 0.0), (10, 3, 0.0), (10, 2, 0.0)]);
    let lag = function(Aggregate::Lag { offset: 1 }, 1, 0, 0);
    let null_and = |first, second| vec![Value::Null, Value::Integer(first), Value::Integer(second)];
    assert_eq!(window(lag.clone(), &rows), null_and(1, 3));
    assert_eq!(window(Function { order: vec![1], ..lag }, &rows), null_and(2, 1));
}

#[test]
fn a_dropped_delivery_renews_the_interval() {
    let rows = rows(&[(0, 1, 0.0), (10, 2, 0.0), (20, 3, 0.0), (31, 4, 0.0)]);
    let make = || Box::new(Dedup::new(schema(), vec![0], Span(10)).unwrap()) as _;
    let kept = drive(&make, &[Stream::sorted(&rows, &[0])], &plan()).main();
    assert_eq!(kept.iter().map(|row| row.time).collect::<Vec<_>>(), [0, 31]);
}

#[test]
fn the_last_of_equal_times_is_met() {
    let left = rows(&[(9, 0, 0.0), (10, 0, 0.0), (99, 0, 0.0)]);
    let right = rows(&[(10, 7, 0.0), (10, 8, 0.0)]);
    let met = |behind, strict| {
        let columns = vec![(1, "met".to_owned())];
        let spec = as_of::Spec {
            left_keys: vec![0],
            right_keys: vec![0],
            columns,
            behind: Span(behind),
            strict,
            inner: false,
        };
        let streams = [Stream::sorted(&left, &[0]), Stream::sorted(&right, &[0])];
        last_column(&|| Box::new(AsOf::new(schema(), schema(), spec.clone()).unwrap()), &streams)
    };
    assert_eq!(met(0, false), [Value::Null, Value::Integer(8), Value::Integer(8)]);
    assert_eq!(met(0, true), [Value::Null, Value::Null, Value::Integer(8)]);
    assert_eq!(met(89, false), [Value::Null, Value::Null, Value::Integer(8)]);
    assert_eq!(met(90, false), [Value::Null, Value::Null, Value::Null]);
}

#[test]
fn a_label_leaves_when_it_is_known() {
    let left = rows(&[(0, 0, 0.0), (5, 0, 0.0), (20, 0, 0.0)]);
    let right = rows(&[(10, 7, 0.0)]);
    let exists = range::Function {
        name: "label".to_owned(),
        computes: RangeFunction::Exists,
        argument: None,
        filter: None,
        from: 0,
        to: 9,
    };
    let spec = range::Spec { left_keys: vec![0], right_keys: vec![0], functions: vec![exists] };
    let make =
        || Box::new(RangeAggregate::new(schema(), schema(), spec.clone(), bad_rows(BadRowPolicy::Skip)).unwrap()) as _;
    let streams = [Stream::sorted(&left, &[0]), Stream::sorted(&right, &[0])];
    let labels = drive(&make, &streams, &plan()).main();
    let found: Vec<_> = labels.iter().map(|row| (row.time, row.values[5].clone())).collect();
    assert_eq!(found, [(9, false), (14, true), (29, false)].map(|(time, label)| (time, Value::Boolean(label))));
}
