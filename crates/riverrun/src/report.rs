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
        Failure::Error(error) => print::note(format_args!("error: {}{}", error.chain(), advice(error))),
    }
}

/// What the kind of an error asks of a person, where the message does not say it already.
fn advice(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Data => "",
        ErrorKind::Unavailable => {
            "\nhint: nothing was lost; run the command again when what is named above works again, with --fresh if its job had begun"
        }
        ErrorKind::Corrupt => "\nhint: nothing was changed; restore the file named above, or start over with --fresh",
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
        Failure::Error(error) => vec![serde_json::json!({ "message": error.chain() })],
    }
}
