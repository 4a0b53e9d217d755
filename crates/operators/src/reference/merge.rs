//! Merge as a sort.

use super::{config, plans, rows};
use crate::Merge;
use crate::harness::{Stream, assert_same, drive, schema, sort};
use proptest::prelude::*;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn merge_is_a_sort(rows in rows(80), runs in 1usize..4, plan in plans()) {
        // Some rows are in order, so that runs are longer than a row.
        let mut disordered = rows.clone();
        let length = rows.len().div_ceil(runs).max(1);
        disordered.chunks_mut(length).for_each(|run| run.sort_by_key(|row| (row.time, row.order)));
        let stream = Stream { schema: schema(), rows: disordered, keys: vec![0], is_sorted: false };
        let output = drive(&|| Box::new(Merge::new(schema()).unwrap()) as _, &[stream], &plan);
        let mut expected = rows;
        sort(&mut expected);
        assert_same(&output.main(), &expected);
        prop_assert_eq!(output.state_bytes, 0);
    }
}
