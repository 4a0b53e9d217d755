//! What operators compute, for people.

use super::logical::{AsOf, Decision, Operator, ProjectColumn, Range, RangeAggregate, Score, WindowFunction, Zip};
use crate::bind::{BoundRule, Columns};
use crate::expression::ColumnId;
use crate::interval::describe;
use dataflow::{Output, Span as Length};
use operators::Aggregate;

/// What an operator is called.
pub(crate) fn kind(operator: &Operator) -> &'static str {
    match operator {
        Operator::Source { .. } => "stream",
        Operator::Dedup { .. } => "dedup",
        Operator::Filter(_) | Operator::Acted => "filter",
        Operator::Project(_) => "projection",
        Operator::Window { .. } => "windows",
        Operator::AsOf(_) => "as-of join",
        Operator::Range(_) => "aggregates over another stream",
        Operator::Zip(_) => "zip",
        Operator::Predict(_) => "models",
        Operator::Decision(_) => "decision",
        Operator::Sink { .. } => "sink",
    }
}

/// What an operator computes, and what bounds its state.
pub(crate) fn text(operator: &Operator, columns: &Columns) -> String {
    match operator {
        Operator::Source { columns: all, .. } => format!("reads {}", columns.names(all)),
        Operator::Dedup { keys, within } => {
            let (keys, within) = (columns.names(keys), describe(*within));
            format!(
                "drops deliveries of the same ({keys}) within {within}; state: one time per key of the last {within}"
            )
        }
        Operator::Filter(condition) => format!("keeps rows where {}", columns.text(condition)),
        Operator::Project(all) => projection(all, columns),
        Operator::Window { functions, .. } => windows(operator, functions, columns),
        Operator::AsOf(join) => as_of(join, columns),
        Operator::Range(range) => aggregates(range, columns),
        Operator::Zip(Zip { columns: all, .. }) => {
            let names: Vec<&str> = all.iter().map(|column| &*column.name).collect();
            format!(
                "puts {} back beside the rows that they were computed of; state: rows above the watermark",
                names.join(", ")
            )
        }
        Operator::Predict(scores) => {
            let of = |score: &Score| {
                let version: String = score.scorer.version().chars().take(12).collect();
                let inputs: Vec<String> = score.inputs.iter().map(|input| columns.text(input)).collect();
                let ids: Vec<ColumnId> = score.ids().collect();
                let output = score.scorer.chosen().map(|output| format!(" ({output})")).unwrap_or_default();
                format!("{} = {} {version}{output} of {}", columns.names(&ids), score.model, inputs.join(", "))
            };
            scores.iter().map(of).collect::<Vec<_>>().join("; ")
        }
        Operator::Decision(decision) => {
            let rules: Vec<&str> = decision.rules.iter().map(|rule| rule.name.as_str()).collect();
            format!("rules {}; state: last actions per subject where ONCE PER limits them", rules.join(", "))
        }
        Operator::Acted => "keeps rows that led to an action".to_owned(),
        Operator::Sink { output, .. } => sink(output),
    }
}

/// What the rules of a decision do, whose subject comes first.
pub(crate) fn rules(decision: &Decision, columns: &Columns) -> Vec<String> {
    let rule = |rule: &BoundRule| {
        let once = rule.once_per.map(|length| format!(" once per {}", describe(length))).unwrap_or_default();
        let shadow = if rule.shadow { " in shadow" } else { "" };
        format!("{}{shadow} when {} then '{}'{once}", rule.name, columns.text(&rule.condition), rule.action)
    };
    let subject = format!("{} of {}", decision.name, columns.names(&[decision.subject]));
    std::iter::once(subject).chain(decision.rules.iter().map(rule)).collect()
}

/// Where rows go.
pub(crate) fn sink(output: &Output) -> String {
    match output {
        Output::Table(table) => format!("writes table {table}"),
        Output::Topic(topic) => format!("writes topic {topic}, one writer, in time order"),
        Output::Query(_) => "gives rows to the query".to_owned(),
    }
}

/// What a projection computes; where it only passes on, what it keeps.
fn projection(all: &[ProjectColumn], columns: &Columns) -> String {
    let computed = all.iter().filter(|column| column.tree.as_column() != Some(column.id));
    let computed = computed.map(|column| match columns.text(&column.tree) {
        text if *text == *column.name => text,
        text => format!("{} = {text}", column.name),
    });
    let computed: Vec<String> = computed.collect();
    if computed.is_empty() {
        let names: Vec<&str> = all.iter().map(|column| &*column.name).collect();
        return format!("keeps {}", names.join(", "));
    }
    format!("computes {}", computed.join(", "))
}

fn argument(argument: Option<ColumnId>, filter: Option<ColumnId>, columns: &Columns) -> String {
    let of = argument.map_or("*", |id| columns.name(id));
    let filter = filter.map_or(String::new(), |id| format!(" where {}", columns.name(id)));
    format!("({of}){filter}")
}

/// What the functions of windows are, each by itself; nothing for other operators.
pub(crate) fn functions(operator: &Operator, columns: &Columns) -> Vec<String> {
    let Operator::Window { functions, .. } = operator else { return vec![] };
    let text = |function: &WindowFunction| {
        let frame = match function.aggregate {
            Aggregate::Lag { offset } => format!("{offset} before"),
            _ if function.frame.to.0 > 0 => {
                format!("{} to {} ago", describe(function.frame.from), describe(function.frame.to))
            }
            _ => describe(function.frame.from),
        };
        let of = argument(function.argument, function.filter, columns);
        format!("{} = {}{of} over {frame}", columns.name(function.id), function.aggregate.name())
    };
    functions.iter().map(text).collect()
}

fn windows(operator: &Operator, functions: &[WindowFunction], columns: &Columns) -> String {
    let texts = self::functions(operator, columns);
    let longest = functions.iter().map(|function| function.frame.from).max().unwrap_or(Length::ZERO);
    format!("{}; state: rows of the last {}", texts.join("; "), describe(longest))
}

fn as_of(join: &AsOf, columns: &Columns) -> String {
    let keys: Vec<ColumnId> = join.keys.iter().map(|(ours, _)| *ours).collect();
    let (alias, keys) = (&join.alias, columns.names(&keys));
    format!("the last row of {alias} for ({keys}) at or before each row; state: one row per key")
}

fn aggregates(range: &Range, columns: &Columns) -> String {
    let text = |function: &RangeAggregate| {
        let of = argument(function.argument, function.filter, columns);
        let (from, to) = (describe(Length(function.from)), describe(Length(function.to)));
        format!("{} = {}{of} from {from} to {to}", columns.name(function.id), function.computes)
    };
    let texts: Vec<String> = range.functions.iter().map(text).collect();
    let first = range.functions.iter().map(|function| function.from).min().unwrap_or(0);
    let reach = range.hold().saturating_sub(first).max(0);
    let wait = match range.hold() {
        0 => String::new(),
        hold => format!("; rows wait {}", describe(Length(hold))),
    };
    format!("{}{wait}; state: rows of {} of the last {}", texts.join("; "), range.stream, describe(Length(reach)))
}
