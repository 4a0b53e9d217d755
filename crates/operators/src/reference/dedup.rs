//! Dedup as a look at the delivery before.

use super::{config, plans, rows};
use crate::Dedup;
use crate::harness::{Row, Stream, assert_same, drive, schema};
use dataflow::Span;
use proptest::prelude::*;

pub(super) fn twin(rows: &[Row], keys: &[usize], within: i64) -> Vec<Row> {
    let mut kept: Vec<Row> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let is_same = |other: &&Row| keys.iter().all(|&column| other.values[column] == row.values[column]);
        if rows[..at].iter().rev().find(is_same).is_none_or(|before| row.time - before.time > within) {
            kept.push(row.clone());
        }
    }
    crate::harness::sort(&mut kept);
    kept
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn dedup_is_its_twin(
        rows in rows(60),
        keys in prop::sample::select(vec![vec![0], vec![3], vec![0, 3]]),
        within in 0i64..30,
        plan in plans(),
    ) {
        let streams = [Stream::sorted(&rows, &keys)];
        let make = || Box::new(Dedup::new(schema(), keys.clone(), Span(within)).unwrap()) as _;
        let output = drive(&make, &streams, &plan);
        assert_same(&output.main(), &twin(&streams[0].rows, &keys, within));
    }
}
