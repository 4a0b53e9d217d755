//! Rows that streams remove and keep: dead letters of the reader and of every step, and late rows.

use crate::diagnostic::{Fault, Outcome};
use crate::output::OutputSpec;
use crate::plan::{Plan, PlanKind};
use crate::statement::{self, Name, Statement, Watermark};
use crate::stream::{BadRow, Late, Stream};
use arrow::datatypes::SchemaRef;
use dataflow::{Edge, Exchange, Output, Port, dead_letter_schema, late_schema};
use sqlparser::tokenizer::Span;

/// Refuses topics for rows that have no arrivals.
pub(crate) fn check(declared: &statement::Stream, watermark: &Watermark) -> Outcome<()> {
    let on_topic = |output: &Output| matches!(output, Output::Topic(_)) && declared.live.is_none();
    let refuse = |name: &Option<Name>, rows: &str| {
        let span = name.as_ref().map_or(declared.name.span, |name| name.span);
        Fault::new(span, format!("{rows} of stream \"{}\" cannot go to a topic", declared.name.text))
            .found("a stream without LIVE, whose rows have no arrival")
            .expected("the name of a table")
            .hint("leave out TOPIC: they are written to a table of that name")
            .err()
    };
    match (&declared.on_bad_row, &watermark.late) {
        (BadRow::DeadLetter(output), _) if on_topic(output) => refuse(&declared.dead_letters, "dead letters"),
        (_, Late::To(output)) if on_topic(output) => refuse(&watermark.late_rows, "late rows"),
        _ => Ok(()),
    }
}

/// Whether an output is where a stream keeps what it removes.
pub(crate) fn is_kept_by(stream: &statement::Stream, name: &str) -> bool {
    let late = stream.watermark.as_ref().and_then(|watermark| watermark.late_rows.as_ref());
    stream.dead_letters.iter().chain(late).any(|output| output.text.eq_ignore_ascii_case(name))
}

/// Where a stream writes the rows that it removes: whether it is a topic, its name, and the name's place.
pub(crate) fn kept_by(stream: &statement::Stream) -> Vec<(bool, String, Span)> {
    let of = |output: &Output, name: &Name| (matches!(output, Output::Topic(_)), name.text.clone(), name.span);
    let mut kept = Vec::new();
    if let (BadRow::DeadLetter(output), Some(name)) = (&stream.on_bad_row, &stream.dead_letters) {
        kept.push(of(output, name));
    }
    if let Some(Watermark { late: Late::To(output), late_rows: Some(name), .. }) = &stream.watermark {
        kept.push(of(output, name));
    }
    kept
}

/// Whether the name at a place is that of a stream's dead letters.
pub(crate) fn are_letters(statement: &Statement, span: Span) -> bool {
    let Statement::Stream(stream) = statement else { return false };
    stream.dead_letters.as_ref().is_some_and(|name| name.span == span)
}

/// Streams of a query write nothing: what they would keep they count alone.
pub(crate) fn count_only(streams: &mut [Stream]) {
    for stream in streams {
        if matches!(stream.on_bad_row, BadRow::DeadLetter(_)) {
            stream.on_bad_row = BadRow::Skip;
        }
        if matches!(stream.late, Late::To(_)) {
            stream.late = Late::Drop;
        }
    }
}

/// Adds the outputs of removed rows to a plan from which idle nodes are gone: rows of a node that feeds nothing
/// are not read.
pub(crate) fn plan(plan: &mut Plan, streams: &[Stream], outputs: &mut Vec<OutputSpec>) {
    let mut letters: Vec<(Output, Vec<usize>)> = Vec::new();
    for stream in streams {
        let nodes: Vec<usize> =
            (0..plan.nodes.len()).filter(|&node| plan.stream_of(node) == Some(&stream.name)).collect();
        if let BadRow::DeadLetter(output) = &stream.on_bad_row {
            let failing = nodes.iter().copied().filter(|&node| plan.nodes[node].kind.can_fail());
            match letters.iter_mut().find(|(other, _)| other == output) {
                Some((_, nodes)) => nodes.extend(failing),
                None => letters.push((output.clone(), failing.collect())),
            }
        }
        if let Late::To(output) = &stream.late {
            let is_source = |node: &usize| matches!(plan.nodes[*node].kind, PlanKind::Source(_));
            let sources = nodes.iter().copied().filter(is_source).collect();
            add(plan, sources, Port::LATE, output, late_schema(&stream.schema), outputs);
        }
    }
    for (output, mut nodes) in letters {
        nodes.sort_unstable();
        add(plan, nodes, Port::DEAD_LETTER, &output, dead_letter_schema(), outputs);
    }
}

fn add(
    plan: &mut Plan,
    nodes: Vec<usize>,
    port: Port,
    output: &Output,
    schema: SchemaRef,
    outputs: &mut Vec<OutputSpec>,
) {
    let exchange = if matches!(output, Output::Topic(_)) { Exchange::Single } else { Exchange::Forward };
    let edges = nodes.into_iter().map(|from| Edge { from, port, exchange: exchange.clone() }).collect();
    plan.removed_rows_sink(edges, output.clone(), schema.clone());
    let (Output::Table(name) | Output::Topic(name)) = output else { return };
    let (name, output) = (name.clone(), output.clone());
    outputs.push(OutputSpec { name, output, schema, from_decision: None, rules: Vec::new() });
}
