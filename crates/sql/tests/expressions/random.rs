//! Generated expressions over random rows: the whole batch gives what each row gives alone.

use crate::table::{compiled, scope};
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use dataflow::{Batch, RowOrder};
use proptest::prelude::*;
use std::sync::Arc;

type Row = (Option<i32>, Option<i64>, Option<f64>, Option<String>, Option<bool>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let small = prop_oneof![Just(0), Just(i32::MAX), Just(i32::MIN), -3..4i32];
    let large = prop_oneof![Just(0), Just(i64::MAX), Just(i64::MIN), -3..4i64];
    let float = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), Just(1e300), -3.0..3.0f64];
    let text = prop_oneof![Just(String::new()), "[a-c1-3.%]{0,4}", Just("12".to_string()), Just("ä".to_string())];
    let option = |weight: f64| move || proptest::option::Probability::from(weight);
    let some = option(0.8);
    proptest::collection::vec(
        (
            proptest::option::weighted(some(), small),
            proptest::option::weighted(some(), large),
            proptest::option::weighted(some(), float),
            proptest::option::weighted(some(), text),
            proptest::option::weighted(some(), any::<bool>()),
        ),
        0..40,
    )
}

fn batch(rows: &[Row]) -> Batch {
    let columns: [(&str, ArrayRef, bool); 5] = [
        ("i", Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>()), true),
        ("b", Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()), true),
        ("d", Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()), true),
        ("t", Arc::new(rows.iter().map(|row| row.3.clone()).collect::<StringArray>()), true),
        ("f", Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>()), true),
    ];
    let columns = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let orders = (0..rows.len() as u128).map(RowOrder).collect();
    Batch::new(columns, (0..rows.len() as i64).collect(), orders).unwrap()
}

fn number() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("i".to_string()),
        Just("b".to_string()),
        Just("d".to_string()),
        Just("2".to_string()),
        Just("0".to_string()),
        Just("NULL".to_string()),
        Just("length(t)".to_string()),
        Just("epoch(_time)".to_string()),
        Just("0.5".to_string()),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let condition = condition(inner.clone());
        let operator = prop_oneof![Just("+"), Just("-"), Just("*"), Just("/"), Just("//"), Just("%")];
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (condition.clone(), inner.clone(), inner.clone())
                .prop_map(|(c, a, b)| format!("(CASE WHEN {c} THEN {a} ELSE {b} END)")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("coalesce({a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("nullif({a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("greatest({a}, {b})")),
            inner.clone().prop_map(|a| format!("abs({a})")),
            inner.clone().prop_map(|a| format!("round({a}, 1)")),
            inner.clone().prop_map(|a| format!("CAST({a} AS INTEGER)")),
            inner.clone().prop_map(|a| format!("TRY_CAST({a} AS SMALLINT)")),
            Just("CAST(t AS INTEGER)".to_string()),
            Just("CAST(t AS DOUBLE)".to_string()),
            condition.prop_map(|c| format!("CAST({c} AS INTEGER)")),
        ]
    })
    .boxed()
}

fn condition(number: impl Strategy<Value = String> + Clone + 'static) -> BoxedStrategy<String> {
    let comparison = prop_oneof![Just("="), Just("<>"), Just("<"), Just(">="), Just("IS DISTINCT FROM")];
    let leaf = prop_oneof![
        Just("f".to_string()),
        Just("t LIKE '%1%'".to_string()),
        Just("t < 'b'".to_string()),
        (number.clone(), comparison, number.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        number.clone().prop_map(|a| format!("({a} IS NULL)")),
        (number.clone(), number.clone()).prop_map(|(a, b)| format!("({a} IN (1, {b}))")),
        (number.clone(), number).prop_map(|(a, b)| format!("({a} BETWEEN 0 AND {b})")),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("(NOT {a})")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_batch_gives_what_its_rows_give_alone(
        rows in rows(),
        text in prop_oneof![number(), condition(number())],
    ) {
        let whole = batch(&rows);
        // Decimals may grow beyond what there is a type for, which is refused for all rows.
        let scope = scope(&whole);
        let Ok(compiled) = compiled(&text, &scope) else { return Ok(()) };
        let printed = compiled.text(&scope);
        prop_assert_eq!(&crate::table::compiled(&printed, &scope).unwrap(), &compiled, "{} is printed as {}", text, printed);
        let all = compiled.scalar.evaluate(&whole).unwrap();
        prop_assert_eq!(all.values.len(), rows.len());
        prop_assert_eq!(all.values.data_type(), &compiled.data_type);
        let mut failed = all.failed.iter();
        for row in 0..rows.len() {
            let alone = compiled.scalar.evaluate(&whole.slice(row, 1)).unwrap();
            prop_assert_eq!(&alone.values.to_data(), &all.values.slice(row, 1).to_data(), "{} in row {}", text, row);
            if let Some((at, error)) = alone.failed.first() {
                let (among, error_among) = failed.next().expect("the row fails in the batch too");
                prop_assert_eq!((*at, *among), (0, row));
                prop_assert_eq!(error.to_string(), error_among.to_string());
                prop_assert!(all.values.is_null(row));
            }
            prop_assert!(compiled.nullable || !alone.failed.is_empty() || alone.values.is_valid(0), "{text}");
        }
        prop_assert!(failed.next().is_none());
        prop_assert!(compiled.can_fail || all.failed.is_empty(), "{} fails, and it is said that it cannot", text);
    }

    #[test]
    fn a_failure_is_no_value_for_what_stands_around_it(
        rows in rows(),
        text in prop_oneof![number(), condition(number())],
    ) {
        let whole = batch(&rows);
        let scope = scope(&whole);
        let of = |text: &str| compiled(text, &scope).ok().map(|compiled| compiled.scalar.evaluate(&whole).unwrap());
        let Some(alone) = of(&text) else { return Ok(()) };
        let failed: Vec<usize> = alone.failed.iter().map(|(row, _)| *row).collect();
        let failed_of = |around: &str| of(around).map(|all| all.failed.iter().map(|(row, _)| *row).collect::<Vec<_>>());
        let attempt = of(&format!("TRY({text})")).unwrap();
        prop_assert!(attempt.failed.is_empty());
        prop_assert_eq!(&attempt.values.to_data(), &alone.values.to_data(), "TRY({})", text);
        for around in [
            format!("({text}) IS NULL"),
            format!("coalesce(({text})::TEXT, 'none')"),
            format!("CASE WHEN ({text}) IS NULL THEN 'null' ELSE 'some' END"),
            format!("greatest(({text})::TEXT, 'a')"),
            format!("concat(({text})::TEXT, 'a')"),
        ] {
            let of_all = failed_of(&around);
            prop_assert_eq!(of_all.as_ref(), Some(&failed), "{}", around);
        }
    }
}
