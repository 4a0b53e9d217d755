//! Messages that are copied from elsewhere bring their arrivals along, and whoever copies them promises how far a
//! partition is drained.

use crate::{clock, read_all};
use connector_local::{COPIER, COPY_MARGIN, Outgoing, Topics};
use dataflow::{PartitionLog, ProcessingTime, Span, Topic};
use std::fs::File;
use std::time::{Duration, UNIX_EPOCH};

fn arrived(sequence: u64, at: i64) -> Outgoing<'static> {
    Outgoing { sequence, key: None, payload: b"x", arrived: Some(ProcessingTime(at)) }
}

#[test]
fn arrivals_never_go_back_and_never_lie_after_now() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock(100);
    let topics = Topics::open(folder.path(), clock.clone()).unwrap();
    topics.create("plays", 1).unwrap();
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    producer.append(0, &[arrived(1, 20), arrived(2, 10), arrived(3, 50), arrived(4, 500)]).unwrap();
    clock.advance(Span(100));
    let now = Outgoing { arrived: None, ..arrived(6, 0) };
    producer.append(0, &[arrived(5, 70), now]).unwrap();
    let stamps: Vec<_> = read_all(&topics, "plays", 0, None).iter().map(|message| message.arrival.0).collect();
    assert_eq!(stamps, [20, 20, 50, 100, 100, 200]);
}

#[test]
fn a_copied_topic_is_drained_as_far_as_is_promised() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock(1_000);
    let topics = Topics::open(folder.path(), clock.clone()).unwrap();
    let copied = topics.create("plays", 1).unwrap().of_copy();
    assert_eq!(copied.margin(), COPY_MARGIN);
    let drained = |log: &mut dyn PartitionLog| log.end().unwrap().drained_to.0;
    let mut log = copied.open(0, None).unwrap();
    assert_eq!(drained(log.as_mut()), i64::MIN);
    let mut producer = topics.producer("plays", "p", 0).unwrap();
    assert!(!producer.has_messages(0).unwrap());
    producer.append(0, &[arrived(1, 400)]).unwrap();
    assert!(producer.has_messages(0).unwrap());
    // What comes may have arrived at the same time as the last one.
    assert_eq!(drained(log.as_mut()), 399);
    clock.advance(Span(10_000));
    assert_eq!(drained(log.as_mut()), 399, "the clock has no say");
    producer.promise(0, ProcessingTime(600)).unwrap();
    assert_eq!(drained(log.as_mut()), 600);
    producer.promise(0, ProcessingTime(500)).unwrap();
    assert_eq!(drained(log.as_mut()), 600, "a promise stands");
    // It stands for another producer and for another reader too, and for what is said to have arrived before it.
    let mut other = topics.producer("plays", "q", 0).unwrap();
    other.append(0, &[arrived(1, 450)]).unwrap();
    assert_eq!(drained(copied.open(0, None).unwrap().as_mut()), 600);
    let stamps: Vec<_> = read_all(&topics, "plays", 0, None).iter().map(|message| message.arrival.0).collect();
    assert_eq!(stamps, [400, 601]);
    // A topic that nobody copies into is drained by the clock.
    assert_eq!(drained(topics.topic("plays").unwrap().unwrap().open(0, None).unwrap().as_mut()), 10_999);
}

#[test]
fn whoever_reads_a_topic_knows_that_it_is_copied_into() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock(100_000_000);
    let topics = Topics::open(folder.path(), clock.clone()).unwrap();
    let topic = topics.create("plays", 1).unwrap();
    let mut log = topic.open(0, None).unwrap();
    let mut drained = || log.end().unwrap().drained_to.0;
    assert_eq!((drained(), topic.was_copied().unwrap()), (99_999_999, false));
    assert_eq!(topic.margin(), Span(0));
    let copier = topics.claim("plays", &format!("{COPIER}projects/p/subscriptions/s")).unwrap();
    copier.touch().unwrap();
    clock.advance(Span(2_000_000));
    assert_eq!(drained(), 99_999_999, "the clock has no say while it is copied into");
    assert_eq!((topic.margin(), topic.was_copied().unwrap()), (COPY_MARGIN, true));
    copier.producer().unwrap().promise(0, ProcessingTime(100_500_000)).unwrap();
    assert_eq!(drained(), 100_500_000);
    clock.advance(Span(14_000_000));
    copier.touch().unwrap();
    clock.advance(Span(14_000_000));
    assert_eq!(drained(), 100_500_000, "it runs still");
    // It was killed: it touches nothing any more, and what it leaves behind stays.
    drop(copier);
    clock.advance(Span(2_000_000));
    assert_eq!((drained(), topic.was_copied().unwrap()), (131_999_999, true));
}

#[test]
fn copiers_tell_each_other_what_they_promise() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::open(folder.path(), clock(1_000)).unwrap();
    topics.create("plays", 1).unwrap();
    let (one, other) = (topics.claim("plays", "pubsub:a").unwrap(), topics.claim("plays", "pubsub:b").unwrap());
    assert_eq!(one.promise_of("pubsub:b"), None);
    other.set_promise(ProcessingTime(-7)).unwrap();
    assert_eq!(one.promise_of("pubsub:b"), Some(ProcessingTime(-7)));
    // One that is half written is none.
    std::fs::write(folder.path().join("plays/producers/pubsub%3ab.promise"), "12").unwrap();
    assert_eq!(one.promise_of("pubsub:b"), None);
}

/// What waited elsewhere for longer than the retention has been read by nobody when it comes.
#[test]
fn retention_counts_from_when_a_message_was_copied() {
    let folder = tempfile::tempdir().unwrap();
    let now = UNIX_EPOCH.elapsed().unwrap().as_micros() as i64;
    let topics = Topics::open(folder.path(), clock(now)).unwrap();
    topics.create("plays", 1).unwrap();
    let claim = topics.claim("plays", "pubsub:a").unwrap();
    let mut producer = claim.producer().unwrap().with_segment_bytes(50);
    let (hour, week) = (3_600_000_000, 7 * 86_400_000_000);
    for sequence in 1..=4 {
        producer.append(0, &[arrived(sequence, now - week + sequence as i64)]).unwrap();
    }
    let before = ProcessingTime(now - hour);
    assert_eq!(topics.trim("plays", before, None).unwrap().segments, 0, "nobody has read them");
    let (first, second) = ("plays/0/000000000000.log", "plays/0/000000000001.log");
    let two_hours_ago = UNIX_EPOCH + Duration::from_micros((now - 2 * hour) as u64);
    let write = |path| File::options().write(true).open(folder.path().join(path)).unwrap();
    write(second).set_modified(two_hours_ago).unwrap();
    assert_eq!(topics.trim("plays", before, None).unwrap().segments, 0, "the oldest goes first");
    write(first).set_modified(two_hours_ago).unwrap();
    assert_eq!(topics.trim("plays", before, None).unwrap().segments, 2);
    assert_eq!(read_all(&topics, "plays", 0, None).len(), 2);
}
