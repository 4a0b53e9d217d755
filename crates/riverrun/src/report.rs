//! Errors as people read them.

use crate::print;
use dataflow::{Error, ErrorKind};
use project::Failure;

/// Prints why a command failed, on stderr.
pub fn failure(failure: &Failure) {
    match failure {
        Failure::Diagnostics(diagnostics) => {
            for (at, diagnostic) in diagnostics.iter().enumerate() {
                if at > 0 {
                    print::note(format_args!(""));
                }
                print::note(format_args!("{diagnostic}"));
            }
            let count = diagnostics.len();
            print::note(format_args!("\n{count} {}", if count == 1 { "error" } else { "errors" }));
        }
        Failure::Error(error) => print::note(format_args!("error: {}{}", error.chain(), advice(error, false))),
        Failure::Begun(error) => print::note(format_args!("error: {}{}", error.chain(), advice(error, true))),
    }
}

/// What the kind of an error asks of a person, where the message does not say it already.
fn advice(error: &Error, has_begun: bool) -> &'static str {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Data => "",
        ErrorKind::Unavailable if has_begun => {
            "\nhint: what was committed is whole; when what is named above works again, run the job with --fresh, which \
             starts it over"
        }
        ErrorKind::Unavailable => {
            "\nhint: nothing was lost; run the command again when what is named above works again"
        }
        ErrorKind::Corrupt if has_begun => {
            "\nhint: what was committed is whole; put the file named above back from a copy, or take what reads it out of \
             the project, and run the job with --fresh, which starts it over"
        }
        ErrorKind::Corrupt => {
            "\nhint: nothing was changed; put the file named above back from a copy, or take what reads it out of the \
             project"
        }
        ErrorKind::Internal => "\nhint: this is a bug in riverrun; please report it with the message above",
    }
}

/// A failure as one JSON object.
pub fn failure_json(failure: &Failure) -> Vec<serde_json::Value> {
    match failure {
        Failure::Diagnostics(diagnostics) => diagnostics
            .iter()
            .map(|one| {
                serde_json::json!({
                    "path": one.path, "line": one.line, "column": one.column, "length": one.span_len,
                    "message": one.message, "found": one.found, "expected": one.expected, "hint": one.hint,
                })
            })
            .collect(),
        Failure::Error(error) | Failure::Begun(error) => vec![serde_json::json!({ "message": error.chain() })],
    }
}
