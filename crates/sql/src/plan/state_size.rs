//! How many bytes a state takes, predicted from what it keeps of a row or a key.

use super::logical::{AsOf, Operator, Range, WindowFunction};
use crate::bind::Columns;
use crate::expression::ColumnId;
use arrow::datatypes::DataType;
use std::collections::HashSet;

/// The time and the key id of a row in a log.
const ROW: usize = 12;
/// A value in a log or a table, and whether it is there.
const VALUE: usize = 9;
/// What finding a key takes beside the key.
const KEY: usize = 24;
/// A text in a key, about.
const TEXT: usize = 16;

/// About how many bytes the state of an operator takes for each row or key that it keeps; `None` where it has none that
/// lasts. Texts that many rows have in common are kept once, and not counted.
pub(crate) fn bytes_each(operator: &Operator, columns: &Columns) -> Option<usize> {
    match operator {
        Operator::Dedup { keys, .. } => Some(key(keys.iter().copied(), columns) + size_of::<i64>()),
        Operator::Window { functions, .. } => Some(of_window(functions)),
        Operator::AsOf(AsOf { keys, columns: all, .. }) => {
            Some(key(keys.iter().map(|(_, theirs)| *theirs), columns) + ROW + VALUE * all.len())
        }
        Operator::Range(Range { functions, .. }) => {
            Some(row(functions.iter().map(|function| (function.argument, function.filter))))
        }
        Operator::Decision(decision) => {
            let limited = decision.rules.iter().filter(|rule| rule.once_per.is_some()).count();
            Some(key([decision.subject], columns) + size_of::<i64>() * limited)
        }
        _ => None,
    }
}

fn of_window(functions: &[WindowFunction]) -> usize {
    row(functions.iter().map(|function| (function.argument, function.filter)))
}

/// A row of a log: arguments and filters that several functions have are kept once.
fn row(functions: impl Iterator<Item = (Option<ColumnId>, Option<ColumnId>)>) -> usize {
    let (arguments, filters): (HashSet<_>, HashSet<_>) = functions.unzip();
    ROW + VALUE * arguments.iter().flatten().count() + filters.iter().flatten().count()
}

fn key(keys: impl IntoIterator<Item = ColumnId>, columns: &Columns) -> usize {
    let width = |data_type: &DataType| data_type.primitive_width().unwrap_or(TEXT);
    KEY + keys.into_iter().map(|id| width(&columns.get(id).data_type)).sum::<usize>()
}
