//! Zip: rows whose columns went two ways are whole again.

use super::{config, plans, rows};
use crate::Zip;
use crate::harness::{Row, Stream, assert_same, batch, drive, schema, sort};
use crate::zip::Spec;
use dataflow::{Context, EventTime, Input, KeyGroups, Operator, Progress, Snapshot};
use proptest::prelude::*;

fn spec(keys: &[usize]) -> Spec {
    let columns = [4, 1].map(|column| (column, format!("again{column}"))).to_vec();
    Spec { left_keys: keys.to_vec(), right_keys: keys.to_vec(), columns }
}

fn zip(keys: &[usize]) -> Zip {
    Zip::new(schema(), schema(), spec(keys)).unwrap()
}

fn feed(zip: &mut Zip, cx: &mut Context, input: usize, rows: &[Row]) {
    cx.set_room(100, usize::MAX);
    zip.process(Input(input), &batch(&schema(), rows), cx).unwrap();
}

fn advance(zip: &mut Zip, cx: &mut Context, watermark: i64) {
    cx.set_room(100, usize::MAX);
    assert_eq!(zip.advance(EventTime(watermark), cx).unwrap(), Progress::Done);
    cx.take_emitted();
}

/// Each left row with the columns of the right row at its place.
pub(super) fn twin(spec: &Spec, left: &[Row], right: &[Row]) -> Vec<Row> {
    let zipped = |row: &Row| {
        let partner = right.iter().find(|other| (other.time, other.order) == (row.time, row.order)).unwrap();
        let appended = spec.columns.iter().map(|(column, _)| partner.values[*column].clone());
        Row { values: row.values.iter().cloned().chain(appended).collect(), ..row.clone() }
    };
    left.iter().map(zipped).collect()
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
        let mut expected = twin(&spec(&keys), &rows, &rows);
        sort(&mut expected);
        assert_same(&output.main(), &expected);
        prop_assert_eq!(output.state_bytes, 0);
    }

    #[test]
    fn what_was_restored_is_counted_and_let_go_like_other_rows(
        mut rows in rows(40),
        watermark in -25i64..60,
        next in 0i64..60,
        ahead in prop::array::uniform2(0i64..60),
    ) {
        rows.sort_by_key(|row| (row.time, row.order));
        let up_to = |time: i64| rows.partition_point(|row| row.time <= time);
        let (mut zip, mut cx) = (self::zip(&[3]), Context::new(KeyGroups::ALL));
        let fed = ahead.map(|ahead| up_to(watermark + ahead));
        (0..2).for_each(|input| feed(&mut zip, &mut cx, input, &rows[..fed[input]]));
        advance(&mut zip, &mut cx, watermark);
        let (mut restored, mut again) = (self::zip(&[3]), Context::new(KeyGroups::ALL));
        let mut snapshot = Snapshot::default();
        zip.freeze().unwrap().write(&mut snapshot).unwrap();
        restored.restore(&mut snapshot, &mut again).unwrap();
        let waiting = fed.iter().sum::<usize>() - 2 * up_to(watermark);
        // Batches of other sizes have other parts of bytes for a row.
        let is_near = |one: &Context, other: &Context, rows| one.state_bytes().abs_diff(other.state_bytes()) <= 16 * rows;
        prop_assert!(is_near(&cx, &again, waiting), "{} and {}", cx.state_bytes(), again.state_bytes());
        for (zip, cx) in [(&mut zip, &mut cx), (&mut restored, &mut again)] {
            (0..2).for_each(|input| feed(zip, cx, input, &rows[fed[input]..]));
            advance(zip, cx, watermark + next);
        }
        let waiting = 2 * (rows.len() - up_to(watermark + next));
        prop_assert!(is_near(&cx, &again, waiting), "{} and {}", cx.state_bytes(), again.state_bytes());
        for (zip, cx) in [(&mut zip, &mut cx), (&mut restored, &mut again)] {
            advance(zip, cx, i64::MAX);
            prop_assert_eq!(cx.state_bytes(), 0);
        }
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
            feed(&mut zip, &mut cx, input, &rows);
        }
        cx.set_room(100, usize::MAX);
        let told = zip.advance(EventTime::MAX, &mut cx).unwrap_err().to_string();
        prop_assert!(told.contains("hold other rows"), "{}", told);
    }
}
