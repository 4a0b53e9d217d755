//! Where streams keep the rows that they remove, as it is declared.

use crate::diagnostic::{Fault, Outcome};
use crate::statement::{self, NamedOutput, Statement, Watermark};
use dataflow::Output;
use sqlparser::tokenizer::Span;

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

/// The outputs to which a stream writes what it removes: dead letters, then late rows.
fn outputs(stream: &statement::Stream) -> impl Iterator<Item = &NamedOutput> {
    let late_rows = stream.watermark.as_ref().and_then(|watermark| watermark.late_rows.as_ref());
    stream.dead_letters.iter().chain(late_rows)
}

/// Whether an output is where a stream keeps what it removes.
pub(crate) fn is_kept_by(stream: &statement::Stream, name: &str) -> bool {
    outputs(stream).any(|to| to.name.text.eq_ignore_ascii_case(name))
}

/// Whether the name at a place is that of a stream's dead letters.
pub(crate) fn are_letters(statement: &Statement, span: Span) -> bool {
    let Statement::Stream(stream) = statement else { return false };
    stream.dead_letters.as_ref().is_some_and(|to| to.name.span == span)
}
