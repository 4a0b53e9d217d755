//! Every operator once more, as loops over all rows, and the property tests that hold the two together.
//!
//! Rows have ties, NULLs, negative times, few keys or one; plans have any batch cuts, watermarks and rooms, and freeze
//! between any two calls into one to three instances.

mod aggregate;
mod as_of;
mod bounded;
mod condition;
mod corrupt;
mod decision;
mod dedup;
mod filter;
mod merge;
mod project;
mod range_aggregate;
mod readable;
mod window;

use crate::Dedup;
use crate::harness::{Plan, Row, Stream, Value, drive, schema};
use dataflow::Span;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Rows of the test schema in no order; their `_ord` is their place.
pub(super) fn rows(max: usize) -> impl Strategy<Value = Vec<Row>> {
    let number = prop_oneof![20 => -3i64..4, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let price = prop_oneof![
        10 => (-40i32..40).prop_map(|value| f64::from(value) * 0.25),
        4 => prop::sample::select(vec![0.1, 1e9, -1e9, 1e-9, 1e300, -1e300, -0.0]),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, 5e-324]),
    ];
    let word = prop::sample::select(vec!["", "a", "b", "abc", "ß", "z"]);
    let time = prop_oneof![3 => -20i64..20, 1 => -20i64..200];
    let row = (
        time,
        weighted(0.9, 0i64..4),
        weighted(0.8, number),
        weighted(0.8, price),
        weighted(0.8, word),
        weighted(0.8, any::<bool>()),
        any::<u16>(),
    );
    vec(row, 0..max).prop_map(|rows| {
        let row =
            |(at, row): (usize, (i64, Option<i64>, Option<i64>, Option<f64>, Option<&str>, Option<bool>, u16))| {
                let (time, key, number, price, word, flag, order) = row;
                Row {
                    time,
                    order: u128::from(order) << 64 | at as u128,
                    values: vec![
                        key.map_or(Value::Null, Value::Integer),
                        number.map_or(Value::Null, Value::Integer),
                        price.map_or(Value::Null, Value::Float),
                        word.map_or(Value::Null, Value::text),
                        flag.map_or(Value::Null, Value::Boolean),
                    ],
                }
            };
        rows.into_iter().enumerate().map(row).collect()
    })
}

/// Ways to drive an operator.
pub(super) fn plans() -> impl Strategy<Value = Plan> {
    (
        vec(-25i64..210, 0..6),
        vec(1usize..20, 1..5),
        1usize..30,
        vec(prop_oneof![Just(0i64), 0i64..40], 2),
        any::<Index>(),
        [1usize..4, 1usize..4],
    )
        .prop_map(|(watermarks, cuts, room, ahead, freeze_at, workers)| Plan {
            watermarks,
            cuts,
            room,
            ahead,
            freeze_at: Some(freeze_at),
            workers,
        })
}

/// How often each property is tried.
pub(super) fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

#[test]
fn nearly_every_case_freezes_on_its_way() {
    let mut runner = TestRunner::deterministic();
    let (cases, mut frozen) = (300, 0);
    for _ in 0..cases {
        let (rows, plan) = (rows(60), plans()).new_tree(&mut runner).unwrap().current();
        let make = || Box::new(Dedup::new(schema(), vec![0], Span(10)).unwrap()) as _;
        frozen += usize::from(drive(&make, &[Stream::sorted(&rows, &[0])], &plan).was_frozen);
    }
    assert!(frozen * 100 >= cases * 95, "{frozen} of {cases} cases freeze");
}
