//! Functions by name, and what is said of those that are none.

use super::aggregates::{UNSUPPORTED, aggregate_of, instead_of, is_aggregate, meant, names};
use super::bound::Bound;
use super::function_table::{Signature, all, lookup};
use super::scope::Problem;
use crate::nearest::{did_you_mean, nearest};

/// Functions whose value a replay could not give again.
fn refused(name: &str) -> Option<Problem> {
    let hint = match name {
        "now"
        | "current_timestamp"
        | "today"
        | "current_date"
        | "current_time"
        | "localtimestamp"
        | "localtime"
        | "get_current_timestamp"
        | "transaction_timestamp" => "use the row's own time: the stream's time column, or _time",
        "random" | "setseed" => "derive it from the row, e.g. from a key",
        "uuid" | "gen_random_uuid" | "uuidv4" | "uuidv7" => "use a column that identifies the row",
        _ => return None,
    };
    let problem = Problem::new(format!("{name}() is refused: a replay could not give the same rows"));
    Some(problem.found(format!("{name}()")).hint(hint))
}

/// The function of a name in lower case.
pub(crate) fn find(name: &str) -> Result<&'static Signature, Problem> {
    match (refused(name), lookup(name)) {
        (Some(problem), _) => Err(problem),
        (None, Some(signature)) => Ok(signature),
        (None, None) => Err(unknown(name)),
    }
}

/// A call of a function by its name in lower case.
pub(crate) fn function(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    find(name)?.call(name, arguments)
}

/// What to write for a function that other systems have.
fn elsewhere(name: &str) -> Option<&'static str> {
    Some(match name {
        "nvl" | "isnull" => "write coalesce(x, y)",
        "iff" | "iif" | "ifelse" => "write if(condition, x, y)",
        "to_timestamp" | "from_unixtime" => {
            "write epoch_ms(x) for milliseconds since 1970, epoch_ms(x * 1000) for seconds, x::TIMESTAMP for a text"
        }
        "unix_timestamp" => "write epoch(x) for seconds, epoch_ms(x) for milliseconds",
        "to_date" => "write x::DATE for a text such as 2024-01-31",
        "to_char" | "strftime" | "date_format" => {
            "write x::TEXT for 2024-01-31 10:00:00, or year(x), month(x) and the like and join them with ||"
        }
        "dateadd" | "date_add" => "write x + INTERVAL '1' DAY",
        "timestampdiff" => "write date_diff('second', a, b), or a - b",
        "charindex" | "locate" => "write strpos(text, part)",
        "substring_index" => "write split_part(text, separator, n)",
        "to_number" => "write x::DOUBLE or x::BIGINT",
        _ => return None,
    })
}

fn unknown(name: &str) -> Problem {
    if is_aggregate(name) && aggregate_of(name).is_none() {
        let problem = Problem::new(format!("the aggregate {name} is not known")).found(format!("{name}()"));
        let all = names(true).join(", ");
        return match instead_of(name) {
            Some(hint) => problem.expected(all).hint(hint),
            None => problem.hint(format!("the aggregates are {all}")),
        };
    }
    if is_aggregate(name) || name == "lag" {
        return Problem::new(format!("{name} is an aggregate and cannot stand here"))
            .found(format!("{name}()"))
            .hint(format!("write {name}(..) OVER (..) in the SELECT list of a view, and use its column here"));
    }
    let problem = Problem::new(format!("no function is named \"{name}\"")).found(name);
    if let Some(hint) = elsewhere(name) {
        return problem.hint(hint);
    }
    if let Some(near) = nearest(name, UNSUPPORTED.into_iter()) {
        return problem.hint(format!("the aggregate {near} is not supported; those are {}", names(true).join(", ")));
    }
    let of_rows = all().flat_map(|signature| signature.names.iter().copied());
    let near = did_you_mean(name, of_rows.chain(names(true))).or_else(|| meant(name));
    problem.hint(near.unwrap_or_else(|| "docs/sql-functions.md lists all functions".to_owned()))
}
