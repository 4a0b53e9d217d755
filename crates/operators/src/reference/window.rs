//! Windows as a loop over all rows for each row.

use super::aggregate::{aggregate, compare};
use super::{assert_bad, bad_rows, config, plans, policies, rows};
use crate::harness::{Row, Stream, Value, assert_near, assert_same, drive, schema};
use crate::window::{Frame, Function, Spec};
use crate::{Aggregate, Window};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use dataflow::Span;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::sync::Arc;

pub(super) fn twin(spec: &Spec, rows: &[Row]) -> (Vec<Row>, Vec<(Row, String)>) {
    let key =
        |row: &Row| -> Vec<Value> { spec.partition_by.iter().map(|&column| row.values[column].clone()).collect() };
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for row in rows {
        let of_key: Vec<&Row> = rows.iter().filter(|other| key(other) == key(row)).collect();
        let values: Result<Vec<Value>, _> =
            spec.functions.iter().map(|function| evaluate(function, row, &of_key).ok_or(&function.name)).collect();
        match values {
            Ok(values) => {
                let values = row.values.iter().cloned().chain(values).collect();
                good.push(Row { values, ..row.clone() });
            }
            Err(name) => bad.push((row.clone(), format!("the sum \"{name}\" does not fit a BIGINT"))),
        }
    }
    crate::harness::sort(&mut good);
    (good, bad)
}

fn evaluate(function: &Function, row: &Row, of_key: &[&Row]) -> Option<Value> {
    if let Aggregate::Lag { offset } = function.aggregate {
        return Some(lag(function, offset, row, of_key));
    }
    let frame = row.time - function.frame.from.0..=row.time - function.frame.to.0;
    let values: Vec<Value> = of_key
        .iter()
        .filter(|other| frame.contains(&other.time))
        .filter(|other| function.filter.is_none_or(|column| other.values[column] == Value::Boolean(true)))
        .map(|other| function.argument.map_or(Value::Boolean(true), |column| other.values[column].clone()))
        .collect();
    aggregate(function.aggregate, &values)
}

fn lag(function: &Function, offset: usize, row: &Row, of_key: &[&Row]) -> Value {
    let mut sequence = of_key.to_vec();
    sequence.sort_by(|left, right| {
        let by_column = |&column: &usize| match (&left.values[column], &right.values[column]) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            (left, right) => compare(left, right),
        };
        let ties = function.order.iter().map(by_column).find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        left.time.cmp(&right.time).then(ties).then(left.order.cmp(&right.order))
    });
    let at = sequence.iter().position(|other| other.order == row.order).unwrap();
    match (at.checked_sub(offset), function.argument) {
        (Some(before), Some(column)) => sequence[before].values[column].clone(),
        _ => Value::Null,
    }
}

fn function() -> impl Strategy<Value = Function> {
    use Aggregate::*;
    let aggregates = prop_oneof![
        10 => (
            prop::sample::select(vec![
                (Count, vec![1, 2, 3, 4]),
                (CountDistinct, vec![1, 2, 3, 4]),
                (Sum, vec![1, 2]),
                (Avg, vec![1, 2]),
                (Min, vec![1, 2, 3, 4]),
                (Max, vec![1, 2, 3, 4]),
                (StddevSamp, vec![1, 2]),
                (StddevPop, vec![1, 2]),
                (VarSamp, vec![1, 2]),
                (VarPop, vec![1, 2]),
            ]),
            any::<prop::sample::Index>(),
        )
            .prop_map(|((aggregate, columns), index)| (aggregate, Some(*index.get(&columns)))),
        1 => Just((Count, None)),
        3 => (1usize..4, 1usize..5).prop_map(|(offset, column)| (Lag { offset }, Some(column))),
    ];
    let frame = prop_oneof![
        3 => (prop::sample::select(vec![0i64, 1, 5, 50]), Just(0i64)),
        1 => (0i64..20, 0i64..10).prop_map(|(length, to)| (to + length, to)),
    ];
    let order = prop::sample::select(vec![vec![], vec![1], vec![3], vec![4, 1]]);
    (aggregates, any::<bool>(), frame, order).prop_map(|((aggregate, argument), is_filtered, (from, to), order)| {
        let is_lag = matches!(aggregate, Lag { .. });
        Function {
            name: "f".to_owned(),
            aggregate,
            argument,
            filter: (is_filtered && !is_lag).then_some(4),
            frame: Frame { from: Span(from), to: Span(to) },
            order,
        }
    })
}

/// Specs whose output columns have different names.
pub(super) fn specs() -> impl Strategy<Value = Spec> {
    let keys = prop::sample::select(vec![vec![0], vec![3], vec![0, 3], vec![]]);
    (keys, prop::collection::vec(function(), 1..5)).prop_map(|(partition_by, mut functions)| {
        for (index, function) in functions.iter_mut().enumerate() {
            function.name = format!("f{index}");
        }
        Spec { partition_by, functions }
    })
}

/// The rows with the time in the middle of those in their frame: the second column is a time.
fn with_mean_times(frame: Frame, rows: &[Row]) -> Vec<Row> {
    let with_mean = |row: &Row| {
        let times = row.time - frame.from.0..=row.time - frame.to.0;
        let of_key = rows.iter().filter(|other| other.values[0] == row.values[0] && times.contains(&other.time));
        let there = of_key.filter_map(|other| match other.values[1] {
            Value::Integer(time) => Some(i128::from(time)),
            _ => None,
        });
        let there: Vec<i128> = there.collect();
        let mean = match there.len() {
            0 => Value::Null,
            count => {
                let (sum, count) = (there.iter().sum::<i128>(), count as i128);
                let is_nearer_above = sum > 0 && 2 * (sum.rem_euclid(count)) > count;
                Value::Integer((sum / count + i128::from(is_nearer_above)) as i64)
            }
        };
        Row { values: row.values.iter().cloned().chain([mean]).collect(), ..row.clone() }
    };
    let mut rows: Vec<Row> = rows.iter().map(with_mean).collect();
    crate::harness::sort(&mut rows);
    rows
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn mean_times_are_those_of_a_loop(rows in rows(60), plan in plans(), from in 0i64..40, to in 0i64..5) {
        let mut fields = schema().fields().to_vec();
        fields[1] = Arc::new(Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true));
        let schema = Arc::new(Schema::new(fields));
        let frame = Frame { from: Span(from + to), to: Span(to) };
        let mean = Function { name: "f".to_owned(), aggregate: Aggregate::Avg, argument: Some(1), filter: None, frame, order: vec![] };
        let spec = Spec { partition_by: vec![0], functions: vec![mean] };
        let make = || Box::new(Window::new(schema.clone(), spec.clone(), bad_rows(dataflow::BadRowPolicy::Fail)).unwrap()) as _;
        let out = drive(&make, &[Stream { schema: schema.clone(), ..Stream::sorted(&rows, &[0]) }], &plan);
        assert_same(&out.main(), &with_mean_times(frame, &rows));
    }

    #[test]
    fn windows_are_their_twin(spec in specs(), rows in rows(60), first in plans(), second in plans(), policy in policies()) {
        let streams = [Stream::sorted(&rows, &spec.partition_by)];
        let make = || Box::new(Window::new(schema(), spec.clone(), bad_rows(policy)).unwrap()) as _;
        let (one, other) = (drive(&make, &streams, &first), drive(&make, &streams, &second));
        let (good, bad) = twin(&spec, &rows);
        assert_near(&one.main(), &good);
        assert_bad(&one, policy, &bad);
        assert_same(&other.main(), &one.main());
    }

    #[test]
    fn windows_without_lag_forget_every_key(rows in rows(60), plan in plans()) {
        let function = |aggregate, argument: usize| Function {
            name: format!("{argument}{aggregate:?}"),
            aggregate,
            argument: Some(argument),
            filter: None,
            frame: Frame { from: Span(10), to: Span(0) },
            order: vec![],
        };
        let functions = vec![function(Aggregate::Max, 3), function(Aggregate::CountDistinct, 2)];
        let spec = Spec { partition_by: vec![3], functions };
        let mut window = Window::new(schema(), spec, bad_rows(dataflow::BadRowPolicy::Fail)).unwrap();
        let mut cx = dataflow::Context::new(dataflow::KeyGroups::ALL);
        let mut sorted = rows;
        sorted.sort_by_key(|row| (row.time, row.order));
        for chunk in sorted.chunks(plan.cuts[0]) {
            cx.set_room(100, usize::MAX);
            let batch = crate::harness::batch(&schema(), chunk);
            dataflow::Operator::process(&mut window, dataflow::Input(0), &batch, &mut cx).unwrap();
        }
        cx.set_room(100, usize::MAX);
        dataflow::Operator::advance(&mut window, dataflow::EventTime(1000), &mut cx).unwrap();
        prop_assert_eq!(window.keys(), 0);
    }
}
