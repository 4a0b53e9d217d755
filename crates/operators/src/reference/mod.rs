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
mod failing;
mod filter;
mod join;
mod merge;
mod predict;
mod project;
mod range_aggregate;
mod readable;
mod spilled;
mod stages;
mod window;
mod zip;

use crate::Dedup;
use crate::bad_rows::BadRows;
use crate::harness::{Output, Plan, Row, Stream, Value, assert_same, drive, schema, sort};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use dataflow::{BadRowPolicy, Encode, Fate, Port, Span};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::sync::Arc;

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
        prop_oneof![2 => Just(0usize), 1 => 0usize..2_000, 1 => Just(usize::MAX)],
    )
        .prop_map(|(watermarks, cuts, room, ahead, freeze_at, workers, state_bytes)| Plan {
            watermarks,
            cuts,
            room,
            ahead,
            freeze_at: Some(freeze_at),
            workers,
            state_bytes,
        })
}

/// Policies under which a job goes on.
pub(super) fn policies() -> impl Strategy<Value = BadRowPolicy> {
    prop::sample::select(vec![BadRowPolicy::Skip, BadRowPolicy::DeadLetter])
}

/// Asserts that bad rows, each with its reason, were counted, and came out as dead letters where the policy says so.
pub(super) fn assert_bad(output: &Output, policy: BadRowPolicy, bad: &[(Row, String)]) {
    let counts = [Fate::Bad, Fate::DeadLettered].map(|fate| output.fates.of(fate) as usize);
    match policy {
        BadRowPolicy::DeadLetter => {
            assert_same(&output.port(Port::DEAD_LETTER), &letters(bad));
            assert_eq!(counts, [0, bad.len()]);
        }
        _ => {
            assert_same(&output.port(Port::DEAD_LETTER), &[]);
            assert_eq!(counts, [bad.len(), 0]);
        }
    }
}

/// How often each property is tried: more often where PROPTEST_CASES asks for it.
pub(super) fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(300), failure_persistence: None, ..default }
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

/// The text of a row: its values as the harness shows them.
#[derive(Debug)]
struct Shown(SchemaRef);

impl Encode for Shown {
    fn encode(&self, rows: &RecordBatch) -> dataflow::Result<Vec<Vec<u8>>> {
        assert_eq!(self.0, rows.schema());
        let batch = dataflow::Batch::new(
            rows.clone(),
            vec![0; rows.num_rows()],
            vec![dataflow::RowOrder::default(); rows.num_rows()],
        )?;
        Ok(crate::harness::rows(&batch).iter().map(|row| format!("{:?}", row.values).into_bytes()).collect())
    }
}

/// What a stream declares for its bad rows.
pub(super) fn bad_rows(policy: BadRowPolicy) -> BadRows {
    BadRows {
        stream: "s".to_owned(),
        step: "step".to_owned(),
        policy,
        has_coordinates: false,
        text: |schema| Ok(Arc::new(Shown(schema))),
    }
}

/// The dead letters of rows, each with its reason.
pub(super) fn letters(bad: &[(Row, String)]) -> Vec<Row> {
    let letter = |(row, reason): &(Row, String)| {
        let values = vec![
            Value::Integer(row.time),
            Value::text("s"),
            Value::text("step"),
            Value::Text(format!("_ord {:032x}", row.order)),
            Value::Text(reason.clone()),
            Value::Null,
            Value::Text(format!("{:?}", row.values)),
        ];
        Row { values, ..row.clone() }
    };
    let mut letters: Vec<Row> = bad.iter().map(letter).collect();
    sort(&mut letters);
    letters
}
