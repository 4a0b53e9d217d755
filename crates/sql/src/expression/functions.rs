//! The functions that can be called, by name.

use super::bound::{Bound, OpenLiteral, call};
use super::cast::cast_to;
use super::compare::{self, Case, Coalesce, Comparison, Try};
use super::kernel::{Argument, KernelResult};
use super::math::{self, Rounding};
use super::scope::{Problem, suggest};
use super::{interval_literal, sql_type, text, time};
use arrow::datatypes::DataType::{self, Boolean, Int32, Int64, Utf8};
use std::sync::Arc;

/// The type that a parameter of a text function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parameter {
    Text,
    Whole,
    /// Anything, as text.
    AsText,
}

use Parameter::{AsText, Text, Whole};

/// A text function: its names, its parameters with the number of those that must be there, and what it gives.
struct Signature {
    names: &'static [&'static str],
    takes: &'static [Parameter],
    least: usize,
    gives: DataType,
    kernel: fn(&[Argument], usize) -> KernelResult,
}

const fn text_function(
    names: &'static [&'static str],
    takes: &'static [Parameter],
    least: usize,
    gives: DataType,
    kernel: fn(&[Argument], usize) -> KernelResult,
) -> Signature {
    Signature { names, takes, least, gives, kernel }
}

static TEXT_FUNCTIONS: [Signature; 32] = [
    text_function(&["lower", "lcase"], &[Text], 1, Utf8, |a, n| text::map(a, n, text::lower)),
    text_function(&["upper", "ucase"], &[Text], 1, Utf8, |a, n| text::map(a, n, text::upper)),
    text_function(&["reverse"], &[Text], 1, Utf8, |a, n| text::map(a, n, |t| t.chars().rev().collect())),
    text_function(&["length", "len", "char_length", "character_length"], &[Text], 1, Int64, |a, n| {
        text::count(a, n, |t| t.chars().count() as i64)
    }),
    text_function(&["strlen"], &[Text], 1, Int64, |a, n| text::count(a, n, |t| t.len() as i64)),
    text_function(&["strpos", "instr", "position"], &[Text, Text], 2, Int64, text::position),
    text_function(&["contains"], &[Text, Text], 2, Boolean, |a, n| text::test(a, n, |t, p| t.contains(p))),
    text_function(&["starts_with", "prefix"], &[Text, Text], 2, Boolean, |a, n| {
        text::test(a, n, |t, p| t.starts_with(p))
    }),
    text_function(&["ends_with", "suffix"], &[Text, Text], 2, Boolean, |a, n| text::test(a, n, |t, p| t.ends_with(p))),
    text_function(&["substring", "substr"], &[Text, Whole, Whole], 2, Utf8, text::substring),
    text_function(&["left"], &[Text, Whole], 2, Utf8, |a, n| text::end(a, n, true)),
    text_function(&["right"], &[Text, Whole], 2, Utf8, |a, n| text::end(a, n, false)),
    text_function(&["replace"], &[Text, Text, Text], 3, Utf8, text::replace),
    text_function(&["trim"], &[Text, Text], 1, Utf8, |a, n| text::trim(a, n, true, true)),
    text_function(&["ltrim"], &[Text, Text], 1, Utf8, |a, n| text::trim(a, n, true, false)),
    text_function(&["rtrim"], &[Text, Text], 1, Utf8, |a, n| text::trim(a, n, false, true)),
    text_function(&["split_part"], &[Text, Text, Whole], 3, Utf8, text::split_part),
    text_function(&["lpad"], &[Text, Whole, Text], 3, Utf8, |a, n| text::pad(a, n, true)),
    text_function(&["rpad"], &[Text, Whole, Text], 3, Utf8, |a, n| text::pad(a, n, false)),
    text_function(&["repeat"], &[Text, Whole], 2, Utf8, text::repeat),
    text_function(&["concat"], &[AsText], 1, Utf8, |a, n| text::join(a, n, true)),
    text_function(&["concat_ws"], &[Text, AsText], 2, Utf8, text::join_with),
    text_function(&["regexp_matches"], &[Text, Text, Text], 2, Boolean, |a, n| text::regexp_matches(a, n, false)),
    text_function(&["regexp_full_match"], &[Text, Text, Text], 2, Boolean, |a, n| text::regexp_matches(a, n, true)),
    text_function(&["regexp_extract"], &[Text, Text, Whole], 2, Utf8, text::regexp_extract),
    text_function(&["regexp_replace"], &[Text, Text, Text, Text], 3, Utf8, text::regexp_replace),
    text_function(&["ascii", "unicode", "ord"], &[Text], 1, Int32, text::first_letter),
    text_function(&["chr"], &[Whole], 1, Utf8, text::letter),
    text_function(&["like_escape"], &[Text, Text, Text], 3, Boolean, |a, n| {
        text::like(a, n, false, text::Texts::of(&a[2]).at(0).and_then(|escape| escape.chars().next()))
    }),
    text_function(&["ilike_escape"], &[Text, Text, Text], 3, Boolean, |a, n| {
        text::like(a, n, true, text::Texts::of(&a[2]).at(0).and_then(|escape| escape.chars().next()))
    }),
    text_function(&["~~"], &[Text, Text], 2, Boolean, |a, n| text::like(a, n, false, None)),
    text_function(&["~~*"], &[Text, Text], 2, Boolean, |a, n| text::like(a, n, true, None)),
];

/// A name and a function of one DOUBLE.
type Math = (&'static str, fn(f64) -> f64);

static MATH: [Math; 16] = [
    ("sqrt", f64::sqrt),
    ("cbrt", f64::cbrt),
    ("exp", f64::exp),
    ("ln", f64::ln),
    ("log10", f64::log10),
    ("log2", f64::log2),
    ("sin", f64::sin),
    ("cos", f64::cos),
    ("tan", f64::tan),
    ("asin", f64::asin),
    ("acos", f64::acos),
    ("atan", f64::atan),
    ("sinh", f64::sinh),
    ("cosh", f64::cosh),
    ("tanh", f64::tanh),
    ("degrees", |value| value * (180.0 / std::f64::consts::PI)),
];

/// Names known beside those in the tables above, for suggestions.
const OTHERS: [&str; 44] = [
    "abs",
    "atan2",
    "ceil",
    "ceiling",
    "coalesce",
    "date_diff",
    "date_part",
    "date_sub",
    "date_trunc",
    "datediff",
    "datepart",
    "datesub",
    "datetrunc",
    "day",
    "dayofweek",
    "dayofyear",
    "epoch",
    "epoch_ms",
    "epoch_us",
    "floor",
    "greatest",
    "hour",
    "if",
    "ifnull",
    "isfinite",
    "isinf",
    "isnan",
    "least",
    "log",
    "make_timestamp",
    "minute",
    "mod",
    "month",
    "nullif",
    "pi",
    "pow",
    "power",
    "radians",
    "round",
    "second",
    "sign",
    "time_bucket",
    "trunc",
    "year",
];

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
        "uuid" | "gen_random_uuid" | "uuidv4" | "uuidv7" => "use a column of the row that names it, or row_position()",
        _ => return None,
    };
    let problem = Problem::new(format!("{name}() is refused: a replay could not give the same rows"));
    Some(problem.found(format!("{name}()")).hint(hint))
}

/// A call of a function by its name in lower case.
pub(crate) fn function(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    if let Some(problem) = refused(name) {
        return Err(problem);
    }
    if let Some(signature) = TEXT_FUNCTIONS.iter().find(|signature| signature.names.contains(&name)) {
        return text_call(signature, name, arguments);
    }
    if let Some((known, function)) = MATH.iter().find(|(known, _)| *known == name) {
        let [value] = exactly(name, arguments)?;
        return math::double(known, value, *function);
    }
    match choice(name, arguments)? {
        Lookup::Yes(bound) => Ok(bound),
        Lookup::No(arguments) => match numeric(name, arguments)? {
            Lookup::Yes(bound) => Ok(bound),
            Lookup::No(arguments) => temporal(name, arguments),
        },
    }
}

/// What a group of functions answers for a name: its result, or the arguments unused.
enum Lookup {
    Yes(Bound),
    No(Vec<Bound>),
}

fn exactly<const N: usize>(name: &str, arguments: Vec<Bound>) -> Result<[Bound; N], Problem> {
    let found = arguments.len();
    arguments.try_into().map_err(|_| {
        Problem::new(format!("{name} takes {N} argument{}", if N == 1 { "" } else { "s" }))
            .found(found.to_string())
            .expected(N.to_string())
    })
}

fn text_call(signature: &Signature, name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    let open_end = signature.takes.contains(&AsText);
    if arguments.len() < signature.least || (!open_end && arguments.len() > signature.takes.len()) {
        let expected = if open_end { "at least ".to_string() } else { String::new() };
        let most = signature.takes.len();
        let counts = if signature.least == most || open_end {
            signature.least.to_string()
        } else {
            format!("{} to {most}", signature.least)
        };
        return Err(Problem::new(format!("{name} does not take {} arguments", arguments.len()))
            .found(arguments.len().to_string())
            .expected(expected + &counts));
    }
    let skips_null = signature.takes.contains(&AsText);
    let nullable = arguments.iter().any(|argument| argument.nullable) && name != "concat";
    let mut typed = Vec::with_capacity(arguments.len());
    for (at, argument) in arguments.into_iter().enumerate() {
        let takes = signature.takes.get(at).copied().unwrap_or(AsText);
        typed.push(match takes {
            AsText => cast_to(argument, &Utf8)?,
            Text if argument.data_type == Utf8 || argument.open == Some(OpenLiteral::Null) => cast_to(argument, &Utf8)?,
            Whole if argument.data_type.is_integer() || argument.open.is_some() => cast_to(argument, &Int64)?,
            _ => {
                let found = sql_type::name(&argument.data_type);
                let expected = if takes == Text { "TEXT" } else { "a whole number" };
                let problem = Problem::new(format!("{name} needs {expected} as argument {}", at + 1));
                return Err(problem.found(found).expected(expected).hint(match takes {
                    Text => "cast it, e.g. x::TEXT",
                    _ => "cast it, e.g. x::BIGINT",
                }));
            }
        });
    }
    let kernel = signature.kernel;
    call(signature.names[0], typed, signature.gives.clone(), nullable || (skips_null && name != "concat"), kernel)
}

/// Functions that choose between their arguments.
fn choice(name: &str, arguments: Vec<Bound>) -> Result<Lookup, Problem> {
    Ok(Lookup::Yes(match name {
        "coalesce" | "ifnull" => {
            if arguments.is_empty() || (name == "ifnull" && arguments.len() != 2) {
                return Err(Problem::new(format!("{name} does not take {} arguments", arguments.len())));
            }
            coalesce(name, arguments)?
        }
        "nullif" => {
            let [value, other] = exactly(name, arguments)?;
            let equal = compare::compare(Comparison::Equal, value.clone(), other)?;
            let value = value.settled();
            let data_type = value.data_type.clone();
            call("nullif", vec![value, equal], data_type, true, compare::null_if)?
        }
        "greatest" | "least" => {
            if arguments.is_empty() {
                return Err(Problem::new(format!("{name} takes at least one argument")).found("0"));
            }
            let (arguments, data_type) = mixed(name, arguments)?;
            let nullable = arguments.iter().all(|argument| argument.nullable);
            let greatest = name == "greatest";
            call("extreme", arguments, data_type, nullable, move |a, n| compare::extreme(greatest, a, n))?
        }
        "if" | "ifelse" => {
            let [condition, then, otherwise] = exactly(name, arguments)?;
            case(vec![(condition, then)], Some(otherwise))?
        }
        "try" => {
            let [value] = exactly(name, arguments)?;
            let value = value.settled();
            Bound::over(Arc::new(Try(value.node.clone())), value.data_type.clone(), true, &[&value])?
        }
        _ => return Ok(Lookup::No(arguments)),
    }))
}

/// All in the one type that DuckDB gives them together.
fn mixed(place: &str, parts: Vec<Bound>) -> Result<(Vec<Bound>, DataType), Problem> {
    let mut widest = parts[0].clone();
    for part in &parts[1..] {
        let Some(common) = sql_type::common(&widest, part, true) else {
            let (left, right) = (sql_type::name(&widest.data_type), sql_type::name(&part.data_type));
            return Err(Problem::new(format!("{left} and {right} cannot be mixed in {place}"))
                .found(format!("{left} and {right}"))
                .hint("cast them to one type, e.g. x::TEXT"));
        };
        // Only the type matters from here on, and which literals are still open.
        let open = match (widest.open, part.open) {
            (Some(open), Some(OpenLiteral::Null)) => Some(open),
            (Some(_), open) => open,
            (None, _) => None,
        };
        let value = if open.is_some() { part.value.clone() } else { None };
        widest = Bound { data_type: common, open, value, ..widest };
    }
    let data_type = widest.settled().data_type;
    let parts = parts.into_iter().map(|part| cast_to(part, &data_type)).collect::<Result<_, _>>()?;
    Ok((parts, data_type))
}

fn coalesce(name: &str, parts: Vec<Bound>) -> Result<Bound, Problem> {
    let (parts, data_type) = mixed(&name.to_uppercase(), parts)?;
    let nullable = parts.iter().all(|part| part.nullable);
    let nodes = parts.iter().map(|part| part.node.clone()).collect();
    let node = Arc::new(Coalesce { parts: nodes, data_type: data_type.clone() });
    Bound::over(node, data_type, nullable, &parts.iter().collect::<Vec<_>>())
}

/// `CASE WHEN condition THEN result .. ELSE otherwise END`.
pub(crate) fn case(branches: Vec<(Bound, Bound)>, otherwise: Option<Bound>) -> Result<Bound, Problem> {
    let conditions = branches.iter().map(|(condition, _)| cast_to(condition.clone(), &Boolean));
    let conditions = conditions.collect::<Result<Vec<_>, _>>()?;
    let otherwise = match otherwise {
        Some(otherwise) => otherwise,
        None => Bound::null(),
    };
    let results: Vec<Bound> = branches.into_iter().map(|(_, result)| result).chain([otherwise]).collect();
    let (mut results, data_type) = mixed("CASE", results)?;
    let nullable = results.iter().any(|result| result.nullable);
    let parts: Vec<Bound> = conditions.iter().chain(&results).cloned().collect();
    let Some(otherwise) = results.pop() else { return Err(Problem::new("a CASE needs a branch")) };
    let node = Arc::new(Case {
        branches: conditions.iter().zip(&results).map(|(when, then)| (when.node.clone(), then.node.clone())).collect(),
        otherwise: otherwise.node,
        data_type: data_type.clone(),
    });
    Bound::over(node, data_type, nullable, &parts.iter().collect::<Vec<_>>())
}

/// Functions over numbers.
fn numeric(name: &str, arguments: Vec<Bound>) -> Result<Lookup, Problem> {
    use super::arithmetic::arithmetic;
    use super::operator::Operator;
    let rounding = |how, arguments: Vec<Bound>| -> Result<Bound, Problem> {
        let mut arguments = arguments.into_iter();
        match (arguments.next(), arguments.next(), arguments.next()) {
            (Some(value), digits, None) => math::round(how, value, digits),
            _ => Err(Problem::new(format!("{name} takes a number and, if wanted, the digits after the point"))),
        }
    };
    Ok(Lookup::Yes(match name {
        "abs" => {
            let [value] = exactly(name, arguments)?;
            math::absolute(value)?
        }
        "sign" => {
            let [value] = exactly(name, arguments)?;
            math::sign(value)?
        }
        "round" => rounding(Rounding::Nearest, arguments)?,
        "trunc" => rounding(Rounding::Truncate, arguments)?,
        "floor" => {
            let [value] = exactly(name, arguments)?;
            math::round(Rounding::Floor, value, None)?
        }
        "ceil" | "ceiling" => {
            let [value] = exactly(name, arguments)?;
            math::round(Rounding::Ceiling, value, None)?
        }
        "log" if arguments.len() == 2 => {
            let [base, value] = exactly(name, arguments)?;
            math::doubles("log", base, value, math::log_of)?
        }
        "log" => {
            let [value] = exactly(name, arguments)?;
            math::double("log", value, f64::log10)?
        }
        "power" | "pow" => {
            let [value, exponent] = exactly(name, arguments)?;
            math::doubles("power", value, exponent, f64::powf)?
        }
        "atan2" => {
            let [left, right] = exactly(name, arguments)?;
            math::doubles("atan2", left, right, f64::atan2)?
        }
        "radians" => {
            let [value] = exactly(name, arguments)?;
            math::double("radians", value, f64::to_radians)?
        }
        "pi" => {
            let [] = exactly(name, arguments)?;
            Bound::literal(Arc::new(arrow::array::Float64Array::from(vec![std::f64::consts::PI])), None)
        }
        "mod" => {
            let [left, right] = exactly(name, arguments)?;
            arithmetic(Operator::Remainder, left, right)?
        }
        "isnan" | "isinf" | "isfinite" => {
            let test: (&'static str, fn(f64) -> bool) = match name {
                "isnan" => ("isnan", f64::is_nan),
                "isinf" => ("isinf", f64::is_infinite),
                _ => ("isfinite", f64::is_finite),
            };
            let [value] = exactly(name, arguments)?;
            math::float_test(test.0, value, test.1)?
        }
        _ => return Ok(Lookup::No(arguments)),
    }))
}

/// Functions over times, and the end of the search.
fn temporal(name: &str, arguments: Vec<Bound>) -> Result<Bound, Problem> {
    match name {
        "date_trunc" | "datetrunc" => {
            let [part, value] = exactly(name, arguments)?;
            time::date_trunc(time::part_name(&part)?, value)
        }
        "date_part" | "datepart" => {
            let [part, value] = exactly(name, arguments)?;
            time::date_part(time::part_name(&part)?, value)
        }
        "date_diff" | "datediff" | "date_sub" | "datesub" => {
            let [part, from, to] = exactly(name, arguments)?;
            time::difference(time::part_name(&part)?, name.ends_with("sub"), from, to)
        }
        "time_bucket" => {
            let [width, value] = exactly(name, arguments)?;
            time::time_bucket(width, value)
        }
        "epoch" => {
            let [value] = exactly(name, arguments)?;
            time::epoch(value)
        }
        "epoch_ms" => {
            let [value] = exactly(name, arguments)?;
            if value.data_type.is_integer() { time::from_epoch(1000, value) } else { time::epoch_in(1000, value) }
        }
        "epoch_us" => {
            let [value] = exactly(name, arguments)?;
            time::epoch_in(1, value)
        }
        "make_timestamp" => {
            let [value] = exactly(name, arguments)?;
            time::from_epoch(1, value)
        }
        "to_days" | "to_weeks" | "to_hours" | "to_minutes" | "to_seconds" | "to_milliseconds" | "to_microseconds" => {
            let [value] = exactly(name, arguments)?;
            interval_literal::many_of(value, &name[3..])
        }
        "year" | "quarter" | "month" | "week" | "weekofyear" | "day" | "dayofmonth" | "dayofweek" | "weekday"
        | "isodow" | "dayofyear" | "isoyear" | "hour" | "minute" | "second" | "millisecond" | "microsecond" => {
            let [value] = exactly(name, arguments)?;
            time::date_part(time::part(name)?, value)
        }
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Problem {
    let aggregates =
        ["count", "sum", "avg", "min", "max", "stddev", "stddev_samp", "stddev_pop", "var_samp", "var_pop", "lag"];
    if aggregates.contains(&name) {
        return Problem::new(format!("{name} is an aggregate and cannot stand here"))
            .found(format!("{name}()"))
            .hint(format!("write {name}(..) OVER (..) in the SELECT list of a view, and use its column here"));
    }
    let texts = TEXT_FUNCTIONS.iter().flat_map(|signature| signature.names.iter().copied());
    let texts = texts.filter(|name| name.starts_with(|letter: char| letter.is_ascii_alphabetic()));
    let names = texts.chain(MATH.iter().map(|(name, _)| *name)).chain(OTHERS);
    suggest(Problem::new(format!("no function is named \"{name}\"")).found(name), name, names)
}

/// `a || b`.
pub(crate) fn concatenate(left: Bound, right: Bound) -> Result<Bound, Problem> {
    let nullable = left.nullable || right.nullable;
    let parts = vec![cast_to(left, &Utf8)?, cast_to(right, &Utf8)?];
    call("||", parts, Utf8, nullable, |arguments, rows| text::join(arguments, rows, false))
}

/// NOT of a condition when `negated`.
pub(crate) fn maybe_not(negated: bool, condition: Bound) -> Result<Bound, Problem> {
    if negated { compare::not(condition) } else { Ok(condition) }
}
