//! The arithmetic operators.

use super::scope::Problem;
use super::sql_type;
use arrow::datatypes::DataType;
use std::fmt;

/// The operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    WholeDivide,
    Remainder,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::WholeDivide => "//",
            Operator::Remainder => "%",
        })
    }
}

/// No such operator for these types.
pub(crate) fn no_operator(operator: Operator, left: &DataType, right: &DataType) -> Problem {
    let (left, right) = (sql_type::name(left), sql_type::name(right));
    let problem =
        Problem::new(format!("no operator {left} {operator} {right}")).found(format!("{left} {operator} {right}"));
    match (&left[..], &right[..]) {
        ("TEXT", _) | (_, "TEXT") => problem.hint("cast the text to a number, e.g. x::DOUBLE, or join texts with ||"),
        ("BOOLEAN", _) | (_, "BOOLEAN") => problem.hint("cast the condition to a number, e.g. x::INT"),
        ("UBIGINT", _) | (_, "UBIGINT") => problem.hint("the result may need 128 bits: cast to BIGINT or DOUBLE"),
        _ => problem,
    }
}
