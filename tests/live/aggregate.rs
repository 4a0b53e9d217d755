//! A correlated aggregate over another stream, up to each row.

use crate::scene::{Expected, Kind, at, check, nothing};
use crate::traffic::{Others, Read, Row};
use serde_json::json;
use std::collections::BTreeMap;
use tests::machine::SECOND;
use tests::time_rule::due;

fn expected(messages: &Read, others: &Read) -> BTreeMap<i64, Expected> {
    let logs: Vec<_> = messages.logs.iter().chain(&others.logs).collect();
    let row = |row: &Row| {
        let within = |other: &&Row| other.time >= row.time - 15 * SECOND && other.time <= row.time;
        let mine = others.rows.iter().filter(|other| other.integer("user_id") == row.integer("user_id"));
        let values = json!({ "id": row.integer("id"), "n": mine.filter(within).count() });
        (row.integer("id"), at(due(&logs, row.time), values))
    };
    messages.rows.iter().map(row).collect()
}

#[test]
fn aggregates_over_another_stream_come_in_time() {
    check(&Kind {
        name: "aggregate",
        sql: "INSERT INTO TOPIC {out} SELECT m.id, (SELECT count(*) FROM others o WHERE o.user_id = m.user_id\n\
              AND o.changed_at BETWEEN m.sent_at - INTERVAL '15' SECOND AND m.sent_at) AS n FROM messages m;",
        arguments: &[],
        again: false,
        others: &[Others::Silent, Others::Dense, Others::Ahead],
        key: "id",
        expected,
        meanwhile: nothing,
        afterwards: nothing,
    });
}
