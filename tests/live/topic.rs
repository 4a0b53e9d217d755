//! INSERT into a topic: rows as they are.

use crate::scene::{Expected, Kind, at, check, nothing};
use crate::traffic::{Others, Read};
use serde_json::json;
use std::collections::BTreeMap;
use tests::time_rule::due;

fn expected(messages: &Read, _: &Read) -> BTreeMap<i64, Expected> {
    let logs: Vec<_> = messages.logs.iter().collect();
    let row = |row: &crate::traffic::Row| {
        let values = json!({ "id": row.integer("id"), "size": row.integer("size") + 1 });
        (row.integer("id"), at(due(&logs, row.time), values))
    };
    messages.rows.iter().map(row).collect()
}

#[test]
fn rows_of_one_stream_wait_for_no_other() {
    check(&Kind {
        name: "topic",
        // The second output reads the other stream, and has next to no rows.
        sql: "INSERT INTO TOPIC {out} SELECT id, size + 1 AS size FROM messages;\n\
              INSERT INTO TOPIC {out}_rest SELECT level FROM others WHERE level < 0;",
        arguments: &[],
        again: false,
        others: &[Others::Stale, Others::Dense, Others::Ahead],
        key: "id",
        expected,
        meanwhile: nothing,
        afterwards: nothing,
    });
}
