//! Every pair of operators without parentheses is read as DuckDB reads it.

use crate::answers::printed_by_duckdb;
use crate::table::{folder, read_expression};
use sqlparser::ast::{Expr, visit_expressions_mut};
use std::ops::ControlFlow;

/// An expression without its parentheses, which have said what belongs together.
fn grouped(text: &str) -> Option<Expr> {
    let mut expr = read_expression(text)?;
    let _: ControlFlow<()> = visit_expressions_mut(&mut expr, |part| {
        while let Expr::Nested(inner) = part {
            *part = (**inner).clone();
        }
        ControlFlow::Continue(())
    });
    Some(expr)
}

#[test]
fn every_pair_of_operators_is_read_as_duckdb_reads_it() {
    let stored = std::fs::read_to_string(folder().join("precedence.tsv")).unwrap();
    assert!(stored.lines().count() > 2_000);
    let mut wrong = Vec::new();
    for line in stored.lines() {
        let (text, expected) = line.split_once('\t').unwrap();
        let found = grouped(text);
        let expected = (expected != "refused").then(|| grouped(expected).expect("one pair of parentheses is read"));
        if found != expected {
            let found = found.map_or("refused".to_owned(), |found| format!("{found:?}"));
            wrong.push(format!("{line}: {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} pairs are read otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn duckdb_still_reads_pairs_as_committed() {
    let Some(live) = printed_by_duckdb("precedence.py") else { return };
    let stored = std::fs::read_to_string(folder().join("precedence.tsv")).unwrap();
    for (live, stored) in live.lines().zip(stored.lines()) {
        assert_eq!(live, stored);
    }
    assert_eq!(live.lines().count(), stored.lines().count());
}
