//! What messages of a topic look like.

use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::protocol::{Command, GetSchema, GetSchemaResponse, Schema, ServerError};
use bytes::Bytes;
use std::time::Duration;

/// Asks any broker for a schema of a topic, or of the topic that a partition is of.
#[derive(Debug)]
pub struct SchemaQuestion {
    link: Link,
    version: Option<Bytes>,
    request: Option<RequestId>,
    /// None inside is a topic without that schema.
    answer: Option<Option<Schema>>,
}

impl SchemaQuestion {
    /// Asks for a version, or for the newest one.
    pub fn new(settings: Settings, topic: TopicName, version: Option<Bytes>, seed: u64) -> Self {
        SchemaQuestion { link: Link::to_service(settings, topic, seed), version, request: None, answer: None }
    }

    /// The schema once it is known, of a topic that has it.
    pub fn answer(&mut self) -> Option<Option<Schema>> {
        self.answer.take()
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Attached => {
                let (topic, schema_version) = (self.link.topic().to_string(), self.version.clone());
                if let Some(conversation) = self.link.conversation() {
                    let question = |request_id| Command::GetSchema(GetSchema { request_id, topic, schema_version });
                    self.request = Some(conversation.ask("what its messages look like", question, now));
                }
            }
            Event::Detached => self.request = None,
            Event::Heard(Heard::Answer(request, command)) if self.request == Some(request) => {
                return self.on_answer(command, now);
            }
            Event::Heard(_) => {}
        }
        Ok(())
    }

    fn on_answer(&mut self, command: Command, now: Duration) -> Result<()> {
        let (code, message) = match command {
            Command::GetSchemaResponse(GetSchemaResponse { error_code: None, schema, .. }) => {
                self.answer = Some(schema);
                return Ok(());
            }
            Command::GetSchemaResponse(answer) => {
                (answer.error_code.unwrap_or_default(), answer.error_message.unwrap_or_default())
            }
            Command::Error(error) => (error.error, error.message),
            _ => return Ok(()),
        };
        if code == ServerError::TopicNotFound as i32 {
            self.answer = Some(None);
            return Ok(());
        }
        let error = Error::from_broker(code, &message);
        if error.kind() == ErrorKind::Unavailable {
            self.link.fail(error, now);
            return Ok(());
        }
        Err(error.context(format_args!("topic \"{}\"", self.link.topic().as_str())))
    }
}

impl Machine for SchemaQuestion {
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

    fn wants_input(&self) -> bool {
        true
    }
}
