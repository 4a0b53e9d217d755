//! Messages that are copied from elsewhere bring their arrivals along, and whoever copies them promises how far a
//! partition is drained.

use crate::{clock, read_all};
use connector_local::{COPY_MARGIN, Outgoing, Topics};
use dataflow::{PartitionLog, ProcessingTime, Span, Topic};

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
