//! When the rule lets a message go, as the logs of the topics have it.

use dataflow::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Display;
use tests::machine::SECOND;
use tests::time_rule::{PartitionTimes, Stamp};

/// What a silent partition of Pulsar waits beyond its quiet time, for messages on their way (docs/pulsar.md).
const MARGIN: i64 = SECOND / 4;

/// A message as a log has it.
#[derive(Clone, Copy, Debug)]
pub struct Logged {
    pub id: i64,
    /// When it was given to its producer, which is its event time, too.
    pub sent: i64,
    /// The broker's stamp.
    pub arrival: i64,
}

/// The logs of a topic, by partition.
#[derive(Clone, Debug, Default)]
pub struct Logs(BTreeMap<u32, Vec<Logged>>);

impl Logs {
    /// Adds the next message of a partition.
    pub fn add(&mut self, partition: u32, message: Logged) {
        self.0.entry(partition).or_default().push(message);
    }

    fn times(&self) -> Vec<Partition<'_>> {
        let stamp = |message: &Logged| Stamp { event: message.sent, arrival: message.arrival };
        let partition =
            |messages: &'_ Vec<Logged>| PartitionTimes::new(&messages.iter().map(stamp).collect::<Vec<_>>(), 0);
        self.0.values().map(|messages| Partition { messages, times: partition(messages) }).collect()
    }
}

struct Partition<'a> {
    messages: &'a [Logged],
    times: PartitionTimes,
}

impl Partition<'_> {
    /// When this partition lets a time go: the message that does was sent, or silence and the margin were over.
    fn lets_go(&self, time: i64) -> Option<i64> {
        let by_message = self.times.passed_by_message(time).map(|place| self.messages[place].sent);
        let by_silence = self.times.passed_by_silence(time).map(|moment| moment + MARGIN);
        by_message.into_iter().chain(by_silence).min()
    }
}

/// The moment at which the rule lets each message go, by its id. The streams have no delay, and the other one is what
/// messages are joined with.
///
/// A message is let go by one of each partition. That one's way to the broker is part of what is measured, as the way
/// of the message itself is for whoever waits for no rule: so the moment is when it was sent.
pub fn moments(messages: &Logs, other: Option<&Logs>) -> Result<BTreeMap<i64, i64>> {
    let own = messages.times();
    let others = other.map(Logs::times).unwrap_or_default();
    let mut moments = BTreeMap::new();
    for partition in &own {
        for (message, time) in partition.messages.iter().zip(&partition.times.times) {
            let reached = own.iter().chain(&others).filter_map(|partition| partition.lets_go(*time));
            let moment = reached.max().ok_or_else(|| Error::internal("a message is in a partition"))?;
            moments.insert(message.id, moment.max(message.sent));
        }
    }
    Ok(moments)
}

/// Reads a message of a topic's log: `PARTITION MICROS ID ARRIVAL_MS`.
pub fn logged(line: &str) -> Result<(u32, Logged)> {
    let numbers: Vec<i64> = numbers(line)?;
    let [partition, sent, id, arrival_ms] = numbers[..] else { return Err(unreadable(line, "it has four numbers")) };
    let partition = u32::try_from(partition).map_err(|error| unreadable(line, error))?;
    Ok((partition, Logged { id, sent, arrival: arrival_ms * 1000 }))
}

/// The numbers of a line.
pub fn numbers(line: &str) -> Result<Vec<i64>> {
    line.split(' ').map(|word| word.parse().map_err(|error| unreadable(line, error))).collect()
}

fn unreadable(line: &str, what: impl Display) -> Error {
    Error::internal(format!("the program that watches wrote {line:?}: {what}"))
}

#[test]
fn a_message_goes_when_every_partition_has_shown_a_later_one() {
    let mut logs = Logs::default();
    let sent = [(0, 0, 10_000), (1, 1, 11_000), (0, 2, 12_000), (1, 3, 13_000), (0, 4, 14_000), (1, 5, 15_000)];
    for (partition, id, sent) in sent {
        logs.add(partition, Logged { id, sent, arrival: sent + 900 });
    }
    let found = moments(&logs, None).expect("each is in a partition");
    // That of 10 ms needs one after it in its own partition, too.
    assert_eq!([found[&0], found[&1], found[&2]], [12_000, 13_000, 14_000]);
    // Nothing follows the last: its partition was silent from its arrival on.
    assert_eq!(found[&5], 15_900 + SECOND + 1 + MARGIN);
}

#[test]
fn a_quiet_stream_holds_for_its_quiet_time_the_lag_of_its_last_row_and_the_margin() {
    let (mut messages, mut accounts) = (Logs::default(), Logs::default());
    accounts.add(0, Logged { id: 0, sent: 0, arrival: 2_000 });
    for id in 0..1000 {
        let sent = 10 * SECOND + id * 1000;
        messages.add(0, Logged { id, sent, arrival: sent + 500 });
    }
    let found = moments(&messages, Some(&accounts)).expect("each is in a partition");
    assert_eq!(found[&0], 10 * SECOND + 1 + SECOND + 2_000 + MARGIN);
    // A row of the quiet stream lets go what came before it.
    accounts.add(0, Logged { id: 1, sent: 10 * SECOND + 300, arrival: 10 * SECOND + 800 });
    let found = moments(&messages, Some(&accounts)).expect("each is in a partition");
    assert_eq!(found[&0], 10 * SECOND + 1000);
}

#[test]
fn a_line_of_a_log_is_read() {
    let (partition, message) = logged("3 1700000000000123 42 1700000000001").expect("it has four numbers");
    assert_eq!(
        (partition, message.id, message.sent, message.arrival),
        (3, 42, 1_700_000_000_000_123, 1_700_000_000_001_000)
    );
    assert!(logged("3 17 42").is_err());
    assert!(logged("3 17 42 x").is_err());
}
