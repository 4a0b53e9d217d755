//! State that was cut short is refused with an error and never panics, whatever the operator.

use super::bad_rows;
use crate::harness::{Row, Value, batch, schema};
use crate::window::{Frame, Function};
use crate::{Aggregate, AsOf, Dedup, Merge, RangeAggregate, RangeFunction, Window, Zip, as_of, range, window, zip};
use dataflow::{
    BadRowPolicy, Context, ErrorKind, EventTime, Input, KeyGroups, Operator, Scope, Snapshot, Span, StateReader,
    StateWriter,
};

fn operators() -> Vec<(&'static str, Box<dyn Operator>)> {
    let function = |aggregate, argument| Function {
        name: format!("{aggregate:?}"),
        aggregate,
        argument: Some(argument),
        filter: None,
        frame: Frame { from: Span(100), to: Span(0) },
        order: vec![],
    };
    let functions = vec![function(Aggregate::Max, 3), function(Aggregate::Lag { offset: 2 }, 3)];
    let window = window::Spec { partition_by: vec![3], functions };
    let as_of = as_of::Spec {
        left_keys: vec![0],
        right_keys: vec![0],
        columns: vec![(3, "met".to_owned())],
        behind: Span(0),
        strict: false,
        inner: false,
    };
    let exists = range::Function {
        name: "label".to_owned(),
        computes: RangeFunction::Exists,
        argument: None,
        filter: Some(4),
        from: 0,
        to: 100,
    };
    let range = range::Spec { left_keys: vec![0], right_keys: vec![0], functions: vec![exists] };
    let zip = zip::Spec { left_keys: vec![0], right_keys: vec![0], columns: vec![(3, "again".to_owned())] };
    vec![
        ("merge", Box::new(Merge::new(schema()).unwrap())),
        ("dedup", Box::new(Dedup::new(schema(), vec![0], Span(100)).unwrap())),
        ("window", Box::new(Window::new(schema(), window, bad_rows(BadRowPolicy::Skip)).unwrap())),
        ("as-of", Box::new(AsOf::new(schema(), schema(), as_of).unwrap())),
        ("range", Box::new(RangeAggregate::new(schema(), schema(), range, bad_rows(BadRowPolicy::Skip)).unwrap())),
        ("zip", Box::new(Zip::new(schema(), schema(), zip).unwrap())),
    ]
}

fn row(time: i64) -> Row {
    let values =
        vec![Value::Integer(7), Value::Integer(1), Value::Float(0.5), Value::text("word"), Value::Boolean(true)];
    Row { time, order: time as u128, values }
}

/// The blobs of an operator that has computed rows, and holds rows.
fn blobs(operator: &mut dyn Operator, name: &str) -> Vec<(Scope, Vec<u8>)> {
    let mut cx = Context::new(KeyGroups::ALL);
    let inputs = if matches!(name, "as-of" | "range" | "zip") { 2 } else { 1 };
    for (rows, watermark) in [([row(1), row(2)], 2), ([row(3), row(3)], 2)] {
        for input in 0..inputs {
            cx.set_room(10, usize::MAX);
            operator.process(Input(input), &batch(&schema(), &rows), &mut cx).unwrap();
        }
        cx.set_room(10, usize::MAX);
        operator.advance(EventTime(watermark), &mut cx).unwrap();
    }
    let mut snapshot = Snapshot::default();
    operator.freeze().unwrap().write(&mut snapshot).unwrap();
    std::iter::from_fn(|| snapshot.next().unwrap()).collect()
}

#[test]
fn state_that_was_cut_is_corrupt() {
    for (index, (name, mut operator)) in operators().into_iter().enumerate() {
        let blobs = blobs(operator.as_mut(), name);
        assert!(!blobs.is_empty(), "{name}");
        for (scope, bytes) in blobs {
            for length in 0..bytes.len() {
                // With a checksum that fits, so that the operator itself must notice; or as a torn write leaves it.
                let payload = &bytes[..length.max(22)];
                let mut sealed = payload.to_vec();
                sealed.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
                for cut in [&bytes[..length], &sealed] {
                    let mut snapshot = Snapshot::default();
                    snapshot.put(scope, cut).unwrap();
                    let mut fresh = operators().swap_remove(index).1;
                    let result = fresh.restore(&mut snapshot, &mut Context::new(KeyGroups::ALL));
                    if let Err(error) = result {
                        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} at {length}: {}", error.chain());
                    } else {
                        // Only a cut between two records can go unnoticed, and only with a checksum made for it.
                        assert_eq!(cut, sealed, "{name} at {length}");
                    }
                }
            }
        }
    }
}

#[test]
fn state_of_other_sql_and_of_another_moment_is_corrupt() {
    let (_, mut window) = operators().swap_remove(2);
    let ours = blobs(window.as_mut(), "window");
    let is_of_group = |(scope, _): &&(Scope, Vec<u8>)| matches!(scope, Scope::Group(_));
    let (scope, bytes) = ours.iter().find(is_of_group).unwrap();
    let mut snapshot = Snapshot::default();
    snapshot.put(*scope, bytes).unwrap();
    let mut dedup = operators().swap_remove(1).1;
    let error = dedup.restore(&mut snapshot, &mut Context::new(KeyGroups::ALL)).unwrap_err();
    assert!(error.to_string().contains("fingerprint"), "{error}");

    let mut later = bytes[..bytes.len() - 4].to_vec();
    later[14] ^= 1;
    later.extend_from_slice(&crc32c::crc32c(&later).to_le_bytes());
    let mut snapshot = Snapshot::default();
    snapshot.put(*scope, bytes).unwrap();
    snapshot.put(*scope, &later).unwrap();
    let mut fresh = operators().swap_remove(2).1;
    let error = fresh.restore(&mut snapshot, &mut Context::new(KeyGroups::ALL)).unwrap_err();
    assert!(error.to_string().contains("watermark"), "{error}");
}
