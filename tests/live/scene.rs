//! One kind of job on 1, 2, 3 and 5 workers at once, beside other streams that are silent, empty, dense or far ahead.

use crate::traffic::{Others, Read, Traffic};
use crate::watching::{Seen, Stop, Watching};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tests::Program;
use tests::machine::{SECOND, now, until};

pub const WORKERS: [usize; 4] = [1, 2, 3, 5];
/// How much later than by its rule a row may be seen.
pub const SLACK: i64 = 2 * SECOND;
/// How long a job may take to end after Ctrl-C, beside many others that do as well.
const END: i64 = 20 * SECOND;

/// The streams of all kinds. Without an interval of DEDUP a message that comes again is a row of its own.
const STREAMS: &str = "
CREATE STREAM messages (id BIGINT, user_id BIGINT, size BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND{dedup}
) LIVE messages;
CREATE STREAM others (user_id BIGINT, level BIGINT, changed_at TIMESTAMP,
  WATERMARK FOR changed_at AS changed_at - INTERVAL '1' SECOND
) LIVE others;
";

/// A row that has to come.
#[derive(Clone, Debug)]
pub struct Expected {
    /// By when, without slack.
    pub due: i64,
    /// The columns that are looked at.
    pub values: Value,
    /// What else the kind looks at by itself.
    pub beside: Vec<Option<i64>>,
}

/// A kind of job.
pub struct Kind {
    pub name: &'static str,
    /// The statements that give rows out; `{out}` is the topic.
    pub sql: &'static str,
    /// More arguments of `run`.
    pub arguments: &'static [&'static str],
    /// Whether some messages come again, and DEDUP takes them out.
    pub again: bool,
    /// Beside what it runs.
    pub others: &'static [Others],
    /// The column that tells the rows apart.
    pub key: &'static str,
    /// All rows by their key, from what was published to `messages` and `others`.
    pub expected: fn(&Read, &Read) -> BTreeMap<i64, Expected>,
    /// What to check beyond the topic while the jobs run: the project, and the rows by their keys.
    pub meanwhile: fn(&Path, &BTreeMap<i64, Expected>) -> Vec<String>,
    /// What to check beyond the topic when a job has ended.
    pub afterwards: fn(&Path, &BTreeMap<i64, Expected>) -> Vec<String>,
}

/// A kind has nothing beyond its topic.
pub fn nothing(_: &Path, _: &BTreeMap<i64, Expected>) -> Vec<String> {
    Vec::new()
}

/// The columns of a row that is expected at a moment.
pub fn at(due: i64, values: Value) -> Expected {
    Expected { due, values, beside: Vec::new() }
}

/// Runs a kind beside all that it is to run beside, and fails with everything that is wrong.
pub fn check(kind: &Kind) {
    let wrong = std::thread::scope(|scope| {
        let scenes: Vec<_> = kind.others.iter().map(|others| scope.spawn(|| run(kind, *others))).collect();
        scenes.into_iter().flat_map(|scene| scene.join().expect("a scene does not fail")).collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn topic(workers: usize) -> String {
    format!("out_{workers}")
}

fn start(kind: &Kind, traffic: &Traffic, workers: usize) -> Program {
    let dedup = if kind.again { ",\n  DEDUP ON (id) WITHIN INTERVAL '1' HOUR" } else { "" };
    let sql = STREAMS.replace("{dedup}", dedup) + &kind.sql.replace("{out}", &topic(workers));
    let project = traffic.project(&format!("on_{workers}"), &sql);
    let workers = workers.to_string();
    let arguments: Vec<&str> =
        ["run", "--workers", &workers].into_iter().chain(kind.arguments.iter().copied()).collect();
    Program::start(&project, &arguments)
}

fn run(kind: &Kind, others: Others) -> Vec<String> {
    let traffic = Traffic::new(others, kind.again);
    let mut programs: Vec<_> = WORKERS.iter().map(|&workers| start(kind, &traffic, workers)).collect();
    programs.iter_mut().for_each(Program::ready);
    let project = |workers: usize| traffic.path().join(format!("on_{workers}"));
    let stop = AtomicBool::new(false);
    let (expected, seen, mut wrong) = std::thread::scope(|scope| {
        let names: Vec<String> = WORKERS.iter().map(|&workers| topic(workers)).collect();
        let watching = Watching::new(traffic.topics(), &names).spawn(scope, &stop);
        let stop = Stop(&stop);
        traffic.publish();
        let expected = (kind.expected)(&traffic.read("messages"), &traffic.read("others"));
        assert!(expected.len() >= 20, "only {} rows are expected", expected.len());
        until(expected.values().map(|row| row.due).max().unwrap_or_default() + SLACK);
        let meanwhile = |workers: usize| {
            let wrong = (kind.meanwhile)(&project(workers), &expected).into_iter();
            wrong.map(move |wrong| format!("{}, others {others:?}, {workers} workers: {wrong}", kind.name))
        };
        let wrong: Vec<String> = WORKERS.iter().flat_map(|&workers| meanwhile(workers)).collect();
        drop(stop);
        (expected, watching.join().expect("topics can be watched"), wrong)
    });
    for (program, workers) in programs.iter_mut().zip(WORKERS) {
        let of_this = || format!("{}, others {others:?}, {workers} workers", kind.name);
        wrong.extend(
            in_time(&expected, &seen[&topic(workers)], kind.key).map(|wrong| format!("{}: {wrong}", of_this())),
        );
        wrong.extend(end(program).map(|wrong| format!("{}: {wrong}", of_this())));
        let afterwards = (kind.afterwards)(&project(workers), &expected).into_iter();
        wrong.extend(afterwards.map(|wrong| format!("{}: {wrong}", of_this())));
        let all = once(&expected, &traffic, workers, kind.key);
        wrong.extend(all.map(|wrong| format!("{}: {wrong}", of_this())));
    }
    wrong
}

/// What is wrong with when rows were seen, and with what is in them.
pub fn in_time(expected: &BTreeMap<i64, Expected>, seen: &[Seen], key: &str) -> Option<String> {
    let mut first: BTreeMap<i64, &Seen> = BTreeMap::new();
    for row in seen {
        let key = row.values[key].as_i64()?;
        first.entry(key).or_insert(row);
    }
    let (mut missing, mut late, mut differ, mut worst) = (Vec::new(), Vec::new(), Vec::new(), i64::MIN);
    for (key, expected) in expected {
        let Some(row) = first.get(key) else {
            missing.push(*key);
            continue;
        };
        worst = worst.max(row.at - expected.due);
        if row.at > expected.due + SLACK {
            late.push(*key);
        }
        let columns = expected.values.as_object()?;
        if columns.iter().any(|(name, value)| row.values[name] != *value) {
            differ.push(format!("{} instead of {}", row.values, expected.values));
        }
    }
    let wrong = missing.len() + late.len() + differ.len();
    (wrong > 0).then(|| {
        format!(
            "of {} rows {} had not come, {} came more than 2 s late (the worst {:.1} s), {} differ{}",
            expected.len(),
            missing.len(),
            late.len(),
            worst.max(0) as f64 / SECOND as f64,
            differ.len(),
            differ.first().map(|row| format!(", the first is {row}")).unwrap_or_default()
        )
    })
}

/// Ends a job by Ctrl-C; what is wrong with how it ends.
fn end(program: &mut Program) -> Option<String> {
    if let Some(ended) = program.ended(0) {
        return Some(format!("it ended by itself with code {:?}: {}", ended.code, ended.told));
    }
    let begun = now();
    program.interrupt();
    match program.ended(END) {
        None => Some(format!("it runs {} s after Ctrl-C: {}", (now() - begun) / SECOND, program.told())),
        Some(ended) if ended.code == Some(0) => None,
        Some(ended) => Some(format!("it ended with code {:?}: {}", ended.code, ended.told)),
    }
}

/// Every row once, after the end.
fn once(expected: &BTreeMap<i64, Expected>, traffic: &Traffic, workers: usize, key: &str) -> Option<String> {
    let topic = traffic.topics().topic(&topic(workers)).expect("the topics can be read")?;
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    let mut watch = topic.watch(0, None).expect("the topic opens");
    loop {
        let some = watch.next(8192).expect("the topic can be read");
        if some.is_empty() {
            break;
        }
        for (message, ..) in some {
            let values: Value = serde_json::from_slice(&message.payload).expect("JSON");
            *counts.entry(values[key].as_i64().expect("a number")).or_default() += 1;
        }
    }
    let odd: Vec<_> = counts.iter().filter(|(key, count)| **count > 1 || !expected.contains_key(key)).collect();
    let lost = expected.keys().filter(|key| !counts.contains_key(key)).count();
    let wrong = lost > 0 || !odd.is_empty();
    wrong.then(|| format!("after its end {lost} rows are missing, and these come twice or should not come: {odd:?}"))
}
