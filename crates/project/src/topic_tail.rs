//! A topic's messages, for people to watch.

use crate::failure::Failure;
use crate::open::Project;
use connector_local::Watch;
use dataflow::{Error, Message, Result, Topic};
use sql::{Stream, did_you_mean, near_or_all};

impl Project {
    /// Opens a topic to watch it: by a stream's name, or by its own.
    pub fn tail(&self, name: &str, from_start: bool) -> Result<TopicTail, Failure> {
        let topic = match self.stream(name) {
            Ok(Stream { live: Some(topic), .. }) => topic,
            _ => name.to_owned(),
        };
        let there = if self.topics_path().is_dir() { self.topics()?.topic(&topic)? } else { None };
        let Some(topic) = there else {
            let known = if self.topics_path().is_dir() { self.topics()?.names()? } else { Vec::new() };
            let none = "there is none yet: `riverrun publish` and `riverrun run` make topics";
            let streams = self.statements.streams();
            let names = known.iter().map(String::as_str);
            if let Some(topic) = self.statements.topic_of(name) {
                let known = format!("the actions of decision {name} go to topic {topic}, its log to table {name}__log");
                return Err(Error::invalid(format!("no topic is named \"{name}\"; {known}")).into());
            }
            // A stream may be called otherwise than its topic.
            let stream =
                did_you_mean(name, streams.iter().map(String::as_str)).filter(|_| !streams.contains(&name.to_owned()));
            let known = stream.unwrap_or_else(|| near_or_all(name, names, "there are:", none));
            let place = self.topics_path();
            return Err(Error::invalid(format!("topic {topic} does not exist in {}; {known}", place.display())).into());
        };
        let mut logs = Vec::new();
        for (partition, end) in topic.ends()?.into_iter().enumerate() {
            let after = if from_start { None } else { end.last };
            logs.push(topic.watch(partition as u32, after)?);
        }
        Ok(TopicTail { topic: topic.name().to_owned(), logs })
    }
}

/// A topic being watched.
pub struct TopicTail {
    topic: String,
    logs: Vec<Watch>,
}

/// A message and the partition that it lies in.
#[derive(Debug)]
pub struct TailRow {
    /// The partition.
    pub partition: usize,
    /// The message.
    pub message: Message,
    /// The producer that wrote it and its epoch; `None` for messages of `publish`.
    pub producer: Option<(String, u64)>,
}

impl TopicTail {
    /// The name of the topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Waits until there are messages that were not taken yet, or until the time is over.
    pub fn wait(&mut self, timeout: std::time::Duration) -> Result<()> {
        Watch::wait_any(&mut self.logs, timeout).map(drop)
    }

    /// The messages since the last call, up to a limit per partition. Never waits.
    pub fn next(&mut self, messages_max: usize) -> Result<Vec<TailRow>> {
        let mut rows = Vec::new();
        for (partition, log) in self.logs.iter_mut().enumerate() {
            for (message, producer, epoch) in log.next(messages_max)? {
                let producer = (!producer.is_empty()).then_some((producer, epoch));
                rows.push(TailRow { partition, message, producer });
            }
        }
        rows.sort_by_key(|row| row.message.arrival);
        Ok(rows)
    }
}
