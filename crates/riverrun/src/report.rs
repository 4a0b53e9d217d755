//! Errors as people read them.

use crate::color::{self, Meaning};
use crate::{print, show, width};
use dataflow::{Error, ErrorKind};
use project::Failure;
use sql::Diagnostic;

/// Prints why a command failed, on stderr.
pub fn failure(failure: &Failure) {
    match failure {
        Failure::Diagnostics(diagnostics) => {
            for (at, diagnostic) in diagnostics.iter().enumerate() {
                if at > 0 {
                    print::note(format_args!(""));
                }
                print::note_text(&on_terminal(&in_color(diagnostic)));
            }
            let count = diagnostics.len();
            print::note(format_args!("\n{count} {}", if count == 1 { "error" } else { "errors" }));
        }
        Failure::Error(error) => told(error, advice(error, false)),
        Failure::Begun(error) => told(error, advice(error, true)),
    }
}

fn told(error: &Error, advice: Option<&str>) {
    print::note_text(&on_terminal(&format!("{} {}", color::err(Meaning::Error, "error:"), error.chain())));
    if let Some(hint) = advice {
        print::note_text(&on_terminal(&format!("{} {hint}", color::err(Meaning::Label, "hint:"))));
    }
}

/// Lines as stderr holds them: on a terminal those that are too long go on below, but the line of the project and the carets
/// under it, which are as wide as it is.
fn on_terminal(text: &str) -> String {
    let Some(columns) = width::of_stderr() else { return format!("{text}\n") };
    let of_project = |at: usize, line: &str| (1..=3).contains(&at) && line.contains(" |");
    let line = |(at, line): (usize, &str)| match of_project(at, line) {
        true => format!("{line}\n"),
        false => show::wrapped(line, columns),
    };
    text.lines().enumerate().map(line).collect()
}

/// A diagnostic as it prints itself, in colors where there are any.
fn in_color(diagnostic: &Diagnostic) -> String {
    let Diagnostic { path, line, column, message, .. } = diagnostic;
    let text = width::of_stderr().map_or_else(|| diagnostic.to_string(), |columns| diagnostic.in_columns(columns));
    let place = format!("{path}:{line}:{column}:");
    let severity = format!("{}:", diagnostic.severity());
    let Some(rest) = text.strip_prefix(&format!("{place} {severity} {message}")) else { return text };
    let head = color::err(Meaning::Heading, message);
    let meaning = if diagnostic.is_warning { Meaning::Warning } else { Meaning::Error };
    let mut told = format!("{} {} {head}", color::err(Meaning::Label, &place), color::err(meaning, &severity));
    // An empty line for the end of the head, the margin, the line of the text, and the carets under it.
    for (at, line) in rest.lines().enumerate().skip(1) {
        told.push('\n');
        let label = line.split_once(" = ").and_then(|(margin, note)| Some((margin, note.split_once(": ")?)));
        match (at, line.find('^'), label) {
            (3, Some(carets), _) => told += &format!("{}{}", &line[..carets], color::err(meaning, &line[carets..])),
            (4.., _, Some((margin, (label, note)))) => {
                told += &format!("{margin} = {}: {note}", color::err(Meaning::Label, label));
            }
            _ => told += line,
        }
    }
    told
}

/// What errors name that are about a topic in Pulsar.
const OF_PULSAR: &str = "topic \"persistent://";

/// What the kind of an error asks of a person, where the message does not say it already.
fn advice(error: &Error, has_begun: bool) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Data => None,
        ErrorKind::Unavailable | ErrorKind::Refused if has_begun => Some(
            "what was committed is whole; when what is named above works again, run the command again: it goes on where it \
             was",
        ),
        ErrorKind::Unavailable | ErrorKind::Refused => {
            Some("nothing was lost; run the command again when what is named above works again")
        }
        // Something was, and the message says what.
        ErrorKind::Corrupt if error.chain().contains("may be on the topic now") => None,
        // What is wrong is in a cluster, and the message says what to do there.
        ErrorKind::Corrupt if error.chain().contains(OF_PULSAR) => {
            Some(if has_begun { "what was committed is whole" } else { "nothing was changed" })
        }
        ErrorKind::Corrupt if has_begun => Some(
            "what was committed is whole; put the file named above back from a copy, and run the command again: it goes on \
             where it was. Without the file, take what reads it out of the project, and start over with --fresh",
        ),
        // What it names is nothing that a stream reads, and it says itself how to do without.
        ErrorKind::Corrupt if error.chain().contains("--fresh") => Some("nothing was changed"),
        ErrorKind::Corrupt => Some(
            "nothing was changed; put the file named above back from a copy, or take what reads it out of the project",
        ),
        ErrorKind::Internal => Some("this is a bug in riverrun; please report it with the message above"),
    }
}

/// Tells of what is wrong, and keeps nothing from going on.
pub fn warnings(warnings: &[Diagnostic]) {
    for warning in warnings {
        print::note_text(&format!("{}\n", on_terminal(&in_color(warning))));
    }
}

/// A place in the text of the project, and what is wrong there.
pub fn diagnostic_json(one: &Diagnostic) -> serde_json::Value {
    serde_json::json!({
        "path": one.path, "line": one.line, "column": one.column, "length": one.span_len, "severity": one.severity(),
        "message": one.message, "found": one.found, "expected": one.expected, "hint": one.hint,
    })
}

/// A failure as one JSON object.
pub fn failure_json(failure: &Failure) -> Vec<serde_json::Value> {
    match failure {
        Failure::Diagnostics(diagnostics) => diagnostics.iter().map(diagnostic_json).collect(),
        Failure::Error(error) | Failure::Begun(error) => vec![serde_json::json!({ "message": error.chain() })],
    }
}
