//! A producer of a name that goes on, on a topic of Pulsar.
//!
//! The broker has the number of the last row of each name, per partition. What those rows were, and how far they are
//! known to be stored, lies on the machine that has the input:
//!
//! ```text
//! _riverrun/ENVIRONMENT/publishers/TOPIC:NAME.lock, .input
//! ```
//!
//! A broker that knows less than what is recorded does not remove duplicates, has forgotten the name, or has another
//! topic of the name. Nothing is put then.

use crate::publish_place::PublishPlace;
use crate::topic_producer::{PulsarProducer, TopicProducer};
use connector_local::HeldName;
use connector_pulsar::{Guarantee, PulsarTopic};
use dataflow::{Clock, Error, ErrorKind, Result, Topic};
use std::path::PathBuf;
use std::sync::Arc;

/// Names of producers that go on are told from those of jobs, in which a project's name comes first.
pub const PRODUCERS: &str = "publish:";

/// A name on a topic.
pub struct NamedProducer<'a> {
    /// The topic.
    pub topic: &'a PulsarTopic,
    /// Where it is kept what was published.
    pub folder: PathBuf,
    /// The name.
    pub name: &'a str,
    /// The time of messages.
    pub clock: Arc<dyn Clock>,
}

impl NamedProducer<'_> {
    /// Takes the name, and finds its place in an input.
    pub fn open(&self, is_followed: bool, input: &str) -> Result<(TopicProducer, Option<PublishPlace>)> {
        let (topic, name) = (self.topic.name(), self.name);
        let producer = format!("{PRODUCERS}{name}");
        let file = format!("{topic}:{name}");
        let held = HeldName::hold((self.folder.clone(), &file), (topic, &producer), self.clock.now())?;
        let mut stored = held.input()?.and_then(|input| input.stored).unwrap_or_default();
        let (then, now) = (stored.len(), self.topic.partitions() as usize);
        if then > now {
            return Err(Error::invalid(format!(
                "topic {topic} has {now} partitions, and had {then} when producer \"{name}\" published to it: it was made \
                 again, and what was published is gone; take another name, which publishes all rows"
            )));
        }
        stored.resize(now, None);
        let guarantee = Guarantee::EffectivelyOnce;
        let opened = PulsarProducer::open(self.topic, &producer, guarantee, &stored, self.clock.clone());
        let opened = opened.map_err(|error| self.explained(error))?;
        let there = opened.taken().map_or(0, |taken| taken + 1);
        let place = PublishPlace::open(held, (name, is_followed), input, there)?;
        Ok((TopicProducer::Pulsar(opened), Some(place.of_partitions(self.topic.partitions()))))
    }

    /// What is to be done where the broker does not know the name.
    fn explained(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Corrupt {
            return error;
        }
        let (topic, name) = (self.topic.name(), self.name);
        Error::corrupt(format!(
            "producer \"{name}\" has published to topic {topic}, and the broker does not know of it, so that rows might be \
             there twice or missing; nothing was published. Brokers forget a name that was away for \
             brokerDeduplicationProducerInactivityTimeoutMinutes, 6 hours by default, and have none of a topic that was \
             made again: publish the rows that are missing alone, or all of them under another name"
        ))
        .with_source(error)
    }
}
