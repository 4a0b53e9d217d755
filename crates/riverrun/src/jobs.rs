//! `jobs`: what runs, and what runs have left.

use crate::anchors;
use crate::ask::{Answer, Connection};
use crate::channel::{Ask, savepoint_json};
use crate::outcome::Outcome;
use crate::savepoint::called;
use crate::{print, show};
use dataflow::{Error, Fate, Fates, Result};
use project::{AnchorsOf, ArchiveOnDisk, JobOnDisk, LeaseHolder, NewestCheckpoint, Project};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Shows every job that runs or has run.
pub fn jobs(project: &Project, json: bool) -> Outcome {
    let jobs = project.jobs_on_disk()?;
    let archive = project.archive_on_disk()?;
    if jobs.is_empty() && archive.is_none() {
        print::note(format_args!("no job has run here yet; `riverrun run` runs one"));
    }
    for job in &jobs {
        let status = status(job);
        let elsewhere = match status {
            Ok(None) if !job.is_store_away() => project.run_elsewhere(job.name.as_deref())?,
            _ => None,
        };
        let shown = Shown { job, status: &status, elsewhere: elsewhere.as_ref() };
        let anchors = anchors_of(project, AnchorsOf::Job(job.name.as_deref()), &status)?;
        match json {
            true => print::line(&as_json(&shown, &anchors).to_string())?,
            false => print::data(&print::for_terminal(text(&shown, &anchors)))?,
        };
    }
    if let Some(archive) = &archive {
        let anchors = anchors_of(project, AnchorsOf::Archive, &Ok(None))?;
        match json {
            true => print::line(&archive_json(archive, &anchors).to_string())?,
            false => print::data(&print::for_terminal(archive_text(archive, &anchors)))?,
        };
    }
    Ok(ExitCode::SUCCESS)
}

/// A job as it is shown: how it stands if it runs here, and who runs it if somebody does on another machine.
struct Shown<'a> {
    job: &'a JobOnDisk,
    status: &'a Result<Option<Value>>,
    elsewhere: Option<&'a LeaseHolder>,
}

/// How the anchors of a job stand, as it says itself while it runs.
fn anchors_of(project: &Project, of: AnchorsOf, status: &Result<Option<Value>>) -> Result<Vec<Value>> {
    if let Ok(Some(Value::Array(running))) =
        status.as_ref().map(|status| status.as_ref().map(|one| one["anchors"].clone()))
    {
        return Ok(running);
    }
    Ok(project.anchors(of)?.iter().map(anchors::as_json).collect())
}

fn archive_text(archive: &ArchiveOnDisk, anchors: &[Value]) -> String {
    let state = match &archive.writer {
        Some(writer) => format!("running, {writer}"),
        None => "does not run; `riverrun run archive` goes on where it stopped".to_owned(),
    };
    let tables = archive.tables.iter().map(|(stream, table)| format!("  {stream} to table {table}\n"));
    let anchors = anchors.iter().map(|anchors| anchors::text(anchors) + "\n");
    format!("archive: {state}\n{}", tables.chain(anchors).collect::<String>())
}

fn archive_json(archive: &ArchiveOnDisk, anchors: &[Value]) -> Value {
    let table = |(stream, table): &(String, String)| json!({ "stream": stream, "table": table });
    json!({
        "job": "archive", "state": if archive.writer.is_some() { "running" } else { "ended" },
        "writer": archive.writer, "tables": archive.tables.iter().map(table).collect::<Vec<_>>(),
        "anchors": anchors,
    })
}

/// How a job stands if it runs; an error if it runs and does not say.
fn status(job: &JobOnDisk) -> Result<Option<Value>> {
    let Some(mut running) = Connection::open(&job.folder)? else { return Ok(None) };
    running.ask(&Ask::Status)?;
    match running.answer()? {
        Answer::Status(status) => Ok(Some(status)),
        _ => Err(Error::unavailable("it has too many others to answer, or has just ended")),
    }
}

fn as_json(shown: &Shown, anchors: &[Value]) -> Value {
    let Shown { job, status, elsewhere } = shown;
    let message = |error: &Error| json!({ "error": error.chain() });
    let newest = match &job.newest {
        Ok(newest) => newest.as_ref().map_or(Value::Null, |newest| {
            json!({
                "number": newest.number, "written_at": newest.written_at.to_string(), "state_bytes": newest.state_bytes,
                "revision": newest.revision, "begun_with_run": newest.generation, "is_end": newest.is_end, "is_over": newest.is_over,
                "rows": rows_json(newest),
            })
        }),
        Err(error) => message(error),
    };
    let saved = |saved: &Result<_>| saved.as_ref().map_or_else(message, savepoint_json);
    json!({
        "job": job.name, "state": state(shown), "elsewhere": elsewhere.map(ToString::to_string),
        "running": match status { Ok(status) => status.clone().unwrap_or(Value::Null), Err(error) => message(error) },
        "checkpoint": newest, "checkpoints_kept": job.kept, "anchors": anchors,
        "savepoints": job.savepoints.iter().map(saved).collect::<Vec<_>>(),
    })
}

/// What had become of rows, by node; counts that are zero are left out.
fn rows_json(newest: &NewestCheckpoint) -> Value {
    let counts = |fates: &Fates| -> serde_json::Map<_, _> {
        let there = Fate::ALL.into_iter().filter(|&fate| fates.of(fate) != 0);
        there.map(|fate| (show::fate(fate), json!(fates.of(fate)))).collect()
    };
    let nodes = |nodes: &[(String, Fates)]| -> Value {
        nodes.iter().map(|(node, fates)| (node.clone(), Value::from(counts(fates)))).collect()
    };
    json!({ "streams": nodes(&newest.streams), "steps": nodes(&newest.steps), "outputs": nodes(&newest.outputs) })
}

/// How many rows were read and written since the job began, if the checkpoint says so.
fn rows_text(newest: &NewestCheckpoint) -> Option<String> {
    let sum = |fate| newest.streams.iter().map(|(_, fates)| fates.of(fate)).sum::<i64>();
    let (read, used) = (sum(Fate::In), sum(Fate::Out));
    let removed = if read == used { String::new() } else { format!(", {} of them used", show::count(used)) };
    let written = |(name, fates): &(String, Fates)| format!("{name} {}", show::count(fates.of(Fate::Out)));
    let written: Vec<String> = newest.outputs.iter().map(written).collect();
    let heading = format!("  since it began {} read{removed}; written to ", show::counted(read, "row"));
    (!newest.streams.is_empty()).then(|| show::list(&heading, &written, ", ").trim_end().to_owned())
}

/// What a job does, in one word.
fn state(Shown { job, status, elsewhere }: &Shown) -> &'static str {
    match (status, &job.newest) {
        (Ok(None), _) if elsewhere.is_some() => "elsewhere",
        (Ok(Some(status)), _) if status["builds_state"] == true => "building",
        (Ok(Some(_)), _) => "running",
        (Err(_), _) => "silent",
        (Ok(None), Ok(Some(NewestCheckpoint { is_end: true, .. }))) => "ended",
        (Ok(None), Ok(_)) => "interrupted",
        (Ok(None), Err(_)) if job.is_store_away() => "unknown",
        (Ok(None), Err(_)) => "damaged",
    }
}

fn text(shown: &Shown, anchors: &[Value]) -> String {
    let Shown { job, status, .. } = shown;
    let mut lines = vec![format!("{}: {}", called(job.name.as_deref()), running_text(shown))];
    match &job.newest {
        Ok(Some(newest)) => {
            lines.push(format!(
                "  checkpoint {}, written at {}, {} of state, {} kept; begun with run {}",
                newest.number,
                newest.written_at,
                show::bytes(newest.state_bytes as usize),
                job.kept.unwrap_or_default(),
                newest.generation
            ));
            lines.extend(rows_text(newest));
        }
        Ok(None) => lines.push("  no checkpoint yet".to_owned()),
        Err(error) => lines.push(format!("  {}", error.chain())),
    }
    if let Ok(Some(status)) = status {
        lines.extend(state_text(status));
        lines.extend(status["streams"].as_array().into_iter().flatten().map(stream_text));
    }
    lines.extend(anchors.iter().map(anchors::text));
    lines.extend(job.savepoints.iter().map(|saved| match saved {
        Ok(saved) => {
            format!("  savepoint {} of checkpoint {}, {}", saved.folder.display(), saved.checkpoint, saved.written_at)
        }
        Err(error) => format!("  {}", error.chain()),
    }));
    lines.join("\n") + "\n"
}

fn running_text(shown: &Shown) -> String {
    let Shown { job, status, elsewhere } = shown;
    if let Some(holder) = elsewhere {
        return format!("runs on another machine: {holder}");
    }
    match status {
        Ok(Some(status)) if status["builds_state"] == true => format!(
            "builds the state of changed pipelines since {}, process {}, {}",
            status["since"].as_str().unwrap_or("an unknown time"),
            status["process"],
            show::counted(status["workers"].as_i64().unwrap_or(0), "worker")
        ),
        Ok(Some(status)) => format!(
            "running since {}, process {}, {}, {} written",
            status["since"].as_str().unwrap_or("an unknown time"),
            status["process"],
            show::counted(status["workers"].as_i64().unwrap_or(0), "worker"),
            show::counted(status["rows_written"].as_i64().unwrap_or(0), "row")
        ),
        Ok(None) => match state(shown) {
            "ended" if job.newest.as_ref().is_ok_and(|newest| newest.as_ref().is_some_and(|newest| newest.is_over)) => {
                let name = job.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
                format!("done: it has read all inputs to their end; `riverrun run{name} --fresh` would run it again")
            }
            "ended" => "ended; `riverrun run` goes on with what comes".to_owned(),
            "interrupted" => "interrupted; `riverrun run` goes on from its checkpoint".to_owned(),
            "unknown" => "does not run here, and whether it runs elsewhere is not known".to_owned(),
            _ => "does not run, and cannot go on as it is".to_owned(),
        },
        Err(error) => {
            let process = job.holder.map(|holder| format!(", process {}", holder.process)).unwrap_or_default();
            format!("runs{process}, and does not say how it stands: {}", error.chain())
        }
    }
}

/// Where the state is, if any of it is on disk.
fn state_text(status: &Value) -> Option<String> {
    let bytes = |key: &str| status[key].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
    let (memory, disk) = (bytes("state_bytes_in_memory")?, bytes("state_bytes_on_disk")?);
    (memory + disk > 0).then(|| format!("  state: {}", show::state(memory, disk)))
}

fn stream_text(stream: &Value) -> String {
    let rows = |key: &str| show::count(stream[key].as_i64().unwrap_or(0));
    let watermark = stream["watermark"].as_str().map_or("no watermark yet".to_owned(), |at| format!("watermark {at}"));
    let history = match (stream["in_history"].as_bool(), stream["history_total"].as_u64()) {
        (_, Some(0)) => String::new(),
        (Some(true), _) => format!(", {} of {} rows of history", rows("history_rows"), rows("history_total")),
        _ => format!(", {} rows of history", rows("history_rows")),
    };
    format!("  {}: {watermark}{history}, {} live", stream["stream"].as_str().unwrap_or_default(), rows("live_rows"))
}
