//! A sink that stands still: its topic locked by another process, or its catalog.
//!
//! For so many seconds as `RIVERRUN_STALL_SECONDS` says; `xtask stall` makes it a minute.

use crate::scene::{Expected, SLACK, at, in_time};
use crate::table::integers;
use crate::traffic::{Others, Traffic};
use crate::watching::{Seen, Stop, Watching};
use serde_json::json;
use std::any::Any;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tests::Program;
use tests::machine::{SECOND, now, pause, until};
use tests::time_rule::due;

const STALL_SECONDS: i64 = 8;
/// Jobs run so long before their sink stands still.
const BEFORE: i64 = 2 * SECOND;
/// By then Ctrl-C is answered: the program says so, and reads no more.
const ANSWER: i64 = SECOND;
/// The sink moves again so long after Ctrl-C.
const RELEASE: i64 = 2 * SECOND;
/// By then all is written once it moves again.
const END: i64 = 10 * SECOND;

const STREAM: &str = "
CREATE STREAM messages (id BIGINT, size BIGINT, sent_at TIMESTAMP,
  WATERMARK FOR sent_at AS sent_at - INTERVAL '2' SECOND) LIVE messages;
";

/// A job with an output that will stand still.
struct Stall {
    sql: &'static str,
    arguments: &'static [&'static str],
    /// Holds the output of a project as long as what it gives lives.
    hold: fn(&Traffic, &Path) -> Box<dyn Any>,
    /// The ids that the output holds, in sequence.
    written: fn(&Traffic, &Path) -> Vec<i64>,
}

fn stall() -> i64 {
    let asked = std::env::var("RIVERRUN_STALL_SECONDS").ok();
    asked.map_or(STALL_SECONDS, |seconds| seconds.parse().expect("RIVERRUN_STALL_SECONDS is a number")) * SECOND
}

fn ids(seen: &[Seen]) -> Vec<i64> {
    let mut ids: Vec<i64> = seen.iter().map(|row| row.values["id"].as_i64().expect("a number")).collect();
    ids.sort_unstable();
    ids
}

/// What was published: when each message arrived, and when its row is due.
fn published(traffic: &Traffic) -> (BTreeMap<i64, i64>, BTreeMap<i64, Expected>) {
    let read = traffic.read("messages");
    let logs: Vec<_> = read.logs.iter().collect();
    let arrivals = read.logs.iter().flat_map(|log| log.arrivals.iter().copied());
    let ids = || read.rows.iter().map(|row| row.integer("id"));
    let rows = read.rows.iter().map(|row| at(due(&logs, row.time), json!({ "id": row.integer("id") })));
    (ids().zip(arrivals).collect(), ids().zip(rows).collect())
}

/// What came of a job whose output stood still.
struct Ran {
    /// When Ctrl-C was sent.
    interrupted: i64,
    seen: BTreeMap<String, Vec<Seen>>,
}

fn run(stall: &Stall, traffic: &Traffic, length: i64) -> Ran {
    let project = traffic.project("stalls", &format!("{STREAM}{}", stall.sql));
    let beside = traffic.project("beside", &format!("{STREAM}INSERT INTO TOPIC other SELECT id FROM messages;"));
    let arguments: Vec<&str> = ["run", "--workers", "2"].iter().chain(stall.arguments).copied().collect();
    let mut program = Program::start(&project, &arguments);
    let mut other = Program::start(&beside, &["run", "--workers", "2"]);
    program.ready();
    other.ready();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let names = ["fast", "other"].map(str::to_owned);
        let watching = Watching::new(traffic.topics(), &names).spawn(scope, &stop);
        let stop = Stop(&stop);
        let begun = now();
        scope.spawn(move || traffic.publish_messages(0, begun + BEFORE + length + RELEASE));
        until(begun + BEFORE);
        assert!(program.ended(0).is_none(), "it ended by itself: {}", program.told());
        let held = (stall.hold)(traffic, &project);
        pause(length);
        let (lines, interrupted) = (program.lines(), now());
        program.interrupt();
        until(interrupted + ANSWER);
        assert!(program.lines() > lines, "it says nothing within a second of Ctrl-C: {}", program.told());
        until(interrupted + RELEASE);
        drop(held);
        let ended = program.ended(END).unwrap_or_else(|| panic!("it does not end: {}", program.told()));
        assert_eq!(ended.code, Some(0), "{}", ended.told);
        until(interrupted + RELEASE + 4 * SECOND + SLACK);
        other.interrupt();
        let ended = other.ended(END).expect("the job beside it ends");
        assert_eq!(ended.code, Some(0), "{}", ended.told);
        drop(stop);
        Ran { interrupted, seen: watching.join().expect("topics can be watched") }
    })
}

fn check(stall: &Stall, length: i64) {
    let traffic = Traffic::new(Others::Empty, false);
    let Ran { interrupted, seen } = run(stall, &traffic, length);
    let (arrivals, expected) = published(&traffic);
    let of_fast = expected.iter().filter(|(_, row)| row.due + SLACK <= interrupted);
    let of_fast: BTreeMap<i64, Expected> = of_fast.map(|(id, row)| (*id, row.clone())).collect();
    assert!(of_fast.len() > 100, "{} rows were due before Ctrl-C", of_fast.len());
    assert_eq!(in_time(&of_fast, &seen["fast"], "id"), None, "the other output of the job");
    assert_eq!(in_time(&expected, &seen["other"], "id"), None, "the other job");
    assert_eq!(ids(&seen["other"]), expected.keys().copied().collect::<Vec<_>>(), "the other job");
    let fast = ids(&seen["fast"]);
    let written = (stall.written)(&traffic, &traffic.path().join("stalls"));
    for ids in [&fast, &written] {
        let too_late: Vec<_> = ids.iter().filter(|id| arrivals[id] > interrupted + ANSWER).collect();
        assert!(too_late.is_empty(), "{} messages were read later than a second after Ctrl-C", too_late.len());
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "a row came twice: {ids:?}");
    }
    // A table takes rows as they come, and a topic in their order, once the watermark has reached them.
    let missing: Vec<_> = fast.iter().filter(|id| written.binary_search(id).is_err()).collect();
    assert!(missing.is_empty(), "what stood still never wrote {missing:?}");
}

#[test]
fn a_topic_that_is_locked_holds_up_nothing_else() {
    let hold = |traffic: &Traffic, _: &Path| -> Box<dyn Any> {
        let path = traffic.path().join("topics/slow/0/lock");
        let lock = File::options().read(true).write(true).open(path).expect("the job has made its topic");
        lock.lock().expect("the lock can be taken");
        Box::new(lock)
    };
    let written = |traffic: &Traffic, _: &Path| {
        let stop = AtomicBool::new(true);
        let slow = Watching::new(traffic.topics(), &["slow".to_owned()]);
        let seen = std::thread::scope(|scope| slow.spawn(scope, &stop).join().expect("the topic can be read"));
        ids(&seen["slow"])
    };
    let sql = "INSERT INTO TOPIC slow SELECT id FROM messages; INSERT INTO TOPIC fast SELECT id FROM messages;";
    check(&Stall { sql, arguments: &[], hold, written }, stall());
}

#[test]
fn a_catalog_that_is_locked_holds_up_nothing_else() {
    let hold = |_: &Traffic, project: &Path| -> Box<dyn Any> {
        let catalog = rusqlite::Connection::open(project.join("warehouse/catalog.db")).expect("the catalog opens");
        catalog.busy_timeout(std::time::Duration::from_secs(10)).expect("it can be waited for");
        catalog.execute_batch("BEGIN EXCLUSIVE").expect("the catalog can be locked");
        Box::new(catalog)
    };
    let written = |_: &Traffic, project: &Path| integers(project, "lake.kept", "id");
    let sql = "INSERT INTO lake.kept SELECT id, size FROM messages; INSERT INTO TOPIC fast SELECT id FROM messages;";
    check(&Stall { sql, arguments: &["--commit-every", "1s"], hold, written }, stall());
}
