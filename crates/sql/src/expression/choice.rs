//! Functions that choose between their arguments.

use super::arguments::exactly;
use super::bound::{Bound, partial, total};
use super::cast::cast_to;
use super::compare::{self, Case, Coalesce, Comparison, Try};
use super::scope::Problem;
use super::{sql_type, text};
use arrow::datatypes::DataType::{self, Boolean, Utf8};
use std::sync::Arc;

/// All in the one type that DuckDB gives them together.
fn mixed(place: &str, parts: Vec<Bound>) -> Result<(Vec<Bound>, DataType), Problem> {
    let data_type = sql_type::common_of(&parts, true).map_err(|types| not_mixed(place, types))?;
    let parts = parts.into_iter().map(|part| cast_to(part, &data_type)).collect::<Result<_, _>>()?;
    Ok((parts, data_type))
}

fn not_mixed(place: &str, [left, right]: [DataType; 2]) -> Problem {
    let (left, right) = (sql_type::name(&left), sql_type::name(&right));
    Problem::new(format!("{left} and {right} cannot be mixed in {place}"))
        .found(format!("{left} and {right}"))
        .hint("cast them to one type, e.g. x::TEXT")
}

/// `coalesce(..)` and `ifnull(a, b)`.
pub(crate) fn coalesce(name: &str, parts: Vec<Bound>) -> Result<Bound, Problem> {
    if parts.is_empty() || (name == "ifnull" && parts.len() != 2) {
        return Err(Problem::new(format!("{name} does not take {} arguments", parts.len())));
    }
    let (parts, data_type) = mixed(&name.to_uppercase(), parts)?;
    let nullable = parts.iter().all(|part| part.nullable);
    let nodes = parts.iter().map(|part| part.node.clone()).collect();
    let node = Arc::new(Coalesce { parts: nodes, data_type: data_type.clone() });
    Bound::over(node, data_type, nullable, &parts.iter().collect::<Vec<_>>())
}

/// `nullif(a, b)`.
pub(crate) fn null_if(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let [value, other] = exactly(name, arguments)?;
    let equal = compare::compare(Comparison::Equal, value.clone(), other)?;
    let value = value.settled();
    let data_type = value.data_type.clone();
    total("nullif", vec![value, equal], data_type, true, compare::null_if)
}

/// `greatest(..)` and `least(..)`.
pub(crate) fn extreme(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    if arguments.is_empty() {
        return Err(Problem::new(format!("{name} takes at least one argument")).found("0"));
    }
    let (arguments, data_type) = mixed(name, arguments)?;
    if data_type.is_nested() {
        let found = sql_type::name(&data_type);
        return Err(Problem::new(format!("{name} of {found} is not supported")).found(found).hint("write x::TEXT"));
    }
    let nullable = arguments.iter().all(|argument| argument.nullable);
    let greatest = name == "greatest";
    total("extreme", arguments, data_type, nullable, move |a, n| compare::extreme(greatest, a, n))
}

/// `if(condition, then, otherwise)`.
pub(crate) fn condition(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let [condition, then, otherwise] = exactly(name, arguments)?;
    case(vec![(condition, then)], Some(otherwise))
}

/// `TRY(x)`.
pub(crate) fn attempt(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let [value] = exactly(name, arguments)?;
    let value = value.settled();
    let bound = Bound::over(Arc::new(Try(value.node.clone())), value.data_type.clone(), true, &[&value])?;
    Ok(Bound { can_fail: false, ..bound })
}

/// `CASE WHEN condition THEN result .. ELSE otherwise END`.
pub(crate) fn case(branches: Vec<(Bound, Bound)>, otherwise: Option<Bound>) -> Result<Bound, Problem> {
    let conditions = branches.iter().map(|(condition, _)| cast_to(condition.clone(), &Boolean));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    let otherwise = match otherwise {
        Some(otherwise) => otherwise,
        None => Bound::null(),
    };
    // DuckDB begins with ELSE, which matters where several results are literals.
    let results: Vec<Bound> = [otherwise].into_iter().chain(branches.into_iter().map(|(_, result)| result)).collect();
    let data_type =
        sql_type::common_of(&results, true).map_err(|[otherwise, then]| not_mixed("CASE", [then, otherwise]))?;
    let results = results.into_iter().map(|result| cast_to(result, &data_type)).collect::<Result<Vec<_>, _>>()?;
    let nullable = results.iter().any(|result| result.nullable);
    let parts: Vec<Bound> = conditions.iter().chain(&results).cloned().collect();
    let Some((otherwise, results)) = results.split_first() else {
        return Err(Problem::new("a CASE needs a branch"));
    };
    let node = Arc::new(Case {
        branches: conditions.iter().zip(results).map(|(when, then)| (when.node.clone(), then.node.clone())).collect(),
        otherwise: otherwise.node.clone(),
        data_type: data_type.clone(),
    });
    Bound::over(node, data_type, nullable, &parts.iter().collect::<Vec<_>>())
}

/// `a || b`.
pub(crate) fn concatenate(left: Bound, right: Bound) -> Result<Bound, Problem> {
    let nullable = left.nullable || right.nullable;
    let parts = vec![cast_to(left, &Utf8)?, cast_to(right, &Utf8)?];
    partial("||", parts, Utf8, nullable, |arguments, rows| text::join(arguments, rows, false))
}
