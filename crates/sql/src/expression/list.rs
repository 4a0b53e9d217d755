//! Lists, which tables of other writers hold: how many values there are.

use super::arguments::{Gives, Parameter, TextFunction, exactly};
use super::bound::{Bound, Fails, total};
use super::scope::Problem;
use super::{sql_type, text};
use arrow::compute;
use arrow::datatypes::DataType::{self, FixedSizeList, Int64, LargeList, List};

const CHARACTERS: TextFunction = TextFunction {
    takes: &[Parameter::Text],
    least: 1,
    gives: Gives::BigInt,
    kernel: |arguments, rows| text::count(arguments, rows, |text| text.chars().count() as i64),
};

/// `length(x)`: the characters of a text, or the values of a list.
pub(crate) fn length(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    match arguments.as_slice() {
        [one] if is_list(&one.data_type) => values("length", arguments),
        _ => CHARACTERS.call("length", name, Fails::Never, arguments),
    }
}

/// `array_length(list)`.
pub(crate) fn array_length(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let [list] = exactly(name, arguments)?;
    if !is_list(&list.data_type) {
        let found = sql_type::name(&list.data_type);
        let problem = Problem::new(format!("{name} takes a list")).found(found).expected("a list");
        return Err(match list.data_type {
            DataType::Utf8 => problem.hint("write length(x) for the characters of a text"),
            _ => problem,
        });
    }
    values("array_length", vec![list])
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, List(_) | LargeList(_) | FixedSizeList(..))
}

fn values(name: &'static str, list: Vec<Bound>) -> Result<Bound, Problem> {
    let nullable = list.iter().any(|list| list.nullable);
    total(name, list, Int64, nullable, |arguments, rows| {
        let lengths = compute::kernels::length::length(&arguments[0].array(rows)?)?;
        compute::cast(&lengths, &Int64)
    })
}
