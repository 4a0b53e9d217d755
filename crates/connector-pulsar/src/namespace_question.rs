//! Which topics a namespace has.

use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::settings::Settings;
use crate::topic::{Namespace, TopicName};
use crate::wire::protocol::{Command, GetTopicsOfNamespace};
use std::time::Duration;

/// Asks any broker for the persistent topics of a namespace.
#[derive(Debug)]
pub struct NamespaceQuestion {
    link: Link,
    namespace: Namespace,
    request: Option<RequestId>,
    answer: Option<Vec<String>>,
}

impl NamespaceQuestion {
    /// Asks for those of the namespace that a topic is in.
    pub fn new(settings: Settings, namespace: Namespace, topic: TopicName, seed: u64) -> Self {
        NamespaceQuestion { link: Link::to_service(settings, topic, seed), namespace, request: None, answer: None }
    }

    /// The full names once they are known, in no order; the partitions of a topic are listed one by one.
    pub fn answer(&mut self) -> Option<Vec<String>> {
        self.answer.take()
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Attached => {
                let namespace = self.namespace.to_string();
                if let Some(conversation) = self.link.conversation() {
                    let question =
                        |request_id| Command::GetTopicsOfNamespace(GetTopicsOfNamespace { request_id, namespace });
                    self.request = Some(conversation.ask("which topics there are", question, now));
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
        match command {
            Command::GetTopicsOfNamespaceResponse(answer) => self.answer = Some(answer.topics),
            Command::Error(error) => {
                let error = Error::from_broker(error.error, &error.message);
                if error.kind() != ErrorKind::Unavailable {
                    return Err(error.context(format_args!("namespace {}", self.namespace)));
                }
                self.link.fail(error, now);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Machine for NamespaceQuestion {
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
