//! `explain watermark`: how the partitions that running jobs read stand, and which of them holds the watermark back.

use crate::ask::{Answer, Connection};
use crate::channel::Ask;
use crate::outcome::Outcome;
use crate::savepoint::called;
use crate::{print, show};
use dataflow::{Error, EventTime, Position, Quiet, Result, Span};
use project::{JobHere, Project};
use seam::{PartitionStanding, StreamStats};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// Shows the partitions of every job that runs here, and names the machines of those that run elsewhere. A store that is away
/// keeps no job of this machine from being shown.
pub fn explain(project: &Project, as_json: bool) -> Outcome {
    let (mut running, mut here) = (0, BTreeSet::new());
    for job in project.jobs_here()? {
        let mut streams = match watermarks(&job) {
            Ok(Some(streams)) => streams,
            Ok(None) => continue,
            // The others are shown all the same.
            Err(error) => {
                running += 1;
                does_not_say(&job, &error, as_json)?;
                here.insert(job.name);
                continue;
            }
        };
        running += 1;
        streams.iter_mut().for_each(|stream| add_backlogs(project, stream));
        match as_json {
            true => print::line(&json!({ "job": job.name, "streams": streams }).to_string())?,
            false => print::data(&print::for_terminal(text(&job, &streams)))?,
        };
        here.insert(job.name);
    }
    match elsewhere(project, &here, as_json) {
        Ok(others) => running += others,
        Err(error) if running > 0 => {
            print::note(format_args!("whether other jobs run on other machines is not known: {}", error.chain()))
        }
        Err(error) => {
            return Err(error.context("no job runs here, and whether one runs elsewhere is not known").into());
        }
    }
    if running == 0 {
        return Err(Error::invalid(
            "no job runs here, and a watermark is one of a running job: start one with `riverrun run`; `riverrun jobs` \
             shows what others have left",
        )
        .into());
    }
    Ok(ExitCode::SUCCESS)
}

/// Names the machines of the jobs that run elsewhere; how many there are.
fn elsewhere(project: &Project, here: &BTreeSet<Option<String>>, as_json: bool) -> Result<usize> {
    let mut others = 0;
    for name in project.job_names()?.into_iter().filter(|name| !here.contains(name)) {
        let Some(holder) = project.run_elsewhere(name.as_deref())? else { continue };
        others += 1;
        match as_json {
            true => drop(print::line(&json!({ "job": name, "elsewhere": holder.to_string() }).to_string())?),
            false => drop(print::data(&show::sentence(&format!(
                "{} is run by {holder}, and says how it stands on that machine alone: run the command there",
                called(name.as_deref())
            )))?),
        }
    }
    Ok(others)
}

/// Names a job that does not answer.
fn does_not_say(job: &JobHere, error: &Error, as_json: bool) -> Result<()> {
    match as_json {
        true => drop(print::line(&json!({ "job": job.name, "error": error.chain() }).to_string())?),
        false => {
            print::note(format_args!("{} does not say how it stands: {}", called(job.name.as_deref()), error.chain()))
        }
    }
    Ok(())
}

/// What a running job says of its streams; none where nobody runs it.
fn watermarks(job: &JobHere) -> Result<Option<Vec<Value>>> {
    let Some(mut running) = Connection::open(&job.folder)? else { return Ok(None) };
    running.ask(&Ask::Watermarks)?;
    match running.answer()? {
        Answer::Watermarks(Value::Array(streams)) => Ok(Some(streams)),
        _ => Err(Error::unavailable("the job has too many others to answer, or has just ended")),
    }
}

/// How a stream and its partitions stand, as the job itself says it.
pub fn as_json(stats: &StreamStats) -> Value {
    let (counts, standings) = (stats.counts(), stats.standings());
    let watermark = |at: EventTime| if at == EventTime::MIN { Value::Null } else { at.to_string().into() };
    let least = standings.iter().filter(|one| one.counts).map(|one| one.watermark).min();
    let partition = |one: &PartitionStanding| {
        let position =
            one.position.map(|at| json!({ "ledger": at.ledger, "entry": at.entry, "batch_index": at.batch_index }));
        json!({
            "partition": one.partition, "state": one.state.word(), "position": position,
            "arrival": one.arrival.map(|at| at.to_string()), "clock": one.clock.map(|at| at.to_string()),
            "watermark": watermark(one.watermark), "waited_for": one.counts,
            "holds_back": one.counts && !counts.in_history && Some(one.watermark) == least,
        })
    };
    let first = standings.first();
    let quiet = first.map(|one| match one.quiet {
        Quiet::After(after) => span_text(after),
        Quiet::Never => "never".to_owned(),
    });
    json!({
        "stream": stats.name, "topic": first.map(|one| one.topic.as_str()), "in_history": counts.in_history,
        "watermark": watermark(counts.watermark), "quiet": quiet, "delay": first.map(|one| span_text(one.delay)),
        "partitions": standings.iter().map(partition).collect::<Vec<_>>(),
    })
}

/// Asks the topic how much lies after each position; what cannot be said is told with its reason.
fn add_backlogs(project: &Project, stream: &mut Value) {
    let Some(name) = stream["topic"].as_str().map(str::to_owned) else { return };
    if stream["stream"].as_str().is_some_and(|stream| project.is_consumed(stream)) {
        // Its messages are numbered by the job, and have no place on the topic that could be looked at.
        stream["partitions"].as_array_mut().into_iter().flatten().for_each(|one| one["is_queue"] = true.into());
        return;
    }
    let topic = project.topics().and_then(|topics| topics.topic(&name));
    for partition in stream["partitions"].as_array_mut().into_iter().flatten() {
        let number = |of: &Value| of.as_u64().unwrap_or(0);
        let at = &partition["position"];
        let position = at.is_object().then(|| Position {
            ledger: number(&at["ledger"]),
            entry: number(&at["entry"]),
            batch_index: u32::try_from(number(&at["batch_index"])).unwrap_or(0),
        });
        let index = u32::try_from(number(&partition["partition"])).unwrap_or(0);
        if let Ok(Some(topic)) = &topic
            && let Some(name) = topic.partition_name(index)
        {
            partition["topic"] = name.into();
        }
        let end = match &topic {
            Ok(Some(topic)) => topic.open(index, position).and_then(|mut log| log.end()).map(|end| end.last),
            Ok(None) => Err(Error::invalid(format!("topic \"{name}\" is not there"))),
            Err(error) => Err(Error::unavailable(error.chain())),
        };
        match end {
            Ok(last) => partition["backlog_entries"] = backlog(position, last),
            Err(error) => partition["backlog_error"] = error.chain().into(),
        }
    }
}

/// How many entries lie after a position; null where they lie in several ledgers, so that their numbers do not tell.
fn backlog(position: Option<Position>, last: Option<Position>) -> Value {
    match (position, last) {
        (_, None) => 0.into(),
        (Some(position), Some(last)) if last <= position => 0.into(),
        (Some(position), Some(last)) if last.ledger == position.ledger => (last.entry - position.entry).into(),
        _ => Value::Null,
    }
}

fn text(job: &JobHere, streams: &[Value]) -> String {
    let mut lines = vec![called(job.name.as_deref())];
    for stream in streams {
        let watermark =
            stream["watermark"].as_str().map_or("no watermark yet".to_owned(), |at| format!("watermark {at}"));
        let (name, partitions) = (stream["stream"].as_str().unwrap_or_default(), stream["partitions"].as_array());
        let Some(partitions) = partitions.filter(|partitions| !partitions.is_empty()) else {
            lines.push(format!("  {name}: {watermark}, no topic"));
            continue;
        };
        let text = |key: &str| stream[key].as_str().unwrap_or("unknown").to_owned();
        let quiet = match text("quiet").as_str() {
            "never" => "silence holds it (QUIET NEVER)".to_owned(),
            after => format!("silence counts after {after}"),
        };
        let held = match stream["in_history"] == true {
            true => "history is read".to_owned(),
            false => held_by(partitions),
        };
        lines.push(format!("  {name}: {watermark}, delay {}, {quiet}; {held}", text("delay")));
        lines.extend(partitions.iter().map(partition_text));
    }
    lines.join("\n") + "\n"
}

fn span_text(span: Span) -> String {
    show::duration(Duration::from_micros(u64::try_from(span.0).unwrap_or(0)))
}

/// Who holds the watermark, in words.
fn held_by(partitions: &[Value]) -> String {
    let holders = partitions.iter().filter(|one| one["holds_back"] == true);
    let holders: Vec<String> = holders.map(|one| one["partition"].to_string()).collect();
    match &holders[..] {
        [] => "no partition is waited for".to_owned(),
        [one] => format!("held by partition {one}"),
        many => format!("held by partitions {}", many.join(", ")),
    }
}

fn partition_text(one: &Value) -> String {
    let of = |key: &str, without: &str| one[key].as_str().unwrap_or(without).to_owned();
    if one["is_queue"] == true {
        return format!(
            "    a queue: {}, `riverrun jobs` shows what is not acknowledged; clock {}, watermark {}",
            of("state", "unknown"),
            of("clock", "none"),
            of("watermark", "none")
        );
    }
    let at = &one["position"];
    let position = match at.is_object() {
        true => format!("at {}:{}:{}", at["ledger"], at["entry"], at["batch_index"]),
        false => "at its beginning".to_owned(),
    };
    let backlog = match (one["backlog_entries"].as_i64(), one["backlog_error"].as_str()) {
        (_, Some(error)) => format!("how much lies after it is not known: {error}"),
        (Some(0), _) => "nothing after it".to_owned(),
        (Some(1), _) => "1 entry after it".to_owned(),
        (Some(entries), _) => format!("{} entries after it", show::count(entries)),
        (None, _) => "more after it, in other ledgers".to_owned(),
    };
    let name = one["topic"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
    format!(
        "    partition {}{name}: {}, {position} (arrived {}), {backlog}; clock {}, watermark {}{}",
        one["partition"],
        of("state", "unknown"),
        of("arrival", "never"),
        of("clock", "none"),
        of("watermark", "none"),
        if one["holds_back"] == true { ", holds the watermark back" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_after_a_position_are_counted_where_their_numbers_tell() {
        let at = |ledger, entry| Some(Position { ledger, entry, batch_index: 0 });
        assert_eq!(backlog(None, None), json!(0));
        assert_eq!(backlog(at(3, 9), None), json!(0), "all was trimmed");
        assert_eq!(backlog(at(3, 9), at(3, 9)), json!(0));
        assert_eq!(backlog(at(3, 9), at(3, 12)), json!(3));
        assert_eq!(backlog(at(3, 9), at(4, 0)), Value::Null);
        assert_eq!(backlog(None, at(4, 0)), Value::Null);
    }
}
