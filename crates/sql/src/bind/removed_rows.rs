//! Where streams keep the rows that they remove, as it is declared.

use super::syntax::tables_in;
use crate::diagnostic::{Fault, Outcome};
use crate::statement::{self, NamedOutput, PlacedStatement, Statement, Statements, Watermark};
use dataflow::Output;
use sqlparser::tokenizer::Span;
use std::collections::HashSet;

/// Refuses topics for rows that have no coordinates, and so no place on a topic.
pub(crate) fn check(declared: &statement::Stream, watermark: &Watermark) -> Outcome<()> {
    let refuse = |to: &NamedOutput, rows: &str| {
        Fault::new(to.name.span, format!("{rows} of stream \"{}\" cannot go to a topic", declared.name.text))
            .found("a stream without LIVE, whose rows have no place in a log")
            .expected("the name of a table")
            .hint("leave out TOPIC: they are written to a table of that name")
            .err()
    };
    let on_topic = |to: &&NamedOutput| matches!(to.output, Output::Topic(_)) && declared.live.is_none();
    if let Some(to) = declared.dead_letters.as_ref().filter(on_topic) {
        return refuse(to, "dead letters");
    }
    watermark.late_rows.as_ref().filter(on_topic).map_or(Ok(()), |to| refuse(to, "late rows"))
}

/// What writes rows that come of a stream, whose steps may make dead letters of it.
pub(crate) fn writers_from<'s>(statements: &'s Statements, stream: &str) -> Vec<&'s PlacedStatement> {
    let mut of_stream: HashSet<String> = HashSet::from([stream.to_lowercase()]);
    let reads = |names: &[String], of: &HashSet<String>| names.iter().any(|name| of.contains(&name.to_lowercase()));
    loop {
        let known = of_stream.len();
        for placed in &statements.statements {
            let Statement::View(view) = &placed.statement else { continue };
            if reads(&tables_in(&view.query), &of_stream) {
                of_stream.insert(view.name.text.to_lowercase());
            }
        }
        if of_stream.len() == known {
            break;
        }
    }
    let writes = |placed: &&PlacedStatement| match &placed.statement {
        Statement::Insert(insert) => reads(&tables_in(&insert.query), &of_stream),
        Statement::Decision(decision) => reads(std::slice::from_ref(&decision.view.text), &of_stream),
        _ => false,
    };
    statements.statements.iter().filter(writes).collect()
}

/// Whether the name at a place is that of a stream's dead letters.
pub(crate) fn are_letters(statement: &Statement, span: Span) -> bool {
    let Statement::Stream(stream) = statement else { return false };
    stream.dead_letters.as_ref().is_some_and(|to| to.name.span == span)
}
