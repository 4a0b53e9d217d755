//! The aggregates by name: one table for windows and for subqueries over another stream.

use crate::nearest::nearest;
use operators::Aggregate;

/// An aggregate as SQL knows it.
pub(crate) struct AggregateSignature {
    /// Its names; plans print the first.
    pub(crate) names: &'static [&'static str],
    pub(crate) arguments: &'static str,
    pub(crate) result: &'static str,
    pub(crate) help: &'static str,
    computes: Computes,
}

/// What an aggregate computes.
enum Computes {
    /// The same with and without DISTINCT.
    Either(Aggregate),
    /// DISTINCT makes it another.
    Two { plain: Aggregate, distinct: Aggregate },
    /// DISTINCT is for groups alone: a frame would keep each of its values once more.
    Plain(Aggregate),
    /// The value of a row before, which windows alone have.
    Lag,
}

use Computes::{Either, Lag, Plain, Two};

const fn aggregate(
    names: &'static [&'static str],
    arguments: &'static str,
    result: &'static str,
    computes: Computes,
    help: &'static str,
) -> AggregateSignature {
    AggregateSignature { names, arguments, result, help, computes }
}

const COUNT: Computes = Two { plain: Aggregate::Count, distinct: Aggregate::CountDistinct };

/// All aggregates.
pub(crate) static AGGREGATES: [AggregateSignature; 10] = [
    aggregate(
        &["count"],
        "*, x or DISTINCT x",
        "BIGINT",
        COUNT,
        "the rows, or the values that are not NULL; 0 for none",
    ),
    aggregate(
        &["sum"],
        "x",
        "BIGINT or DOUBLE",
        Plain(Aggregate::Sum),
        "the exact sum; a row whose sum of integers does not fit is bad",
    ),
    aggregate(
        &["avg", "mean"],
        "x",
        "DOUBLE or TIMESTAMP",
        Plain(Aggregate::Avg),
        "the exact sum over the count; of times the time in the middle",
    ),
    aggregate(&["min"], "x", "as x", Either(Aggregate::Min), "the smallest value"),
    aggregate(&["max"], "x", "as x", Either(Aggregate::Max), "the greatest value; NaN is greater than all numbers"),
    aggregate(
        &["stddev", "stddev_samp"],
        "x",
        "DOUBLE",
        Plain(Aggregate::StddevSamp),
        "the standard deviation of a sample",
    ),
    aggregate(&["stddev_pop"], "x", "DOUBLE", Plain(Aggregate::StddevPop), "the standard deviation of all values"),
    aggregate(&["variance", "var_samp"], "x", "DOUBLE", Plain(Aggregate::VarSamp), "the variance of a sample"),
    aggregate(&["var_pop"], "x", "DOUBLE", Plain(Aggregate::VarPop), "the variance of all values"),
    aggregate(&["lag"], "x, n", "as x", Lag, "the value n rows before, or 1 row if n is left out; in windows only"),
];

/// Names of aggregates that are known and not supported: they are none of a row alone either.
pub(crate) const UNSUPPORTED: [&str; 33] = [
    "list",
    "array_agg",
    "approx_count_distinct",
    "bool_or",
    "bool_and",
    "bit_or",
    "bit_and",
    "bit_xor",
    "string_agg",
    "group_concat",
    "listagg",
    "median",
    "mode",
    "quantile",
    "quantile_cont",
    "quantile_disc",
    "approx_quantile",
    "first",
    "last",
    "any_value",
    "arg_min",
    "arg_max",
    "min_by",
    "max_by",
    "histogram",
    "product",
    "count_if",
    "corr",
    "covar_pop",
    "covar_samp",
    "skewness",
    "kurtosis",
    "entropy",
];

/// What to write for an aggregate that is not supported.
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "list" | "array_agg" | "string_agg" | "group_concat" | "listagg" | "histogram" => {
            "no aggregate gathers values: `riverrun query .. --out rows.parquet` writes the rows, for DuckDB or pandas to gather"
        }
        "median" | "mode" | "quantile" | "quantile_cont" | "quantile_disc" | "approx_quantile" => {
            "avg, stddev, min and max tell of a distribution row by row, and count(CASE WHEN x > limit THEN 1 END) how much lies \
             beyond a limit; over the past `riverrun query .. --out rows.parquet` writes the rows, for DuckDB or pandas"
        }
        "approx_count_distinct" => "write count(DISTINCT x), which is exact",
        "bool_or" => "write max(CAST(x AS INTEGER)) = 1",
        "bool_and" => "write min(CAST(x AS INTEGER)) = 1",
        "count_if" => "write count(CASE WHEN condition THEN 1 END)",
        "any_value" => "write min(x) or max(x)",
        "first" | "last" | "arg_min" | "arg_max" | "min_by" | "max_by" => {
            "write lag(x) for the row before, or ASOF LEFT JOIN for the last row at a time"
        }
        "product" => "write exp(sum(ln(x))) for numbers above 0",
        "covar_pop" => "write avg(x * y) - avg(x) * avg(y), over rows where neither x nor y is NULL",
        "corr" => {
            "write (avg(x * y) - avg(x) * avg(y)) / (stddev_pop(x) * stddev_pop(y)), over rows where neither x nor y is NULL"
        }
        _ => return None,
    })
}

/// What aggregates are called elsewhere, and here.
const CALLED_ELSEWHERE: [(&str, &str); 6] = [
    ("average", "avg"),
    ("maximum", "max"),
    ("minimum", "min"),
    ("total", "sum"),
    ("std", "stddev"),
    ("stdev", "stddev"),
];

/// The aggregate that is meant by a name that is none, as a hint.
pub(crate) fn meant(name: &str) -> Option<String> {
    let known = AGGREGATES.iter().flat_map(|signature| signature.names.iter().copied());
    let elsewhere = CALLED_ELSEWHERE.iter().map(|(word, _)| *word);
    let near = nearest(name, known.chain(elsewhere))?;
    let here = CALLED_ELSEWHERE.iter().find(|(word, _)| *word == near).map_or(near, |(_, here)| here);
    Some(format!("did you mean \"{here}\"?"))
}

/// The aggregate of a name in lower case.
pub(crate) fn aggregate_of(name: &str) -> Option<&'static AggregateSignature> {
    AGGREGATES.iter().find(|signature| signature.names.contains(&name))
}

/// Whether a name is that of an aggregate, supported or not. Lag is none: it takes one row.
pub(crate) fn is_aggregate(name: &str) -> bool {
    aggregate_of(name).is_some_and(|signature| !signature.is_lag()) || UNSUPPORTED.contains(&name)
}

/// The names of all aggregates that have frames, for messages.
pub(crate) fn names(with_lag: bool) -> Vec<&'static str> {
    AGGREGATES.iter().filter(|signature| with_lag || !signature.is_lag()).map(|signature| signature.names[0]).collect()
}

/// The call of an aggregate as SQL; without an argument it is of all rows.
pub(crate) fn call_text(aggregate: Aggregate, argument: Option<&str>) -> String {
    let argument = argument.unwrap_or("*");
    if let Aggregate::Lag { offset } = aggregate {
        return format!("lag({argument}, {offset})");
    }
    let named = |distinct| AGGREGATES.iter().find(|signature| signature.over_frame(distinct) == Some(aggregate));
    match named(false) {
        Some(signature) => format!("{}({argument})", signature.names[0]),
        None => format!("{}(DISTINCT {argument})", named(true).map_or("", |signature| signature.names[0])),
    }
}

impl AggregateSignature {
    pub(crate) fn is_lag(&self) -> bool {
        matches!(self.computes, Lag)
    }

    /// What it computes of a group, and whether of its different values alone; `None` where it needs a window.
    pub(crate) fn over_group(&self, distinct: bool) -> Option<(Aggregate, bool)> {
        match self.computes {
            Either(aggregate) => Some((aggregate, false)),
            Two { plain, .. } if !distinct => Some((plain, false)),
            Two { distinct, .. } => Some((distinct, true)),
            Plain(aggregate) => Some((aggregate, distinct)),
            Lag => None,
        }
    }

    /// What it computes over a frame; `None` where it cannot have DISTINCT, or has no frame.
    pub(crate) fn over_frame(&self, distinct: bool) -> Option<Aggregate> {
        match self.computes {
            Either(aggregate) => Some(aggregate),
            Two { plain, .. } if !distinct => Some(plain),
            Two { distinct, .. } => Some(distinct),
            Plain(aggregate) => (!distinct).then_some(aggregate),
            Lag => None,
        }
    }
}
