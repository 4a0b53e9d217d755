//! The topic output: per key in order, and a replay writes nothing twice.
// Helpers outside the tests unwrap as the tests do.
#![allow(clippy::unwrap_used)]

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use connector_local::{Claim, Outgoing, Producer, TopicPosition, TopicSink, Topics};
use dataflow::{
    Batch, Clock, Encode, ErrorKind, ManualClock, ProcessingTime, Result, RowOrder, Sink, Span, Topic, key_group,
    key_hashes,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Writes `key:value`.
struct Pairs;

impl Encode for Pairs {
    fn encode(&self, rows: &RecordBatch) -> Result<Vec<Vec<u8>>> {
        let column = |at: usize| rows.column(at).as_primitive::<Int64Type>();
        Ok((0..rows.num_rows())
            .map(|row| format!("{}:{}", column(0).value(row), column(1).value(row)).into())
            .collect())
    }
}

fn batch(rows: std::ops::Range<i64>) -> Batch {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(|n| n % 5)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
    let columns = RecordBatch::try_from_iter([("key", keys), ("value", values)]).unwrap();
    let orders = rows.clone().map(|n| RowOrder(n as u128)).collect();
    Batch::new(columns, rows.collect(), orders).unwrap()
}

fn topics(folder: &Path) -> Topics {
    Topics::open(folder, Arc::new(ManualClock::new(ProcessingTime(0)))).unwrap()
}

/// The writer of a claim, from its start.
fn begun(producer: Producer) -> TopicSink {
    let position = TopicPosition::start(&producer);
    TopicSink::new(producer, Arc::new(Pairs), Some(0), position).unwrap()
}

/// The claim and the writer of a run that goes on, and how many rows it will give again.
fn resumed(topics: &Topics, position: &[u8]) -> Result<(Claim, TopicSink, u64)> {
    let position = TopicPosition::parse(position)?;
    let claim = topics.resume("actions", "job/actions", position.epoch)?;
    let producer = claim.producer()?;
    let replay = position.replay(&producer)?;
    Ok((claim, TopicSink::new(producer, Arc::new(Pairs), Some(0), position)?, replay))
}

fn partition_of(key: i64, partitions: u32) -> u32 {
    let hash = key_hashes(&[Arc::new(Int64Array::from(vec![key])) as ArrayRef], 1).unwrap()[0];
    u32::from(key_group(hash).0) % partitions
}

/// Checks that the topic has the rows `0..rows`, each once, those of a key in order.
fn check_log(topics: &Topics, rows: i64) {
    let topic = topics.topic("actions").unwrap().unwrap();
    let mut values: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for partition in 0..topic.partitions() {
        for message in topic.open(partition, None).unwrap().read(10_000, 10 << 20).unwrap() {
            let text = String::from_utf8(message.payload).unwrap();
            let (key, value) = text.split_once(':').unwrap();
            let key: i64 = key.parse().unwrap();
            assert_eq!(partition, partition_of(key, topic.partitions()));
            values.entry(key).or_default().push(value.parse().unwrap());
        }
    }
    for key in 0..5 {
        let expected: Vec<i64> = (0..rows).filter(|n| n % 5 == key).collect();
        assert_eq!(values.remove(&key).unwrap_or_default(), expected, "key {key}");
    }
    assert!(values.is_empty());
}

#[test]
fn rows_of_a_key_stay_in_order_and_a_replay_writes_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("actions", 3).unwrap();
    let claim = topics.claim("actions", "job/actions").unwrap();
    let mut first = begun(claim.producer().unwrap());
    let start = first.position().unwrap();
    first.write(&batch(0..40)).unwrap();
    assert_eq!(first.prepare(2).unwrap(), None, "what was written is there already");
    let position = first.position().unwrap();
    first.write(&batch(40..70)).unwrap();
    // A holder that is alive, if it is only stopped, is named.
    let error = resumed(&topics, &position).err().unwrap();
    assert!(error.to_string().contains("is held by process"), "{error}");
    drop((first, claim));
    // From the checkpoint, cut differently; and once more from the very beginning.
    let (claim, mut again, replay) = resumed(&topics, &position).unwrap();
    assert_eq!(replay, 30);
    (40..100).for_each(|n| again.write(&batch(n..n + 1)).unwrap());
    drop((again, claim));
    let (_claim, mut replayed, replay) = resumed(&topics, &start).unwrap();
    assert_eq!(replay, 100);
    replayed.write(&batch(0..100)).unwrap();
    check_log(&topics, 100);
}

/// Numbers by a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What an append leaves when the process dies while it runs: some partitions have their messages, others have not.
fn die_appending(claim: &Claim, rows: std::ops::Range<i64>, chance: &mut Chance) -> i64 {
    let mut producer = claim.producer().unwrap();
    let partitions = producer.topic().partitions();
    let mut reached = 0;
    for partition in (0..partitions).filter(|_| chance.below(2) == 0) {
        let own: Vec<i64> = rows.clone().filter(|n| partition_of(n % 5, partitions) == partition).collect();
        let payloads: Vec<String> = own.iter().map(|n| format!("{}:{n}", n % 5)).collect();
        let messages: Vec<Outgoing<'_>> = own
            .iter()
            .zip(&payloads)
            .map(|(&n, payload)| Outgoing { sequence: n as u64, key: None, payload: payload.as_bytes(), arrived: None })
            .collect();
        producer.append(partition, &messages).unwrap();
        reached = own.last().map_or(reached, |last| reached.max(last + 1));
    }
    reached
}

#[test]
fn runs_that_are_killed_anywhere_write_each_row_once() {
    for seed in 0..60 {
        let mut chance = Chance(seed);
        let folder = tempfile::tempdir().unwrap();
        let topics = topics(folder.path());
        topics.create("actions", 1 + chance.below(4) as u32).unwrap();
        let claim = topics.claim("actions", "job/actions").unwrap();
        let first = begun(claim.producer().unwrap());
        let mut kept = vec![(0i64, first.position().unwrap())];
        let mut running = Some((claim, first));
        let (mut next, mut reached) = (0i64, 0i64);
        for _ in 0..30 {
            let (claim, mut sink) = match running.take() {
                Some(running) => running,
                None => {
                    // From the last checkpoint, or from the one before it.
                    let (at, position) = kept[kept.len() - 1 - chance.below(kept.len().min(2) as u64) as usize].clone();
                    kept.retain(|(rows, _)| *rows <= at);
                    next = at;
                    let (claim, sink, replay) = resumed(&topics, &position).unwrap();
                    assert_eq!(replay as i64, (reached - at).max(0), "seed {seed}");
                    (claim, sink)
                }
            };
            let rows = next..next + 1 + chance.below(20) as i64;
            match chance.below(4) {
                0 => {
                    reached = reached.max(die_appending(&claim, rows, &mut chance));
                    continue;
                }
                1 => {
                    sink.prepare(1).unwrap();
                    kept.push((next, sink.position().unwrap()));
                }
                2 => continue,
                _ => {
                    sink.write(&batch(rows.clone())).unwrap();
                    next = rows.end;
                    reached = reached.max(next);
                }
            }
            running = Some((claim, sink));
        }
        drop(running);
        let (at, position) = kept.last().unwrap().clone();
        let (_claim, mut sink, _) = resumed(&topics, &position).unwrap();
        sink.write(&batch(at..reached + 10)).unwrap();
        check_log(&topics, reached + 10);
    }
}

#[test]
fn a_topic_that_lost_messages_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("actions", 3).unwrap();
    let claim = topics.claim("actions", "job/actions").unwrap();
    let mut sink = begun(claim.producer().unwrap());
    let start = sink.position().unwrap();
    sink.write(&batch(0..40)).unwrap();
    let position = sink.position().unwrap();
    drop((sink, claim));
    std::fs::remove_dir_all(folder.path().join("actions")).unwrap();
    topics.create("actions", 3).unwrap();
    let error = resumed(&topics, &position).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for part in ["lacks messages in partition", "it has none of this job's epoch 1", "up to row 3", "--fresh"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(resumed(&topics, &start).unwrap().2, 0, "nothing was written at the start");
    std::fs::remove_dir_all(folder.path().join("actions")).unwrap();
    topics.create("actions", 2).unwrap();
    let error = resumed(&topics, &start).err().unwrap();
    assert!(error.to_string().contains("has 2 partitions, and the checkpoint has written to 3"), "{error}");
}

#[test]
fn a_checkpoint_of_an_earlier_epoch_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    topics.create("actions", 3).unwrap();
    let claim = topics.claim("actions", "job/actions").unwrap();
    let mut sink = begun(claim.producer().unwrap());
    sink.write(&batch(0..40)).unwrap();
    let position = sink.position().unwrap();
    drop((sink, claim));
    // A run that starts over has written nothing yet.
    let claim = topics.claim("actions", "job/actions").unwrap();
    let fresh = begun(claim.producer().unwrap()).position().unwrap();
    drop(claim);
    let error = resumed(&topics, &position).err().unwrap();
    assert!(error.to_string().contains("was begun anew with epoch 2"), "{error}");
    assert_eq!(resumed(&topics, &fresh).unwrap().2, 0, "messages of the earlier epoch are not its own");
}

#[test]
fn a_call_appends_once_to_each_partition() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Counting(ManualClock::new(ProcessingTime(0))));
    let topics = Topics::open(folder.path(), clock).unwrap();
    let topic = topics.create("actions", 20).unwrap();
    let producer = topics.producer("actions", "p", 0).unwrap();
    let position = TopicPosition::start(&producer);
    let mut sink = TopicSink::new(producer, Arc::new(Pairs), Some(1), position).unwrap();
    sink.write(&batch(0..20_000)).unwrap();
    let (mut rows, mut stamps) = (0, BTreeSet::new());
    for partition in 0..topic.partitions() {
        let messages = topic.open(partition, None).unwrap().read(20_000, 10 << 20).unwrap();
        rows += messages.len();
        assert!(messages.iter().all(|message| message.arrival == messages[0].arrival), "one append has one stamp");
        stamps.insert(messages[0].arrival);
    }
    assert_eq!((rows, stamps.len()), (20_000, 20));
}

/// Each append reads it once.
struct Counting(ManualClock);

impl Clock for Counting {
    fn now(&self) -> ProcessingTime {
        static READ: Mutex<()> = Mutex::new(());
        let _one_at_a_time = READ.lock().unwrap();
        self.0.advance(Span(1));
        self.0.now()
    }
}
