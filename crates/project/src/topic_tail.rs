//! A topic's messages, for people to watch.

use crate::failure::Failure;
use crate::open::Project;
use crate::topics::Topics;
use connector_local::{LocalTopic, Watch};
use connector_pulsar::Tail;
use dataflow::{Error, Message, Result};
use sql::{Stream, did_you_mean, near_or_all};

impl Project {
    /// Opens a topic to watch it: by a stream's name, or by its own.
    pub fn tail(&self, name: &str, from_start: bool) -> Result<TopicTail, Failure> {
        let topic = match self.stream(name) {
            Ok(Stream { live: Some(topic), .. }) => topic,
            _ => self.own_topic(name).unwrap_or(name).to_owned(),
        };
        let topics = self.topics()?;
        let logs = match topics {
            Topics::Local(local, _) => match topics.topic(&topic)?.map_or(Ok(None), |_| local.topic(&topic))? {
                Some(topic) => Some(TailLogs::Local(local_logs(&topic, from_start)?)),
                None => None,
            },
            Topics::Pulsar(pulsar) => match pulsar.topic(&topic)? {
                Some(topic) => Some(TailLogs::Pulsar(Tail::open(&topic, from_start)?)),
                None => None,
            },
        };
        match logs {
            Some(logs) => Ok(TopicTail { topic, logs }),
            None => Err(self.no_topic(name, &topic)?.into()),
        }
    }

    /// What is said of a topic that is not there, and what may have been meant.
    fn no_topic(&self, name: &str, topic: &str) -> Result<Error> {
        if let Some(topic) = self.statements.topic_of(name) {
            let known = format!("the actions of decision {name} go to topic {topic}, its log to table {name}__log");
            return Ok(Error::invalid(format!("no topic is named \"{name}\"; {known}")));
        }
        let topics = self.topics()?;
        let (known, streams) = (topics.names()?, self.statements.streams());
        // A stream may be called otherwise than its topic.
        let stream =
            did_you_mean(name, streams.iter().map(String::as_str)).filter(|_| !streams.contains(&name.to_owned()));
        let made = "`riverrun publish` and `riverrun run` make topics";
        let known = stream.unwrap_or_else(|| match topics {
            Topics::Local(..) => {
                let none = format!("there is none yet: {made}");
                near_or_all(name, known.iter().map(String::as_str), "there are:", &none)
            }
            // Those of a cluster are not listed.
            Topics::Pulsar(_) => made.to_owned(),
        });
        Ok(Error::invalid(format!("topic {topic} does not exist in {}; {known}", topics.place())))
    }
}

fn local_logs(topic: &LocalTopic, from_start: bool) -> Result<Vec<Watch>> {
    let last = topic.last_messages()?.into_iter();
    (0..).zip(last).map(|(partition, last)| topic.watch(partition, if from_start { None } else { last })).collect()
}

/// A topic being watched.
pub struct TopicTail {
    topic: String,
    logs: TailLogs,
}

enum TailLogs {
    Local(Vec<Watch>),
    Pulsar(Tail),
}

/// A message and the partition that it lies in.
#[derive(Debug)]
pub struct TailRow {
    /// The partition.
    pub partition: usize,
    /// The message.
    pub message: Message,
    /// The producer that wrote it and, on a local topic, its epoch; `None` for local messages of `publish`.
    pub producer: Option<(String, Option<u64>)>,
}

impl TopicTail {
    /// The name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Waits until there are messages that were not taken yet, or until the time is over.
    pub fn wait(&mut self, timeout: std::time::Duration) -> Result<()> {
        match &mut self.logs {
            TailLogs::Local(logs) => Watch::wait_any(logs, timeout).map(drop),
            TailLogs::Pulsar(tail) => {
                tail.wait(timeout);
                Ok(())
            }
        }
    }

    /// The messages since the last call, up to a limit per partition. Does not wait for new ones.
    pub fn next(&mut self, messages_max: usize) -> Result<Vec<TailRow>> {
        let mut rows = Vec::new();
        match &mut self.logs {
            TailLogs::Local(logs) => {
                for (partition, log) in logs.iter_mut().enumerate() {
                    for (message, producer, epoch) in log.next(messages_max)? {
                        let producer = (!producer.is_empty()).then_some((producer, Some(epoch)));
                        rows.push(TailRow { partition, message, producer });
                    }
                }
            }
            TailLogs::Pulsar(tail) => {
                for (partition, message, producer) in tail.next(messages_max)? {
                    rows.push(TailRow { partition, message, producer: Some((producer, None)) });
                }
            }
        }
        rows.sort_by_key(|row| row.message.arrival);
        Ok(rows)
    }
}
