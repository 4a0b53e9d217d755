//! A table: its rows are there when the next commit has come, and each is there once at the end.

use crate::scene::{Expected, Kind, SLACK, at, check};
use crate::traffic::{Others, Read, Row};
use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use project::Project;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tests::machine::{Machine, SECOND, now};
use tests::time_rule::due;
use tests::{all_rows, told};

/// How often the job commits.
const COMMIT: i64 = SECOND;

/// Columns of integers of a table's rows, in sequence; none where there is no table.
pub fn rows(project: &Path, table: &str, columns: &[&str]) -> Vec<Vec<Option<i64>>> {
    let project = Project::open(project, "dev", Arc::new(Machine)).map_err(told).expect("the project opens");
    let warehouse = project.warehouse().expect("the warehouse opens");
    if !warehouse.exists(table).expect("the catalog can be read") {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for batch in all_rows(&warehouse, table) {
        let column = |name: &&str| batch.column_by_name(name).expect("it is declared").as_primitive::<Int64Type>();
        let columns: Vec<_> = columns.iter().map(column).collect();
        let cell = |row: usize| columns.iter().map(move |column| column.is_valid(row).then(|| column.value(row)));
        rows.extend((0..batch.num_rows()).map(|row| cell(row).collect::<Vec<_>>()));
    }
    rows.sort_unstable();
    rows
}

/// One such column without NULLs.
pub fn integers(project: &Path, table: &str, column: &str) -> Vec<i64> {
    rows(project, table, &[column]).into_iter().map(|row| row[0].expect("it is no NULL")).collect()
}

fn expected(messages: &Read, _: &Read) -> BTreeMap<i64, Expected> {
    let logs: Vec<_> = messages.logs.iter().collect();
    let row = |row: &Row| (row.integer("id"), at(due(&logs, row.time), json!({ "id": row.integer("id") })));
    messages.rows.iter().map(row).collect()
}

/// While the job runs the table holds what was due when it last had to commit, and nothing twice.
fn committed(project: &Path, expected: &BTreeMap<i64, Expected>) -> Vec<String> {
    let moment = now();
    let found = integers(project, "lake.kept", "id");
    let due = expected.iter().filter(|(_, row)| row.due + COMMIT + SLACK <= moment).map(|(id, _)| *id);
    let missing: Vec<i64> = due.filter(|id| found.binary_search(id).is_err()).collect();
    let twice = found.windows(2).any(|pair| pair[0] == pair[1]);
    let wrong = !missing.is_empty() || twice || found.is_empty();
    let told = || format!("a running job has committed {} rows, {} are missing", found.len(), missing.len());
    wrong.then(told).into_iter().collect()
}

/// After the end the table holds all rows, each once.
fn all(project: &Path, expected: &BTreeMap<i64, Expected>) -> Vec<String> {
    let (found, wanted) = (integers(project, "lake.kept", "id"), expected.keys().copied().collect::<Vec<_>>());
    let wrong = found != wanted;
    wrong.then(|| format!("the table holds {} rows, expected {}", found.len(), wanted.len())).into_iter().collect()
}

#[test]
fn rows_of_a_table_are_committed_in_time_and_all_are_there_at_the_end() {
    check(&Kind {
        name: "table",
        sql: "INSERT INTO lake.kept SELECT id, size FROM messages;\n\
              INSERT INTO TOPIC {out} SELECT id FROM messages;\n\
              INSERT INTO TOPIC {out}_rest SELECT level FROM others WHERE level < 0;",
        arguments: &["--commit-every", "1s"],
        again: false,
        others: &[Others::Stale, Others::Dense],
        key: "id",
        expected,
        meanwhile: committed,
        afterwards: all,
    });
}
