//! The topic output: per key in order, and a replay writes nothing twice.
// Helpers outside the tests unwrap as the tests do.
#![allow(clippy::unwrap_used)]

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use connector_local::{TopicCommitter, TopicSink, Topics};
use dataflow::{
    Batch, Clock, Committable, Committer, Encode, ManualClock, ProcessingTime, Result, RowOrder, Sink, Span, Topic,
    key_group, key_hashes,
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

fn sink(topics: &Topics, rows: u64) -> TopicSink {
    TopicSink::new(topics.producer("actions", "job/actions", 0).unwrap(), Arc::new(Pairs), Some(0), rows)
}

#[test]
fn rows_of_a_key_stay_in_order_and_a_replay_writes_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    let topics = topics(folder.path());
    let topic = topics.create("actions", 3).unwrap();
    let mut first = sink(&topics, 0);
    assert_eq!(first.prepare(1).unwrap(), None);
    first.write(&batch(0..40)).unwrap();
    let prepared = first.prepare(2).unwrap().unwrap();
    assert_eq!(TopicSink::rows_of(&prepared).unwrap(), 40);
    first.write(&batch(40..70)).unwrap();
    drop(first);
    // From the checkpoint, cut differently; and once more from the very beginning.
    let mut resumed = sink(&topics, TopicSink::rows_of(&prepared).unwrap());
    (40..100).for_each(|n| resumed.write(&batch(n..n + 1)).unwrap());
    let mut replayed = sink(&topics, 0);
    replayed.write(&batch(0..100)).unwrap();
    let mut values: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for partition in 0..topic.partitions() {
        for message in topic.open(partition, None).unwrap().read(1000, 1 << 20).unwrap() {
            let text = String::from_utf8(message.payload).unwrap();
            let (key, value) = text.split_once(':').unwrap();
            let key: i64 = key.parse().unwrap();
            let hash = key_hashes(&[Arc::new(Int64Array::from(vec![key]))], 1).unwrap()[0];
            assert_eq!(partition, u32::from(key_group(hash).0) % 3);
            values.entry(key).or_default().push(value.parse().unwrap());
        }
    }
    for (key, values) in &values {
        assert_eq!(*values, (0..100).filter(|n| n % 5 == *key).collect::<Vec<_>>());
    }
    assert_eq!(values.len(), 5);
}

#[test]
fn a_call_appends_once_to_each_partition() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Counting(ManualClock::new(ProcessingTime(0))));
    let topics = Topics::open(folder.path(), clock).unwrap();
    let topic = topics.create("actions", 20).unwrap();
    let mut sink = TopicSink::new(topics.producer("actions", "p", 0).unwrap(), Arc::new(Pairs), Some(1), 0);
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

#[test]
fn committables_that_are_not_its_own_are_refused() {
    assert!(TopicCommitter.commit(vec![]).is_ok());
    let error = TopicCommitter.commit(vec![Committable(vec![9])]).unwrap_err();
    assert!(error.to_string().contains("cannot be read"));
}
