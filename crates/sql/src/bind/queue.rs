//! Refuses what a stream declares that a queue cannot give.

use crate::diagnostic::{Fault, Outcome};
use crate::statement::{Stream, Watermark};
use dataflow::Late;

/// Refuses what needs a place in a log, or an order, of a stream whose topic is a queue.
pub(crate) fn check(declared: &Stream, watermark: &Watermark) -> Outcome<()> {
    let Some((_, span)) = declared.queue else { return Ok(()) };
    let name = &declared.name.text;
    if declared.history.is_some() {
        return Fault::new(span, format!("stream \"{name}\" has HISTORY, and a queue has no place where history ends"))
            .found("HISTORY and QUEUE")
            .expected("one of them")
            .hint("leave out QUEUE, and the topic is read from where history ends; or leave out HISTORY")
            .err();
    }
    if let Some(span) = watermark.quiet_at {
        return Fault::new(span, format!("stream \"{name}\" is a queue, which waits for no partition"))
            .found("QUIET and QUEUE")
            .hint("leave out QUIET")
            .err();
    }
    match watermark.late_at.filter(|_| watermark.late != Late::Move) {
        Some(span) => Fault::new(span, format!("stream \"{name}\" is a queue, of which any row may come late"))
            .found("LATE DROP or LATE TO, and QUEUE")
            .expected("LATE MOVE")
            .hint("leave out LATE: a late row goes on at the earliest moment that is still open")
            .err(),
        None => Ok(()),
    }
}
