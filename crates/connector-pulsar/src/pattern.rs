//! The topics of a namespace whose names match a pattern, which are read as the partitions of one.
//!
//! ```text
//! topics of the namespace -> those that match -> are all of them on the list? -> the list, as partitions 0, 1, 2, ..
//!                                                     | no
//!                                                     +-> append them; read the list again
//! ```
//!
//! A partition has a number, which positions, frontiers of archives and checkpoints know it by, on every machine. So the
//! numbers are kept in the cluster: on a topic of its own, the list, whose messages are the names of topics. A name has the
//! place of its first message. Names are appended and never taken away, so a number stays; whoever finds a new topic appends
//! it and reads the list again, since another may have appended at the same time.

use crate::anchor_question::{AnchorAnswer, AnchorTask};
use crate::client::{
    OPEN_WITHIN, PartitionProducer, PartitionReader, anchor, chance, namespace_topics, partition_count, unreached,
};
use crate::error::{Error, ErrorKind, Result};
use crate::message::Payload;
use crate::producer::{EarlierMessages, Guarantee, OutgoingMessage, ProducerOptions};
use crate::reader::{ProducerClocks, ReaderOptions, Start};
use crate::settings::Settings;
use crate::topic::{Namespace, TopicName};
use crate::wire::protocol::CompressionType;
use bytes::Bytes;
use regex::Regex;
use std::collections::BTreeSet;
use std::future::Future;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// What topics of the cluster's own begin with.
const OF_THE_CLUSTER: &str = "__";
/// The subscription that keeps the list.
const KEEPER: &str = "riverrun-keeps-all";

/// Topics by a pattern of their names.
#[derive(Clone, Debug)]
pub struct TopicPattern {
    text: String,
    matches: Regex,
    list: String,
    own: String,
}

/// A topic on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub topic: TopicName,
    /// Whether it is there, and its name still matches.
    pub is_there: bool,
}

impl TopicPattern {
    /// A pattern for whole names, in the syntax of Rust's `regex`; the name of the list; and what names begin with that are
    /// never taken, as that of the list does.
    pub fn new(text: &str, list: String, own: String) -> Result<TopicPattern> {
        let wrong = |error| Error::invalid(format!("the pattern of topics \"{text}\" cannot be read: {error}"));
        let matches = Regex::new(&format!("^(?:{text})$")).map_err(wrong)?;
        Ok(TopicPattern { text: text.to_owned(), matches, list, own })
    }

    /// The pattern as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a topic of this name is one of those; the name has neither its namespace nor the number of a partition.
    pub fn takes(&self, name: &str) -> bool {
        !name.starts_with(OF_THE_CLUSTER) && !name.starts_with(&self.own) && self.matches.is_match(name)
    }

    fn takes_topic(&self, topic: &TopicName) -> bool {
        self.takes(topic.whole().local_name())
    }

    /// The topics by their numbers; each partition of a topic that has some is one. Those that are new get numbers.
    pub(crate) async fn topics(&self, settings: &Settings, namespace: &Namespace) -> Result<Vec<Listed>> {
        let list = namespace.topic(&self.list)?;
        let there = namespace_topics(settings, namespace, &list, OPEN_WITHIN).await?;
        // Names of topics that are not persistent, or in a form of old times, are none of ours.
        let there: BTreeSet<TopicName> = there.iter().filter_map(|name| TopicName::parse(name).ok()).collect();
        // Brokers tell late of topics that are new, so what they do not list is asked for.
        let has_list = there.contains(&list) || is_there(settings, &list).await?;
        let mut listed = if has_list { names(settings, &list).await? } else { Vec::new() };
        let new: Vec<&TopicName> =
            there.iter().filter(|topic| self.takes_topic(topic) && !listed.contains(topic)).collect();
        if !new.is_empty() {
            within(&list, append(settings, &list, &new)).await?;
            listed = names(settings, &list).await?;
        }
        let mut topics = Vec::new();
        for topic in listed {
            let is_there = self.takes_topic(&topic) && (there.contains(&topic) || is_there(settings, &topic).await?);
            topics.push(Listed { topic, is_there });
        }
        Ok(topics)
    }
}

/// Whether a topic is there, whatever its namespace lists.
async fn is_there(settings: &Settings, topic: &TopicName) -> Result<bool> {
    let count = partition_count(settings, &topic.whole(), OPEN_WITHIN).await?;
    Ok(match (count, topic.number()) {
        (None, _) => false,
        (Some(count), Some(number)) => number < count,
        (Some(_), None) => true,
    })
}

async fn within<T>(list: &TopicName, doing: impl Future<Output = Result<T>>) -> Result<T> {
    match timeout(OPEN_WITHIN, doing).await {
        Ok(done) => done.map_err(|error| error.context(format_args!("the list of topics \"{list}\""))),
        Err(_) => Err(unreached(None, list, OPEN_WITHIN)),
    }
}

/// The names on a list, in their order.
async fn names(settings: &Settings, list: &TopicName) -> Result<Vec<TopicName>> {
    let options = ReaderOptions {
        topic: list.clone(),
        // One that has lost its beginning would give topics other numbers.
        start: Start::Beginning,
        anchor: None,
        name: format!("riverrun-list-{:08x}", chance() as u32),
        budget_bytes: 1 << 20,
        allows_gaps: false,
        producer_clocks: ProducerClocks::default(),
    };
    let reading = async {
        let mut reader = PartitionReader::new(settings.clone(), options);
        let Some(last) = reader.end().await?.last else { return Ok(Vec::new()) };
        let mut names: Vec<TopicName> = Vec::new();
        while let Some(message) = reader.next().await? {
            let name = match &message.payload {
                Payload::Bytes(bytes) => std::str::from_utf8(bytes).ok().and_then(|name| TopicName::parse(name).ok()),
                Payload::Null | Payload::Unreadable { .. } => None,
            };
            let name = name.ok_or_else(|| Error::invalid(format!("message {} is no name of a topic", message.id)))?;
            if !names.contains(&name) {
                names.push(name);
            }
            if message.id >= last {
                break;
            }
        }
        Ok(names)
    };
    within(list, reading).await
}

/// Appends names to a list, which is made if it is not there.
async fn append(settings: &Settings, list: &TopicName, names: &[&TopicName]) -> Result<()> {
    let options = ProducerOptions {
        topic: list.clone(),
        name: format!("riverrun-list-{:016x}", chance()),
        guarantee: Guarantee::AtLeastOnce,
        earlier: EarlierMessages::default(),
        schema: None,
        compression: CompressionType::None,
        batch_messages_max: 1,
        batch_bytes_max: 1,
        budget_bytes: 1 << 20,
    };
    let mut producer = PartitionProducer::new(settings.clone(), options);
    let hint = || {
        format!(
            "have it made with `pulsar-admin topics create {list}`, and let the role produce to it and consume from it"
        )
    };
    producer.open().await.map_err(|error| match error.kind() {
        ErrorKind::Invalid => error.context(hint()),
        _ => error,
    })?;
    // Before anything is on it, so that no retention takes it away.
    if anchor(settings, list, KEEPER, AnchorTask::Make, OPEN_WITHIN).await? == AnchorAnswer::NoTopic {
        return Err(Error::unavailable("it is not there after it was made"));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    for (sequence, name) in (0u64..).zip(names) {
        let message = OutgoingMessage {
            sequence,
            payload: Some(Bytes::copy_from_slice(name.as_str().as_bytes())),
            key: None,
            properties: Vec::new(),
            event_time_ms: None,
            publish_time_ms: now,
        };
        producer.push(message).await?;
    }
    producer.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_match_and_own_topics_never_do() {
        let pattern = TopicPattern::new("events-.*|.*x", "own-list".to_owned(), "own-".to_owned()).unwrap();
        let takes = |name: &str| pattern.takes(name);
        assert!(takes("events-a") && takes("events-") && takes("fox"));
        assert!(!takes("events") && !takes("my-events-a") && !takes("foxes"));
        assert!(!takes("own-events-x") && !takes("__events-x"));
        let parsed = |text: &str| TopicName::parse(text).unwrap();
        assert!(pattern.takes_topic(&parsed("a/b/events-a-partition-3")) && pattern.takes_topic(&parsed("a/b/fox")));
        assert!(pattern.takes_topic(&parsed("a/b/fox-partition-12")));
        assert!(!pattern.takes_topic(&parsed("a/b/fox-partition-x1")));
        let error = TopicPattern::new("a(", String::new(), String::new()).unwrap_err().to_string();
        assert!(error.contains("\"a(\"") && error.contains("unclosed group"), "{error}");
    }
}
