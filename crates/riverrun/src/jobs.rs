//! `jobs`: what runs, and what runs have left.

use crate::ask::{Answer, Connection};
use crate::channel::{Ask, savepoint_json};
use crate::outcome::Outcome;
use crate::savepoint::called;
use crate::{print, show};
use dataflow::{Error, Fate, Fates, JobRows, Result};
use project::{JobOnDisk, NewestCheckpoint, Project};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Shows every job that runs or has run.
pub fn jobs(project: &Project, json: bool) -> Outcome {
    let jobs = project.jobs_on_disk()?;
    if jobs.is_empty() {
        print::note(format_args!("no job has run here yet; `riverrun run` runs one"));
    }
    for job in &jobs {
        let status = status(job);
        match json {
            true => print::line(&as_json(job, &status).to_string())?,
            false => print::data(&text(job, &status))?,
        };
    }
    Ok(ExitCode::SUCCESS)
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

fn as_json(job: &JobOnDisk, status: &Result<Option<Value>>) -> Value {
    let message = |error: &Error| json!({ "error": error.chain() });
    let newest = match &job.newest {
        Ok(newest) => newest.as_ref().map_or(Value::Null, |newest| {
            json!({
                "number": newest.number, "written_at": newest.written_at.to_string(), "state_bytes": newest.state_bytes,
                "revision": newest.revision, "begun_with_run": newest.generation, "is_end": newest.is_end,
                "rows": rows_json(newest),
            })
        }),
        Err(error) => message(error),
    };
    let saved = |saved: &Result<_>| saved.as_ref().map_or_else(message, savepoint_json);
    json!({
        "job": job.name, "state": state(job, status),
        "running": match status { Ok(status) => status.clone().unwrap_or(Value::Null), Err(error) => message(error) },
        "checkpoint": newest, "checkpoints_kept": job.kept,
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
    json!({ "streams": nodes(&newest.rows.streams), "steps": nodes(&newest.rows.steps) })
}

/// How many rows were read and written since the job began, if the checkpoint says so.
fn rows_text(newest: &NewestCheckpoint) -> Option<String> {
    let JobRows { streams, steps } = &newest.rows;
    let read: i64 = streams.iter().map(|(_, fates)| fates.of(Fate::In)).sum();
    let outputs = steps.iter().filter(|(node, _)| newest.outputs.contains(node));
    let written: i64 = outputs.map(|(_, fates)| fates.of(Fate::Out)).sum();
    let read = (!streams.is_empty()).then(|| show::counted(read, "row"))?;
    Some(format!("  since it began {read} read, {} written", show::count(written)))
}

/// What a job does, in one word.
fn state(job: &JobOnDisk, status: &Result<Option<Value>>) -> &'static str {
    match (status, &job.newest) {
        (Ok(Some(_)), _) => "running",
        (Err(_), _) => "silent",
        (Ok(None), Ok(Some(NewestCheckpoint { is_end: true, .. }))) => "ended",
        (Ok(None), Ok(_)) => "interrupted",
        (Ok(None), Err(_)) => "damaged",
    }
}

fn text(job: &JobOnDisk, status: &Result<Option<Value>>) -> String {
    let mut lines = vec![format!("{}: {}", called(job.name.as_deref()), running_text(job, status))];
    match &job.newest {
        Ok(Some(newest)) => {
            lines.push(format!(
                "  checkpoint {}, written at {}, {} of state, {} kept; begun with run {}",
                newest.number,
                newest.written_at,
                show::bytes(newest.state_bytes as usize),
                job.kept,
                newest.generation
            ));
            lines.extend(rows_text(newest));
        }
        Ok(None) => lines.push("  no checkpoint yet".to_owned()),
        Err(error) => lines.push(format!("  {}", error.chain())),
    }
    if let Ok(Some(status)) = status {
        lines.extend(status["streams"].as_array().into_iter().flatten().map(stream_text));
    }
    lines.extend(job.savepoints.iter().map(|saved| match saved {
        Ok(saved) => {
            format!("  savepoint {} of checkpoint {}, {}", saved.folder.display(), saved.checkpoint, saved.written_at)
        }
        Err(error) => format!("  {}", error.chain()),
    }));
    lines.join("\n") + "\n"
}

fn running_text(job: &JobOnDisk, status: &Result<Option<Value>>) -> String {
    match status {
        Ok(Some(status)) => format!(
            "running since {}, process {}, {}, {} written",
            status["since"].as_str().unwrap_or("an unknown time"),
            status["process"],
            show::counted(status["workers"].as_i64().unwrap_or(0), "worker"),
            show::counted(status["rows_written"].as_i64().unwrap_or(0), "row")
        ),
        Ok(None) => match state(job, status) {
            "ended" => "ended; `riverrun run` goes on with what comes".to_owned(),
            "interrupted" => "interrupted; `riverrun run` goes on from its checkpoint".to_owned(),
            _ => "does not run, and cannot go on as it is".to_owned(),
        },
        Err(error) => {
            let process = job.holder.map(|holder| format!(", process {}", holder.process)).unwrap_or_default();
            format!("runs{process}, and does not say how it stands: {}", error.chain())
        }
    }
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
