//! An as-of join, whose rows wait for the stream that it looks at.

use crate::scene::{Expected, Kind, at, check, nothing};
use crate::traffic::{Others, Read, Row};
use serde_json::json;
use std::collections::BTreeMap;
use tests::time_rule::due;

/// The level of a row's user at its time.
pub fn level(others: &Read, of: &Row) -> Option<i64> {
    let known = others.rows.iter().filter(|row| row.integer("user_id") == of.integer("user_id") && row.time <= of.time);
    known.max_by_key(|row| row.time).map(|row| row.integer("level"))
}

fn expected(messages: &Read, others: &Read) -> BTreeMap<i64, Expected> {
    let logs: Vec<_> = messages.logs.iter().chain(&others.logs).collect();
    let row = |row: &Row| {
        let values = json!({ "id": row.integer("id"), "level": level(others, row) });
        (row.integer("id"), at(due(&logs, row.time), values))
    };
    messages.rows.iter().map(row).collect()
}

#[test]
fn rows_of_an_as_of_join_come_in_time() {
    check(&Kind {
        name: "as-of join",
        sql: "INSERT INTO TOPIC {out} SELECT m.id, a.level FROM messages m\n\
              ASOF LEFT JOIN others a ON a.user_id = m.user_id AND a.changed_at <= m.sent_at;",
        arguments: &[],
        again: false,
        others: &[Others::Silent, Others::Empty, Others::Dense, Others::Ahead],
        key: "id",
        expected,
        meanwhile: nothing,
        afterwards: nothing,
    });
}
