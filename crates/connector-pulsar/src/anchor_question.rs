//! Makes an anchor, looks at it, or lets go of it, where no reader holds it.
//!
//! ```text
//! attached -> SUBSCRIBE -+-> SEEK                                 made, or set to the beginning
//!                        +-> where does it stand, and how much lies after it? -> CLOSE        made, or looked at
//!                        +-> UNSUBSCRIBE                          gone
//! ```

use crate::anchor::{Anchor, AnchorFacts, AnchorPlace};
use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::reader::{BEFORE_ALL, WATCH_CONSUMER, Watch, end_question};
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::protocol::{CloseConsumer, Command, ConsumerStats, Seek, ServerError, Unsubscribe};
use std::time::Duration;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorTask {
    /// Makes it at the beginning of the topic, unless it is there; tells where it stands.
    Make,
    /// The same, and sets one that is there to the beginning.
    BeginAnew,
    /// Tells where it stands; one that is not there is made at the end.
    Look,
    /// Deletes it.
    Forget,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorAnswer {
    Done,
    /// A consumer holds it.
    Held,
    /// The topic is not there.
    NoTopic,
    Facts(AnchorFacts),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Detached,
    Subscribing(RequestId),
    FindingPlace(RequestId),
    Counting(RequestId),
    /// What comes next is the end.
    Leaving(RequestId),
    Over,
}

/// One question about one partition.
#[derive(Debug)]
pub struct AnchorQuestion {
    link: Link,
    anchor: Anchor,
    task: AnchorTask,
    phase: Phase,
    answer: AnchorAnswer,
    facts: AnchorFacts,
}

impl AnchorQuestion {
    pub fn new(settings: Settings, topic: TopicName, name: &str, task: AnchorTask, seed: u64) -> Self {
        let is_made = task == AnchorTask::Look;
        AnchorQuestion {
            link: Link::new(settings, topic, seed),
            anchor: Anchor { is_made, ..Anchor::new(name) },
            task,
            phase: Phase::Detached,
            answer: AnchorAnswer::Done,
            facts: AnchorFacts::default(),
        }
    }

    /// What came of it, once that is known.
    pub fn answer(&self) -> Option<AnchorAnswer> {
        (self.phase == Phase::Over).then_some(self.answer)
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Detached if self.phase != Phase::Over => self.phase = Phase::Detached,
            Event::Attached if self.phase == Phase::Detached => {
                let (topic, watch) = (self.link.topic().to_string(), Watch::new(Some(self.anchor.clone()), None));
                if let Some(conversation) = self.link.conversation() {
                    let ask = |request| watch.subscribe(topic, String::new(), request);
                    self.phase = Phase::Subscribing(conversation.ask("a subscription", ask, now));
                }
            }
            Event::Heard(Heard::Answer(request, command)) => return self.on_answer(request, command, now),
            // A seek closes the consumer, and the connection of one that waits for nothing else is left alone.
            Event::Heard(Heard::Frame(frame)) => {
                if matches!(frame.command, Command::CloseConsumer(_)) && !matches!(self.phase, Phase::Leaving(_)) {
                    self.link.fail(Error::unavailable("the broker gave the topic to another broker"), now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_answer(&mut self, request: RequestId, command: Command, now: Duration) -> Result<()> {
        match (self.phase, command) {
            (_, Command::Error(error)) => {
                let (code, busy, gone) = (error.error, ServerError::ConsumerBusy, ServerError::TopicNotFound);
                return self.on_refusal(
                    Error::from_broker(code, &error.message),
                    (code, busy as i32, gone as i32),
                    now,
                );
            }
            (Phase::Subscribing(asked), Command::Success(_)) if asked == request => self.subscribed(now),
            (Phase::FindingPlace(asked), Command::GetLastMessageIdResponse(answer)) if asked == request => {
                self.facts.stands_at = answer.consumer_mark_delete_position.as_ref().map(AnchorPlace::of);
                let count =
                    |request_id| Command::ConsumerStats(ConsumerStats { request_id, consumer_id: WATCH_CONSUMER });
                self.phase = self.ask("how much lies after it", count, now).map_or(self.phase, Phase::Counting);
            }
            (Phase::Counting(asked), Command::ConsumerStatsResponse(answer)) if asked == request => {
                self.facts.backlog = answer.backlog;
                self.answer = AnchorAnswer::Facts(self.facts);
                self.leave(now);
            }
            (Phase::Leaving(asked), Command::Success(_)) if asked == request => self.phase = Phase::Over,
            _ => {}
        }
        Ok(())
    }

    fn on_refusal(&mut self, error: Error, (code, busy, gone): (i32, i32, i32), now: Duration) -> Result<()> {
        match self.phase {
            Phase::Subscribing(_) if code == busy => {
                (self.phase, self.answer) = (Phase::Over, AnchorAnswer::Held);
            }
            Phase::Subscribing(_) if code == gone => {
                (self.phase, self.answer) = (Phase::Over, AnchorAnswer::NoTopic);
            }
            _ if error.kind() == ErrorKind::Unavailable => self.link.fail(error, now),
            _ => return Err(self.anchor.refused(error)),
        }
        Ok(())
    }

    fn subscribed(&mut self, now: Duration) {
        let consumer_id = WATCH_CONSUMER;
        match self.task {
            AnchorTask::BeginAnew => {
                let message_id = Some(BEFORE_ALL);
                let seek = |request_id| Command::Seek(Seek { consumer_id, request_id, message_id });
                self.phase = self.ask("to begin anew", seek, now).map_or(self.phase, Phase::Leaving);
            }
            AnchorTask::Make | AnchorTask::Look => {
                self.phase = self.ask("where it stands", end_question, now).map_or(self.phase, Phase::FindingPlace);
            }
            AnchorTask::Forget => {
                let forget = |request_id| Command::Unsubscribe(Unsubscribe { consumer_id, request_id });
                self.phase = self.ask("to be deleted", forget, now).map_or(self.phase, Phase::Leaving);
            }
        }
    }

    fn leave(&mut self, now: Duration) {
        let close = |request_id| Command::CloseConsumer(CloseConsumer { consumer_id: WATCH_CONSUMER, request_id });
        self.phase = self.ask("to leave", close, now).map_or(self.phase, Phase::Leaving);
    }

    fn ask(&mut self, name: &'static str, ask: impl FnOnce(RequestId) -> Command, now: Duration) -> Option<RequestId> {
        Some(self.link.conversation()?.ask(name, ask, now))
    }
}

impl Machine for AnchorQuestion {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn advance(&mut self, now: Duration) -> Result<()> {
        self.link.advance(now);
        while let Some(event) = self.link.next_event(now)? {
            self.on_event(event, now)
                .map_err(|error| error.context(format_args!("topic \"{}\"", self.link.topic().as_str())))?;
        }
        Ok(())
    }

    fn stage(&self) -> &'static str {
        match self.phase {
            Phase::Detached => self.link.stage(),
            Phase::Subscribing(_) => "subscribing",
            Phase::FindingPlace(_) => "finding the place",
            Phase::Counting(_) => "counting",
            Phase::Leaving(_) => "leaving",
            Phase::Over => "over",
        }
    }

    fn wants_input(&self) -> bool {
        true
    }
}
