//! What a run did, as people and programs read it after its end.

use crate::args::ENVIRONMENT_DEFAULT;
use crate::bad_rows::{Command, LeftOut};
use crate::color::{self, Meaning};
use crate::show;
use crate::width;
use dataflow::{EventTime, Fate, Output};
use engine::{JobReport, NodeStatus, Status};
use project::{Project, RuleTally, WiredSink};
use seam::StreamStats;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// How many streams one line names.
const STREAMS_NAMED: usize = 5;
/// How many rules of a decision are shown.
const RULES_SHOWN: usize = 4;
/// How much of a step's name is shown.
const STEP_WIDTH: usize = 44;

/// What a run did.
pub struct Summary<'a> {
    pub project: &'a Project,
    pub stats: &'a [Arc<StreamStats>],
    pub tallies: &'a [(String, RuleTally)],
    pub start: EventTime,
    pub ended: &'a JobReport,
    pub outputs: &'a [Written],
    pub peak: &'a Peak,
    pub took: Duration,
    /// What stopped it, if anything did.
    pub stopped: Option<&'static str>,
    /// Whether its inputs end.
    pub bounded: bool,
    /// Whether it went on where another run had stopped.
    pub goes_on: bool,
    /// Tables that keep the rows of an earlier run, since this one has not come to its end.
    pub kept: Vec<&'a str>,
}

/// A part of the actions, in percent; of few of them so that it is not nothing.
fn share(part: i64, actions: i64) -> String {
    match 100.0 * part as f64 / actions as f64 {
        _ if actions == 0 => "-".to_owned(),
        share if share > 0.0 && share < 0.1 => "< 0.1 %".to_owned(),
        share if share > 0.0 && share < 1.0 => format!("{share:.1} %"),
        share => format!("{share:.0} %"),
    }
}

/// What a job writes.
pub struct Written {
    line: String,
    node: String,
    // The name of the topic, if it is one.
    topic: Option<String>,
    // The epoch of its messages, where the topic holds those of earlier runs too.
    beside_earlier: Option<u64>,
}

impl Written {
    /// What a sink writes.
    pub fn of(sink: &WiredSink) -> Written {
        let (line, topic) = match (&sink.output, sink.epoch) {
            (Output::Table(table), _) => (format!("table {table}"), None),
            (Output::Topic(topic), Some(epoch)) => (format!("topic {topic} (epoch {epoch})"), Some(topic.clone())),
            (Output::Topic(topic), None) => (format!("topic {topic}"), Some(topic.clone())),
            (Output::Query(_), _) => ("query".to_owned(), None),
        };
        let beside_earlier = sink.epoch.filter(|_| sink.has_earlier);
        Written { line, node: sink.node.clone(), topic, beside_earlier }
    }
}

/// The most state that was seen while a job ran, and the steps that held the most of it.
#[derive(Default)]
pub struct Peak {
    // In memory, and on disk.
    bytes: (usize, usize),
    steps: Vec<(String, usize)>,
}

impl Peak {
    /// Looks at the state of the steps now.
    pub fn take(&mut self, status: &Status) {
        let bytes = status.state_bytes();
        if bytes.0 + bytes.1 > self.bytes.0 + self.bytes.1 {
            self.bytes = bytes;
            let of_node = |node: NodeStatus| (node.name, node.state_bytes + node.spilled_bytes);
            let mut steps: Vec<_> = status.nodes().into_iter().map(of_node).collect();
            steps.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
            steps.truncate(2);
            self.steps = steps;
        }
    }

    fn text(&self) -> String {
        let of_step =
            |(name, bytes): &(String, usize)| format!("{} {}", width::cut(name, STEP_WIDTH), show::bytes(*bytes));
        let steps: Vec<String> = self.steps.iter().filter(|_| self.bytes != (0, 0)).map(of_step).collect();
        let colon = if steps.is_empty() { "" } else { ": " };
        let state = show::state(self.bytes.0, self.bytes.1);
        show::list(&format!("state at most {state}{colon}"), &steps, ", ")
    }
}

impl Summary<'_> {
    /// At most 20 lines for a job of a few streams and a decision, in the 80 columns of a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let read: u64 = self.stats.iter().map(|stream| stream.counts().history_rows + stream.counts().live_rows).sum();
        let ended = match self.stopped {
            None => color::err(Meaning::Good, "done"),
            Some(by) => color::err(Meaning::Warning, &format!("stopped by {by}")),
        };
        text += &format!(
            "{} {ended} in {}: {}, {} rows/s\n",
            color::err(Meaning::Heading, self.project.name()),
            show::duration(self.took),
            show::counted(read as i64, "row"),
            show::count((read as f64 / self.took.as_secs_f64().max(1e-3)) as i64)
        );
        text += &self.streams();
        text += &self.held_back();
        text += &self.without_rows();
        text += &self.without_arrival();
        text += &self.conservation();
        text += &LeftOut::of(self.stats, &self.ended.status).text(self.project, Command::Run);
        text += &self.peak.text();
        text += &self.decisions();
        text += &self.written();
        text += &self.beside_earlier();
        text += &self.next();
        text
    }

    fn streams(&self) -> String {
        let names = ["stream", "history", "live", "late", "dropped", "watermark"].map(str::to_owned);
        let row = |stream: &Arc<StreamStats>| {
            let counts = stream.counts();
            let number = |count: u64| show::count(count as i64);
            vec![
                stream.name.clone(),
                number(counts.history_rows),
                number(counts.live_rows),
                number(counts.late_moved),
                number(counts.late_dropped + counts.quarantined + counts.bad + counts.dead_lettered),
                show::to_the_second(counts.watermark).to_string(),
            ]
        };
        let mut rows: Vec<_> = self.stats.iter().map(row).collect();
        if rows.len() > 5 {
            rows.truncate(4);
            let mut more = vec![String::new(); names.len()];
            more[0] = format!("and {} more", self.stats.len() - 4);
            rows.push(more);
        }
        show::fit(&names, &[false, true, true, true, true, false], &rows)
    }

    /// The stream whose watermark is the least, where others were further.
    fn held_back(&self) -> String {
        let Some((held, _)) = self.ended.status.held_by() else { return String::new() };
        let of_stream = self.stats.iter().find(|stream| stream.name == held);
        let Some(least) = of_stream.map(|stream| stream.counts().watermark) else { return String::new() };
        if self.stats.iter().all(|other| other.counts().watermark <= least) {
            return String::new();
        }
        show::sentence(&format!("stream {held} holds the watermark of the others back"))
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
        show::sentence(&match self.goes_on {
            true => format!("this run read no more of {of} than the run before"),
            false if self.stopped.is_some() => format!("the run was stopped before a row of {of} was used"),
            false => format!("nothing was read of {of}: no row for this run in HISTORY or LIVE"),
        })
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
        show::sentence(&format!("history of {of} has no arrival: no row of {them} can be late"))
    }

    /// What became of all rows: of those that readers took in, and of those that then came to steps.
    fn conservation(&self) -> String {
        let (mut used, mut dropped, mut quarantined, mut bad, mut letters) = (0, 0, 0, 0, 0);
        for counts in self.stats.iter().map(|stream| stream.counts()) {
            used += counts.history_rows + counts.live_rows;
            dropped += counts.late_dropped;
            quarantined += counts.quarantined;
            bad += counts.bad;
            letters += counts.dead_lettered;
        }
        let removed = [
            (dropped, "late and removed"),
            (quarantined, "quarantined"),
            (bad, "bad"),
            (letters, "written as dead letters"),
        ];
        let nodes = self.ended.status.nodes();
        let fate = |fate| nodes.iter().map(|node| node.fates.of(fate)).sum::<i64>();
        let fate = |of| u64::try_from(fate(of)).unwrap_or(0);
        let of_steps = [
            (fate(Fate::Deduplicated), "deduplicated"),
            (fate(Fate::Held), "held"),
            (fate(Fate::Bad), "bad"),
            (fate(Fate::DeadLettered), "written as dead letters"),
        ];
        let number = |count: u64| show::count(count as i64);
        let some = |parts: &[(u64, &str)]| -> Vec<String> {
            let there = parts.iter().filter(|(count, _)| *count > 0);
            there.map(|(count, what)| format!("{} {what}", number(*count))).collect()
        };
        let mut parts = vec![format!("{} used", number(used))];
        parts.extend(some(&removed));
        let total = used + removed.iter().map(|(count, _)| count).sum::<u64>();
        let text = match parts.as_slice() {
            [_] => format!("rows in: {}, all used\n", number(total)),
            parts => show::list(&format!("rows in: {} = ", number(total)), parts, " + "),
        };
        match some(&of_steps) {
            none if none.is_empty() => text,
            parts => text + &show::list("in steps: ", &parts, ", "),
        }
    }

    fn decisions(&self) -> String {
        let mut text = String::new();
        for (decision, tally) in self.tallies {
            let rules = tally.rules();
            let actions: i64 = rules.iter().map(|rule| rule.published).sum();
            text += &format!(
                "decision {decision}: {}, {}{}\n",
                show::counted(tally.rows(), "row"),
                show::counted(actions, "action"),
                if self.start == EventTime::MIN { String::new() } else { format!(" after {}", self.start) }
            );
            // Why a rule that matched has not acted, where that is the reason.
            let is_suppressed = rules.iter().any(|rule| rule.suppressed > 0);
            let row = |rule: &project::Rule| {
                let mut row = vec![rule.name.clone(), show::count(rule.matched), show::count(rule.acted)];
                row.extend(is_suppressed.then(|| show::count(rule.suppressed)));
                row.push(show::count(rule.published));
                row.push(share(rule.published, actions));
                row.push(if rule.model { "by a model".to_owned() } else { String::new() });
                row
            };
            let mut names = vec!["rule", "matched", "acted"];
            names.extend(is_suppressed.then_some("suppressed"));
            names.extend(["published", "share", ""]);
            let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
            let is_number: Vec<bool> = (0..names.len()).map(|at| at > 0 && at + 1 < names.len()).collect();
            let rows: Vec<_> = rules.iter().take(RULES_SHOWN).map(row).collect();
            let table = show::fit(&names, &is_number, &rows);
            table.lines().for_each(|line| text += &format!("  {line}\n"));
            if rules.len() > RULES_SHOWN {
                text += &format!("  and {} more\n", rules.len() - RULES_SHOWN);
            }
            for (experiment, arms) in tally.arms() {
                let arms: Vec<String> =
                    arms.iter().map(|(arm, rows)| format!("{arm} {}", show::counted(*rows, "row"))).collect();
                text += &show::list(&format!("  arms of {experiment}: "), &arms, ", ");
            }
        }
        text
    }

    fn written(&self) -> String {
        let nodes = self.ended.status.nodes();
        let fates = |name: &str| nodes.iter().find(|node| node.name == name).map(|node| node.fates).unwrap_or_default();
        let part = |output: &Written| {
            let fates = fates(&output.node);
            let left_out = match fates.of(Fate::LeftOut) {
                0 => String::new(),
                rows => format!(" ({} left out, written before)", show::count(rows)),
            };
            format!("{} {}{left_out}", output.line, show::counted(fates.of(Fate::Out), "row"))
        };
        let parts: Vec<String> = self.outputs.iter().map(part).collect();
        show::list("wrote ", &parts, ", ")
    }

    /// The topics that now hold the same messages twice: of this run, and of earlier ones.
    fn beside_earlier(&self) -> String {
        let earlier = |output: &Written| {
            let (topic, epoch) = (output.topic.as_ref()?, output.beside_earlier?);
            Some(show::sentence(&format!(
                "topic {topic} keeps the messages of earlier runs: those of this run have epoch {epoch}"
            )))
        };
        self.outputs.iter().filter_map(earlier).collect()
    }

    fn next(&self) -> String {
        let mut text = String::new();
        if self.stopped.is_some() && self.bounded && self.kept.is_empty() {
            text += &show::sentence(
                "not all inputs were read: what is written is committed, and what was not read or still waits for later \
                 rows is not in it",
            );
        }
        if !self.kept.is_empty() {
            text += &show::sentence(&format!(
                "not all inputs were read: {} as before this run; the next run goes on, and takes the place of that at its \
                 end",
                match self.kept.as_slice() {
                    [one] => format!("table {one} is"),
                    all => format!("tables {} are", all.join(", ")),
                }
            ));
        }
        if self.stopped.is_some() {
            text += "the next run goes on from here; with --fresh it would start over\n";
        }
        let environment = Some(self.project.environment_name()).filter(|name| *name != ENVIRONMENT_DEFAULT);
        let environment = environment.map(|name| format!(" --env {name}")).unwrap_or_default();
        let person = self.project.person().map(|person| format!(" --as {person}")).unwrap_or_default();
        let command =
            |line: String| format!("  {}\n", color::err(Meaning::Label, &format!("{line}{environment}{person}")));
        if let Some(topic) = self.outputs.iter().find_map(|output| output.topic.as_ref()) {
            text += &command(format!("riverrun tail {topic} --from-start -n 5"));
        }
        if let Some(id) = self.tallies.iter().find_map(|(_, tally)| tally.example()) {
            text += &command(format!("riverrun why {id}"));
        }
        text
    }

    /// The same for programs.
    pub fn json(&self) -> serde_json::Value {
        let streams: Vec<_> = self
            .stats
            .iter()
            .map(|stream| {
                let counts = stream.counts();
                json!({
                    "stream": stream.name, "history_rows": counts.history_rows,
                    "history_lacks_arrival": stream.history_lacks_arrival, "live_rows": counts.live_rows,
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
                let fates: serde_json::Map<_, _> =
                    Fate::ALL.iter().map(|&fate| (show::fate(fate), json!(node.fates.of(fate)))).collect();
                json!({ "node": node.name, "state_bytes": node.state_bytes, "spilled_bytes": node.spilled_bytes, "rows": fates })
            })
            .collect();
        let decisions: Vec<_> = self
            .tallies
            .iter()
            .map(|(name, tally)| {
                let rules: Vec<_> = tally
                    .rules()
                    .iter()
                    .map(|rule| json!({ "rule": rule.name, "matched": rule.matched, "acted": rule.acted, "suppressed": rule.suppressed, "published": rule.published, "model": rule.model }))
                    .collect();
                let arms: serde_json::Map<_, _> = tally
                    .arms()
                    .into_iter()
                    .map(|(experiment, arms)| (experiment, arms.into_iter().map(|(arm, rows)| (arm, json!(rows))).collect()))
                    .collect();
                json!({ "decision": name, "rows": tally.rows(), "rules": rules, "arms": arms })
            })
            .collect();
        json!({
            "project": self.project.name(), "seconds": self.took.as_secs_f64(), "stopped": self.stopped.is_some(),
            "start": self.start.to_string(), "streams": streams, "nodes": nodes, "decisions": decisions,
            "outputs": self.outputs.iter().map(|output| output.line.clone()).collect::<Vec<_>>(),
        })
    }
}
