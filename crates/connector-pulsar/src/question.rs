//! One question that any broker of a cluster answers, such as how many partitions a topic has.

use crate::conversation::{self, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::topic::{Namespace, TopicName};
use crate::wire::protocol::{
    Command, GetSchema, GetSchemaResponse, GetTopicsOfNamespace, PartitionedTopicMetadata, Schema, ServerError,
};
use bytes::Bytes;
use std::time::Duration;

/// What LookupType's failure is in answers about partitions.
const FAILED: i32 = 1;

/// No topic has so many partitions: each has a connection of its own, and a consumer and a producer of every client.
const PARTITIONS_MAX: u32 = 10_000;

/// What is asked.
pub trait Ask {
    /// What is known once it is answered.
    type Answer;

    /// What the question is for, as errors call it.
    const WHAT: &'static str;

    /// The question about a topic as it is sent.
    fn command(&self, topic: &TopicName, request_id: RequestId) -> Command;

    /// What a command says, or why it does not; `None` is one that is no answer.
    fn hear(command: Command) -> Option<Reply<Self::Answer>>;

    /// The answer where the topic is not there, unless that is an error.
    fn without_topic() -> Option<Self::Answer>;

    /// What errors are about.
    fn subject(&self, topic: &TopicName) -> String {
        format!("topic \"{}\"", topic.as_str())
    }
}

/// What was answered: what was asked for, or the broker's code and its words.
pub type Reply<Answer> = std::result::Result<Answer, (i32, String)>;

/// A question, asked again wherever the connection ends before its answer.
#[derive(Debug)]
pub struct Question<Asked: Ask> {
    link: Link,
    asked: Asked,
    request: Option<RequestId>,
    answer: Option<Asked::Answer>,
}

impl<Asked: Ask> Question<Asked> {
    /// Asks about a topic, or about the topic that a partition is of.
    pub fn new(settings: Settings, topic: TopicName, asked: Asked, seed: u64) -> Self {
        Question { link: Link::to_service(settings, topic, seed), asked, request: None, answer: None }
    }

    /// The answer, once it is known.
    pub fn answer(&mut self) -> Option<Asked::Answer> {
        self.answer.take()
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Attached => {
                let topic = self.link.topic().clone();
                if let Some(conversation) = self.link.conversation() {
                    let ask = |request_id| self.asked.command(&topic, request_id);
                    self.request = Some(conversation.ask(Asked::WHAT, ask, now));
                }
            }
            Event::Detached => self.request = None,
            Event::Heard(conversation::Heard::Answer(request, command)) if self.request == Some(request) => {
                return self.on_answer(command, now);
            }
            Event::Heard(_) => {}
        }
        Ok(())
    }

    fn on_answer(&mut self, command: Command, now: Duration) -> Result<()> {
        let heard = match command {
            Command::Error(error) => Some(Err((error.error, error.message))),
            command => Asked::hear(command),
        };
        let (code, message) = match heard {
            None => return Ok(()),
            Some(Ok(answer)) => {
                self.answer = Some(answer);
                return Ok(());
            }
            Some(Err(refusal)) => refusal,
        };
        if code == ServerError::TopicNotFound as i32 {
            self.answer = Asked::without_topic();
        }
        let error = Error::from_broker(code, &message);
        match error.kind() {
            _ if self.answer.is_some() => {}
            ErrorKind::Unavailable => self.link.fail(error, now),
            _ => return Err(error.context(self.asked.subject(self.link.topic()))),
        }
        Ok(())
    }
}

impl<Asked: Ask> Machine for Question<Asked> {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn advance(&mut self, now: Duration) -> Result<()> {
        self.link.advance(now);
        while let Some(event) = self.link.next_event(now)? {
            self.on_event(event, now)?;
        }
        Ok(())
    }

    fn stage(&self) -> &'static str {
        if self.request.is_some() { "asking" } else { self.link.stage() }
    }

    fn wants_input(&self) -> bool {
        true
    }
}

/// How many partitions a topic has: `None` is a topic that is not there, and 0 one that has none.
#[derive(Debug)]
pub struct Partitions;

impl Ask for Partitions {
    type Answer = Option<u32>;

    const WHAT: &'static str = "how many partitions there are";

    fn command(&self, topic: &TopicName, request_id: RequestId) -> Command {
        // A topic that is not there is not made by a question.
        let metadata_auto_creation_enabled = Some(false);
        let topic = topic.to_string();
        Command::PartitionMetadata(PartitionedTopicMetadata { topic, request_id, metadata_auto_creation_enabled })
    }

    fn hear(command: Command) -> Option<Reply<Option<u32>>> {
        let Command::PartitionMetadataResponse(answer) = command else { return None };
        Some(match answer.response {
            Some(FAILED) => Err((answer.error.unwrap_or_default(), answer.message.unwrap_or_default())),
            _ => match answer.partitions.unwrap_or_default() {
                // Whoever reads the topic has something for each.
                count if count > PARTITIONS_MAX => Err((
                    ServerError::UnknownError as i32,
                    format!("{count} partitions, expected at most {PARTITIONS_MAX}"),
                )),
                count => Ok(Some(count)),
            },
        })
    }

    fn without_topic() -> Option<Option<u32>> {
        Some(None)
    }
}

/// A version of a topic's schema, or the newest one; `None` is a topic without it.
#[derive(Debug)]
pub struct SchemaVersion(pub Option<Bytes>);

impl Ask for SchemaVersion {
    type Answer = Option<Schema>;

    const WHAT: &'static str = "what its messages look like";

    fn command(&self, topic: &TopicName, request_id: RequestId) -> Command {
        Command::GetSchema(GetSchema { request_id, topic: topic.to_string(), schema_version: self.0.clone() })
    }

    fn hear(command: Command) -> Option<Reply<Option<Schema>>> {
        let Command::GetSchemaResponse(GetSchemaResponse { error_code, error_message, schema, .. }) = command else {
            return None;
        };
        Some(error_code.map_or(Ok(schema), |code| Err((code, error_message.unwrap_or_default()))))
    }

    fn without_topic() -> Option<Option<Schema>> {
        Some(None)
    }
}

/// The full names of the persistent topics of a namespace, in no order; the partitions of a topic are listed one by one.
#[derive(Debug)]
pub struct TopicsOf(pub Namespace);

impl Ask for TopicsOf {
    type Answer = Vec<String>;

    const WHAT: &'static str = "which topics there are";

    fn command(&self, _: &TopicName, request_id: RequestId) -> Command {
        Command::GetTopicsOfNamespace(GetTopicsOfNamespace { request_id, namespace: self.0.to_string() })
    }

    fn hear(command: Command) -> Option<Reply<Vec<String>>> {
        let Command::GetTopicsOfNamespaceResponse(answer) = command else { return None };
        Some(Ok(answer.topics))
    }

    fn without_topic() -> Option<Vec<String>> {
        None
    }

    fn subject(&self, _: &TopicName) -> String {
        format!("namespace {}", self.0)
    }
}
