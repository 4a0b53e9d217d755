//! The page of all functions, made of the tables.

use super::aggregates::AGGREGATES;
use super::bound::Fails;
use super::function_table::{Nulls, all};
use std::fmt::Write;

const INTRODUCTION: &str = "\
# Functions

This page is generated from the tables in `crates/sql/src/expression`; a test compares them.
Answers are DuckDB's; [where they differ](sql-differences.md) says why.

## Aggregates

They are used in a window, or in a subquery over another stream.
Values that are NULL do not count; where none is left the result is NULL, except of `count`.

| function | takes | gives | |
| --- | --- | --- | --- |
";

const OF_A_ROW: &str = "
## Of a row

With NULL in an argument the result is NULL, unless NULL is skipped or the function says what it makes of it.
A function that can fail on a value makes the row bad; `try(..)` gives NULL instead.

| function | takes | gives | can fail | NULL | |
| --- | --- | --- | --- | --- | --- |
";

/// docs/sql-functions.md.
pub fn functions_page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for signature in &AGGREGATES {
        let (takes, gives, help) = (signature.arguments, signature.result, signature.help);
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {} | {takes} | {gives} | {help} |", names(signature.names));
    }
    page.push_str(OF_A_ROW);
    for signature in all() {
        let fails = if signature.fails == Fails::OnSome { "yes" } else { "" };
        let nulls = match signature.nulls {
            Nulls::Null => "",
            Nulls::Skipped => "skipped",
            Nulls::Own => "see there",
        };
        let (takes, gives, help) = (signature.arguments, signature.result, signature.help);
        let _ = writeln!(page, "| {} | {takes} | {gives} | {fails} | {nulls} | {help} |", names(signature.names));
    }
    page
}

fn names(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
