//! Expressions give DuckDB's answers, fail by row alone, and say what is wrong with them.

mod answers;
mod problems;
mod random;
mod table;
