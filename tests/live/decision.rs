//! A decision after DEDUP, an as-of join and a window: every action in time, and a log that holds each row once.

use crate::dedup::first_deliveries;
use crate::scene::{Expected, Kind, at, check, nothing};
use crate::traffic::{Others, Read, Row};
use crate::{as_of, table, window};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use tests::time_rule::due;

fn expected(messages: &Read, others: &Read) -> BTreeMap<i64, Expected> {
    let logs: Vec<_> = messages.logs.iter().chain(&others.logs).collect();
    let kept = first_deliveries(messages);
    let rows: Vec<&Row> = kept.values().copied().collect();
    let action = |row: &Row| {
        let level = as_of::level(others, row);
        let rule = if level.is_some_and(|level| level % 2 == 1) { "odd" } else { "any" };
        let values = json!({ "subject": row.integer("id"), "rule": rule });
        Expected { beside: vec![level, Some(window::count(&rows, row) as i64)], ..at(due(&logs, row.time), values) }
    };
    kept.iter().map(|(id, row)| (*id, action(row))).collect()
}

/// The log holds each row once, with its features.
fn log(project: &Path, expected: &BTreeMap<i64, Expected>) -> Vec<String> {
    let found = table::rows(project, "guard__log", &["subject", "level", "n"]);
    let wanted = |(id, row): (&i64, &Expected)| vec![Some(*id), row.beside[0], row.beside[1]];
    let wanted: Vec<_> = expected.iter().map(wanted).collect();
    let odd = found.iter().find(|row| wanted.binary_search(row).is_err());
    let instead = odd.and_then(|odd| wanted.iter().find(|row| row[0] == odd[0]));
    let wrong = found != wanted;
    let (rows, of) = (found.len(), wanted.len());
    let told = || format!("the log holds {rows} rows of {of}, not expected is {odd:?}, but {instead:?}");
    wrong.then(told).into_iter().collect()
}

#[test]
fn a_decision_acts_in_time() {
    check(&Kind {
        name: "decision",
        sql: "CREATE VIEW seen AS SELECT m.id, a.level, count(*) OVER w AS n FROM messages m\n\
              ASOF LEFT JOIN others a ON a.user_id = m.user_id AND a.changed_at <= m.sent_at\n\
              WINDOW w AS (PARTITION BY m.user_id ORDER BY m.sent_at RANGE INTERVAL '3' SECOND PRECEDING);\n\
              CREATE DECISION guard ON seen SUBJECT id TO {out} AS\n\
              RULE odd WHEN level % 2 = 1 THEN 'slow_down'\n\
              RULE any WHEN n > 0 THEN 'look';",
        arguments: &[],
        again: true,
        others: &[Others::Silent, Others::Empty, Others::Dense, Others::Ahead],
        key: "subject",
        expected,
        meanwhile: nothing,
        afterwards: log,
    });
}
