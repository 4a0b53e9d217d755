//! Keys of two relations that are to be equal.

use super::relation::Relation;
use crate::diagnostic::{Fault, Outcome, place_of};
use crate::expression::{Tree, print, type_name};
use arrow::datatypes::DataType;
use sqlparser::ast::Expr;
use sqlparser::tokenizer::Span;

/// A key of the left and of the right side as it is written.
pub(crate) type WrittenKey = (Expr, Expr);

/// Binds both sides of keys, in one order for all steps, so that rows placed by a key can stay where they are.
pub(crate) fn bind(keys: &[WrittenKey], left: &Relation, right: &Relation, span: Span) -> Outcome<Vec<(Tree, Tree)>> {
    let mut bound = Vec::with_capacity(keys.len());
    for (ours, theirs) in keys {
        let (one, other) = (left.bind(ours, span)?, right.bind(theirs, span)?);
        if !same(&one.settled_type(), &other.settled_type()) {
            let describe = |relation: &Relation, expr: &Expr, tree: &Tree| {
                format!("{} {}", relation.key_name(expr), type_name(&tree.settled_type()))
            };
            return Fault::new(place_of(theirs, span), "the columns of a key have different types")
                .found(format!("{} and {}", describe(left, ours, &one), describe(right, theirs, &other)))
                .expected("the same type on both sides")
                .hint("cast one of them, e.g. CAST(x AS BIGINT)")
                .err();
        }
        check(&one.settled_type(), ours, span)?;
        if !bound.iter().any(|(known, known_other)| *known == one && *known_other == other) {
            bound.push((one, other));
        }
    }
    bound.sort_by_key(|(one, other)| (order(one), order(other)));
    Ok(bound)
}

/// Refuses a value by which rows cannot be told apart.
pub(crate) fn check(data_type: &DataType, written: &Expr, span: Span) -> Outcome<()> {
    check_named(data_type, &written.to_string(), place_of(written, span), "cannot be a key")
}

/// Refuses a column of rows that are to differ, by UNION or DISTINCT.
pub(crate) fn check_distinct(data_type: &DataType, name: &str, at: Span) -> Outcome<()> {
    check_named(data_type, name, at, "cannot tell rows apart")
}

fn check_named(data_type: &DataType, written: &str, at: Span, cannot: &str) -> Outcome<()> {
    if dataflow::is_key(data_type) {
        return Ok(());
    }
    let name = type_name(data_type);
    let hint = match data_type {
        DataType::Duration(_) | DataType::Interval(_) => "write epoch(x), its length in seconds",
        _ => "write CAST(x AS TEXT)",
    };
    Fault::new(at, format!("{name} {cannot}")).found(format!("{written}, which is {name}")).hint(hint).err()
}

/// Refuses a value that neither is less than another nor greater.
pub(crate) fn check_order(data_type: &DataType, written: &str, at: Span) -> Outcome<()> {
    if !data_type.is_nested() {
        return Ok(());
    }
    let name = type_name(data_type);
    Fault::new(at, format!("{name} has no order here"))
        .found(format!("{written}, which is {name}"))
        .hint("write CAST(x AS TEXT)")
        .err()
}

/// Where a key stands among others: columns as they were declared, then expressions.
pub(crate) fn order(tree: &Tree) -> (usize, String) {
    match tree.as_column() {
        Some(id) => (id.0, String::new()),
        None => (usize::MAX, print(tree, &|place| format!("{place:?}"))),
    }
}

/// Whether values of two types are the same key when they are equal.
pub(crate) fn same(left: &DataType, right: &DataType) -> bool {
    left == right || (left.is_integer() && right.is_integer()) || (left.is_floating() && right.is_floating())
}
