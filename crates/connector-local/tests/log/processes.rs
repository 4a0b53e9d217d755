//! Processes that write one topic, alone, together, and killed.

use super::{Counting, Wall, append, payloads, read_all};
use connector_local::Topics;
use dataflow::{Clock, ManualClock, ProcessingTime, Topic};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const CHILD_FOLDER: &str = "RIVERRUN_LOG_TEST_FOLDER";
const CHILD_NAME: &str = "RIVERRUN_LOG_TEST_NAME";
const CHILD_COUNT: &str = "RIVERRUN_LOG_TEST_COUNT";
const CHILD_CLOCK: &str = "RIVERRUN_LOG_TEST_CLOCK";

/// Runs as a test that does nothing, unless this binary was started by [`child`].
#[test]
fn writes_as_a_child_process() {
    let (Ok(folder), Ok(name)) = (std::env::var(CHILD_FOLDER), std::env::var(CHILD_NAME)) else { return };
    let count: u64 = std::env::var(CHILD_COUNT).unwrap().parse().unwrap();
    let clock: Arc<dyn Clock> = match std::env::var(CHILD_CLOCK).as_deref() {
        Ok("wall") => Arc::new(Wall),
        _ => Arc::new(Counting(ManualClock::new(ProcessingTime(0)))),
    };
    let topics = Topics::open(folder, clock).unwrap();
    let mut producer = topics.producer("plays", &name, 0).unwrap().with_segment_bytes(20_000);
    let mut sequence = producer.last_sequence(0).unwrap().map_or(0, |last| last + 1);
    while sequence < count {
        let texts: Vec<_> = (sequence..count.min(sequence + 7)).map(|n| format!("{name} {n}")).collect();
        let messages: Vec<_> = texts.iter().enumerate().map(|(n, text)| (sequence + n as u64, text.as_str())).collect();
        append(&mut producer, 0, &messages);
        sequence += messages.len() as u64;
        // The parent takes this as the acknowledgement.
        eprintln!("acknowledged {sequence}");
    }
}

pub fn child(folder: &Path, name: &str, count: u64) -> Child {
    child_at(folder, name, count, "counting")
}

pub fn child_at(folder: &Path, name: &str, count: u64, clock: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(CHILD_CLOCK, clock)
        .args(["--exact", "processes::writes_as_a_child_process", "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .env(CHILD_NAME, name)
        .env(CHILD_COUNT, count.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Every message of each process once, in the order of the process, with stamps that do not go back.
fn assert_complete(topics: &Topics, names: &[&str], count: u64) {
    let messages = read_all(topics, "plays", 0, None);
    assert!(messages.windows(2).all(|pair| pair[0].arrival <= pair[1].arrival));
    let texts = payloads(&messages);
    for name in names {
        let own: Vec<_> = texts.iter().filter(|text| text.starts_with(*name)).cloned().collect();
        assert_eq!(own, (0..count).map(|n| format!("{name} {n}")).collect::<Vec<_>>());
    }
    assert_eq!(texts.len() as u64, names.len() as u64 * count);
}

#[test]
fn processes_write_and_read_one_partition_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::open(folder.path(), Arc::new(Wall)).unwrap();
    let topic = topics.create("plays", 1).unwrap();
    let mut children = [child_at(folder.path(), "one", 700, "wall"), child_at(folder.path(), "two", 700, "wall")];
    let mut log = topic.open(0, None).unwrap();
    let (mut seen, mut end) = (Vec::new(), log.end().unwrap());
    loop {
        let running = children.iter_mut().map(|child| usize::from(child.try_wait().unwrap().is_none())).sum::<usize>();
        for message in log.read(100, 1 << 20).unwrap() {
            if Some(message.position) > end.last {
                assert!(message.arrival > end.drained_to, "{message:?} contradicts {end:?}");
            }
            seen.push(message);
        }
        let newer = log.end().unwrap();
        assert!(newer.last >= end.last && newer.drained_to >= end.drained_to);
        end = newer;
        if running == 0 && seen.last().map(|message| message.position) == end.last {
            break;
        }
    }
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert_eq!(seen, read_all(&topics, "plays", 0, None));
    assert_complete(&topics, &["one", "two"], 700);
}

#[test]
fn a_process_that_is_killed_loses_nothing_acknowledged_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::open(folder.path(), Arc::new(Counting(ManualClock::new(ProcessingTime(0))))).unwrap();
    topics.create("plays", 1).unwrap();
    let mut bystander = topics.producer("plays", "bystander", 0).unwrap();
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut acknowledged = 0;
    for round in 0..20 {
        let mut writing = child(folder.path(), "killed", u64::MAX);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut lines = BufReader::new(writing.stderr.take().unwrap()).lines();
        for line in lines.by_ref().take(1 + (random % 40) as usize) {
            if let Some(count) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged = acknowledged.max(count.parse().unwrap());
            }
        }
        // It goes on writing while the signal is on its way, so it dies at any point of an append.
        writing.kill().unwrap();
        writing.wait().unwrap();
        append(&mut bystander, 0, &[(round, &format!("bystander {round}"))]);
        let texts = payloads(&read_all(&topics, "plays", 0, None));
        let own: Vec<_> = texts.iter().filter(|text| text.starts_with("killed")).cloned().collect();
        assert!(own.len() as u64 >= acknowledged, "{} of {acknowledged} are there", own.len());
        assert_eq!(own, (0..own.len()).map(|n| format!("killed {n}")).collect::<Vec<_>>());
    }
    assert!(acknowledged >= 20, "the rounds were to get something done: {acknowledged}");
    assert_complete_after_kills(&topics);
}

fn assert_complete_after_kills(topics: &Topics) {
    let texts = payloads(&read_all(topics, "plays", 0, None));
    let own: Vec<_> = texts.iter().filter(|text| text.starts_with("bystander")).cloned().collect();
    assert_eq!(own, (0..20).map(|n| format!("bystander {n}")).collect::<Vec<_>>());
}
