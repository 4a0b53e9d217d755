//! Aggregates over another stream as a loop over all right rows for each left row.

use super::aggregate::aggregate;
use super::{assert_bad, bad_rows, config, plans, policies, rows};
use crate::harness::{Row, Stream, Value, assert_near, assert_same, drive, schema};
use crate::range::{Function, RangeFunction, Spec};
use crate::{Aggregate, RangeAggregate};
use proptest::prelude::*;

pub(super) fn twin(spec: &Spec, left: &[Row], right: &[Row]) -> (Vec<Row>, Vec<(Row, String)>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for row in left {
        let has_key = |other: &&Row| {
            let mut keys = spec.left_keys.iter().zip(&spec.right_keys);
            keys.all(|(&one, &two)| row.values[one] != Value::Null && row.values[one] == other.values[two])
        };
        let matching: Vec<&Row> = right.iter().filter(has_key).collect();
        let values: Result<Vec<Value>, _> =
            spec.functions.iter().map(|function| evaluate(function, row, &matching).ok_or(&function.name)).collect();
        match values {
            Ok(values) => good.push(Row {
                time: row.time + spec.hold_us(),
                order: row.order,
                values: row.values.iter().cloned().chain(values).collect(),
            }),
            Err(name) => {
                let row = Row { time: row.time + spec.hold_us(), ..row.clone() };
                bad.push((row, format!("the sum \"{name}\" does not fit a BIGINT")));
            }
        }
    }
    crate::harness::sort(&mut good);
    (good, bad)
}

fn evaluate(function: &Function, row: &Row, matching: &[&Row]) -> Option<Value> {
    let range = row.time + function.from..=row.time + function.to;
    let values: Vec<Value> = matching
        .iter()
        .filter(|other| range.contains(&other.time))
        .filter(|other| function.filter.is_none_or(|column| other.values[column] == Value::Boolean(true)))
        .map(|other| function.argument.map_or(Value::Boolean(true), |column| other.values[column].clone()))
        .collect();
    match function.computes {
        RangeFunction::Exists => Some(Value::Boolean(!values.is_empty())),
        RangeFunction::Aggregate(of) => aggregate(of, &values),
    }
}

fn specs() -> impl Strategy<Value = Spec> {
    use Aggregate::*;
    let function = |aggregate, argument| (RangeFunction::Aggregate(aggregate), argument);
    let computed = prop::sample::select(vec![
        function(Count, None),
        function(Count, Some(1)),
        function(CountDistinct, Some(3)),
        function(Sum, Some(1)),
        function(Sum, Some(2)),
        function(Avg, Some(2)),
        function(Min, Some(3)),
        function(Max, Some(2)),
        function(StddevSamp, Some(1)),
        function(StddevPop, Some(2)),
        function(VarSamp, Some(2)),
        function(VarPop, Some(1)),
        (RangeFunction::Exists, None),
    ]);
    let function = (computed, any::<bool>(), -30i64..30, 0i64..30).prop_map(
        |((computes, argument), is_filtered, from, length)| Function {
            name: "f".to_owned(),
            computes,
            argument,
            filter: is_filtered.then_some(4),
            from,
            to: from + length,
        },
    );
    let keys = prop::sample::select(vec![vec![0], vec![3], vec![0, 3]]);
    (keys, prop::collection::vec(function, 1..5)).prop_map(|(keys, mut functions)| {
        for (index, function) in functions.iter_mut().enumerate() {
            function.name = format!("f{index}");
        }
        Spec { left_keys: keys.clone(), right_keys: keys, functions }
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn aggregates_over_another_stream_are_their_twin(
        spec in specs(),
        left in rows(40),
        right in rows(40),
        first in plans(),
        second in plans(),
        policy in policies(),
    ) {
        let streams = [Stream::sorted(&left, &spec.left_keys), Stream::sorted(&right, &spec.right_keys)];
        let make = || Box::new(RangeAggregate::new(schema(), schema(), spec.clone(), bad_rows(policy)).unwrap()) as _;
        let (one, other) = (drive(&make, &streams, &first), drive(&make, &streams, &second));
        let (good, bad) = twin(&spec, &left, &right);
        assert_near(&one.main(), &good);
        assert_bad(&one, policy, &bad);
        assert_same(&other.main(), &one.main());
    }
}
