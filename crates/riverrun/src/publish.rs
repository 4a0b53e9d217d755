//! `publish` and `tail`: events onto a topic, and a topic watched.

use crate::clock::Stopwatch;
use crate::outcome::Outcome;
use crate::signals::Stop;
use crate::{print, show};
use indicatif::{ProgressBar, ProgressStyle};
use project::{Project, TailRow};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use values::Encoding;

/// Puts the rows of a file on a stream's topic.
pub fn publish(project: &Project, stream: &str, file: &Path, encoding: Encoding, partitions: u32) -> Outcome {
    let watch = Stopwatch::start();
    let spinner = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} publish  {human_pos} messages")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    spinner.enable_steady_tick(Duration::from_millis(100));
    let published = project.publish(stream, file, encoding, partitions, &mut |rows| spinner.set_position(rows as u64));
    spinner.finish_and_clear();
    let published = published?;
    if let Some(warning) = &published.warning {
        print::note(format_args!("warning: {warning}"));
    }
    if published.messages == 0 && published.warning.is_none() {
        print::note(format_args!(
            "\"{}\" has no row: nothing was published to topic {}",
            file.display(),
            published.topic
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let times = published.times.map_or(String::new(), |(least, greatest)| format!(", from {least} to {greatest}"));
    print::note(format_args!(
        "published {} ({}) to topic {} in {}{times}",
        show::counted(published.messages as i64, "message"),
        show::bytes(published.bytes),
        published.topic,
        show::duration(watch.elapsed())
    ));
    Ok(ExitCode::SUCCESS)
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
            if !std::mem::replace(&mut waits, true) {
                print::note(format_args!("waiting for messages on topic {}; Ctrl-C ends it", tail.topic()));
            }
            tail.wait(LOOK_EVERY)?;
        }
        for row in rows.iter().take(left) {
            if !print::line(&line(row, options.json))? {
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
        let payload: serde_json::Value = serde_json::from_slice(&row.message.payload)
            .unwrap_or_else(|_| serde_json::Value::String(payload.into_owned()));
        let arrival = row.message.arrival.to_string();
        serde_json::json!({
            "position": position, "arrival": arrival, "epoch": producer.map(|producer| producer.1),
            "producer": producer.map(|producer| producer.0.clone()), "payload": payload,
        })
        .to_string()
    } else {
        let epoch = producer.map_or(String::new(), |(_, epoch)| format!("  epoch {epoch}"));
        format!("{}  {position}{epoch}  {payload}", row.message.arrival)
    }
}
