//! How many partitions a topic has.

use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::protocol::{Command, PartitionedTopicMetadata, ServerError};
use std::time::Duration;

/// What LookupType's failure is in answers about partitions.
const FAILED: i32 = 1;

/// Asks any broker how many partitions a topic has.
#[derive(Debug)]
pub struct PartitionQuestion {
    link: Link,
    request: Option<RequestId>,
    /// None inside is a topic that is not there.
    answer: Option<Option<u32>>,
}

impl PartitionQuestion {
    pub fn new(settings: Settings, topic: TopicName, seed: u64) -> Self {
        PartitionQuestion { link: Link::to_service(settings, topic, seed), request: None, answer: None }
    }

    /// The number of partitions once it is known, of a topic that is there; 0 is one that has none.
    pub fn answer(&self) -> Option<Option<u32>> {
        self.answer
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Attached => {
                let topic = self.link.topic().to_string();
                // A topic that is not there is not made by a question.
                let metadata_auto_creation_enabled = Some(false);
                if let Some(conversation) = self.link.conversation() {
                    let question = |request_id| {
                        let question = PartitionedTopicMetadata { topic, request_id, metadata_auto_creation_enabled };
                        Command::PartitionMetadata(question)
                    };
                    self.request = Some(conversation.ask("how many partitions there are", question, now));
                }
                Ok(())
            }
            Event::Detached => {
                self.request = None;
                Ok(())
            }
            Event::Heard(Heard::Answer(request, command)) if self.request == Some(request) => {
                self.on_answer(command, now)
            }
            Event::Heard(_) => Ok(()),
        }
    }

    fn on_answer(&mut self, command: Command, now: Duration) -> Result<()> {
        let error = match command {
            Command::PartitionMetadataResponse(answer) if answer.response != Some(FAILED) => {
                self.answer = Some(Some(answer.partitions.unwrap_or_default()));
                return Ok(());
            }
            Command::PartitionMetadataResponse(answer) if answer.error == Some(ServerError::TopicNotFound as i32) => {
                self.answer = Some(None);
                return Ok(());
            }
            Command::PartitionMetadataResponse(answer) => {
                Error::from_broker(answer.error.unwrap_or_default(), &answer.message.unwrap_or_default())
            }
            Command::Error(error) => Error::from_broker(error.error, &error.message),
            _ => return Ok(()),
        };
        if error.kind() == ErrorKind::Unavailable {
            self.link.fail(error, now);
            return Ok(());
        }
        Err(error.context(format_args!("topic \"{}\"", self.link.topic().as_str())))
    }
}

impl Machine for PartitionQuestion {
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
