//! The reader of a partition as a state machine without I/O.
//!
//! ```text
//! attached -> SUBSCRIBE anchor -> where does it stand, and where does the partition end? -> SUBSCRIBE reader -> FLOW
//! ```
//!
//! The reader's subscription ends with its connection, has a fresh name each time, and begins at the last entry that
//! was received, which has to come first: then nothing after it was taken away.
//!
//! The broker says when it took the subscription, by its own clock. That is forgotten after some minutes without
//! messages, and then a question for the end subscribes anew.

use super::continuity::Expectation;
use super::intake::Intake;
use super::lookback::{Lookback, OLDEST};
use super::options::{PartitionEnd, ReaderOptions, Start};
use super::questions::Questions;
use super::watch::{self, Watch, last_message};
use crate::anchor::AnchorFacts;
use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::message::Message;
use crate::position::{EntryId, MessageId, Position};
use crate::settings::Settings;
use crate::wire::frame::Frame;
use crate::wire::protocol::{Command, Delivery, Flow, GetLastMessageIdResponse, MessageIdData, ServerError, Subscribe};
use bytes::Bytes;
use std::time::Duration;

/// The number of the consumer that gets the messages.
const CONSUMER: u64 = 2;

/// What is wrong once may be an accident of the connection; what is wrong at the same entry again and again is not.
const DOUBTS_MAX: u32 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Detached,
    Watching(RequestId),
    FindingEnd(RequestId),
    /// How much lies after the anchor, where the partition ends at this.
    Counting(Option<MessageId>),
    Subscribing(RequestId),
    Reading,
}

/// The reader of one partition.
#[derive(Debug)]
pub struct ReaderMachine {
    link: Link,
    options: ReaderOptions,
    phase: Phase,
    attempt: u64,
    watch: Watch,
    /// Where `Start::End` turned out to be: the end, or none if there was no message.
    end_at_start: Option<Option<MessageId>>,
    intake: Intake,
    /// Whether it is known which messages were not whole where it goes on.
    knows_chunks: bool,
    /// The place before that to begin at for knowing.
    begins_at: Option<EntryId>,
    lookback: Lookback,
    is_terminated: bool,
    /// The entry at which something was wrong, and how often.
    doubted: Option<(EntryId, u32)>,
    questions: Questions,
}

impl ReaderMachine {
    pub fn new(settings: Settings, options: ReaderOptions, seed: u64) -> Self {
        let received = match options.start {
            Start::After(position) => Some(position),
            Start::AfterMessage(last) => Some(Position::after(last)),
            Start::Oldest | Start::Beginning | Start::End => None,
        };
        let knows_chunks = !matches!(options.start, Start::End | Start::AfterMessage(_));
        ReaderMachine {
            watch: Watch::new(options.anchor.clone(), received.map(|position| position.oldest_needed())),
            intake: Intake::new(&options, settings.message_bytes_max, received),
            link: Link::new(settings, options.topic.clone(), seed),
            options,
            phase: Phase::Detached,
            attempt: 0,
            end_at_start: None,
            knows_chunks,
            begins_at: None,
            lookback: Lookback::default(),
            is_terminated: false,
            doubted: None,
            questions: Questions::default(),
        }
    }

    /// The next message, if one is here.
    pub fn take(&mut self) -> Option<Message> {
        let message = if self.watch.is_proven() { self.intake.pop()? } else { return None };
        self.flow();
        Some(message)
    }

    /// The last entry that has come, where no message waits to be taken.
    pub fn received_without_messages(&self) -> Option<EntryId> {
        self.intake.received_without_messages()
    }

    /// The last entry that has come.
    pub fn last_entry(&self) -> Option<EntryId> {
        self.intake.last_entry()
    }

    /// When the entry was stored after which the reader began; known once it came again.
    pub fn begun_after_ms(&self) -> Option<u64> {
        self.intake.begun_after_ms()
    }

    /// Whether no message can come any more, since the topic was terminated.
    pub fn has_ended(&self) -> bool {
        self.is_terminated && self.intake.is_empty()
    }

    /// Whether the broker gives out messages to this reader now.
    pub fn is_reading(&self) -> bool {
        self.phase == Phase::Reading
    }

    /// How often the reader has come to the topic's broker.
    pub fn connections(&self) -> u64 {
        self.attempt
    }

    /// Nothing before this entry is needed any more, by any checkpoint. It is asked where the anchor stands then.
    pub fn release_before(&mut self, needed: EntryId, now: Duration) {
        self.watch.release_before(needed);
        if let (Phase::Reading, Some(conversation)) = (self.phase, self.link.conversation()) {
            self.watch.move_on(conversation, now);
        }
    }

    /// What is known of the anchor, where there is one.
    pub fn anchor_facts(&self) -> Option<&AnchorFacts> {
        self.watch.facts()
    }

    /// Whether another consumer holds the anchor.
    pub fn is_busy(&self) -> bool {
        self.link.is_busy()
    }

    /// Asks where the partition ends; `take_end` has the answer once it is here.
    pub fn ask_end(&mut self, now: Duration) {
        if self.phase == Phase::Reading && self.questions.has_told_time && !self.intake.clock.knows_broker_time(now) {
            self.link.renew(now);
            return;
        }
        let conversation = self.link.conversation().filter(|_| self.phase == Phase::Reading);
        self.questions.ask_end(conversation, now);
    }

    /// The answer to the last question.
    ///
    /// A question that a connection took with it has to be asked again.
    pub fn take_end(&mut self) -> Option<PartitionEnd> {
        self.questions.take_end()
    }

    /// Whether a question for the end is on its way.
    pub fn is_asking_end(&self) -> bool {
        self.questions.is_asking_end()
    }

    fn flow(&mut self) {
        if self.phase != Phase::Reading {
            return;
        }
        let Some(conversation) = self.link.conversation_if_read() else { return };
        let grant = self.intake.grant();
        if grant > 0 {
            conversation.tell(Command::Flow(Flow { consumer_id: CONSUMER, message_permits: grant }));
        }
    }

    fn topic(&self) -> String {
        format!("topic \"{}\"", self.options.topic.as_str())
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Detached => {
                self.phase = Phase::Detached;
                self.questions.detached();
                self.watch.detached();
                Ok(())
            }
            Event::Attached => {
                self.attempt += 1;
                let topic = self.options.topic.to_string();
                let fresh = self.fresh_name("watch");
                let watch = &self.watch;
                if let Some(conversation) = self.link.conversation() {
                    let ask = |request| watch.subscribe(topic, fresh, request);
                    self.phase = Phase::Watching(conversation.ask("a subscription", ask, now));
                }
                Ok(())
            }
            Event::Heard(Heard::Answer(request, command)) => self.on_answer(request, command, now),
            Event::Heard(Heard::Frame(frame)) => self.on_frame(frame, now),
            Event::Heard(Heard::Greeted | Heard::Challenged) => Ok(()),
        }
    }

    fn fresh_name(&self, role: &str) -> String {
        format!("{}-{role}-{}", self.options.name, self.attempt)
    }

    fn on_answer(&mut self, request: RequestId, command: Command, now: Duration) -> Result<()> {
        match (self.phase, command) {
            (Phase::Reading, Command::GetLastMessageIdResponse(answer)) => self.on_end(request, &answer),
            (Phase::Reading, Command::ConsumerStatsResponse(answer)) => {
                if !self.watch.take_facts(request, &answer) {
                    let since = answer.connected_since.as_deref();
                    self.questions.told_since(request, since, &mut self.intake);
                }
                Ok(())
            }
            (phase, Command::Error(error)) => self.on_refusal(phase, &error.message, error.error, now),
            (Phase::Watching(asked), Command::Success(_)) if asked == request => {
                self.link.end_busy();
                self.watch.subscribed();
                if let Some(conversation) = self.link.conversation() {
                    self.phase = Phase::FindingEnd(self.questions.ask_beginning(conversation, now));
                }
                Ok(())
            }
            (Phase::FindingEnd(asked), Command::GetLastMessageIdResponse(answer)) if asked == request => {
                self.watch.check(None, &answer)?;
                let wants_facts = !self.knows_chunks && self.intake.received().is_some();
                if wants_facts
                    && let Some(conversation) = self.link.conversation()
                    && self.watch.asks_facts(conversation, now)
                {
                    self.phase = Phase::Counting(last_message(&answer));
                    return Ok(());
                }
                self.subscribe(last_message(&answer), now)
            }
            (Phase::Counting(end), Command::ConsumerStatsResponse(answer)) => {
                self.watch.take_facts(request, &answer);
                self.begins_at = self.place().and_then(|place| self.watch.begins_at(place));
                self.subscribe(end, now)
            }
            (Phase::Subscribing(asked), Command::Success(_)) if asked == request => {
                self.phase = Phase::Reading;
                self.link.settle();
                self.questions.ask_since(self.link.conversation(), CONSUMER, now);
                self.flow();
                if let Some(conversation) = self.link.conversation() {
                    self.watch.move_on(conversation, now);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_end(&mut self, request: RequestId, answer: &GetLastMessageIdResponse) -> Result<()> {
        self.watch.check(Some(request), answer)?;
        self.questions.ends(request, last_message(answer), &mut self.intake);
        Ok(())
    }

    fn on_refusal(&mut self, phase: Phase, message: &str, code: i32, now: Duration) -> Result<()> {
        let error = Error::from_broker(code, message);
        if code == ServerError::ConsumerBusy as i32 && matches!(phase, Phase::Watching(_)) {
            return self.link.fail_as_busy(self.watch.busy(&error), now);
        }
        if error.kind() == ErrorKind::Unavailable {
            self.link.fail(error, now);
            return Ok(());
        }
        // A topic that is not there refuses everybody.
        let is_of_anchor = matches!(phase, Phase::Watching(_)) && code != ServerError::TopicNotFound as i32;
        Err(if is_of_anchor { self.watch.refused(error) } else { error })
    }

    /// Opens the consumer that gets messages, now that the partition's end is known.
    fn subscribe(&mut self, end: Option<MessageId>, now: Duration) -> Result<()> {
        if self.options.start == Start::End && self.end_at_start.is_none() {
            self.end_at_start = Some(end);
            self.intake.skip_to(end);
        }
        if let Some(position) = self.intake.received()
            && end.is_none_or(|end| end.entry < position.last.entry)
        {
            let end = end.map_or("it is empty".to_owned(), |end| format!("it ends at {end}"));
            return Err(Error::lost(format!(
                "{end}, and was read up to {}: it was deleted, restored or is of another cluster",
                position.last
            )));
        }
        let (expectation, start, begins_whole) = self.beginning();
        let end = end.map(|end| end.entry);
        self.intake.begin(expectation, begins_whole, end);
        self.intake.clock.doubt_until(now + self.options.producer_clocks.doubted_for);
        if let Some(asked_at) = self.questions.asked_beginning() {
            self.intake.clock.ended_at(end, asked_at);
        }
        let topic = self.options.topic.to_string();
        let subscription = self.fresh_name("read");
        let Some(conversation) = self.link.conversation() else { return Ok(()) };
        let ask = |request_id| {
            Command::Subscribe(Subscribe {
                topic,
                subscription,
                sub_type: 0,
                consumer_id: CONSUMER,
                request_id,
                consumer_name: None,
                durable: Some(false),
                start_message_id: Some(start),
                initial_position: Some(1),
                force_topic_creation: Some(false),
            })
        };
        self.phase = Phase::Subscribing(conversation.ask("a reader's subscription", ask, now));
        Ok(())
    }

    /// The entry after which, or at which, the reader begins, if it is not at the first.
    fn place(&self) -> Option<EntryId> {
        match (self.intake.received(), self.options.start, self.end_at_start) {
            (Some(position), _, _) => Some(position.oldest_needed()),
            (None, Start::End, Some(Some(end))) => Some(end.entry),
            _ => None,
        }
    }

    /// What has to come first, where to begin for that, and whether all messages that end after that begin after it.
    fn beginning(&self) -> (Expectation, MessageIdData, bool) {
        let Some(place) = self.place() else {
            let expectation = match (self.options.start, self.watch.moved_from()) {
                (Start::Beginning, _) => Expectation::Beginning,
                (Start::Oldest, Some((from, to))) => Expectation::FirstEver(from, to),
                _ => Expectation::Oldest,
            };
            return (expectation, watch::BEFORE_ALL, true);
        };
        let knows = self.knows_chunks;
        if let Some(from) = self.begins_at.filter(|from| !knows && *from <= place) {
            return (Expectation::Between(from, place), from.to_wire_inclusive(), true);
        }
        match self.lookback.begins_at(place) {
            Some(OLDEST) => (Expectation::Between(OLDEST, place), watch::BEFORE_ALL, true),
            Some(from) => (Expectation::Between(from, place), from.to_wire_inclusive(), false),
            None if self.intake.received().is_none() => (Expectation::From(place), place.to_wire_inclusive(), knows),
            None => (Expectation::Exactly(place), place.to_wire_inclusive(), knows),
        }
    }

    fn on_frame(&mut self, frame: Frame, now: Duration) -> Result<()> {
        match frame.command {
            Command::Delivery(delivery) if delivery.consumer_id == CONSUMER && self.phase == Phase::Reading => {
                self.on_delivery(delivery, frame.rest, now)
            }
            Command::CloseConsumer(_) => {
                self.link.fail(Error::unavailable("the broker gave the topic to another broker"), now);
                Ok(())
            }
            Command::ReachedEndOfTopic(end) if end.consumer_id == CONSUMER => {
                self.is_terminated = true;
                Ok(())
            }
            Command::TopicMigrated(moved) => Err(Error::invalid(format!(
                "it moved to the cluster at \"{}\"; name that cluster",
                moved.broker_service_url.unwrap_or_default()
            ))),
            _ => Ok(()),
        }
    }

    /// Once the place is passed where it goes on, it is known which messages were not whole there: what lies before them is
    /// not needed. A message that began long before is given up.
    fn know_chunks(&mut self, id: EntryId, now: Duration) {
        let place = self.place().filter(|_| !self.knows_chunks && self.intake.knows_chunks());
        if let Some(place) = place.filter(|place| id >= *place) {
            self.knows_chunks = true;
            if id == place {
                self.release_before(self.intake.oldest_chunk().map_or(place, |chunk| chunk.min(place)), now);
            }
        }
    }

    fn on_delivery(&mut self, delivery: Delivery, rest: Bytes, now: Duration) -> Result<()> {
        let Some(id) = EntryId::from_wire(&delivery.message_id) else {
            self.link.fail(Error::unavailable("the broker sent an entry without a place"), now);
            return Ok(());
        };
        match self.intake.take_entry(id, rest, now) {
            Ok(()) => {
                self.doubted = self.doubted.filter(|(doubted, _)| id < *doubted);
                self.link.succeed();
                self.know_chunks(id, now);
                self.questions.tell_end(&mut self.intake);
                self.questions.ask_of_clock(self.link.conversation(), &mut self.intake, now);
                if self.intake.take_uncounted_ledger()
                    && let Some(conversation) = self.link.conversation()
                {
                    self.watch.doubt();
                    self.watch.ask_proof(conversation, now);
                }
                match self.place().filter(|_| self.intake.take_wish_for_earlier()) {
                    Some(place) => {
                        self.lookback.go_back(place);
                        self.link.renew(now);
                    }
                    None => self.flow(),
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Invalid => Err(error),
            Err(error) => {
                let doubts = self.doubted.filter(|(doubted, _)| id == *doubted).map_or(0, |(_, doubts)| doubts);
                if doubts == DOUBTS_MAX {
                    return Err(error.into_lost());
                }
                self.doubted = Some((id, doubts + 1));
                self.link.fail(error, now);
                Ok(())
            }
        }
    }
}

impl Machine for ReaderMachine {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn advance(&mut self, now: Duration) -> Result<()> {
        self.link.advance(now);
        while let Some(event) = self.link.next_event(now)? {
            self.on_event(event, now).map_err(|error| error.context(self.topic()))?;
        }
        // The broker may have read what was backed up.
        self.flow();
        Ok(())
    }

    fn stage(&self) -> &'static str {
        match self.phase {
            Phase::Detached => self.link.stage(),
            Phase::Watching(_) => "taking the anchor",
            Phase::FindingEnd(_) => "finding the end",
            Phase::Counting(_) => "counting",
            Phase::Subscribing(_) => "subscribing",
            Phase::Reading if !self.watch.is_proven() => "in doubt",
            Phase::Reading if self.is_terminated => "at the end",
            Phase::Reading => "reading",
        }
    }

    fn wants_input(&self) -> bool {
        // What waits for a proof is not taken before the proof has come.
        self.phase != Phase::Reading || self.intake.has_room() || !self.watch.is_proven()
    }
}
