//! What docs/sql-differences.md says of expressions, here and of DuckDB 2.0.0: an example or more for each of its rows.

use crate::answers::printed_by_duckdb;
use crate::table::{compiled, folder};
use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::DataType;
use dataflow::{Batch, RowOrder};
use sql::expression::{ColumnId, Place, Scope, ScopeColumn};
use std::sync::Arc;

/// Rows of the page that are about more than an expression of one row; other tests show them.
const ELSEWHERE: [&str; 19] = [
    "`* REPLACE (..)`",
    "`sum`, `avg`, `stddev` and `variance` with DISTINCT",
    "`SELECT DISTINCT k .. ORDER BY x`",
    "`min`, `max`, `avg` and `count` of an INTERVAL",
    "`GROUP BY ALL` with a HAVING",
    "`sum`, `avg`, `stddev` and",
    "a condition that is no BOOLEAN",
    "sum of integers",
    "two columns whose names differ",
    "`ASOF JOIN`",
    "`lag(x, n)`",
    "`stddev`, `variance`",
    "`stddev_pop` and `var_pop` of one",
    "a frame that ends",
    "`UNION` of a column",
    "`UNION` of a time",
    "lists, structs, maps",
    "INTERVAL as a key",
    "an INTERVAL in a Parquet",
];

/// A row of the page by its beginning, an expression, what DuckDB makes of it, and what is made of it here.
fn examples(text: &str) -> Vec<[&str; 4]> {
    let cells = |line| <[&str; 4]>::try_from(str::split(line, '\t').collect::<Vec<_>>()).unwrap();
    text.lines().map(cells).collect()
}

/// The first cells of the rows of the page, and what stands below them.
fn rows_of_the_page() -> (Vec<String>, String) {
    let page = std::fs::read_to_string(folder().join("../../../../docs/sql-differences.md")).unwrap();
    let table = page.lines().filter_map(|line| line.strip_prefix("| ")).skip(2);
    let rows = table.map(|line| line.split(" | ").next().unwrap_or_default().to_owned()).collect();
    (rows, page)
}

fn row() -> (Batch, Scope) {
    let columns: [(&str, ArrayRef); 4] = [
        ("n", Arc::new(Int32Array::from(vec![0]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![1_704_067_200_000_000]))),
        ("word", Arc::new(StringArray::from(vec!["2"]))),
        ("nothing", new_null_array(&DataType::Decimal128(3, 1), 1)),
    ];
    let scope = columns.iter().enumerate().map(|(at, (name, values))| ScopeColumn {
        qualifier: None,
        name: (*name).to_owned(),
        data_type: values.data_type().clone(),
        place: Place::Column(ColumnId(at)),
        needs_qualifier: false,
        is_used: false,
    });
    let scope = scope.collect();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    (Batch::new(batch, vec![0], vec![RowOrder(0)]).unwrap(), scope)
}

/// What is made of an expression here: its text, or whether it is refused or fails.
fn here(expression: &str, batch: &Batch, scope: &Scope) -> String {
    let Ok(compiled) = compiled(&format!("CAST(({expression}) AS TEXT)"), scope) else { return "refused".to_owned() };
    let result = compiled.scalar.evaluate(batch).unwrap();
    match result.values.as_string::<i32>() {
        _ if !result.failed.is_empty() => "!".to_owned(),
        texts if texts.is_null(0) => "\\N".to_owned(),
        texts => texts.value(0).to_owned(),
    }
}

#[test]
fn every_row_of_the_page_is_so() {
    let text = std::fs::read_to_string(folder().join("differences.tsv")).unwrap();
    let (rows, page) = rows_of_the_page();
    for row in &rows {
        let shown = examples(&text).iter().any(|[of, ..]| row.starts_with(of));
        assert!(shown || ELSEWHERE.iter().any(|of| row.starts_with(of)), "no example of: {row}");
    }
    let (batch, scope) = row();
    let mut wrong = Vec::new();
    for [of, expression, duckdb, expected] in examples(&text) {
        let stands = rows.iter().any(|row| row.starts_with(of)) || page.lines().any(|line| line.starts_with(of));
        assert!(stands, "no row of the page begins with {of}");
        assert!(duckdb != expected || text.matches(of).count() > 1, "{expression} is no difference");
        let found = here(expression, &batch, &scope);
        if found != expected {
            wrong.push(format!("{expression}: {found} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn duckdb_does_what_the_page_says() {
    let Some(printed) = printed_by_duckdb("differences.py") else { return };
    let text = std::fs::read_to_string(folder().join("differences.tsv")).unwrap();
    let asked = examples(&text);
    assert_eq!(printed.lines().count(), asked.len());
    for ([_, expression, duckdb, _], answer) in asked.iter().zip(printed.lines()) {
        assert_eq!(answer, *duckdb, "{expression}");
    }
}
