//! `run archive`: topics into history tables.

use crate::args::RunArgs;
use crate::clock::Stopwatch;
use crate::outcome::Outcome;
use crate::progress::Spinner;
use crate::signals::Stop;
use crate::{print, show};
use dataflow::{Error, Position, Result};
use project::{Archive, ArchiveEnd, ArchiveOptions, ArchiveStep, Archived, GrowingTopics, Project};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// How long a turn of the loop waits for a topic to grow, when there was nothing to do: Ctrl-C and commits are looked
/// for so often.
const REST: Duration = Duration::from_millis(100);
/// How often a line is printed when stderr is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Copies until the topics end (or the positions that were given), or until it is stopped.
pub fn archive(project: &Project, args: &RunArgs) -> Outcome {
    if args.fresh {
        return Err(Error::invalid(
            "an archive goes on after what its table holds, and never starts over: leave --fresh out; to copy a topic anew, \
             name another table as HISTORY of its stream",
        )
        .into());
    }
    let mut ends = BTreeMap::<String, ArchiveEnd>::new();
    for text in &args.to {
        let (stream, end) = positions(text)?;
        ends.entry(stream).or_default().extend(end);
    }
    let bounded = args.until_caught_up || !ends.is_empty();
    let stop = Stop::listen()?;
    let mut view = View::start();
    let options = ArchiveOptions { ends, commit_every: args.commit_every(project) };
    let mut archived = Vec::new();
    let archive = loop {
        let mut archive = Archive::open(project, options.clone())?;
        view.absent(&archive);
        let has_grown = copy(project, &mut archive, (&stop, &mut view, bounded))?;
        add(&mut archived, archive.archived()?);
        if !has_grown {
            break archive;
        }
    };
    let took = view.finish();
    if args.json {
        print::line(&json(&archived).to_string())?;
    } else {
        print::note_text(&format!("archived in {}\n{}", show::duration(took), table(&archived)));
    }
    let absent: Vec<_> = archive.absent().map(|(stream, why)| format!("{stream}: {why}")).collect();
    if bounded && !absent.is_empty() {
        let told = format!("not archived, since the topic is not there and cannot be made: {}", absent.join("; "));
        return Err(Error::unavailable(told).into());
    }
    // What was read is committed; one without an end has done what it was asked for.
    Ok(if bounded { stop.exit_code() } else { ExitCode::SUCCESS })
}

/// Copies until the end, or until a topic has more partitions; says which.
fn copy(project: &Project, archive: &mut Archive<'_>, (stop, view, bounded): (&Stop, &mut View, bool)) -> Result<bool> {
    let (mut growing, mut known, mut has_grown) = (None, Vec::new(), false);
    while !archive.is_done() {
        if stop.is_asked() {
            archive.stop();
        }
        // Streams that waited for their topics may have got them.
        if !bounded && archive.partitions() != known {
            known = archive.partitions();
            growing = project.watch_partitions(known.clone())?;
        }
        if let Some(grown) = growing.as_ref().and_then(GrowingTopics::grown) {
            print::note(format_args!("{grown}: the archive commits what it has, and goes on with all of them"));
            has_grown = true;
            archive.finish();
        }
        let step = archive.step(view.watch.elapsed())?;
        view.show(&step, archive.lag());
        if bounded && step.caught_up {
            archive.finish();
        }
        if step.rows == 0 {
            archive.wait(REST);
        }
    }
    Ok(has_grown && !stop.is_asked())
}

/// Adds what was archived to what was before.
fn add(all: &mut Vec<Archived>, more: Vec<Archived>) {
    for one in more {
        match all.iter_mut().find(|known| known.stream == one.stream) {
            Some(known) => {
                known.rows += one.rows;
                known.commits += one.commits;
                known.total = one.total;
            }
            None => all.push(one),
        }
    }
}

fn json(archived: &[Archived]) -> serde_json::Value {
    let stream = |one: &Archived| {
        serde_json::json!({
            "stream": one.stream, "table": one.table, "rows": one.rows, "commits": one.commits, "total": one.total,
        })
    };
    serde_json::json!({ "archived": archived.iter().map(stream).collect::<Vec<_>>() })
}

fn table(archived: &[Archived]) -> String {
    let header = ["stream", "table", "rows", "commits", "in the table"].map(str::to_owned);
    let count = |count: u64| show::count(count as i64);
    let line = |one: &Archived| {
        vec![one.stream.clone(), one.table.clone(), count(one.rows), count(one.commits), count(one.total)]
    };
    show::fit(&header, &[false, false, true, true, true], &archived.iter().map(line).collect::<Vec<_>>())
}

/// What the job does, while it does it: one line that changes on a terminal, lines when piped.
struct View {
    spinner: Spinner,
    watch: Stopwatch,
    terminal: bool,
    // When the next plain line is due.
    due: Duration,
    rows: u64,
    commits: u64,
    last_commit: Option<Duration>,
}

impl View {
    fn start() -> View {
        View {
            spinner: Spinner::start("archive"),
            watch: Stopwatch::start(),
            terminal: std::io::stderr().is_terminal(),
            due: PLAIN_EVERY,
            rows: 0,
            commits: 0,
            last_commit: None,
        }
    }

    /// Names the streams that wait for their topics.
    fn absent(&self, archive: &Archive<'_>) {
        for (stream, why) in archive.absent() {
            print::note(format_args!("{stream} waits for its topic, and the others go on: {why}"));
        }
    }

    fn show(&mut self, step: &ArchiveStep, lag: Option<Duration>) {
        self.rows += step.rows;
        step.told.iter().for_each(|line| print::note(format_args!("{line}")));
        for commit in &step.committed {
            (self.commits, self.last_commit) = (self.commits + 1, Some(self.watch.elapsed()));
            if !self.terminal {
                print::note(format_args!("committed {} to {}", show::counted(commit.rows as i64, "row"), commit.table));
            }
        }
        let now = self.watch.elapsed();
        let due = now >= self.due;
        if !self.terminal && !due {
            return;
        }
        let lag = lag.map_or("caught up".to_owned(), |lag| format!("lag {}", show::duration(lag)));
        let commits = self.last_commit.map_or("no commit yet".to_owned(), |at| {
            format!("{}, the last {} ago", show::counted(self.commits as i64, "commit"), show::duration(now - at))
        });
        let message = format!("{}, {lag}, {commits}", show::counted(self.rows as i64, "row"));
        if self.terminal {
            self.spinner.show(message);
        } else {
            self.due = now + PLAIN_EVERY;
            print::note(format_args!("archive: {message}"));
        }
    }

    fn finish(self) -> Duration {
        self.watch.elapsed()
    }
}

/// `stream=PARTITION:LEDGER:ENTRY:INDEX,..`
fn positions(text: &str) -> Result<(String, ArchiveEnd)> {
    let wrong = || {
        Error::invalid(format!(
            "--to \"{text}\" is not a list of positions; write stream=PARTITION:LEDGER:ENTRY:INDEX,.."
        ))
    };
    let (stream, list) = text.split_once('=').ok_or_else(wrong)?;
    let mut ends = ArchiveEnd::new();
    for one in list.split(',') {
        let numbers: Vec<u64> = one.split(':').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_>>()?;
        let [partition, ledger, entry, index] = numbers[..] else { return Err(wrong()) };
        let (Ok(partition), Ok(batch_index)) = (u32::try_from(partition), u32::try_from(index)) else {
            return Err(wrong());
        };
        ends.insert(partition, Position { ledger, entry, batch_index });
    }
    Ok((stream.to_owned(), ends))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_refused() {
        let (stream, ends) = positions("plays=0:1:41:0,1:1:7:2").unwrap();
        assert_eq!(stream, "plays");
        assert_eq!(ends[&1], Position { ledger: 1, entry: 7, batch_index: 2 });
        for wrong in ["plays", "plays=", "plays=0:1:2", "plays=0:1:2:x", "plays=0:1:2:3:4"] {
            assert!(positions(wrong).is_err(), "{wrong}");
        }
    }
}
