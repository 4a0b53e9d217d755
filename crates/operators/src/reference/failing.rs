//! What a step says of the row that ends its job, where the stream declares FAIL.

use super::bad_rows;
use super::condition::Condition;
use crate::bad_rows::BadRows;
use crate::harness::{Row, Value, batch, schema};
use crate::{Aggregate, Decision, Filter, Project, RangeAggregate, RangeFunction, Window};
use crate::{decision, range, window};
use arrow::datatypes::{DataType, Field, Schema};
use dataflow::{BadRowPolicy, Context, ErrorKind, EventTime, Input, KeyGroups, Operator, Span};
use std::sync::Arc;

fn row(time: i64, number: i64) -> Row {
    let values = vec![Value::Integer(1), Value::Integer(number), Value::Null, Value::text("a"), Value::Boolean(true)];
    Row { time, order: time as u128, values }
}

/// The error that rows of the inputs end a step with.
fn failed(mut operator: impl Operator, inputs: &[&[Row]]) -> String {
    let mut cx = Context::new(KeyGroups::ALL);
    cx.set_room(100, usize::MAX);
    let mut run = || {
        for (input, rows) in inputs.iter().enumerate() {
            operator.process(Input(input), &batch(&schema(), rows), &mut cx)?;
        }
        operator.advance(EventTime::MAX, &mut cx)
    };
    let error = run().expect_err("the step fails");
    assert_eq!(error.kind(), ErrorKind::Data);
    error.chain()
}

#[test]
fn a_row_that_fails_is_named_with_its_place_and_its_reason() {
    let fail = || BadRows { has_coordinates: true, ..bad_rows(BadRowPolicy::Fail) };
    let (good, three) = (row(1, 2), row(2, 3));
    let rows: &[Row] = &[good, three];
    let text = "stream \"s\": the row at 1970-01-01 00:00:00.000002 (partition 0, message 0:0:2) \
                [Integer(1), Integer(3), Null, Text(\"a\"), Boolean(true)]: ";
    let hint = "; ON BAD ROW SKIP would count it and go on";
    let condition = || Arc::new(Condition::Positive);
    let filter = Filter::new(condition(), fail()).unwrap();
    assert_eq!(failed(filter, &[rows]), format!("{text}the number is 3{hint}"));
    let columns = Arc::new(Schema::new(vec![Field::new("p", DataType::Boolean, true)]));
    let project = Project::new(columns, vec![condition()], fail()).unwrap();
    assert_eq!(failed(project, &[rows]), format!("{text}column \"p\": the number is 3{hint}"));
    let rule = decision::Rule {
        name: "r".to_owned(),
        condition: condition(),
        action: "block".to_owned(),
        shadow: false,
        once_per: None,
    };
    let spec = decision::Spec {
        name: "d".to_owned(),
        subject: 0,
        rules: vec![rule],
        log_columns: vec![],
        model_versions: vec![],
        revision: String::new(),
        published_after: EventTime::MIN,
        acts: true,
    };
    let decision = Decision::new(schema(), spec, fail()).unwrap();
    assert_eq!(failed(decision, &[rows]), format!("{text}decision \"d\": rule \"r\": the number is 3{hint}"));
}

#[test]
fn a_sum_that_does_not_fit_names_its_row() {
    let rows: &[Row] = &[row(1, i64::MAX), row(2, 1)];
    let frame = window::Frame { from: Span(10), to: Span(0) };
    let function = window::Function {
        name: "__total".to_owned(),
        aggregate: Aggregate::Sum,
        argument: Some(1),
        filter: None,
        frame,
        order: vec![],
    };
    let spec = window::Spec { partition_by: vec![0], functions: vec![function] };
    let message = failed(Window::new(schema(), spec, bad_rows(BadRowPolicy::Fail)).unwrap(), &[rows]);
    let place = "stream \"s\": the row at 1970-01-01 00:00:00.000002 ";
    assert!(message.starts_with(place), "{message}");
    assert!(message.contains(": the sum \"total\" does not fit a BIGINT; ON BAD ROW SKIP"), "{message}");
    let function = range::Function {
        name: "total".to_owned(),
        computes: RangeFunction::Aggregate(Aggregate::Sum),
        argument: Some(1),
        filter: None,
        from: -10,
        to: 0,
    };
    let spec = range::Spec { left_keys: vec![0], right_keys: vec![0], functions: vec![function] };
    let range = RangeAggregate::new(schema(), schema(), spec, bad_rows(BadRowPolicy::Fail)).unwrap();
    let message = failed(range, &[&[row(2, 5)], rows]);
    assert!(message.starts_with(place) && message.contains("the sum \"total\""), "{message}");
}
