//! A trailing window.

use crate::scene::{Expected, Kind, at, check, nothing};
use crate::traffic::{Others, Read, Row};
use serde_json::json;
use std::collections::BTreeMap;
use tests::machine::SECOND;
use tests::time_rule::due;

/// Rows of a user in the three seconds up to a row, those of equal time included.
pub fn count(rows: &[&Row], of: &Row) -> usize {
    let within = |row: &&&Row| row.time >= of.time - 3 * SECOND && row.time <= of.time;
    rows.iter().filter(|row| row.integer("user_id") == of.integer("user_id")).filter(within).count()
}

fn expected(messages: &Read, _: &Read) -> BTreeMap<i64, Expected> {
    let (logs, rows): (Vec<_>, Vec<_>) = (messages.logs.iter().collect(), messages.rows.iter().collect());
    let row = |row: &Row| {
        let values = json!({ "id": row.integer("id"), "n": count(&rows, row) });
        (row.integer("id"), at(due(&logs, row.time), values))
    };
    messages.rows.iter().map(row).collect()
}

#[test]
fn counts_of_a_trailing_window_come_in_time() {
    check(&Kind {
        name: "window",
        sql: "INSERT INTO TOPIC {out} SELECT id, count(*) OVER w AS n FROM messages\n\
              WINDOW w AS (PARTITION BY user_id ORDER BY sent_at RANGE INTERVAL '3' SECOND PRECEDING);\n\
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
