//! The producer of a partition as a state machine without I/O.
//!
//! Messages stay in a queue until they are known to be stored. When a producer is opened the broker says the greatest
//! sequence that it has taken from the producer's name. Messages up to there are not sent again, but a broker may have
//! taken what it then failed to store, so they count as stored only when a later message of the same session is
//! acknowledged, or when the last of them, sent alone, is answered as one that is stored already.
//!
//! ```text
//! queue:   stored | taken, as the broker says | in flight | not yet sent
//!                 ^ committed                 ^           ^
//! ```

use super::batching;
use super::outgoing::OutgoingMessage;
use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::position::EntryId;
use crate::settings::Settings;
use crate::topic::TopicName;
use crate::wire::frame::MESSAGE_BYTES_DEFAULT;
use crate::wire::protocol::{Command, CompressionType, Producer, Send, SendReceipt, ServerError};
use std::collections::VecDeque;
use std::time::Duration;

const PRODUCER: u64 = 1;

/// A batch waits for more messages only while so many are in flight.
const EAGER_BATCHES: usize = 4;

/// A broker stops reading a connection with a thousand.
const BATCHES_MAX: usize = 500;

/// What happens when a message is sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// It may be there twice.
    AtLeastOnce,
    /// It is there once if the broker removes duplicates, which is found out with the first message.
    AsTheBrokerHas,
    /// It is there once; a broker that does not remove duplicates is an error.
    EffectivelyOnce,
}

/// What a producer is told.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// A topic without partitions, or one partition of a topic.
    pub topic: TopicName,
    /// Held by one producer at a time; what the broker knows of sequences is known by it.
    pub name: String,
    pub guarantee: Guarantee,
    /// The greatest sequence that an earlier run is known to have stored under this name.
    pub stored: Option<u64>,
    pub compression: CompressionType,
    pub batch_messages_max: usize,
    pub batch_bytes_max: usize,
    /// How much may wait to be stored.
    pub budget_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Flight {
    first: u64,
    last: u64,
    sent_at: Duration,
    /// Sent to learn whether it is stored already.
    is_question: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Detached,
    Opening(RequestId),
    Open,
}

/// The producer of one partition.
#[derive(Debug)]
pub struct ProducerMachine {
    link: Link,
    options: ProducerOptions,
    phase: Phase,
    epoch: u64,
    /// The time as of the last advance.
    now: Duration,
    busy_since: Option<Duration>,
    queue: VecDeque<OutgoingMessage>,
    queue_bytes: usize,
    /// How many messages of the queue are in flight or were taken before this session.
    sent: usize,
    flights: VecDeque<Flight>,
    stored: Option<u64>,
    /// The greatest sequence that was acknowledged with a place; a broker that removes duplicates knows it.
    acknowledged: Option<u64>,
    /// Whether a session after the first acknowledgement has shown that the broker knows sequences.
    is_deduplicated: Option<bool>,
    /// What the broker said when the producer was opened last.
    taken: Option<u64>,
}

impl ProducerMachine {
    pub fn new(settings: Settings, options: ProducerOptions, seed: u64) -> Self {
        ProducerMachine {
            link: Link::new(settings, options.topic.clone(), seed),
            phase: Phase::Detached,
            epoch: 0,
            now: Duration::ZERO,
            busy_since: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            sent: 0,
            flights: VecDeque::new(),
            stored: options.stored,
            acknowledged: options.stored,
            is_deduplicated: None,
            taken: None,
            options,
        }
    }

    /// Takes a message. One that the broker would refuse for its size is refused here, and nothing has changed.
    pub fn push(&mut self, message: OutgoingMessage) -> Result<()> {
        let conversation = self.link.conversation();
        let most = conversation.and_then(|conversation| conversation.message_bytes_max());
        let most = most.unwrap_or(MESSAGE_BYTES_DEFAULT);
        let bytes = message.bytes();
        if bytes > most {
            return Err(Error::invalid(format!(
                "{}: message {} has {bytes} bytes, expected at most {most}; raise the broker's maxMessageSize",
                self.place(),
                message.sequence
            )));
        }
        let before = self.queue.back().map(|message| message.sequence).or(self.stored);
        if let Some(before) = before.filter(|&before| message.sequence <= before) {
            let place = self.place();
            return Err(Error::invalid(format!("{place}: message {} came after {before}", message.sequence)));
        }
        self.queue_bytes += bytes;
        self.queue.push_back(message);
        self.send_some();
        Ok(())
    }

    /// Whether more should be pushed now.
    pub fn has_room(&self) -> bool {
        self.queue_bytes < self.options.budget_bytes
    }

    /// Whether all that was pushed is stored.
    pub fn is_flushed(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the broker lets the producer write now.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// The greatest sequence that the broker had taken when the producer was opened last, if it knows one.
    pub fn taken(&self) -> Option<u64> {
        self.taken
    }

    /// The greatest sequence up to which all is stored.
    pub fn stored(&self) -> Option<u64> {
        self.stored
    }

    /// Whether the broker removes duplicates, once it has shown that.
    pub fn is_deduplicated(&self) -> Option<bool> {
        self.is_deduplicated
    }

    fn place(&self) -> String {
        format!("producer \"{}\" of topic \"{}\"", self.options.name, self.options.topic.as_str())
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Detached => {
                self.phase = Phase::Detached;
                self.flights.clear();
                self.sent = 0;
                Ok(())
            }
            Event::Attached => {
                self.open(now);
                Ok(())
            }
            Event::Heard(Heard::Answer(request, command)) if self.phase == Phase::Opening(request) => {
                self.on_answer(command, now)
            }
            Event::Heard(Heard::Frame(frame)) => self.on_frame(frame.command, now),
            Event::Heard(_) => Ok(()),
        }
    }

    fn open(&mut self, now: Duration) {
        let producer = Producer {
            topic: self.options.topic.to_string(),
            producer_id: PRODUCER,
            request_id: 0,
            producer_name: Some(self.options.name.clone()),
            epoch: Some(self.epoch),
            user_provided_producer_name: Some(true),
        };
        self.epoch += 1;
        if let Some(conversation) = self.link.conversation() {
            let ask = |request_id| Command::Producer(Producer { request_id, ..producer });
            self.phase = Phase::Opening(conversation.ask("a producer", ask, now));
        }
    }

    fn on_answer(&mut self, command: Command, now: Duration) -> Result<()> {
        match command {
            Command::ProducerSuccess(answer) => {
                self.busy_since = None;
                self.opened(answer.last_sequence_id.and_then(|last| u64::try_from(last).ok()))
            }
            Command::Error(error) => self.refused(error.error, &error.message, now),
            _ => Ok(()),
        }
    }

    fn refused(&mut self, code: i32, message: &str, now: Duration) -> Result<()> {
        let error = Error::from_broker(code, message);
        if code == ServerError::ProducerBusy as i32 {
            let since = *self.busy_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.link.settings().busy_max {
                return Err(Error::invalid(format!("another producer holds the name, {error}; stop it")));
            }
        }
        if error.kind() == ErrorKind::Unavailable {
            self.link.fail(error, now);
            return Ok(());
        }
        Err(error)
    }

    /// The broker has taken everything up to a sequence, as it says.
    fn opened(&mut self, taken: Option<u64>) -> Result<()> {
        self.phase = Phase::Open;
        self.taken = taken;
        if let Some(acknowledged) = self.acknowledged {
            let knows = taken.is_some_and(|taken| taken >= acknowledged);
            if !knows && self.options.guarantee == Guarantee::EffectivelyOnce {
                let taken = taken.map_or("no message".to_owned(), |taken| format!("messages up to {taken}"));
                return Err(Error::lost(format!(
                    "message {acknowledged} is stored, and the broker knows of {taken}: its deduplication is off, or \
                     has forgotten; switch it on, or allow that messages are there twice"
                )));
            }
            self.is_deduplicated = Some(knows);
        }
        self.sent = taken.map_or(0, |taken| self.queue.partition_point(|message| message.sequence <= taken));
        self.flights.clear();
        self.send_some();
        Ok(())
    }

    /// Whether it has still to be seen that the broker removes duplicates.
    fn is_unsure(&self) -> bool {
        self.options.guarantee != Guarantee::AtLeastOnce && self.is_deduplicated.is_none()
    }

    /// Sends what is waiting, as far as it may.
    fn send_some(&mut self) {
        // What is in flight while the producer is opened again is there twice if the broker removes no duplicates.
        let flights_max = if self.is_unsure() { 1 } else { BATCHES_MAX };
        while self.phase == Phase::Open && self.flights.len() < flights_max {
            let Some((count, is_full)) = self.next_batch() else { break };
            if self.flights.len() >= EAGER_BATCHES && !is_full {
                break;
            }
            self.send(self.sent, count, false);
            self.sent += count;
        }
        // Nothing follows what was taken before, so the last of it is sent alone.
        if self.phase == Phase::Open && self.flights.is_empty() && self.sent > 0 && self.sent == self.queue.len() {
            self.send(self.sent - 1, 1, true);
        }
    }

    /// How many messages go together next, and whether no more would fit.
    fn next_batch(&self) -> Option<(usize, bool)> {
        let (mut count, mut bytes) = (0, 0);
        for message in self.queue.iter().skip(self.sent) {
            if count > 0 && bytes + message.bytes() > self.options.batch_bytes_max {
                return Some((count, true));
            }
            count += 1;
            bytes += message.bytes();
            if count >= self.options.batch_messages_max {
                return Some((count, true));
            }
        }
        (count > 0).then_some((count, bytes >= self.options.batch_bytes_max))
    }

    fn send(&mut self, at: usize, count: usize, is_question: bool) {
        let messages: Vec<&OutgoingMessage> = self.queue.iter().skip(at).take(count).collect();
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return };
        let flight = Flight { first: first.sequence, last: last.sequence, sent_at: self.now, is_question };
        // A payload that does not compress is sent as it is.
        let entry = batching::entry(&self.options.name, &messages, self.options.compression)
            .or_else(|_| batching::entry(&self.options.name, &messages, CompressionType::None));
        let command = Send {
            producer_id: PRODUCER,
            sequence_id: flight.first,
            num_messages: i32::try_from(count).ok(),
            highest_sequence_id: Some(flight.last),
        };
        if let (Some(conversation), Ok(entry)) = (self.link.conversation(), entry) {
            conversation.tell_with(Command::Send(command), &entry);
            self.flights.push_back(flight);
        }
    }

    fn on_frame(&mut self, command: Command, now: Duration) -> Result<()> {
        match command {
            Command::SendReceipt(receipt) if self.phase == Phase::Open => self.on_receipt(receipt, now),
            Command::SendError(error) => self.refused(error.error, &error.message, now),
            Command::CloseProducer(_) => {
                self.link.fail(Error::unavailable("the broker gave the topic to another broker"), now);
                Ok(())
            }
            Command::TopicMigrated(moved) => Err(Error::invalid(format!(
                "it moved to the cluster at \"{}\"; name that cluster",
                moved.broker_service_url.unwrap_or_default()
            ))),
            _ => Ok(()),
        }
    }

    fn on_receipt(&mut self, receipt: SendReceipt, now: Duration) -> Result<()> {
        let Some(flight) = self.flights.pop_front() else { return Ok(()) };
        if receipt.sequence_id != flight.first {
            let (found, expected) = (receipt.sequence_id, flight.first);
            let message = format!("message {found} was acknowledged where {expected} was in flight");
            self.link.fail(Error::unavailable(message), now);
            return Ok(());
        }
        let place = receipt.message_id.as_ref().and_then(EntryId::from_wire);
        match (place, flight.is_question) {
            (Some(_), false) => {
                self.acknowledged = self.acknowledged.max(Some(flight.last));
                self.store(flight.last);
                if self.is_unsure() {
                    // What a broker knows of sequences is only seen by opening a producer.
                    self.link.renew(now);
                }
            }
            (None, true) => self.store(flight.last),
            (Some(place), true) => {
                return Err(Error::lost(format!(
                    "message {} was stored at {place} after the broker had said that it has it: messages before it \
                     may be missing",
                    flight.last
                )));
            }
            // Somebody sent it under this name before; opening anew tells how far.
            (None, false) => self.link.renew(now),
        }
        self.link.succeed();
        self.send_some();
        Ok(())
    }

    fn store(&mut self, last: u64) {
        self.stored = self.stored.max(Some(last));
        while let Some(message) = self.queue.front().filter(|message| message.sequence <= last) {
            self.queue_bytes -= message.bytes();
            self.queue.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }
}

impl Machine for ProducerMachine {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn advance(&mut self, now: Duration) -> Result<()> {
        self.now = now;
        self.link.advance(now);
        let within = self.link.settings().answer_within;
        if let Some(flight) = self.flights.front().filter(|flight| now.saturating_sub(flight.sent_at) >= within) {
            let (sequence, within) = (flight.first, within.as_secs_f64());
            let error = format!("the broker did not acknowledge message {sequence} within {within} s");
            self.flights.clear();
            self.link.fail(Error::unavailable(error), now);
        }
        while let Some(event) = self.link.next_event(now)? {
            self.on_event(event, now).map_err(|error| error.context(self.place()))?;
        }
        Ok(())
    }

    fn wants_input(&self) -> bool {
        true
    }
}
