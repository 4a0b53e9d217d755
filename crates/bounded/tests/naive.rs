//! The same answers by loops over all rows, in memory that holds everything and in memory that holds almost nothing.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use bounded::{Aggregation, Answer, Answered, Join, Plan, PlanColumn, Resources, SortKey, StopCheck, run};
use dataflow::{RecordBatches, Result, Scalar};
use operators::Aggregate;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[derive(Clone, Debug)]
enum Value {
    Null,
    Integer(i64),
    Float(f64),
    Text(String),
}

/// SQL's order with NULL last: NaN is above all numbers, and -0.0 is 0.0.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Float(left), Value::Float(right)) => {
            left.partial_cmp(right).unwrap_or_else(|| left.is_nan().cmp(&right.is_nan()))
        }
        _ => panic!("values of two types"),
    }
}

type Row = Vec<Value>;

fn order_of_rows(left: &Row, right: &Row) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| order(left, right))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// An integer, a float, a text, and the number of the row.
fn rows(most: usize) -> impl Strategy<Value = Vec<Row>> {
    let integer =
        prop_oneof![Just(Value::Null), (-3..4i64).prop_map(Value::Integer), (0..300i64).prop_map(Value::Integer)];
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 0.1];
    let float = prop_oneof![Just(Value::Null), proptest::sample::select(special.to_vec()).prop_map(Value::Float)];
    let text = prop_oneof![Just(Value::Null), "[a-c]{0,3}".prop_map(Value::Text)];
    let numbered = |rows: Vec<(Value, Value, Value)>| {
        let row = |(number, (a, b, c))| vec![a, b, c, Value::Integer(number as i64)];
        rows.into_iter().enumerate().map(row).collect()
    };
    proptest::collection::vec((integer, float, text), 0..most).prop_map(numbered)
}

fn batch(rows: &[Row]) -> RecordBatch {
    let integers = |at: usize| -> ArrayRef {
        Arc::new(
            rows.iter().map(|row| if let Value::Integer(v) = row[at] { Some(v) } else { None }).collect::<Int64Array>(),
        )
    };
    let floats = rows.iter().map(|row| if let Value::Float(v) = row[1] { Some(v) } else { None });
    let texts = rows.iter().map(|row| if let Value::Text(v) = &row[2] { Some(v.clone()) } else { None });
    let (floats, texts): (ArrayRef, ArrayRef) =
        (Arc::new(floats.collect::<Float64Array>()), Arc::new(texts.collect::<StringArray>()));
    let columns = [("i", integers(0), true), ("d", floats, true), ("t", texts, true), ("n", integers(3), true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn input(number: usize) -> Plan {
    Plan::Input { input: number, schema: batch(&[]).schema() }
}

fn batches(rows: &[Row], cut: usize) -> RecordBatches {
    let parts: Vec<Result<RecordBatch>> = rows.chunks(cut).map(|rows| Ok(batch(rows))).collect();
    Box::new(parts.into_iter())
}

fn value(column: &ArrayRef, row: usize) -> Value {
    match column.data_type() {
        _ if column.is_null(row) => Value::Null,
        DataType::Int64 => Value::Integer(column.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => Value::Integer(i64::from(column.as_boolean().value(row))),
        _ => Value::Text(column.as_string::<i32>().value(row).to_owned()),
    }
}

/// The rows of a plan where `memory` bytes are held at most.
fn answer(plan: &Plan, sides: &[&[Row]], cut: usize, memory: usize) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let resources = Resources { memory_bytes: memory, folder: folder.path().join("spilled"), stop: StopCheck::never() };
    let inputs = sides.iter().map(|rows| batches(rows, cut)).collect();
    let mut answer = Vec::new();
    for rows in run(plan, inputs, &resources).unwrap() {
        let rows = rows.unwrap();
        assert_eq!(rows.schema().fields().len(), plan.schema().unwrap().fields().len());
        let row = |row| rows.columns().iter().map(|column| value(column, row)).collect();
        answer.extend((0..rows.num_rows()).map(row));
    }
    answer
}

fn same(ours: &[Row], theirs: &[Row]) -> bool {
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(one, other)| order_of_rows(one, other).is_eq())
}

fn in_order(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(order_of_rows);
    rows
}

/// Aggregates, what they are of, and whether of different values alone.
const AGGREGATES: [(Aggregate, Option<usize>, bool); 9] = [
    (Aggregate::Count, None, false),
    (Aggregate::Count, Some(1), false),
    (Aggregate::CountDistinct, Some(2), true),
    (Aggregate::CountDistinct, Some(3), true),
    (Aggregate::Sum, Some(3), false),
    (Aggregate::Avg, Some(0), false),
    (Aggregate::Avg, Some(0), true),
    (Aggregate::Min, Some(1), false),
    (Aggregate::Max, Some(2), false),
];

fn naive_aggregate(aggregate: Aggregate, argument: Option<usize>, distinct: bool, rows: &[&Row]) -> Value {
    let values = rows.iter().map(|row| argument.map_or(Value::Integer(1), |at| row[at].clone()));
    let mut there: Vec<Value> = values.filter(|value| !matches!(value, Value::Null)).collect();
    there.sort_by(order);
    if distinct {
        there.dedup_by(|one, other| order(one, other).is_eq());
    }
    let number = |value: &Value| if let Value::Integer(value) = value { *value } else { 0 };
    let sum = there.iter().map(number).sum::<i64>();
    match aggregate {
        Aggregate::Count | Aggregate::CountDistinct => Value::Integer(there.len() as i64),
        _ if there.is_empty() => Value::Null,
        Aggregate::Sum => Value::Integer(sum),
        Aggregate::Avg => Value::Float(sum as f64 / there.len() as f64),
        Aggregate::Min => there[0].clone(),
        _ => there[there.len() - 1].clone(),
    }
}

fn naive_groups(rows: &[Row], keys: &[usize]) -> Vec<Row> {
    let key = |row: &Row| keys.iter().map(|&key| row[key].clone()).collect::<Row>();
    let mut groups: Vec<(Row, Vec<&Row>)> = if keys.is_empty() { vec![(vec![], vec![])] } else { vec![] };
    for row in rows {
        match groups.iter_mut().find(|(known, _)| order_of_rows(known, &key(row)).is_eq()) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key(row), vec![row])),
        }
    }
    let row = |(key, rows): (Row, Vec<&Row>)| {
        let value = |&(aggregate, argument, distinct): &_| naive_aggregate(aggregate, argument, distinct, &rows);
        let values = AGGREGATES.iter().map(value);
        key.into_iter().chain(values).collect()
    };
    groups.into_iter().map(row).collect()
}

fn grouped(keys: &[usize]) -> Plan {
    let aggregation = |&(aggregate, argument, distinct): &_| Aggregation {
        name: "a".to_owned(),
        aggregate,
        argument,
        distinct,
        filter: None,
    };
    let aggregates = AGGREGATES.iter().map(aggregation).collect();
    Plan::Group { from: Box::new(input(0)), keys: keys.to_vec(), aggregates }
}

/// The third column of the left side is less than that of the right one.
#[derive(Debug)]
struct TextLess;

impl Scalar for TextLess {
    fn data_type(&self) -> DataType {
        DataType::Boolean
    }

    fn evaluate(&self, batch: &dataflow::Batch) -> Result<dataflow::Evaluated> {
        let less = arrow::compute::kernels::cmp::lt(batch.column(2), batch.column(6))?;
        Ok((Arc::new(less) as ArrayRef).into())
    }
}

fn naive_join(left: &[Row], right: &[Row], (keeps_left, keeps_right): (bool, bool), keyed: bool) -> Vec<Row> {
    let equal = |one: &Value, other: &Value| !matches!(one, Value::Null) && order(one, other).is_eq();
    let less = |one: &Value, other: &Value| {
        !matches!(one, Value::Null) && !matches!(other, Value::Null) && order(one, other).is_lt()
    };
    let pairs = |one: &Row, other: &Row| match keyed {
        true => equal(&one[0], &other[0]) && equal(&one[1], &other[1]),
        false => less(&one[2], &other[2]),
    };
    let nobody = || vec![Value::Null; 4];
    let mut out = Vec::new();
    for one in left {
        let of_row: Vec<Row> =
            right.iter().filter(|other| pairs(one, other)).map(|other| [one.clone(), other.clone()].concat()).collect();
        if of_row.is_empty() && keeps_left {
            out.push([one.clone(), nobody()].concat());
        }
        out.extend(of_row);
    }
    let alone = right.iter().filter(|other| keeps_right && !left.iter().any(|one| pairs(one, other)));
    out.extend(alone.map(|other| [nobody(), other.clone()].concat()));
    out
}

fn joined((keeps_left, keeps_right): (bool, bool), keyed: bool) -> Plan {
    let condition: Option<Arc<dyn Scalar>> = if keyed { None } else { Some(Arc::new(TextLess)) };
    let keys = if keyed { vec![(0, 0), (1, 1)] } else { vec![] };
    Plan::Join(Box::new(Join { left: input(0), right: input(1), keys, condition, keeps_left, keeps_right }))
}

/// Whether the value of each row is among those of others: 1, 0 or NULL.
fn naive_among(rows: &[Row], others: &[Row], column: usize) -> Vec<Row> {
    let answer = |row: &Row| {
        let (value, mut unknown) = (&row[column], false);
        for other in others.iter().map(|other| &other[column]) {
            match (value, other) {
                (Value::Null, _) | (_, Value::Null) => unknown = true,
                (value, other) if order(value, other).is_eq() => return Value::Integer(1),
                _ => {}
            }
        }
        if unknown { Value::Null } else { Value::Integer(0) }
    };
    rows.iter().map(|row| row.iter().cloned().chain([answer(row)]).collect()).collect()
}

/// A column of the second input.
fn answered_values(column: usize) -> Plan {
    let of = Column(column, batch(&[]).schema().field(column).data_type().clone());
    let of = PlanColumn { name: "value".to_owned(), scalar: Arc::new(of) };
    Plan::Project { from: Box::new(input(1)), columns: vec![of] }
}

/// The rows of the first input with what the second one answers. The columns of the second are the wanted one alone.
fn answered(column: usize, what: Answer) -> Plan {
    let query = answered_values(column);
    Plan::Answered(Box::new(Answered { from: input(0), query, name: "answer".to_owned(), answer: what }))
}

/// A column.
#[derive(Debug)]
struct Column(usize, DataType);

impl Scalar for Column {
    fn data_type(&self) -> DataType {
        self.1.clone()
    }

    fn evaluate(&self, batch: &dataflow::Batch) -> Result<dataflow::Evaluated> {
        Ok(batch.column(self.0).clone().into())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_value_is_among_others_as_the_loop_says(
        rows in rows(60), others in rows(60), cut in 1..30usize, column in 0..3usize
    ) {
        let expected = naive_among(&rows, &others, column);
        for memory in [0, 2_000, 1 << 30] {
            let ours = answer(&answered(column, Answer::In { key: column }), &[&rows, &others], cut, memory);
            prop_assert!(same(&ours, &expected), "{memory}");
        }
        let any = Value::Integer(i64::from(!others.is_empty()));
        let expected: Vec<Row> = rows.iter().map(|row| row.iter().cloned().chain([any.clone()]).collect()).collect();
        prop_assert!(same(&answer(&answered(0, Answer::Exists), &[&rows, &others], cut, 0), &expected));
    }

    #[test]
    fn groups_are_those_of_the_loop(rows in rows(300), cut in 1..80usize, keys in proptest::sample::subsequence(vec![0, 1, 2], 0..=3)) {
        let expected = naive_groups(&rows, &keys);
        let plan = grouped(&keys);
        // Where all fits, groups come in the order of their first rows.
        prop_assert!(same(&answer(&plan, &[&rows], cut, 1 << 30), &expected));
        for memory in [0, 3_000] {
            prop_assert!(same(&in_order(answer(&plan, &[&rows], cut, memory)), &in_order(expected.clone())));
        }
    }

    #[test]
    fn rows_are_sorted_as_the_loop_sorts_them(
        rows in rows(400),
        cut in 1..80usize,
        keys in proptest::sample::subsequence(vec![0, 1, 2], 1..=3),
        descending: [bool; 3],
        nulls_first: [bool; 3],
        limit in proptest::option::of(0..50usize),
    ) {
        let key = |column: usize| SortKey { column, descending: descending[column], nulls_first: nulls_first[column] };
        let by = |key: &SortKey, one: &Row, other: &Row| {
            let (one, other) = (&one[key.column], &other[key.column]);
            match (matches!(one, Value::Null), matches!(other, Value::Null)) {
                (false, false) if key.descending => order(other, one),
                (false, false) => order(one, other),
                (one, other) if key.nulls_first => other.cmp(&one),
                (one, other) => one.cmp(&other),
            }
        };
        let keys: Vec<SortKey> = keys.into_iter().map(key).collect();
        let mut expected = rows.clone();
        expected.sort_by(|one, other| {
            keys.iter().map(|key| by(key, one, other)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        expected.truncate(limit.unwrap_or(usize::MAX));
        let sorted = Plan::Sort { from: Box::new(input(0)), keys, limit };
        let plan = Plan::Limit { from: Box::new(sorted), offset: 0, limit };
        for memory in [0, 20_000, 1 << 30] {
            prop_assert!(same(&answer(&plan, &[&rows], cut, memory), &expected), "{memory}");
        }
    }

    #[test]
    fn joins_are_those_of_the_loop(
        left in rows(60), right in rows(60), cut in 1..30usize, keeps: (bool, bool), keyed: bool
    ) {
        let expected = naive_join(&left, &right, keeps, keyed);
        let plan = joined(keeps, keyed);
        for memory in [0, 6_000, 1 << 30] {
            let ours = in_order(answer(&plan, &[&left, &right], cut, memory));
            prop_assert!(same(&ours, &in_order(expected.clone())), "{memory}");
        }
    }

    #[test]
    fn limits_and_unions_count_rows(
        left in rows(60), right in rows(60), cut in 1..30usize, offset in 0..80usize, limit in proptest::option::of(0..80usize)
    ) {
        let plan = Plan::Limit { from: Box::new(Plan::Union(vec![input(0), input(1)])), offset, limit };
        let all: Vec<Row> = left.iter().chain(&right).skip(offset).take(limit.unwrap_or(usize::MAX)).cloned().collect();
        prop_assert!(same(&answer(&plan, &[&left, &right], cut, 0), &all));
    }
}

/// Every step once, over two inputs.
fn steps() -> Vec<Plan> {
    let key = SortKey { column: 0, descending: true, nulls_first: false };
    vec![
        joined((true, true), true),
        joined((true, true), false),
        grouped(&[0, 2]),
        grouped(&[]),
        Plan::Sort { from: Box::new(input(0)), keys: vec![key], limit: None },
        Plan::Sort { from: Box::new(input(0)), keys: vec![key], limit: Some(5) },
        answered(0, Answer::In { key: 0 }),
        Plan::Union(vec![input(0), input(1)]),
    ]
}

#[test]
fn every_step_ends_where_it_is_told_to_stop() {
    let row = |n: i64| vec![Value::Integer(n), Value::Float(n as f64), Value::Text("b".to_owned()), Value::Integer(n)];
    let rows: Vec<Row> = (0..30_000).map(row).collect();
    let folder = tempfile::tempdir().unwrap();
    for plan in steps() {
        for memory_bytes in [100_000, 1 << 30] {
            // It looks once a batch at least, and what came before is no answer.
            for looks in [0, 1, 3] {
                let left = AtomicUsize::new(looks);
                let check = move || match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(dataflow::Error::unavailable("told to stop")),
                };
                let stop = StopCheck::new(check);
                let resources = Resources { memory_bytes, folder: folder.path().to_owned(), stop };
                let inputs = vec![batches(&rows, 30_000), batches(&rows, 30_000)];
                let last = run(&plan, inputs, &resources).and_then(|answer| answer.collect::<Result<Vec<_>>>());
                let stopped = last.is_err_and(|error| error.to_string().contains("told to stop"));
                assert!(stopped, "{plan:?} does not stop at look {looks}");
            }
        }
    }
}

#[test]
fn pairs_that_all_fail_are_looked_at_for_no_longer_than_they_are_wanted() {
    let row = |n: i64| vec![Value::Integer(n), Value::Null, Value::Text("b".to_owned()), Value::Integer(n)];
    let rows: Vec<Row> = (0..2_000).map(row).collect();
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let stop = StopCheck::new(move || {
        counted.fetch_add(1, SeqCst);
        Ok(())
    });
    let resources = Resources { memory_bytes: 1 << 30, folder: std::env::temp_dir(), stop };
    let inputs = vec![batches(&rows, 2_000), batches(&rows, 2_000)];
    let answer = run(&joined((false, false), false), inputs, &resources).unwrap();
    assert_eq!(answer.map(|rows| rows.unwrap().num_rows()).sum::<usize>(), 0, "no text is less than itself");
    assert!(looks.load(SeqCst) > 2_000 * 2_000 / 8_192, "{} looks", looks.load(SeqCst));
}

#[test]
fn files_go_with_the_answer() {
    let rows: Vec<Row> = (0..5_000)
        .map(|n| vec![Value::Integer(n), Value::Float(n as f64), Value::Text(n.to_string()), Value::Integer(n)])
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let resources = Resources { memory_bytes: 10_000, folder: folder.path().to_owned(), stop: StopCheck::never() };
    let plan = Plan::Sort {
        from: Box::new(grouped(&[0])),
        keys: vec![SortKey { column: 0, descending: true, nulls_first: false }],
        limit: None,
    };
    let mut answer = run(&plan, vec![batches(&rows, 100)], &resources).unwrap();
    let first = answer.next().unwrap().unwrap();
    assert_eq!(first.column(0).as_primitive::<Int64Type>().value(0), 4_999);
    assert_eq!(answer.map(|rows| rows.unwrap().num_rows()).sum::<usize>() + first.num_rows(), 5_000);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files have no names");
}

#[test]
fn a_value_is_that_of_one_row_or_null_and_several_rows_are_refused() {
    let row = |n: i64| vec![Value::Integer(n), Value::Null, Value::Null, Value::Integer(n)];
    let (rows, one) = ([row(1), row(2)], [row(7)]);
    let of = |others: &[Row]| answer(&answered(0, Answer::Value), &[&rows, others], 1, 0);
    let with = |value: Value| rows.iter().map(|row| row.iter().cloned().chain([value.clone()]).collect()).collect();
    let (seven, nothing): (Vec<Row>, Vec<Row>) = (with(Value::Integer(7)), with(Value::Null));
    assert!(same(&of(&one), &seven) && same(&of(&[]), &nothing));
    let resources = Resources { memory_bytes: 0, folder: std::env::temp_dir(), stop: StopCheck::never() };
    for cut in [1, 2] {
        let inputs = vec![batches(&rows, 1), batches(&rows, cut)];
        let first = run(&answered(0, Answer::Value), inputs, &resources).unwrap().next().unwrap();
        assert!(first.unwrap_err().to_string().contains("several rows"));
    }
}

/// What a batch may take that is put together of rows of this size: the bound, and the row that reaches it.
const WIDE_BYTES: usize = 200_000;
const BATCH_BYTES: usize = (4 << 20) + 3 * WIDE_BYTES;

#[test]
fn batches_of_wide_rows_are_bounded_in_bytes_whatever_puts_them_together() {
    let text = |letter: char| Value::Text(letter.to_string().repeat(WIDE_BYTES));
    let row = |n: i64| {
        vec![Value::Integer(n), Value::Float(0.0), text(if n % 2 == 0 { 'a' } else { 'b' }), Value::Integer(n)]
    };
    let rows: Vec<Row> = (0..100).map(row).collect();
    let narrow: Vec<Row> =
        (0..100).map(|n| vec![Value::Integer(n), Value::Float(0.0), Value::Null, Value::Integer(n)]).collect();
    let largest = Aggregation {
        name: "a".to_owned(),
        aggregate: Aggregate::Max,
        argument: Some(2),
        distinct: false,
        filter: None,
    };
    let sorted = |key: usize| Plan::Sort {
        from: Box::new(input(0)),
        keys: vec![SortKey { column: key, descending: true, nulls_first: false }],
        limit: None,
    };
    let value = Plan::Answered(Box::new(Answered {
        from: input(0),
        query: Plan::Limit { from: Box::new(answered_values(2)), offset: 0, limit: Some(1) },
        name: "answer".to_owned(),
        answer: Answer::Value,
    }));
    let grouped = Plan::Group { from: Box::new(input(0)), keys: vec![0], aggregates: vec![largest] };
    let plans = [
        ("sort", sorted(0), [&rows, &rows], 100),
        ("join", joined((true, true), true), [&narrow, &rows], 100),
        ("join without pairs", joined((false, true), true), [&narrow[..0].to_vec(), &rows], 100),
        ("value", value, [&narrow, &rows], 100),
        ("groups", grouped, [&rows, &rows], 100),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (what, plan, sides, expected) in plans {
        // Memory for all, and for some of it.
        for memory_bytes in [1 << 30, 1 << 20] {
            if what == "groups" && memory_bytes == 1 << 30 {
                // Groups that fit in memory come out at once.
                continue;
            }
            let resources = Resources { memory_bytes, folder: folder.path().to_owned(), stop: StopCheck::never() };
            let inputs = sides.iter().map(|rows| batches(rows, 10)).collect();
            let mut count = 0;
            for rows in run(&plan, inputs, &resources).unwrap() {
                let rows = rows.unwrap();
                count += rows.num_rows();
                let bytes: usize =
                    rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap()).sum();
                assert!(bytes < BATCH_BYTES, "{what} with {memory_bytes} bytes: {bytes} in {} rows", rows.num_rows());
            }
            assert_eq!(count, expected, "{what}");
        }
    }
}
