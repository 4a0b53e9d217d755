//! Retention: old segments go, what an archive or a producer needs stays, and readers are told of gaps.

use crate::processes::child;
use crate::{append, clock, payloads, read_all, topics};
use connector_local::{Producer, Topics, TrimSummary};
use dataflow::{ErrorKind, Message, PartitionLog, Position, ProcessingTime, Span, Topic};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const ALWAYS: ProcessingTime = ProcessingTime(i64::MAX);

#[derive(Clone, Debug)]
enum Step {
    Append { producer: usize, count: u64, later: i64 },
    Reopen,
    Trim { before: i64, archived: Option<Option<usize>> },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let archived = proptest::option::of(proptest::option::of(0..60usize));
    let step = prop_oneof![
        6 => (0..2usize, 1..5u64, 0..40i64).prop_map(|(producer, count, later)| Step::Append { producer, count, later }),
        1 => Just(Step::Reopen),
        2 => (0..500i64, archived).prop_map(|(before, archived)| Step::Trim { before, archived }),
    ];
    proptest::collection::vec(step, 1..30)
}

/// What is left of a list of messages: segments go from the front while all of a segment is old and before the message
/// to keep, and the last message stays.
fn naive(messages: &[Message], before: i64, archived: Option<Option<Position>>) -> Vec<Message> {
    let mut segments: BTreeMap<u64, Vec<Message>> = BTreeMap::new();
    messages.iter().for_each(|message| segments.entry(message.position.ledger).or_default().push(message.clone()));
    while segments.len() > 1 {
        let oldest = segments.first_entry().unwrap();
        let goes = oldest.get().iter().all(|message| {
            message.arrival.0 < before && archived.is_none_or(|archived| Some(message.position) < archived)
        });
        if !goes {
            break;
        }
        oldest.remove();
    }
    segments.into_values().flatten().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_trimmed_log_is_the_list_without_its_old_segments(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock(0);
        let topics = Topics::open(folder.path(), clock.clone()).unwrap();
        topics.create("plays", 1).unwrap();
        let open = || -> Vec<Producer> {
            (0..2).map(|n| topics.producer("plays", &format!("p{n}"), 0).unwrap().with_segment_bytes(300)).collect()
        };
        let (mut producers, mut next, mut all) = (open(), [0u64; 2], Vec::<Message>::new());
        for step in steps {
            match step {
                Step::Append { producer, count, later } => {
                    clock.advance(Span(later));
                    let texts: Vec<_> = (0..next[producer] + count).map(|n| format!("{producer}:{n}")).collect();
                    let messages: Vec<_> = texts.iter().enumerate().map(|(n, text)| (n as u64, text.as_str())).collect();
                    prop_assert_eq!(append(&mut producers[producer], 0, &messages), count as usize, "no sequence is forgotten");
                    next[producer] += count;
                    let after = all.last().map(|message| message.position);
                    all.extend(read_all(&topics, "plays", 0, after));
                }
                Step::Reopen => producers = open(),
                Step::Trim { before, archived } => {
                    let archived = archived.map(|at| at.and_then(|at| all.get(at)).map(|message| message.position));
                    let positions = archived.map(|at| vec![at]);
                    let trimmed = topics.trim("plays", ProcessingTime(before), positions.as_deref()).unwrap();
                    let left = naive(&all, before, archived);
                    prop_assert_eq!(trimmed.segments > 0, left.len() < all.len());
                    for gone in &all[..all.len() - left.len()] {
                        let error = topics.topic("plays").unwrap().unwrap().open(0, Some(gone.position)).err().unwrap();
                        prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
                    }
                    all = left;
                }
            }
            prop_assert_eq!(&read_all(&topics, "plays", 0, None), &all);
            for (at, message) in all.iter().enumerate().step_by(3) {
                prop_assert_eq!(&read_all(&topics, "plays", 0, Some(message.position))[..], &all[at + 1..]);
            }
        }
        let last = topics.topic("plays").unwrap().unwrap().ends().unwrap()[0].last;
        prop_assert_eq!(last, all.last().map(|message| message.position));
    }
}

fn read_to_end(log: &mut dyn PartitionLog) -> dataflow::Result<Vec<Message>> {
    let mut messages = Vec::new();
    loop {
        let some = log.read(1, 1000)?;
        if some.is_empty() {
            return Ok(messages);
        }
        messages.extend(some);
    }
}

#[test]
fn readers_finish_what_they_have_open_and_are_told_of_the_gap() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let topic = topics.create("plays", 1).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap().with_segment_bytes(100);
    for n in 0..8 {
        append(&mut producer, 0, &[(n, &format!("play {n}"))]);
    }
    let all = read_all(&topics, "plays", 0, None);
    let mut open = topic.open(0, None).unwrap();
    assert_eq!(payloads(&open.read(1, 1000).unwrap()), ["play 0"]);
    let kept = all.iter().find(|message| message.position.ledger == 1).unwrap().position;
    let trimmed = topics.trim("plays", ALWAYS, Some(&[Some(kept)])).unwrap();
    assert_eq!(trimmed.segments, 1);
    assert!(trimmed.bytes > 100);
    assert_eq!(payloads(&read_to_end(open.as_mut()).unwrap()).last().unwrap(), "play 7");
    // The archive's own position is gone although what follows it is there: nobody can prove that any more.
    let error = topic.open(0, Some(all[1].position)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(
        error.to_string(),
        "topic \"plays\": partition 0: message 0:1:0 to go on after is not there, the partition begins at 1:0:0: what \
         came before was trimmed"
    );
    let mut open = topic.open(0, None).unwrap();
    assert_eq!(payloads(&open.read(1, 1000).unwrap()), ["play 2"]);
    topics.trim("plays", ALWAYS, None).unwrap();
    let error = read_to_end(open.as_mut()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("message 1:1:0 to go on after is not there, the partition begins at 3:0:0"),
        "{error}"
    );
    assert_eq!(topics.trim("plays", ALWAYS, None).unwrap(), TrimSummary::default(), "the last message stays");
    assert_eq!(topics.trim("plays", ALWAYS, Some(&[None])).unwrap(), TrimSummary::default());
    let error = topics.trim("plays", ALWAYS, Some(&[])).unwrap_err().to_string();
    assert!(error.contains("has 1 partitions, and its archive's frontier has 0"), "{error}");
}

#[test]
fn a_topic_is_trimmed_while_other_processes_write_it() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("plays", 1).unwrap();
    let mut children = [child(folder.path(), "one", 3000), child(folder.path(), "two", 3000)];
    let mut log = topics.topic("plays").unwrap().unwrap().open(0, None).unwrap();
    let (mut seen, mut segments) = (Vec::new(), 0);
    loop {
        let running = children.iter_mut().any(|child| child.try_wait().unwrap().is_none());
        let some = log.read(100, 1 << 20).unwrap();
        let done = some.is_empty() && !running;
        seen.extend(some);
        let read = seen.last().map(|message| message.position);
        segments += topics.trim("plays", ALWAYS, Some(&[read])).unwrap().segments;
        if done {
            break;
        }
    }
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    assert!(segments > 5, "{segments} segments went");
    for name in ["one", "two"] {
        let own: Vec<_> = payloads(&seen).into_iter().filter(|text| text.starts_with(name)).collect();
        assert_eq!(own, (0..3000).map(|n| format!("{name} {n}")).collect::<Vec<_>>());
    }
    assert!(read_all(&topics, "plays", 0, None).len() < 3000);
}

const TRIM_FOLDER: &str = "RIVERRUN_LOG_TEST_TRIM";

/// Runs as a test that does nothing, unless it was started by the test below: writes and trims until it is killed.
#[test]
fn trims_as_a_child_process() {
    let Ok(folder) = std::env::var(TRIM_FOLDER) else { return };
    let topics = topics(folder.as_ref());
    let mut producer = topics.producer("plays", "p", 0).unwrap().with_segment_bytes(100);
    let from = producer.last_sequence(0).unwrap().map_or(0, |last| last + 1);
    for sequence in from.. {
        append(&mut producer, 0, &[(sequence, &sequence.to_string())]);
        if sequence % 10 == 9 {
            eprintln!("written {sequence}");
            topics.trim("plays", ALWAYS, None).unwrap();
        }
    }
}

#[test]
fn a_trim_that_is_killed_leaves_no_hole() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("plays", 1).unwrap();
    for round in 0..15 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "retention::trims_as_a_child_process", "--nocapture"])
            .env(TRIM_FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(|line| line.ok());
        let written: Vec<String> =
            lines.filter_map(|line| line.strip_prefix("written ").map(str::to_owned)).take(1 + round % 3).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        let left: Vec<u64> =
            payloads(&read_all(&topics, "plays", 0, None)).iter().map(|text| text.parse().unwrap()).collect();
        assert!(*left.last().unwrap() >= written.last().unwrap().parse().unwrap());
        assert!(left.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{left:?}");
    }
}
