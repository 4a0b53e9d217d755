//! A mirror: a subscription of Google Pub/Sub copied into the topic of a stream.
//!
//! ```text
//! subscription -> copy -> append to the topic, synced -> acknowledge
//!                         ordering key -> partition, publish time -> arrival
//! ```
//!
//! From there the topic is read as any other. One mirror at a time copies a subscription into a local topic: the name of
//! its producer is claimed, as that of a job is.

use crate::failure::Failure;
use crate::names::SubscriptionPlace;
use crate::open::Project;
use crate::pubsub::{Settings, check, copy};
use crate::topics::Topics;
use connector_local::{COPIER, COPY_MARGIN, Claim, Outgoing, Producer};
use connector_pulsar::{Guarantee, Hashing, Key, OutgoingMessage, PulsarTopic, TopicWriter};
use copy_contract::{Append, CopyEnd, CopyEvent, CopyOptions, Received};
use dataflow::{Clock, Error, ProcessingTime, Result, Span, Topic};
use serde_json::json;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// What happens while a mirror runs.
pub type MirrorEvent = CopyEvent;
/// What a mirror has copied.
pub type MirrorEnd = CopyEnd;

/// Longer names of producers are written as a checksum.
const NAME_BYTES_MAX: usize = 200;
/// For how long the lag of messages counts.
const LAG_COUNTS: Span = Span(20_000_000);

/// A subscription that is copied into a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The topic.
    pub topic: String,
    subscription: SubscriptionPlace,
    // The producers of the other mirrors into it.
    others: Vec<String>,
}

/// A mirror whose topic is open, and that nobody else runs.
pub struct OpenMirror {
    subscription: String,
    log: Box<dyn Append>,
}

impl Project {
    /// The mirrors of the environment; none for who writes under names of their own, since they write what everybody reads.
    pub fn mirrors(&self) -> Vec<Mirror> {
        if self.own.is_some() {
            return Vec::new();
        }
        self.statements.topics().iter().flat_map(|topic| self.mirrors_into(topic)).collect()
    }

    /// The mirrors into the topic of a stream, or into a topic by its own name.
    pub fn mirrors_of(&self, name: &str) -> Result<Vec<Mirror>, Failure> {
        self.refuse_as("a mirror writes")?;
        let topic = match self.stream(name) {
            Ok(stream) => stream.live.unwrap_or_else(|| name.to_owned()),
            Err(_) if self.statements.topics().iter().any(|topic| topic == name) => name.to_owned(),
            Err(failure) => return Err(failure),
        };
        Ok(self.mirrors_into(&topic))
    }

    fn mirrors_into(&self, topic: &str) -> Vec<Mirror> {
        let subscriptions = self.places(topic).map(|places| places.subscriptions.clone()).unwrap_or_default();
        let mirror = |subscription: &SubscriptionPlace| Mirror {
            topic: topic.to_owned(),
            subscription: subscription.clone(),
            others: subscriptions.iter().filter(|other| *other != subscription).map(producer).collect(),
        };
        subscriptions.iter().map(mirror).collect()
    }
}

impl Mirror {
    /// `projects/PROJECT/subscriptions/NAME`.
    pub fn subscription(&self) -> &str {
        &self.subscription.name
    }

    /// Refuses a subscription that is not there, or whose topic was deleted.
    pub fn check(&self) -> Result<()> {
        check(&Settings::of_environment(), &self.subscription.name)
    }

    /// Opens the topic, which is made with so many partitions when it is not there; one if that is left out. An error when
    /// another process runs the same mirror. Asks nothing of Pub/Sub.
    pub fn open(&self, project: &Project, partitions: Option<u32>) -> Result<OpenMirror> {
        let topics = project.topics()?;
        let topic = &self.topic;
        let there = topics.topic_or_create(topic, partitions.unwrap_or(1))?.partitions();
        if let Some(wanted) = partitions.filter(|wanted| *wanted != there) {
            return Err(Error::invalid(format!(
                "topic \"{topic}\" is there and has {there} partitions, and --partitions asks for {wanted}: leave \
                 --partitions out; a topic keeps the number that it was made with"
            )));
        }
        let details = self.subscription.details.clone();
        let log: Box<dyn Append> = match topics {
            Topics::Local(topics, _) => {
                let was_copied = topics.topic(topic)?.is_some_and(|topic| topic.was_copied().unwrap_or(true));
                let claim = topics.claim(topic, &producer(&self.subscription))?;
                let clock = project.clock.clone();
                Box::new(LocalLog::open(claim, was_copied, details, self.others.clone(), clock)?)
            }
            Topics::Pulsar(topics) => {
                let topic = topics.topic_or_create(topic, partitions.unwrap_or(1))?;
                let name = format!("riverrun-mirror-{}-{}", project.clock.now().0, std::process::id());
                let clock = project.clock.clone();
                let mut log = PulsarLog { topic, name, opened: 0, writer: None, details, sequence: 0, clock };
                log.writer = Some(log.open()?);
                Box::new(log)
            }
        };
        Ok(OpenMirror { subscription: self.subscription.name.clone(), log })
    }
}

/// The producer under which the mirror of a subscription appends.
fn producer(subscription: &SubscriptionPlace) -> String {
    let name = &subscription.name;
    match name.len() > NAME_BYTES_MAX {
        true => format!("{COPIER}{:016x}", xxh3_64(name.as_bytes())),
        false => format!("{COPIER}{name}"),
    }
}

impl OpenMirror {
    /// Copies until it is stopped, or until nothing came for so long.
    pub fn copy(
        self,
        until_idle: Option<Duration>,
        is_stopped: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(MirrorEvent),
    ) -> Result<MirrorEnd> {
        let settings = Settings::of_environment();
        copy(&settings, &self.subscription, CopyOptions { until_idle }, self.log, is_stopped, tell)
    }
}

/// A local topic.
struct LocalLog {
    // Nobody else runs the mirror meanwhile.
    claim: Claim,
    producer: Producer,
    details: Option<String>,
    // The sequence of the last message that was appended.
    sequence: u64,
    // The producers of the other mirrors into the topic.
    others: Vec<String>,
    // When messages were appended, and the lag of the oldest of them; a lesser lag counts only after a greater one.
    lags: VecDeque<(ProcessingTime, i64)>,
    clock: Arc<dyn Clock>,
}

impl LocalLog {
    fn open(
        claim: Claim,
        was_copied: bool,
        details: Option<String>,
        others: Vec<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<LocalLog> {
        let mut producer = claim.producer()?;
        if !was_copied {
            // Until now the clock said how far the topic is drained, and what was said stays true.
            for partition in 0..producer.topic().partitions() {
                if producer.has_messages(partition)? {
                    producer.promise(partition, clock.now())?;
                }
            }
        }
        Ok(LocalLog { claim, producer, details, sequence: 0, others, lags: VecDeque::new(), clock })
    }

    /// Notes the lag of a batch that was appended, and gives it.
    fn note_lag(&mut self, messages: &[Received]) -> Duration {
        let now = self.clock.now();
        let lag = lag(messages, now);
        while self.lags.back().is_some_and(|(_, less)| *less <= lag) {
            self.lags.pop_back();
        }
        self.lags.push_back((now, lag));
        micros(lag)
    }

    /// The greatest lag of the last messages.
    fn greatest_lag(&mut self, now: ProcessingTime) -> i64 {
        while self.lags.front().is_some_and(|(at, _)| at.plus(LAG_COUNTS) < now) {
            self.lags.pop_front();
        }
        self.lags.front().map_or(0, |(_, lag)| *lag)
    }

    /// The least of what all mirrors into the topic promise; `None` while one of them has promised nothing.
    fn least(&self, own: ProcessingTime) -> Result<Option<ProcessingTime>> {
        if self.others.is_empty() {
            return Ok(Some(own));
        }
        self.claim.set_promise(own)?;
        let others = self.others.iter().map(|other| self.claim.promise_of(other));
        Ok(others.fold(Some(own), |least, other| Some(least?.min(other?))))
    }
}

/// For how long the oldest of some messages has waited since Pub/Sub took it, in microseconds.
fn lag(messages: &[Received], now: ProcessingTime) -> i64 {
    let oldest = messages.iter().map(|message| message.published_at_us).min();
    oldest.map_or(0, |oldest| now.0.saturating_sub(oldest).max(0))
}

fn micros(span: i64) -> Duration {
    Duration::from_micros(u64::try_from(span).unwrap_or(0))
}

impl Append for LocalLog {
    fn append(&mut self, messages: &[Received]) -> Result<Duration> {
        let payloads: Vec<Vec<u8>> = messages.iter().map(|message| payload(message, self.details.as_deref())).collect();
        let partitions = self.producer.topic().partitions();
        let mut batches: Vec<(u32, Vec<Outgoing<'_>>)> = (0..partitions).map(|at| (at, Vec::new())).collect();
        // After an error the same messages come with the same sequences, and those that a partition has are left out.
        let mut sequence = self.sequence;
        for (message, payload) in messages.iter().zip(&payloads) {
            sequence += 1;
            let key = (!message.ordering_key.is_empty()).then_some(message.ordering_key.as_bytes());
            // One without a key goes where it goes when it comes again.
            let hash = xxh3_64(key.unwrap_or(message.message_id.as_bytes()));
            let (_, of_partition) = &mut batches[(hash % u64::from(partitions)) as usize];
            let arrived = Some(ProcessingTime(message.published_at_us));
            of_partition.push(Outgoing { sequence, key, payload, arrived });
        }
        batches.retain(|(_, messages)| !messages.is_empty());
        self.producer.append_all(&batches)?;
        self.sequence = sequence;
        Ok(self.note_lag(messages))
    }

    fn drained(&mut self, since: Option<&dyn Fn() -> Duration>) -> Result<()> {
        self.claim.touch()?;
        let Some(since) = since else { return Ok(()) };
        // In this order: what passes between the two makes the promise less.
        let now = self.clock.now();
        let since = since();
        let since = i64::try_from(since.as_micros()).unwrap_or(i64::MAX).max(self.greatest_lag(now));
        let own = ProcessingTime(now.0.saturating_sub(since).saturating_sub(COPY_MARGIN.0));
        let Some(drained_to) = self.least(own)? else { return Ok(()) };
        (0..self.producer.topic().partitions()).try_for_each(|partition| self.producer.promise(partition, drained_to))
    }
}

/// A topic of Pulsar, whose broker says when a message arrived.
struct PulsarLog {
    topic: Arc<PulsarTopic>,
    name: String,
    // How often a writer was opened.
    opened: u32,
    // One that has failed is not used again.
    writer: Option<TopicWriter>,
    details: Option<String>,
    sequence: u64,
    clock: Arc<dyn Clock>,
}

impl PulsarLog {
    fn open(&mut self) -> Result<TopicWriter> {
        self.opened += 1;
        TopicWriter::open(&self.topic, &format!("{}-{}", self.name, self.opened), Guarantee::AtLeastOnce, &[], None)
    }

    fn put(&mut self, writer: &mut TopicWriter, messages: &[Received]) -> Result<()> {
        let publish_time_ms = u64::try_from(self.clock.now().0 / 1000).unwrap_or(0);
        let partitions = writer.partitions();
        let mut by_partition = vec![Vec::new(); partitions as usize];
        for message in messages {
            self.sequence += 1;
            let key = (!message.ordering_key.is_empty()).then(|| Key::Text(message.ordering_key.clone()));
            let partition = match &key {
                Some(key) => u64::from(key.partition(Hashing::JavaString, partitions)),
                None => xxh3_64(message.message_id.as_bytes()) % u64::from(partitions),
            };
            by_partition[partition as usize].push(OutgoingMessage {
                sequence: self.sequence,
                payload: Some(payload(message, self.details.as_deref()).into()),
                key,
                properties: Vec::new(),
                event_time_ms: None,
                publish_time_ms,
            });
        }
        for (partition, messages) in (0..).zip(by_partition).filter(|(_, messages)| !messages.is_empty()) {
            writer.push(partition, messages)?;
        }
        writer.flush()
    }
}

impl Append for PulsarLog {
    fn append(&mut self, messages: &[Received]) -> Result<Duration> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open()?,
        };
        self.put(&mut writer, messages)?;
        self.writer = Some(writer);
        Ok(micros(lag(messages, self.clock.now())))
    }

    fn drained(&mut self, _: Option<&dyn Fn() -> Duration>) -> Result<()> {
        Ok(())
    }
}

/// The data of a message; with what Pub/Sub says of it as the first field of its object, where that is asked for. A field
/// of that name that the object has already is left out: what Pub/Sub says counts.
fn payload(message: &Received, details: Option<&str>) -> Vec<u8> {
    let data = &message.data;
    let (Some(field), Some(members)) = (details, details.and_then(|_| members(data))) else { return data.clone() };
    let attributes: serde_json::Map<_, _> =
        message.attributes.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let told = json!({ field: {
        "message_id": message.message_id,
        "publish_time": ProcessingTime(message.published_at_us).to_string(),
        "ordering_key": message.ordering_key,
        "delivery_attempt": message.delivery_attempt,
        "attributes": attributes,
    }});
    let mut payload = told.to_string().into_bytes();
    payload.pop();
    for (_, member) in members.iter().filter(|(name, _)| name != field) {
        payload.push(b',');
        payload.extend_from_slice(member);
    }
    payload.push(b'}');
    payload
}

/// The fields of an object as they are written, with their names; nothing for what is no object of JSON.
fn members(data: &[u8]) -> Option<Vec<(String, &[u8])>> {
    let mut rest = skip(data).strip_prefix(b"{")?;
    let mut members = Vec::new();
    if let Some(after) = skip(rest).strip_prefix(b"}") {
        return skip(after).is_empty().then_some(members);
    }
    loop {
        let member = skip(rest);
        let (name, after) = value::<String>(member)?;
        let (_, after) = value::<serde::de::IgnoredAny>(skip(skip(after).strip_prefix(b":")?))?;
        members.push((name, &member[..member.len() - after.len()]));
        match skip(after) {
            [b',', next @ ..] => rest = next,
            [b'}', end @ ..] => return skip(end).is_empty().then_some(members),
            _ => return None,
        }
    }
}

/// The value of JSON that data begins with, and what comes after it.
fn value<T: serde::de::DeserializeOwned>(data: &[u8]) -> Option<(T, &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(data).into_iter::<T>();
    let value = values.next()?.ok()?;
    Some((value, &data[values.byte_offset()..]))
}

fn skip(data: &[u8]) -> &[u8] {
    let blanks = data.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    &data[blanks..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_local::Topics as LocalTopics;
    use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

    /// A wall clock that a test moves.
    struct Wall(AtomicI64);

    impl Clock for Wall {
        fn now(&self) -> ProcessingTime {
            ProcessingTime(self.0.load(SeqCst))
        }
    }

    /// The machine is suspended for an hour after the wall clock was read, and before it is asked how long ago all had come.
    #[test]
    fn no_suspend_makes_a_promise_greater() {
        const SECOND: i64 = 1_000_000;
        let folder = tempfile::tempdir().unwrap();
        let wall = Arc::new(Wall(AtomicI64::new(1_700_000_000 * SECOND)));
        let topics = LocalTopics::open(folder.path().join("topics"), wall.clone()).unwrap();
        let topic = topics.create("m", 1).unwrap().of_copy();
        let claim = topics.claim("m", "pubsub:projects/p/subscriptions/m").unwrap();
        let mut log = LocalLog::open(claim, false, None, Vec::new(), wall.clone()).unwrap();
        let promised = || topic.open(0, None).unwrap().end().unwrap().drained_to.0;
        let answered = wall.now().0;
        let since = || Duration::from_micros((wall.now().0 - answered) as u64);
        log.drained(Some(&since)).unwrap();
        assert_eq!(promised(), answered - 5 * SECOND);
        let suspended = || {
            wall.0.fetch_add(3600 * SECOND, SeqCst);
            since()
        };
        log.drained(Some(&suspended)).unwrap();
        assert_eq!(promised(), answered - 5 * SECOND);
        // A suspend before it changes nothing either.
        log.drained(Some(&since)).unwrap();
        assert_eq!(promised(), answered - 5 * SECOND);
        log.drained(None).unwrap();
        assert_eq!(promised(), answered - 5 * SECOND);
    }

    #[test]
    fn details_become_the_first_field() {
        let of = |data: &str, details| {
            let message = Received {
                message_id: "7".to_owned(),
                published_at_us: 1_700_000_000_000_000,
                attributes: vec![("a\"b".to_owned(), "c".to_owned())],
                delivery_attempt: Some(2),
                data: data.as_bytes().to_vec(),
                ..Received::default()
            };
            String::from_utf8(payload(&message, details)).unwrap()
        };
        assert_eq!(of(r#" {"x":1}"#, None), r#" {"x":1}"#);
        let told = r#"{"p":{"attributes":{"a\"b":"c"},"delivery_attempt":2,"message_id":"7","ordering_key":"","publish_time":"2023-11-14 22:13:20"}"#;
        assert_eq!(of(r#" {"x":1}"#, Some("p")), format!("{told},\"x\":1}}"));
        assert_eq!(of("{ }", Some("p")), format!("{told}}}"));
        // What Pub/Sub says counts, however the publisher writes a field of that name.
        let forged = r#"{"p":{"message_id":"8"}, "x" : 1.50 ,"\u0070":null,"y":[{"p":2}]}"#;
        assert_eq!(of(forged, Some("p")), format!("{told},\"x\" : 1.50,\"y\":[{{\"p\":2}}]}}"));
        // What is no JSON is left as it is.
        for broken in ["{\"x\":1", "{\"x\":1}}", "{\"x\":1,}", "\u{c}{\"x\":1}", "{x:1}"] {
            assert_eq!(of(broken, Some("p")), broken);
        }
        // What is no object stays what it is, and is a bad row as it stands.
        assert_eq!(of("[1]", Some("p")), "[1]");
        assert_eq!(of("", Some("p")), "");
    }
}
