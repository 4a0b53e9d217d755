//! `plan`: what becomes of a job whose pipelines have changed.

use crate::args::PlanArgs;
use crate::outcome::Outcome;
use crate::savepoint::called;
use crate::{print, show};
use dataflow::EventTime;
use project::{
    OutputChange, PlannedChange, Presence, Project, StateChange, StepChange, StreamChange, StreamRead, WAITING_MAX,
};
use serde_json::{Value, json};
use sql::{LookBack, length_text};
use std::process::ExitCode;
use std::time::Duration;

/// Shows what a run would make of a job's state and outputs.
pub fn plan(project: &Project, args: &PlanArgs) -> Outcome {
    let job = args.job.as_deref();
    let Some(change) = project.plan_change(job, args.from.as_deref())? else {
        match args.json {
            true => print::line(&json!({ "job": job, "checkpoint": null }).to_string()).map(drop)?,
            false => print::note(format_args!("{} has no checkpoint: `riverrun run` begins it", called(job))),
        }
        return Ok(ExitCode::SUCCESS);
    };
    match args.json {
        true => print::line(&as_json(job, &change).to_string()).map(drop)?,
        false => print::data(&print::for_terminal(text(job, &change))).map(drop)?,
    }
    Ok(if change.refusals.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The mark of a line, as in a diff.
fn mark(presence: Presence) -> char {
    match presence {
        Presence::Kept => ' ',
        Presence::Changed => '~',
        Presence::New => '+',
        Presence::Gone => '-',
    }
}

fn word(presence: Presence) -> &'static str {
    match presence {
        Presence::Kept => "kept",
        Presence::Changed => "changed",
        Presence::New => "new",
        Presence::Gone => "gone",
    }
}

fn state_word(state: StateChange) -> &'static str {
    match state {
        StateChange::None => "none",
        StateChange::Kept => "kept",
        StateChange::PartlyKept => "partly kept",
        StateChange::Built => "built",
        StateChange::Lost => "lost",
    }
}

fn text(job: Option<&str>, change: &PlannedChange) -> String {
    let PlannedChange { checkpoint, written_at, revision, .. } = change;
    let of = format!("checkpoint {checkpoint} of {written_at}, revision {revision}");
    let mut lines = Vec::new();
    if change.is_same {
        lines.push(format!("{} does what it did at {of}", called(job)));
    } else {
        lines.push(format!("{} has changed since {of}", called(job)));
    }
    section(&mut lines, "streams", change.streams.iter().flat_map(stream_lines));
    section(&mut lines, "outputs", change.outputs.iter().flat_map(output_lines));
    section(&mut lines, "state", change.steps.iter().filter_map(step_line));
    if let Some(why) = &change.anew {
        lines.push(format!("\nno state is kept: {why}"));
    }
    section(&mut lines, "not there any more", change.lacking.iter().map(|lacking| format!("! {lacking}")));
    section(&mut lines, "to read", change.reads.iter().map(read_line));
    if !change.reads.is_empty() {
        lines.push(format!("  about {} in all", show::whole_seconds(Duration::from_secs(seconds(&change.reads)))));
    }
    if let Some((start, stream)) = &change.start {
        lines.push(format!("\nactions and new topics begin after {}", begin_text(*start, stream)));
    }
    lines.push(String::new());
    lines.push(match (change.is_same, change.refusals.is_empty()) {
        (true, true) => format!(
            "all state is kept, {}: `riverrun run{}` goes on",
            show::bytes(change.state_bytes as usize),
            job.map(|job| format!(" {job}")).unwrap_or_default()
        ),
        (false, true) => format!(
            "{}: apply it with\n  riverrun run{} --apply",
            costs(change),
            job.map(|job| format!(" {job}")).unwrap_or_default()
        ),
        (_, false) => show::list("the job cannot go on as it is now: ", &change.refusals, "\n  ").trim_end().to_owned(),
    });
    lines.join("\n") + "\n"
}

fn section(lines: &mut Vec<String>, title: &str, of: impl Iterator<Item = String>) {
    let mut of = of.peekable();
    if of.peek().is_some() {
        lines.push(format!("\n{title}"));
        lines.extend(of);
    }
}

fn stream_lines(stream: &StreamChange) -> Vec<String> {
    let mut lines = vec![format!("{} {}", mark(stream.presence), stream.name)];
    lines.extend(stream.settings.iter().map(|(name, was, now)| format!("    {name}: {was} -> {now}")));
    if !stream.settings.is_empty() {
        lines.push(
            "    the times of its rows may be others, so that a row near the stop may be there twice, or not at all"
                .to_owned(),
        );
    }
    lines
}

fn output_lines(output: &OutputChange) -> Vec<String> {
    let kind = if output.is_topic { "topic" } else { "table" };
    let mut lines = vec![format!("{} {kind} {}", mark(output.presence), output.name)];
    let added = output.added.iter();
    lines.extend(added.map(|(column, of)| format!("    + {column} {of}, NULL in the rows that are there")));
    match (&output.cut, output.presence) {
        (Some(cut), _) if !cut.messages.is_empty() => {
            lines.push("    goes on after the messages whose rows it has".to_owned());
        }
        (Some(cut), _) if cut.after == EventTime::MAX => {
            lines.push("    has all that its history gives, and gets no more".to_owned());
        }
        (Some(cut), _) if cut.after > EventTime::MIN => lines.push(format!("    goes on after {}", cut.after)),
        (_, Presence::New) if !output.is_topic => lines.push("    gets all rows, from the beginning".to_owned()),
        (_, Presence::Gone) => lines.push("    is not written any more, and keeps its rows".to_owned()),
        _ => {}
    }
    lines
}

/// About how many rows and messages a second are read on their way into state.
const ROWS_A_SECOND: u64 = 300_000;

/// About how long it takes to read what state is built of.
fn seconds(reads: &[StreamRead]) -> u64 {
    reads.iter().map(|read| read.rows + read.messages).sum::<u64>().div_ceil(ROWS_A_SECOND)
}

/// What a change costs, and what it leaves.
fn costs(change: &PlannedChange) -> String {
    let bytes = |wanted: &[StateChange]| {
        let of = change.steps.iter().filter(|step| wanted.contains(&step.state)).map(|step| step.bytes);
        show::bytes(of.sum::<u64>() as usize)
    };
    let none_is_written_twice = "nothing is written that is there already";
    if change.anew.is_some() {
        return format!("all state is built again from what is read, and {none_is_written_twice}");
    }
    let kept = [StateChange::Kept, StateChange::PartlyKept];
    let kept = format!("{} of state are kept", bytes(&kept));
    match change.steps.iter().any(|step| [StateChange::Built, StateChange::PartlyKept].contains(&step.state)) {
        true => format!(
            "{kept}, the rest is built from what is read before the job goes on where it was stopped, and \
             {none_is_written_twice}"
        ),
        false => format!("{kept}, nothing has to be read, and the job goes on where it was stopped"),
    }
}

/// A step that has changed, or has state.
fn step_line(step: &StepChange) -> Option<String> {
    let was = step.was_called.as_ref().map(|was| format!(", was {was}")).unwrap_or_default();
    let bytes = match step.bytes {
        0 => String::new(),
        bytes => format!("{}, ", show::bytes(bytes as usize)),
    };
    let built = if step.state == StateChange::Built { ", built from history" } else { "" };
    let what = match (step.presence, step.state) {
        (Presence::Kept, _) if step.bytes == 0 && was.is_empty() => return None,
        (Presence::Kept, StateChange::Built) => format!("{bytes}computes the same, built again"),
        (Presence::Kept, _) => format!("{bytes}kept"),
        (Presence::Changed, StateChange::Kept | StateChange::PartlyKept) if !step.functions.is_empty() => {
            let lines =
                step.functions.iter().map(|(computes, state)| format!("\n    {}: {computes}", function_word(*state)));
            format!("{bytes}kept, function by function{}", lines.collect::<String>())
        }
        (Presence::Changed, StateChange::Kept) => format!("{bytes}kept, its rows carry other columns"),
        (Presence::Changed, _) if step.bytes == 0 => format!("computes something else{built}: {}", step.computes),
        (Presence::Changed, _) => format!("{bytes}lost, computes something else{built}: {}", step.computes),
        (Presence::New, _) => format!("new{built}: {}", step.computes),
        (Presence::Gone, _) => format!("{bytes}lost: {}", step.computes),
    };
    Some(format!("{} {}{was}: {what}", mark(step.presence), step.name))
}

fn function_word(state: StateChange) -> &'static str {
    match state {
        StateChange::Kept => "kept",
        StateChange::Lost => "gone",
        _ => "built from history",
    }
}

fn read_line(read: &StreamRead) -> String {
    let back = match read.look_back {
        LookBack::All => "from the beginning".to_owned(),
        LookBack::For(span) => format!("from {} before that on", length_text(span)),
    };
    let messages = match read.messages {
        0 => String::new(),
        many if many >= WAITING_MAX => format!(", {} messages or more", show::count(WAITING_MAX as i64)),
        some => format!(", {}", show::counted(some as i64, "message")),
    };
    let rows = show::counted(read.rows as i64, "row");
    format!("  {} {back}: {rows} of history, {}{messages}", read.stream, show::bytes(read.bytes as usize))
}

fn begin_text(start: EventTime, stream: &str) -> String {
    match (start, stream) {
        (EventTime::MIN, _) => "nothing: the job had released no row".to_owned(),
        (_, "") => format!("{start}, as they did"),
        _ => format!("{start}, where stream {stream} was stopped"),
    }
}

fn as_json(job: Option<&str>, change: &PlannedChange) -> Value {
    let stream = |stream: &StreamChange| {
        let setting = |(name, was, now): &(String, String, String)| json!({ "setting": name, "was": was, "now": now });
        let settings: Vec<Value> = stream.settings.iter().map(setting).collect();
        json!({ "stream": stream.name, "change": word(stream.presence), "settings": settings })
    };
    let function =
        |(computes, state): &(String, StateChange)| json!({ "computes": computes, "state": state_word(*state) });
    let step = |step: &StepChange| {
        json!({
            "step": step.name, "was_called": step.was_called, "change": word(step.presence), "computes": step.computes,
            "state_bytes": step.bytes, "state_kept": step.state == StateChange::Kept, "state": state_word(step.state),
            "functions": step.functions.iter().map(function).collect::<Vec<_>>(),
        })
    };
    let output = |output: &OutputChange| {
        let column = |(name, of): &(String, String)| json!({ "column": name, "type": of });
        let added: Vec<Value> = output.added.iter().map(column).collect();
        json!({
            "output": output.name, "kind": if output.is_topic { "topic" } else { "table" },
            "change": word(output.presence), "columns_added": added,
            "goes_on_after": output.cut.as_ref().filter(|cut| cut.messages.is_empty()).map(|cut| cut.after.to_string()),
        })
    };
    let read = |read: &StreamRead| {
        let look_back_us = match read.look_back {
            LookBack::All => Value::Null,
            LookBack::For(span) => json!(span.0),
        };
        json!({
            "stream": read.stream, "look_back_us": look_back_us, "history_rows": read.rows,
            "history_bytes": read.bytes, "messages": read.messages,
        })
    };
    json!({
        "job": job,
        "checkpoint": {
            "number": change.checkpoint, "written_at": change.written_at.to_string(), "revision": change.revision,
            "state_bytes": change.state_bytes,
        },
        "changed": !change.is_same,
        "refused": change.refusals,
        "streams": change.streams.iter().map(stream).collect::<Vec<_>>(),
        "outputs": change.outputs.iter().map(output).collect::<Vec<_>>(),
        "steps": change.steps.iter().map(step).collect::<Vec<_>>(),
        "nothing_kept_because": change.anew,
        "lacking": change.lacking,
        "reads": change.reads.iter().map(read).collect::<Vec<_>>(),
        "reads_about_s": seconds(&change.reads),
        "begins_after": change.start.as_ref().map(|(start, _)| start.to_string()),
    })
}
