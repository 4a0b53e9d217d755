//! Refuses what a job does with the rows of a queue that needs their order, or what came before.

use crate::diagnostic::{Diagnostic, Fault};
use crate::plan::logical::{LogicalNode, LogicalPlan, Operator};
use crate::statement::{Statement, Statements};
use crate::stream::Stream;
use std::collections::BTreeSet;

/// What is wrong with the plan of a job that reads queues. Queries read their topics from the beginning, and have none.
pub(crate) fn wrong(plan: &LogicalPlan, streams: &[Stream], statements: &Statements) -> Vec<Diagnostic> {
    let is_queue = |name: &str| streams.iter().any(|stream| stream.name == name && stream.queue.is_some());
    let mut queues: Vec<BTreeSet<&str>> = Vec::with_capacity(plan.nodes.len());
    let mut wrong = Vec::new();
    for node in &plan.nodes {
        let mut read: BTreeSet<&str> = node.inputs.iter().flat_map(|&input| queues[input].iter().copied()).collect();
        if let Operator::Source { stream, .. } = &node.operator
            && is_queue(stream)
        {
            read.insert(stream);
        }
        if let (Some(queue), Some((what, hint))) = (read.first(), ordered(node)) {
            let fault = Fault::new(node.origin.span, format!("stream \"{queue}\" is a queue, and {what}"))
                .found(node.name.clone())
                .expected("filters, expressions, models, decisions and DEDUP over a queue")
                .hint(hint);
            wrong.push(fault.in_file(&statements.files[node.origin.file]));
        }
        queues.push(read);
    }
    wrong.extend(mixed(plan, &is_queue, statements));
    wrong
}

/// Why an operator needs an order, or what came before, if it does, and what to write.
fn ordered(node: &LogicalNode) -> Option<(&'static str, &'static str)> {
    const READ_IN_ORDER: &str = "leave out QUEUE, and the topic is read in order, each message once";
    match &node.operator {
        Operator::Window { .. } => Some(("a window looks back over rows in their order", READ_IN_ORDER)),
        Operator::AsOf(_) => Some(("an as-of join needs the rows of both sides in their order", READ_IN_ORDER)),
        Operator::Range(_) => Some(("an aggregate over another stream needs all rows of both", READ_IN_ORDER)),
        Operator::Decision(decision) => decision.rules.iter().any(|rule| rule.once_per.is_some()).then_some((
            "ONCE PER needs all rows of a subject, of which other consumers may have some",
            "leave out ONCE PER, or leave out QUEUE",
        )),
        _ => None,
    }
}

/// Refuses queues beside other streams: outputs of the latter begin, and go on, by positions.
fn mixed(plan: &LogicalPlan, is_queue: &impl Fn(&str) -> bool, statements: &Statements) -> Option<Diagnostic> {
    let read = plan.nodes.iter().filter_map(|node| match &node.operator {
        Operator::Source { stream, .. } => Some(stream.as_str()),
        _ => None,
    });
    let (queues, others): (Vec<&str>, Vec<&str>) = read.partition(|name| is_queue(name));
    let (queue, other) = (queues.first()?, others.first()?);
    let (file, span) = statements.statements.iter().find_map(|placed| match &placed.statement {
        Statement::Stream(stream) if stream.name.text.eq_ignore_ascii_case(queue) => {
            Some((placed.file, stream.queue?.1))
        }
        _ => None,
    })?;
    let fault = Fault::new(span, format!("stream \"{queue}\" is a queue, and the job reads \"{other}\" as well"))
        .found("a queue, and a stream that is read by positions")
        .expected("one of them in a job")
        .hint("name the outputs of each in a job of its own, [job.NAME] of riverrun.toml, and run these");
    Some(fault.in_file(&statements.files[file]))
}
