//! Zip: rows whose columns went two ways are whole again.

use super::{config, plans, rows};
use crate::Zip;
use crate::harness::{Row, Stream, assert_same, batch, drive, schema, sort};
use crate::zip::Spec;
use dataflow::{Context, EventTime, Input, KeyGroups, Operator};
use proptest::prelude::*;

fn spec(keys: &[usize]) -> Spec {
    let columns = [4, 1].map(|column| (column, format!("again{column}"))).to_vec();
    Spec { left_keys: keys.to_vec(), right_keys: keys.to_vec(), columns }
}

fn zip(keys: &[usize]) -> Zip {
    Zip::new(schema(), schema(), spec(keys)).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rows_that_went_two_ways_are_whole_again(
        mut rows in rows(40),
        repeated in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        keys in prop::sample::select(vec![vec![0], vec![3], vec![3, 0]]),
        plan in plans(),
    ) {
        // Equal rows share a place.
        let again: Vec<Row> = repeated.iter().filter(|_| !rows.is_empty()).map(|at| at.get(&rows).clone()).collect();
        rows.extend(again);
        let streams = [Stream::sorted(&rows, &keys), Stream::sorted(&rows, &keys)];
        let output = drive(&|| Box::new(zip(&keys)) as _, &streams, &plan);
        let whole = |row: &Row| {
            let appended = [4, 1].map(|column| row.values[column].clone());
            Row { values: row.values.iter().cloned().chain(appended).collect(), ..row.clone() }
        };
        let mut expected: Vec<Row> = rows.iter().map(whole).collect();
        sort(&mut expected);
        assert_same(&output.main(), &expected);
    }

    #[test]
    fn a_row_that_one_side_lacks_is_an_error(
        rows in rows(40).prop_filter("some row", |rows| !rows.is_empty()),
        lost in any::<prop::sample::Index>(),
        side in 0..2usize,
    ) {
        let mut sorted = rows;
        sorted.sort_by_key(|row| (row.time, row.order));
        let mut zip = zip(&[0]);
        let mut cx = Context::new(KeyGroups::ALL);
        for input in 0..2 {
            let mut rows = sorted.clone();
            if input == side {
                rows.remove(lost.index(rows.len()));
            }
            cx.set_room(100, usize::MAX);
            zip.process(Input(input), &batch(&schema(), &rows), &mut cx).unwrap();
        }
        cx.set_room(100, usize::MAX);
        let told = zip.advance(EventTime::MAX, &mut cx).unwrap_err().to_string();
        prop_assert!(told.contains("hold other rows"), "{}", told);
    }
}
