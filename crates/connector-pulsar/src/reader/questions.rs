//! What a reader has asked of the end of its partition and of its broker's clock, and what it was answered.

use super::broker_date;
use super::intake::Intake;
use super::options::PartitionEnd;
use super::watch::end_question;
use crate::conversation::{Conversation, RequestId};
use crate::position::MessageId;
use crate::wire::protocol::{Command, ConsumerStats};
use std::time::Duration;

/// A question, and when it was asked.
type Asked = Option<(RequestId, Duration)>;

/// The questions of one connection.
#[derive(Debug, Default)]
pub struct Questions {
    end: Asked,
    /// An answer that the entry after which the reader began belongs to, until that has come again.
    answer: Option<(Option<MessageId>, Duration)>,
    told: Option<PartitionEnd>,
    /// Where the partition ends, to know of clocks.
    clock: Asked,
    /// When the broker took the subscription, which it did before this moment.
    since: Asked,
    /// Whether it has said that on this connection.
    pub has_told_time: bool,
}

impl Questions {
    /// The connection is gone; an answer that came is one still.
    pub fn detached(&mut self) {
        *self = Questions { told: self.told.take(), ..Questions::default() };
    }

    /// Asks where the partition ends, as a consumer begins.
    pub fn ask_beginning(&mut self, conversation: &mut Conversation, now: Duration) -> RequestId {
        let request = conversation.ask("where the topic ends", end_question, now);
        self.clock = Some((request, now));
        request
    }

    /// When that was asked.
    pub fn asked_beginning(&mut self) -> Option<Duration> {
        self.clock.take().map(|(_, asked_at)| asked_at)
    }

    /// Asks where the partition ends, for `take_end`; what was answered before is forgotten.
    pub fn ask_end(&mut self, conversation: Option<&mut Conversation>, now: Duration) {
        (self.told, self.answer) = (None, None);
        let ask = |conversation: &mut Conversation| (conversation.ask("where the topic ends", end_question, now), now);
        self.end = conversation.map(ask);
    }

    pub fn take_end(&mut self) -> Option<PartitionEnd> {
        self.told.take()
    }

    pub fn is_asking_end(&self) -> bool {
        self.end.is_some() || self.answer.is_some()
    }

    /// Asks where the partition ends where that tells whether a producer's clock is right.
    pub fn ask_of_clock(&mut self, conversation: Option<&mut Conversation>, intake: &mut Intake, now: Duration) {
        if self.clock.is_none() && intake.clock.wants_end(now) {
            let ask =
                |conversation: &mut Conversation| (conversation.ask("where the topic ends", end_question, now), now);
            self.clock = conversation.map(ask);
        }
    }

    /// The partition ends, or ended a moment ago, after this message.
    pub fn ends(&mut self, request: RequestId, last: Option<MessageId>, intake: &mut Intake) {
        let of_clock = self.clock.take_if(|(asked, _)| *asked == request);
        let of_end = self.end.take_if(|(asked, _)| *asked == request);
        if let Some((_, asked_at)) = of_clock.or(of_end) {
            intake.clock.ended_at(last.map(|last| last.entry), asked_at);
        }
        self.answer = of_end.map(|(_, asked_at)| (last, asked_at)).or(self.answer);
        self.tell_end(intake);
    }

    /// Tells where the partition ends, once the entry is here again after which the reader began: it may say by which clock
    /// messages arrive.
    pub fn tell_end(&mut self, intake: &mut Intake) {
        if let Some((last, asked_at)) = self.answer.take_if(|_| !intake.waits_for_place()) {
            self.told = Some(PartitionEnd { last, drained: intake.drained(last, asked_at) });
        }
    }

    /// Asks when the broker took the subscription of a consumer.
    pub fn ask_since(&mut self, conversation: Option<&mut Conversation>, consumer_id: u64, now: Duration) {
        let ask = |request_id| Command::ConsumerStats(ConsumerStats { request_id, consumer_id });
        self.since =
            conversation.map(|conversation| (conversation.ask("when it took the subscription", ask, now), now));
    }

    /// The broker has said when it took it.
    pub fn told_since(&mut self, request: RequestId, since: Option<&str>, intake: &mut Intake) {
        if let Some((_, subscribed_at)) = self.since.take_if(|(asked, _)| *asked == request)
            && let Some(since_ms) = since.and_then(broker_date::parse_ms)
        {
            intake.clock.observe_broker_time(since_ms, subscribed_at);
            self.has_told_time = true;
        }
    }
}
