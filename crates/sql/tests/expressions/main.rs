//! Expressions give DuckDB's answers, fail by row alone, and say what is wrong with them.
#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

mod answers;
mod differences;
mod functions;
mod precedence;
mod problems;
mod random;
mod table;
