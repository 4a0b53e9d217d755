//! As-of join as a search through all right rows.

use super::{config, plans, rows};
use crate::AsOf;
use crate::as_of::Spec;
use crate::harness::{Row, Stream, Value, assert_same, drive, schema};
use dataflow::Span;
use proptest::prelude::*;

pub(super) fn twin(spec: &Spec, left: &[Row], right: &[Row]) -> Vec<Row> {
    let mut joined = Vec::new();
    for row in left {
        let has_key = |other: &&Row| {
            spec.left_keys
                .iter()
                .zip(&spec.right_keys)
                .all(|(&one, &two)| row.values[one] != Value::Null && row.values[one] == other.values[two])
        };
        let limit = row.time - spec.behind.0 - i64::from(spec.strict);
        let met = right.iter().filter(has_key).filter(|other| other.time <= limit);
        let last = met.max_by_key(|other| (other.time, other.order));
        if spec.inner && last.is_none() {
            continue;
        }
        let appended =
            spec.columns.iter().map(|(column, _)| last.map_or(Value::Null, |other| other.values[*column].clone()));
        joined.push(Row { values: row.values.iter().cloned().chain(appended).collect(), ..row.clone() });
    }
    crate::harness::sort(&mut joined);
    joined
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn as_of_is_its_twin(
        left in rows(40),
        right in rows(40),
        keys in prop::sample::select(vec![vec![0], vec![3], vec![3, 0]]),
        behind in prop_oneof![Just(0i64), 0i64..20],
        (strict, inner) in any::<(bool, bool)>(),
        plan in plans(),
    ) {
        let columns = [1, 2, 3, 4].map(|column| (column, format!("right{column}"))).to_vec();
        let spec = Spec { left_keys: keys.clone(), right_keys: keys.clone(), columns, behind: Span(behind), strict, inner };
        let streams = [Stream::sorted(&left, &keys), Stream::sorted(&right, &keys)];
        let make = || Box::new(AsOf::new(schema(), schema(), spec.clone()).unwrap()) as _;
        let output = drive(&make, &streams, &plan);
        assert_same(&output.main(), &twin(&spec, &left, &right));
    }
}
