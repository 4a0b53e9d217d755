//! EXISTS with a forward bound: a row is known when its bound has passed.

use crate::scene::{Expected, Kind, at, check, nothing};
use crate::traffic::{Others, Read, Row};
use serde_json::json;
use std::collections::BTreeMap;
use tests::machine::SECOND;
use tests::time_rule::due;

const BOUND: i64 = 2 * SECOND;

fn expected(messages: &Read, others: &Read) -> BTreeMap<i64, Expected> {
    let logs: Vec<_> = messages.logs.iter().chain(&others.logs).collect();
    let row = |row: &Row| {
        let within = |other: &Row| other.time >= row.time && other.time <= row.time + BOUND;
        let mut mine = others.rows.iter().filter(|other| other.integer("user_id") == row.integer("user_id"));
        let values = json!({ "id": row.integer("id"), "changed": mine.any(within) });
        (row.integer("id"), at(due(&logs, row.time + BOUND), values))
    };
    messages.rows.iter().map(row).collect()
}

#[test]
fn labels_come_when_their_bound_has_passed() {
    check(&Kind {
        name: "exists",
        sql: "INSERT INTO TOPIC {out} SELECT m.id, EXISTS (SELECT 1 FROM others o WHERE o.user_id = m.user_id\n\
              AND o.changed_at BETWEEN m.sent_at AND m.sent_at + INTERVAL '2' SECOND) AS changed FROM messages m;",
        arguments: &[],
        again: false,
        others: &[Others::Silent, Others::Dense, Others::Ahead],
        key: "id",
        expected,
        meanwhile: nothing,
        afterwards: nothing,
    });
}
