//! `publish` and `tail`: events onto a topic, and a topic watched.

use crate::args::PublishArgs;
use crate::clock::Stopwatch;
use crate::outcome::Outcome;
use crate::signals::Stop;
use crate::{print, show};
use indicatif::{ProgressBar, ProgressStyle};
use project::{InputOptions, Project, PublishEvent, PublishOptions, PublishSummary, TailRow};
use std::process::ExitCode;
use std::time::Duration;

/// Puts the rows of an input on a stream's topic.
pub fn publish(project: &Project, args: &PublishArgs) -> Outcome {
    let options = PublishOptions {
        input: InputOptions {
            from: args.file.clone(),
            format: args.format,
            encoding: args.encoding,
            follow: args.follow,
        },
        partitions: args.partitions,
        producer: args.producer.clone(),
    };
    let (watch, stop) = (Stopwatch::start(), Stop::listen()?);
    let spinner = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} publish  {human_pos} messages")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    spinner.enable_steady_tick(Duration::from_millis(100));
    let published = project.publish(&args.stream, &options, &|| stop.is_asked(), &mut |event| match event {
        PublishEvent::Messages(count) => spinner.set_position(count as u64),
        PublishEvent::Note(note) => spinner.suspend(|| print::note(format_args!("{note}"))),
    });
    spinner.finish_and_clear();
    let published = published?;
    for warning in &published.warnings {
        print::note(format_args!("warning: {warning}"));
    }
    let is_early = !published.is_whole && !published.is_live;
    print::note_text(&summary(args, &published, watch.elapsed(), is_early));
    // An input without an end of its own was read as long as it was to be.
    Ok(if is_early { stop.exit_code() } else { ExitCode::SUCCESS })
}

fn summary(args: &PublishArgs, published: &PublishSummary, took: Duration, is_early: bool) -> String {
    let topic = &published.topic;
    let known = match (&args.producer, published.known) {
        (Some(name), known @ 1..) => {
            let were = if known == 1 { "was" } else { "were" };
            format!("; {} {were} there already, of producer {name}", show::counted(known as i64, "row"))
        }
        _ => String::new(),
    };
    if published.messages == 0 && !is_early {
        let nothing = format!("nothing was published to topic {topic}");
        return match (known.is_empty(), published.warnings.is_empty()) {
            (true, true) if args.file == "-" => format!("no row came: {nothing}\n"),
            (true, true) => format!("\"{}\" has no row: {nothing}\n", args.file),
            (true, false) => format!("{nothing}\n"),
            (false, _) => format!("{nothing}{known}\n"),
        };
    }
    if published.messages == 0 && known.is_empty() {
        return format!("it was stopped before anything was published to topic {topic}\n");
    }
    let times = published.times.map_or(String::new(), |(least, greatest)| format!(", from {least} to {greatest}"));
    let mut text = format!(
        "published {} ({}) to topic {topic} in {}{times}{known}\n",
        show::counted(published.messages as i64, "message"),
        show::bytes(published.bytes),
        show::duration(took)
    );
    if is_early {
        text += match &args.producer {
            Some(_) => "it was stopped before the end of the input: the same command goes on there\n",
            None => "it was stopped before the end of the input: publish the rest alone, since these rows are there\n",
        };
    }
    text
}

/// How often a command that waits for messages looks whether Ctrl-C was pressed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How a topic is watched.
pub struct TailOptions {
    pub limit: Option<usize>,
    pub from_start: bool,
    pub until_caught_up: bool,
    pub json: bool,
}

/// Prints the messages of a topic as they come.
pub fn tail(project: &Project, name: &str, options: &TailOptions) -> Outcome {
    let mut tail = project.tail(name, options.from_start)?;
    let stop = Stop::listen()?;
    let mut left = options.limit.unwrap_or(usize::MAX);
    let mut waits = false;
    while left > 0 && !stop.is_asked() {
        let rows = tail.next(1024.min(left))?;
        if rows.is_empty() {
            if options.until_caught_up {
                break;
            }
            if print::nobody_reads() {
                break;
            }
            if !std::mem::replace(&mut waits, true) {
                print::note(format_args!("waiting for messages on topic {}; Ctrl-C ends it", tail.topic()));
            }
            tail.wait(LOOK_EVERY)?;
        }
        for row in rows.iter().take(left) {
            let line = line(row, options.json);
            if !(if options.json { print::line(&line) } else { print::row(&line) })? {
                return Ok(ExitCode::SUCCESS);
            }
        }
        left -= rows.len().min(left);
    }
    Ok(ExitCode::SUCCESS)
}

fn line(row: &TailRow, json: bool) -> String {
    let at = row.message.position;
    let position = format!("{}:{}:{}:{}", row.partition, at.ledger, at.entry, at.batch_index);
    let payload = String::from_utf8_lossy(&row.message.payload);
    let producer = row.producer.as_ref();
    if json {
        // JSON goes out letter by letter: a number that is read and written again is another one.
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&row.message.payload).is_ok();
        let payload = match is_json {
            true => payload.replace(['\n', '\r'], " "),
            false => serde_json::Value::String(payload.into_owned()).to_string(),
        };
        let arrival = row.message.arrival.to_string();
        let mut about = serde_json::json!({
            "position": position, "arrival": arrival, "epoch": producer.and_then(|producer| producer.1),
            "producer": producer.map(|producer| producer.0.clone()),
        });
        if let (Some(reason), Some(about)) = (&row.message.unreadable, about.as_object_mut()) {
            about.insert("unreadable".to_owned(), reason.clone().into());
        }
        format!("{},\"payload\":{payload}}}", about.to_string().trim_end_matches('}'))
    } else {
        let epoch = producer.and_then(|(_, epoch)| *epoch).map_or(String::new(), |epoch| format!("  epoch {epoch}"));
        let unreadable =
            row.message.unreadable.as_ref().map_or(String::new(), |reason| format!("  unreadable: {reason}"));
        format!("{}  {position}{epoch}{unreadable}  {payload}", row.message.arrival)
    }
}
