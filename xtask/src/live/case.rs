//! One rule at one rate.

use super::Options;
use crate::failure;
use crate::python::{succeed, write};
use connector_local::{LocalTopic, Outgoing, Topics};
use dataflow::{Error, EventTime, Result};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use tests::Program;
use tests::machine::{Machine, SECOND, now, pause};
use tests::time_rule::{PartitionTimes, Stamp, due};

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Floor,
    Stateless,
    Window,
    AsOf,
}

impl Rule {
    pub fn name(self) -> &'static str {
        match self {
            Rule::Floor => "bare loop",
            Rule::Stateless => "stateless",
            Rule::Window => "window",
            Rule::AsOf => "as-of, silent",
        }
    }

    /// What it decides on.
    fn rows(self) -> &'static str {
        match self {
            Rule::Floor | Rule::Stateless => "CREATE VIEW seen AS SELECT id, user_id, text_len, sent_at FROM messages;",
            Rule::Window => {
                "CREATE VIEW seen AS SELECT id, user_id, text_len, sent_at, count(*) OVER w AS n FROM messages\n\
                 WINDOW w AS (PARTITION BY user_id ORDER BY sent_at RANGE INTERVAL '1' MINUTE PRECEDING);"
            }
            Rule::AsOf => {
                "CREATE VIEW seen AS SELECT m.id, m.user_id, m.text_len, m.sent_at, a.level FROM messages m\n\
                 ASOF LEFT JOIN accounts a ON a.user_id = m.user_id AND a.changed_at <= m.sent_at;"
            }
        }
    }
}

/// How many messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    PerSecond(u64),
    /// As fast as one process can.
    Unbounded,
}

impl Rate {
    /// As `--rate` has it: 0 is without a bound.
    pub fn number(self) -> u64 {
        match self {
            Rate::PerSecond(rate) => rate,
            Rate::Unbounded => 0,
        }
    }

    pub fn from_number(rate: u64) -> Rate {
        if rate == 0 { Rate::Unbounded } else { Rate::PerSecond(rate) }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub rule: Rule,
    pub delay_s: i64,
    pub rate: Rate,
}

/// What came of it.
pub struct Measured {
    pub case: Case,
    pub events: usize,
    pub published_s: f64,
    /// Messages whose action was never seen, and actions that were seen again.
    pub missing: usize,
    pub twice: usize,
    /// Microseconds between when the rule lets a row go and when its action is seen, by message; greater than any
    /// where it never was. What is left out is the first tenth, in which the job warms up.
    pub beyond: Vec<i64>,
    pub cpu_us_per_event: f64,
    /// Bytes, ten times a second.
    pub memory: Vec<u64>,
    pub memory_peak: u64,
}

/// A rank of numbers, of which there may be none.
pub fn rank(numbers: &[i64], permille: usize) -> i64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.get((sorted.len() * permille / 1000).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

impl Measured {
    pub fn beyond(&self, permille: usize) -> i64 {
        rank(&self.beyond, permille)
    }

    /// By how much the median of the last quarter is greater than that of the second: what a growing backlog adds.
    pub fn growth(&self) -> i64 {
        let quarter = self.beyond.len() / 4;
        let part = |number: usize| rank(&self.beyond[quarter * number..quarter * (number + 1)], 500);
        part(3).saturating_sub(part(1))
    }
}

/// How much longer than the rule an action is waited for.
const PATIENCE: i64 = 5 * SECOND;
/// How often the topic of actions is looked at, and how often the memory.
const LOOK: i64 = SECOND / 4000;
const SAMPLE: i64 = SECOND / 10;
const WARM_UP: i64 = 3 * SECOND / 10;
const ACCOUNTS: i64 = 1_000;
const READ_MAX: usize = 8192;

/// A project and its topics in a folder that is gone afterwards.
struct Place {
    folder: TempDir,
    topics: Topics,
}

impl Place {
    fn make(case: Case, folder: &Path) -> Result<Place> {
        let folder = tempfile::tempdir_in(folder).map_err(|error| failure::file("make a folder in", folder, error))?;
        let pipelines = folder.path().join("pipelines");
        std::fs::create_dir(&pipelines).map_err(|error| failure::file("make", &pipelines, error))?;
        write(&folder.path().join("riverrun.toml"), include_str!("../../bench/riverrun.toml"))?;
        let sql = include_str!("../../bench/live.sql").replace("{delay}", &case.delay_s.to_string());
        write(&pipelines.join("live.sql"), &sql.replace("{seen}", case.rule.rows()))?;
        let topics = Topics::open(folder.path().join("topics"), Arc::new(Machine))?;
        for topic in ["messages", "accounts", "actions"] {
            topics.create(topic, 1)?;
        }
        // They changed now: the clock of a silent partition runs on from its last row.
        let at = now();
        let change = |user| format!(r#"{{"user_id":{user},"level":1,"changed_at":"{}","micros":{at}}}"#, EventTime(at));
        let changes: Vec<String> = (0..ACCOUNTS).map(change).collect();
        let outgoing =
            changes.iter().map(|change| Outgoing { sequence: 0, key: None, payload: change.as_bytes(), arrived: None });
        topics.producer("accounts", "", 0)?.append(0, &outgoing.collect::<Vec<_>>())?;
        Ok(Place { folder, topics })
    }

    fn topic(&self, name: &str) -> Result<Arc<LocalTopic>> {
        self.topics.topic(name)?.ok_or_else(|| Error::internal(format!("the topic {name} was made above")))
    }

    /// The messages of a topic: arrival and payload.
    fn messages(&self, name: &str) -> Result<Vec<(i64, Value)>> {
        let (mut watch, mut all) = (self.topic(name)?.watch(0, None)?, Vec::new());
        loop {
            let some = watch.next(READ_MAX)?;
            if some.is_empty() {
                return Ok(all);
            }
            for (message, ..) in some {
                let payload = serde_json::from_slice(&message.payload);
                all.push((message.arrival.0, payload.map_err(|error| failure::program(name, error))?));
            }
        }
    }

    fn start(&self, case: Case, options: &Options) -> Result<Program> {
        let mut command = match case.rule {
            Rule::Floor => {
                let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
                let mut command = Command::new(here);
                command.arg("live-floor").arg(self.folder.path().join("topics"));
                command
            }
            _ => {
                let mut command = Command::new(&options.riverrun);
                command.args(["run", "--workers", &options.workers.to_string(), "--project"]).arg(self.folder.path());
                command
            }
        };
        command.current_dir(self.folder.path());
        Ok(Program::spawn(command))
    }
}

/// What this process sees of the topic of actions and of who writes it.
#[derive(Default)]
struct Seen {
    /// When, and the message.
    actions: Vec<(i64, Vec<u8>)>,
    memory: Vec<u64>,
}

/// Reads actions until it is told to stop.
fn watch(topic: &LocalTopic, program: &Program, stop: &AtomicBool, enough: &dyn Fn(usize) -> bool) -> Result<Seen> {
    let (mut seen, mut watch, mut sampled) = (Seen::default(), topic.watch(0, None)?, 0);
    while !stop.load(Ordering::Relaxed) && !enough(seen.actions.len()) {
        let some = watch.next(READ_MAX)?;
        let at = now();
        if at > sampled + SAMPLE {
            sampled = at;
            seen.memory.extend(program.memory().map(|(now, _)| now));
        }
        if some.is_empty() {
            pause(LOOK);
        }
        seen.actions.extend(some.into_iter().map(|(message, ..)| (at, message.payload)));
    }
    Ok(seen)
}

/// Runs a case, publishing for so many microseconds.
pub fn measure(case: Case, length: i64, folder: &Path, options: &Options) -> Result<Measured> {
    let place = Place::make(case, folder)?;
    let mut program = place.start(case, options)?;
    program.ready();
    pause(WARM_UP);
    let (before, stop) = (program.taken(), AtomicBool::new(false));
    let published = std::sync::OnceLock::<usize>::new();
    let actions = place.topic("actions")?;
    let enough = |seen: usize| published.get().is_some_and(|published| seen >= *published);
    let (seen, published_s) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| watch(&actions, &program, &stop, &enough));
        let begun = now();
        let count = publish(case.rate, length, &place.folder.path().join("topics"));
        let published_s = (now() - begun) as f64 / SECOND as f64;
        if let Ok(count) = count {
            published.get_or_init(|| count);
        }
        let deadline = now() + (case.delay_s + 1) * SECOND + PATIENCE;
        while !reader.is_finished() && now() < deadline && count.is_ok() {
            pause(SECOND / 100);
        }
        stop.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap_or_else(|_| Err(Error::internal("the reader of actions panicked")))?;
        count.map(|_| (seen, published_s))
    })?;
    let (after, memory) = (program.taken(), program.memory());
    if let Some(ended) = program.ended(0) {
        return Err(failure::program(case.rule.name(), format!("ended by itself: {}", ended.told)));
    }
    program.interrupt();
    program.ended(4 * PATIENCE);
    let cpu = (after.cpu - before.cpu) as f64;
    let memory_peak = memory.map_or(0, |(_, peak)| peak);
    judge(case, &place, seen, published_s).map(|measured| Measured {
        cpu_us_per_event: cpu / measured.events.max(1) as f64,
        memory_peak,
        ..measured
    })
}

/// Runs the publisher as a process of its own.
fn publish(rate: Rate, length: i64, topics: &Path) -> Result<usize> {
    let here = std::env::current_exe().map_err(|error| failure::program("xtask", error))?;
    let mut command = Command::new(here);
    command.arg("live-publish").arg(topics).args([rate.number().to_string(), length.to_string()]);
    let count = succeed(&mut command)?;
    count.trim().parse().map_err(|error| failure::program("xtask live-publish", error))
}

/// Holds what was seen against the logs.
fn judge(case: Case, place: &Place, seen: Seen, published_s: f64) -> Result<Measured> {
    let messages = place.messages("messages")?;
    let times = |rows: &[(i64, Value)]| {
        // Every message of ours has its event time as a number.
        let event = |row: &Value| row["micros"].as_i64().unwrap_or_default();
        let stamp = |(arrival, row): &(i64, Value)| Stamp { event: event(row), arrival: *arrival };
        PartitionTimes::new(&rows.iter().map(stamp).collect::<Vec<_>>(), case.delay_s * SECOND)
    };
    let own = times(&messages);
    let accounts = times(&place.messages("accounts")?);
    let reached: Vec<&PartitionTimes> = if case.rule == Rule::AsOf { vec![&own, &accounts] } else { vec![&own] };
    let (mut first, mut twice) = (vec![None; messages.len()], 0);
    for (at, payload) in &seen.actions {
        let action: Value = serde_json::from_slice(payload).map_err(|error| failure::program("actions", error))?;
        let subject = action["subject"].as_u64().and_then(|id| first.get_mut(id as usize));
        match subject {
            Some(slot @ None) => *slot = Some(*at),
            _ => twice += 1,
        }
    }
    let goes = |id: usize| match case.rule {
        Rule::Floor => own.arrivals[id],
        _ => due(&reached, own.times[id]),
    };
    let beyond = (0..messages.len()).skip(messages.len() / 10);
    let beyond = beyond.map(|id| first[id].map_or(i64::MAX, |at| at - goes(id))).collect();
    Ok(Measured {
        case,
        events: messages.len(),
        published_s,
        missing: first.iter().filter(|seen| seen.is_none()).count(),
        twice,
        beyond,
        cpu_us_per_event: 0.0,
        memory: seen.memory,
        memory_peak: 0,
    })
}
