//! DEDUP: the first of several deliveries.

use crate::scene::{Expected, Kind, at, check, nothing};
use crate::traffic::{Others, Read};
use serde_json::json;
use std::collections::BTreeMap;
use tests::time_rule::due;

/// The first delivery of each message; all of a message are within the interval.
pub fn first_deliveries(messages: &Read) -> BTreeMap<i64, &crate::traffic::Row> {
    let mut first: BTreeMap<i64, &crate::traffic::Row> = BTreeMap::new();
    for row in &messages.rows {
        let kept = first.entry(row.integer("id")).or_insert(row);
        if row.time < kept.time {
            *kept = row;
        }
    }
    assert!(first.len() < messages.rows.len(), "some messages come again");
    first
}

fn expected(messages: &Read, _: &Read) -> BTreeMap<i64, Expected> {
    let logs: Vec<_> = messages.logs.iter().collect();
    let row = |(id, row): (i64, &crate::traffic::Row)| {
        (id, at(due(&logs, row.time), json!({ "id": id, "user_id": row.integer("user_id") })))
    };
    first_deliveries(messages).into_iter().map(row).collect()
}

#[test]
fn a_message_that_comes_again_comes_out_once_and_in_time() {
    check(&Kind {
        name: "dedup",
        sql: "INSERT INTO TOPIC {out} SELECT id, user_id FROM messages;\n\
              INSERT INTO TOPIC {out}_rest SELECT level FROM others WHERE level < 0;",
        arguments: &[],
        again: true,
        others: &[Others::Stale, Others::Dense, Others::Ahead],
        key: "id",
        expected,
        meanwhile: nothing,
        afterwards: nothing,
    });
}
