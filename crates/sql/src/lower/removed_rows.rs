//! Rows that streams remove and keep: dead letters of the reader and of every step, and late rows.

use super::physical::{Plan, PlanKind};
use crate::output::OutputSpec;
use crate::stream::Stream;
use arrow::datatypes::SchemaRef;
use dataflow::{BadRowPolicy, Edge, Exchange, Late, Output, Port, dead_letter_schema, late_schema};

/// Streams of a query write nothing: what they would keep they count alone.
pub(crate) fn count_only(streams: &mut [Stream]) {
    for stream in streams {
        if stream.dead_letters.take().is_some() {
            stream.bad_rows = BadRowPolicy::Skip;
        }
        if stream.late_rows.take().is_some() {
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
        if let Some(output) = &stream.dead_letters {
            let failing = nodes.iter().copied().filter(|&node| plan.nodes[node].kind.can_fail());
            match letters.iter_mut().find(|(other, _)| other == output) {
                Some((_, nodes)) => nodes.extend(failing),
                None => letters.push((output.clone(), failing.collect())),
            }
        }
        if let Some(output) = &stream.late_rows {
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
