//! `run`: a job over history, then live, and what it did.

use crate::args::RunArgs;
use crate::clock::{Stopwatch, rest};
use crate::outcome::Outcome;
use crate::progress::Progress;
use crate::signals::Stop;
use crate::{print, show};
use dataflow::{Error, EventTime, Fate, Output, Result};
use engine::{Control, Job, JobReport, Pool, SinkBinding};
use project::{Begin, Failure, JobOptions, Project, RuleTally, Wired, WiredSink};
use seam::StreamStats;
use serde_json::json;
use sql::Target;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How many streams one line names.
const STREAMS_NAMED: usize = 5;

/// Runs a job to its end, or until it is stopped.
pub fn run(project: &Project, args: &RunArgs) -> Outcome {
    let target = project.job_target(args.job.as_deref())?;
    let options = JobOptions {
        until_caught_up: args.until_caught_up,
        begin: if args.fresh { Begin::Fresh } else { Begin::Refuse },
        from: args.from.as_deref().map(instant).transpose()?,
    };
    let stop = Stop::listen()?;
    if !options.until_caught_up && !wait_for_topics(project, &target, &stop)? {
        return Ok(ExitCode::SUCCESS);
    }
    let wired = project.job(&target, &options)?;
    let bounded = wired.bounded;
    announce(&wired);
    let outputs = wired.sinks.iter().map(Written::of).collect::<Vec<_>>();
    let (stats, tallies, start) = (wired.stats.clone(), wired.tallies.clone(), wired.start);
    let new_tables = wired.new_tables.clone();
    let (job, names, _spill) = engine_job(wired, args.workers.map(usize::from))?;
    let commit_every = args.commit_every(project);
    let control = Arc::new(Control::default());
    let mut progress = Progress::start(&stats);
    let (watch, mut committed, mut peak) = (Stopwatch::start(), Duration::ZERO, Peak::default());
    // Looked at once, when the job's readers are being woken.
    let mut polling = Some(());
    let ended = engine::run(job, &control, &mut |status| {
        if stop.is_asked() {
            control.finish();
        }
        if watch.elapsed() - committed > commit_every {
            committed = watch.elapsed();
            control.commit();
        }
        if let Some(reason) = polling.take().and_then(|()| project.topics().ok()?.watched_by_polling()) {
            progress.say(&format!("topics are looked at every 50 ms for new messages: {reason}"));
        }
        peak.take(status);
        progress.tick(status);
    });
    let took = progress.finish();
    let ended = ended.map_err(Failure::Begun)?;
    // What a run has not read to its end takes no place.
    if !bounded || !stop.is_asked() {
        new_tables.take_places().map_err(Failure::Begun)?;
    }
    let summary = Summary {
        project,
        stats: &stats,
        tallies: &tallies,
        start,
        ended: &ended,
        names: &names,
        outputs: &outputs,
        peak: &peak,
        took,
        stopped: stop.name(),
        bounded,
        kept: new_tables.waiting(),
    };
    if args.json {
        print::line(&summary.json().to_string())?;
    } else {
        print::note_text(&summary.text());
    }
    // A run that goes on for ever has done what it was asked for: all that it read is committed.
    Ok(if bounded { stop.exit_code() } else { ExitCode::SUCCESS })
}

/// Waits until the topics that a job reads are there, if they cannot be made here; false when it was stopped before.
fn wait_for_topics(project: &Project, target: &Target, stop: &Stop) -> Result<bool, Failure> {
    let mut told = Vec::new();
    while !stop.is_asked() {
        let missing = project.missing_topics(target)?;
        if missing.is_empty() {
            return Ok(true);
        }
        for (topic, reason) in missing.iter().filter(|(topic, _)| !told.contains(topic)) {
            print::note(format_args!("waiting for topic {topic}, which is not there and cannot be made: {reason}"));
        }
        told = missing.into_iter().map(|(topic, _)| topic).collect();
        // Half a second: somebody makes a topic once.
        (0..25).for_each(|_| rest());
    }
    Ok(false)
}

/// What a job writes, for the summary.
struct Written {
    line: String,
    node: String,
    topic: bool,
}

impl Written {
    fn of(sink: &WiredSink) -> Written {
        let (line, topic) = match (&sink.output, sink.epoch) {
            (Output::Table(table), _) => (format!("table {table}"), false),
            (Output::Topic(topic), Some(epoch)) => (format!("topic {topic} (epoch {epoch})"), true),
            (Output::Topic(topic), None) => (format!("topic {topic}"), true),
            (Output::Query(_), _) => ("query".to_owned(), false),
        };
        Written { line, node: sink.node.clone(), topic }
    }
}

/// The engine's job of what the project wired, the names of its sinks, and what must live as long as it runs.
pub fn engine_job(mut wired: Wired, workers: Option<usize>) -> Result<(Job, Vec<String>, project::SpillFolder)> {
    let workers = workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let (readers, coordinator) = wired.readers(workers, Arc::new(Pool::new(workers)?))?;
    let names = wired.sinks.iter().map(|sink| sink.name.clone()).collect();
    let bind = |sink: WiredSink| SinkBinding { writer: sink.writer, committer: sink.committer, after: sink.after };
    let job = Job {
        graph: wired.graph,
        readers,
        coordinator,
        sinks: wired.sinks.into_iter().map(bind).collect(),
        workers,
        clock: wired.clock,
        spill_dir: wired.spill.path().to_owned(),
    };
    Ok((job, names, wired.spill))
}

/// Says before a job starts where its actions begin.
fn announce(wired: &Wired) {
    if wired.sinks.iter().any(|sink| matches!(sink.output, Output::Topic(_))) {
        match wired.start {
            EventTime::MIN => {
                print::note(format_args!("topics and actions begin with the first row: no stream has an archived past"))
            }
            start => print::note(format_args!(
                "topics and actions begin after {start}; {} messages wait after the archive's end, and what they lead to is acted on",
                show::count(wired.waiting as i64)
            )),
        }
    }
}

/// An instant as people write it: `2013-12-01`, `2013-12-01T05:00`, with or without seconds, fraction and Z.
pub fn instant(text: &str) -> Result<EventTime> {
    let bare = text.trim_end_matches('Z').replace(' ', "T");
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    let parsed = formats
        .iter()
        .find_map(|format| chrono::NaiveDateTime::parse_from_str(&bare, format).ok())
        .or_else(|| chrono::NaiveDate::parse_from_str(&bare, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0));
    let at = parsed.ok_or_else(|| {
        Error::invalid(format!("{text:?} is no instant; write 2013-12-01 or 2013-12-01T05:00:00, which is UTC"))
    })?;
    Ok(EventTime(at.and_utc().timestamp_micros()))
}

struct Summary<'a> {
    project: &'a Project,
    stats: &'a [Arc<StreamStats>],
    tallies: &'a [(String, RuleTally)],
    start: EventTime,
    ended: &'a JobReport,
    names: &'a [String],
    outputs: &'a [Written],
    peak: &'a Peak,
    took: Duration,
    // What stopped it, if anything did.
    stopped: Option<&'static str>,
    // Whether its inputs end.
    bounded: bool,
    // Tables that keep the rows of an earlier run, since this one has not come to its end.
    kept: Vec<&'a str>,
}

/// The most state that was seen while a job ran, and the steps that held the most of it.
#[derive(Default)]
struct Peak {
    bytes: usize,
    steps: Vec<(String, usize)>,
}

impl Peak {
    fn take(&mut self, status: &engine::Status) {
        let bytes = status.state_bytes();
        if bytes > self.bytes {
            self.bytes = bytes;
            let mut steps: Vec<_> = status.nodes().into_iter().map(|node| (node.name, node.state_bytes)).collect();
            steps.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
            steps.truncate(2);
            self.steps = steps;
        }
    }

    fn text(&self) -> String {
        let steps: Vec<_> = self.steps.iter().map(|(name, bytes)| format!("{name} {}", show::bytes(*bytes))).collect();
        let of_steps = if self.bytes == 0 { String::new() } else { format!(": {}", steps.join(", ")) };
        format!("state at most {}{of_steps}\n", show::bytes(self.bytes))
    }
}

impl Summary<'_> {
    /// At most 20 lines.
    fn text(&self) -> String {
        let mut text = String::new();
        let read: u64 = self.stats.iter().map(|stream| stream.counts().history_rows + stream.counts().live_rows).sum();
        text += &format!(
            "{} {} in {}: {} rows, {} rows/s\n",
            self.project.name(),
            self.stopped.map_or("done".to_owned(), |by| format!("stopped by {by}")),
            show::duration(self.took),
            show::count(read as i64),
            show::count((read as f64 / self.took.as_secs_f64().max(1e-3)) as i64)
        );
        text += &self.streams();
        text += &self.without_rows();
        text += &self.without_arrival();
        text += &self.conservation();
        text += &self.peak.text();
        text += &self.decisions();
        text += &self.written();
        text += &self.next();
        text
    }

    fn streams(&self) -> String {
        let names = ["stream", "history", "live", "late", "dropped", "watermark"].map(str::to_owned);
        let held = self.ended.status.held_by().map(|(stream, _)| stream);
        let row = |stream: &Arc<StreamStats>| {
            let counts = stream.counts();
            let ahead = self.stats.iter().any(|other| other.counts().watermark > counts.watermark);
            let mark = if ahead && held.as_deref() == Some(&stream.name) { "  holds the others" } else { "" };
            let number = |count: u64| show::count(count as i64);
            vec![
                stream.name.clone(),
                number(counts.history_rows),
                number(counts.live_rows),
                number(counts.late_moved),
                number(counts.late_dropped + counts.quarantined + counts.bad + counts.dead_lettered),
                format!("{}{mark}", counts.watermark),
            ]
        };
        let mut rows: Vec<_> = self.stats.iter().map(row).collect();
        if rows.len() > 5 {
            rows.truncate(4);
            rows.push(vec![
                format!("and {} more", self.stats.len() - 4),
                "".into(),
                "".into(),
                "".into(),
                "".into(),
                "".into(),
            ]);
        }
        show::align(&names, &[false, true, true, true, true, false], &rows)
    }

    /// The streams of which nothing came, since a zero among others is easily not seen.
    fn without_rows(&self) -> String {
        let is_empty = |stream: &&Arc<StreamStats>| {
            let counts = stream.counts();
            let read = counts.history_rows + counts.live_rows + counts.late_dropped;
            read + counts.quarantined + counts.bad + counts.dead_lettered == 0
        };
        let names: Vec<&str> = self.stats.iter().filter(is_empty).map(|stream| stream.name.as_str()).collect();
        let of = match names.as_slice() {
            [] => return String::new(),
            [name] => format!("stream {name}"),
            all if all.len() <= STREAMS_NAMED => format!("streams {}", all.join(", ")),
            all => format!("streams {} and {} more", all[..STREAMS_NAMED].join(", "), all.len() - STREAMS_NAMED),
        };
        format!("nothing was read of {of}: no row for this run in HISTORY or LIVE\n")
    }

    /// The streams whose rows were all on time because nothing says when they came.
    fn without_arrival(&self) -> String {
        let lacks = |stream: &&Arc<StreamStats>| stream.history_lacks_arrival;
        let names: Vec<&str> = self.stats.iter().filter(lacks).map(|stream| stream.name.as_str()).collect();
        let (of, them) = match names.as_slice() {
            [] => return String::new(),
            [name] => ((*name).to_owned(), "it"),
            all if all.len() <= STREAMS_NAMED => (all.join(", "), "them"),
            all => (format!("{} and {} more", all[..STREAMS_NAMED].join(", "), all.len() - STREAMS_NAMED), "them"),
        };
        format!("history of {of} has no arrival: no row of {them} can be late\n")
    }

    fn conservation(&self) -> String {
        let (mut used, mut dropped, mut quarantined, mut bad, mut letters) = (0, 0, 0, 0, 0);
        for counts in self.stats.iter().map(|stream| stream.counts()) {
            used += counts.history_rows + counts.live_rows;
            dropped += counts.late_dropped;
            quarantined += counts.quarantined;
            bad += counts.bad;
            letters += counts.dead_lettered;
        }
        let fate = |fate| self.ended.status.nodes().iter().map(|node| node.fates.of(fate)).sum::<i64>();
        format!(
            "rows in {} = used {} + late and removed {} + quarantined {} + bad {} + dead letters {}; then deduplicated {}, \
             held {}, bad {}, dead letters {}\n",
            show::count((used + dropped + quarantined + bad + letters) as i64),
            show::count(used as i64),
            show::count(dropped as i64),
            show::count(quarantined as i64),
            show::count(bad as i64),
            show::count(letters as i64),
            show::count(fate(Fate::Deduplicated)),
            show::count(fate(Fate::Held)),
            show::count(fate(Fate::Bad)),
            show::count(fate(Fate::DeadLettered)),
        )
    }

    fn decisions(&self) -> String {
        let mut text = String::new();
        for (decision, tally) in self.tallies {
            let rules = tally.rules();
            let actions: i64 = rules.iter().map(|rule| rule.published).sum();
            text += &format!(
                "decision {decision}: {} rows, {} actions{}\n",
                show::count(tally.rows()),
                show::count(actions),
                if self.start == EventTime::MIN { String::new() } else { format!(" after {}", self.start) }
            );
            for rule in rules.iter().take(4) {
                let share = 100.0 * rule.published as f64 / actions.max(1) as f64;
                text += &format!(
                    "  {:<20} matched {:>9}, acted {:>9}, published {:>7} ({share:.0} %){}\n",
                    rule.name,
                    show::count(rule.matched),
                    show::count(rule.acted),
                    show::count(rule.published),
                    if rule.model { ", by a model" } else { "" }
                );
            }
        }
        text
    }

    fn written(&self) -> String {
        let nodes = self.ended.status.nodes();
        let rows = |name: &str| nodes.iter().find(|node| node.name == name).map_or(0, |node| node.fates.of(Fate::Out));
        let lines =
            self.outputs.iter().map(|output| format!("{} {} rows", output.line, show::count(rows(&output.node))));
        format!("wrote {}\n", lines.collect::<Vec<_>>().join(", "))
    }

    fn next(&self) -> String {
        let mut text = String::new();
        if self.stopped.is_some() && self.bounded && self.kept.is_empty() {
            text += "not all inputs were read: what is written is committed, and what was not read or still waits for later rows \
                     is not in it\n";
        }
        if !self.kept.is_empty() {
            text += &format!(
                "not all inputs were read: {} as before this run; a run with --fresh takes the place of that at its end\n",
                match self.kept.as_slice() {
                    [one] => format!("table {one} is"),
                    all => format!("tables {} are", all.join(", ")),
                }
            );
        }
        if self.stopped.is_some() {
            text += "the next run starts over, with --fresh\n";
        }
        let of_topic = self.outputs.iter().zip(self.names).find(|(output, _)| output.topic);
        if let Some((output, _)) = of_topic {
            let topic = output.line.split(' ').nth(1).unwrap_or_default();
            text += &format!("  riverrun tail {topic} --from-start -n 5\n");
        }
        if let Some((decision, tally)) = self.tallies.first() {
            let id = tally.last_action().unwrap_or_else(|| decision.clone());
            text += &format!("  riverrun why {id}\n");
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let streams: Vec<_> = self
            .stats
            .iter()
            .map(|stream| {
                let counts = stream.counts();
                json!({
                    "stream": stream.name, "history_rows": counts.history_rows, "history_lacks_arrival": stream.history_lacks_arrival, "live_rows": counts.live_rows,
                    "late_moved": counts.late_moved, "late_dropped": counts.late_dropped, "quarantined": counts.quarantined,
                    "bad": counts.bad, "dead_lettered": counts.dead_lettered, "joined": counts.joined, "watermark": counts.watermark.to_string(),
                })
            })
            .collect();
        let nodes: Vec<_> = self
            .ended
            .status
            .nodes()
            .iter()
            .map(|node| {
                let fates: serde_json::Map<_, _> = Fate::ALL
                    .iter()
                    .map(|&fate| (format!("{fate:?}").to_lowercase(), json!(node.fates.of(fate))))
                    .collect();
                json!({ "node": node.name, "state_bytes": node.state_bytes, "rows": fates })
            })
            .collect();
        let decisions: Vec<_> = self
            .tallies
            .iter()
            .map(|(name, tally)| {
                let rules: Vec<_> = tally
                    .rules()
                    .iter()
                    .map(|rule| json!({ "rule": rule.name, "matched": rule.matched, "acted": rule.acted, "published": rule.published, "model": rule.model }))
                    .collect();
                json!({ "decision": name, "rows": tally.rows(), "rules": rules })
            })
            .collect();
        json!({
            "project": self.project.name(), "seconds": self.took.as_secs_f64(), "stopped": self.stopped.is_some(),
            "start": self.start.to_string(), "streams": streams, "nodes": nodes, "decisions": decisions,
            "outputs": self.outputs.iter().map(|output| output.line.clone()).collect::<Vec<_>>(),
        })
    }
}
