//! A decision as a list of everything that each rule has done.

use super::condition::Condition;
use super::{bad_rows, config, letters, plans, policies, rows};
use crate::Decision;
use crate::decision::{Rule, Spec, decision_id};
use crate::harness::{Row, Stream, Value, assert_same, drive, schema};
use dataflow::{BadRowPolicy, EventTime, Fate, Port, RowOrder, Span};
use proptest::prelude::*;
use std::sync::Arc;

const PUBLISHED_AFTER: i64 = 5;

/// A rule: its condition, whether it is SHADOW, and its ONCE PER.
pub(super) type TestRule = (Condition, bool, Option<i64>);

/// The actions, the records, and the rows on which a rule failed.
pub(super) fn twin(rules: &[TestRule], rows: &[Row]) -> (Vec<Row>, Vec<Row>, Vec<(Row, String)>) {
    let (mut actions, mut records, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    // Rule, subject and time of everything that was done.
    let mut done: Vec<(usize, Value, i64)> = Vec::new();
    for row in rows {
        let is = |value: Result<Value, ()>| {
            let rules = rules.iter().enumerate().filter(|(_, (condition, ..))| condition.of(row) == value);
            rules.map(|(rule, _)| rule).collect::<Vec<_>>()
        };
        let names = |rules: &[usize]| rules.iter().map(|rule| format!("rule{rule}")).collect::<Vec<_>>().join(",");
        let (matched, nulls, failed) = (is(Ok(Value::Boolean(true))), is(Ok(Value::Null)), is(Err(())));
        if let Some(rule) = failed.first() {
            bad.push((row.clone(), format!("decision \"d\": rule \"rule{rule}\": the number is 3")));
        }
        let first = matched.iter().copied().find(|&rule| !rules[rule].1);
        let subject = row.values[0].clone();
        let is_resting = |rule: usize| {
            let before = done.iter().rev().find(|(other, about, _)| *other == rule && *about == subject);
            before.is_some_and(|(_, _, at)| rules[rule].2.is_some_and(|once_per| row.time < at + once_per))
        };
        let acting = first.filter(|&rule| !is_resting(rule));
        let suppressed = first.filter(|&rule| is_resting(rule));
        let id = Value::Text(decision_id("d", EventTime(row.time), RowOrder(row.order)));
        let name =
            |rule: Option<usize>, what: &str| rule.map_or(Value::Null, |rule| Value::Text(format!("{what}{rule}")));
        if let Some(rule) = acting {
            done.push((rule, subject.clone(), row.time));
            let values = vec![
                id.clone(),
                Value::text("d"),
                name(acting, "rule"),
                name(acting, "action"),
                subject.clone(),
                Value::Integer(row.time),
            ];
            actions.push(Row { values, ..row.clone() });
        }
        let values = vec![
            id,
            Value::Integer(row.time),
            subject,
            Value::Text(names(&matched)),
            name(acting, "rule"),
            name(suppressed, "rule"),
            Value::Text(names(&nulls)),
            Value::Text(names(&failed)),
            name(acting, "action"),
            Value::Boolean(acting.is_some() && row.time > PUBLISHED_AFTER),
            Value::text("m=7"),
            Value::text("r1"),
            row.values[3].clone(),
        ];
        records.push(Row { values, ..row.clone() });
    }
    (actions, records, bad)
}

/// The decision of rules.
pub(super) fn spec(rules: &[TestRule]) -> Spec {
    let rule = |(index, (condition, shadow, once_per)): (usize, &TestRule)| Rule {
        name: format!("rule{index}"),
        condition: Arc::new(*condition),
        action: format!("action{index}"),
        shadow: *shadow,
        once_per: once_per.map(Span),
    };
    Spec {
        name: "d".to_owned(),
        subject: 0,
        rules: rules.iter().enumerate().map(rule).collect(),
        log_columns: vec![3],
        model_versions: vec![("m".to_owned(), "7".to_owned())],
        revision: "r1".to_owned(),
        published_after: EventTime(PUBLISHED_AFTER),
        acts: true,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn decisions_are_their_twin(
        rows in rows(60),
        rules in prop::collection::vec(
            (
                prop::sample::select(vec![Condition::Flag, Condition::Positive]),
                prop::bool::weighted(0.3),
                prop::option::of(1i64..30),
            ),
            1..4,
        ),
        plan in plans(),
        policy in policies(),
    ) {
        let spec = spec(&rules);
        let streams = [Stream::sorted(&rows, &[0])];
        let make = || Box::new(Decision::new(schema(), spec.clone(), bad_rows(policy)).unwrap()) as _;
        let output = drive(&make, &streams, &plan);
        let (actions, records, bad) = twin(&rules, &streams[0].rows);
        assert_same(&output.main(), &actions);
        assert_same(&output.port(Port::RECORDS), &records);
        assert_same(&output.port(Port::DEAD_LETTER), &if policy == BadRowPolicy::Skip { vec![] } else { letters(&bad) });
        prop_assert_eq!(output.fates.of(Fate::RuleFailed) as usize, bad.len());
    }
}

/// Ids are stored in tables and stand in other people's systems, so the same row has the same id for ever.
#[test]
fn decision_ids_never_change() {
    let ids = [
        decision_id("dm_spam", EventTime(1_767_225_600_000_000), RowOrder(1 << 64)),
        decision_id("dm_spam", EventTime(1_767_225_600_000_000), RowOrder((1 << 64) + (1 << 24))),
        decision_id("", EventTime(-1), RowOrder(u128::MAX)),
    ];
    assert_eq!(
        ids,
        ["b22070693959d64fc56e19feb70e08b9", "2a2e62cd218a5319f4cd483832aa2de8", "9781a2704265b9c1785399450d1dca21",]
    );
}
