//! Filter as a loop, with conditions that are NULL or fail on some rows.

use super::condition::Condition;
use super::{assert_bad, bad_rows, config, plans, policies, rows};
use crate::Filter;
use crate::harness::{Row, Stream, Value, assert_same, drive, sort};
use dataflow::Fate;
use proptest::prelude::*;
use std::sync::Arc;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn filter_keeps_what_is_true(
        rows in rows(60),
        condition in prop::sample::select(vec![Condition::Flag, Condition::Positive]),
        plan in plans(),
        policy in policies(),
    ) {
        let streams = [Stream::sorted(&rows, &[0])];
        let make = || Box::new(Filter::new(Arc::new(condition), bad_rows(policy)).unwrap()) as _;
        let output = drive(&make, &streams, &plan);
        let of = |wanted: Result<bool, ()>| {
            let is_wanted = |row: &&Row| condition.of(row).map(|value| value == Value::Boolean(true)) == wanted;
            let mut found: Vec<Row> = rows.iter().filter(is_wanted).cloned().collect();
            sort(&mut found);
            found
        };
        assert_same(&output.main(), &of(Ok(true)));
        let failed: Vec<_> = of(Err(())).into_iter().map(|row| (row, "the number is 3".to_owned())).collect();
        assert_bad(&output, policy, &failed);
        prop_assert_eq!(output.fates.of(Fate::Filtered) as usize, of(Ok(false)).len());
    }
}
