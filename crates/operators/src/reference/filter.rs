//! Filter as a loop, with conditions that are NULL or fail on some rows.

use super::condition::Condition;
use super::{config, plans, rows};
use crate::Filter;
use crate::harness::{Row, Stream, Value, assert_same, drive, sort};
use dataflow::{Fate, Port};
use proptest::prelude::*;
use std::sync::Arc;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn filter_keeps_what_is_true(
        rows in rows(60),
        condition in prop::sample::select(vec![Condition::Flag, Condition::Positive]),
        plan in plans(),
    ) {
        let streams = [Stream::sorted(&rows, &[0])];
        let output = drive(&|| Box::new(Filter::new(Arc::new(condition)).unwrap()) as _, &streams, &plan);
        let of = |wanted: Result<bool, ()>| {
            let is_wanted = |row: &&Row| condition.of(row).map(|value| value == Value::Boolean(true)) == wanted;
            let mut found: Vec<Row> = rows.iter().filter(is_wanted).cloned().collect();
            sort(&mut found);
            found
        };
        assert_same(&output.main(), &of(Ok(true)));
        assert_same(&output.port(Port::DEAD_LETTER), &of(Err(())));
        prop_assert_eq!(output.fates.of(Fate::Filtered) as usize, of(Ok(false)).len());
    }
}
