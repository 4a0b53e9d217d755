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

use super::batching::{self, Entry};
use super::chunking::Chunking;
use super::deduplication::Deduplication;
use super::options::ProducerOptions;
use super::outgoing::OutgoingMessage;
use super::refusals;
use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::position::EntryId;
use crate::settings::Settings;
use crate::wire::frame::{MESSAGE_BYTES_DEFAULT, METADATA_BYTES_MAX};
use crate::wire::protocol::{Command, Producer, Send, SendError, SendReceipt, ServerError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

const PRODUCER: u64 = 1;

/// A batch waits for more messages only while so many are in flight.
const EAGER_BATCHES: usize = 4;

/// A broker stops reading a connection with a thousand.
const BATCHES_MAX: usize = 500;

/// So many chunks of a message are in flight at once, which bounds the memory that they take beside their message.
const CHUNKS_MAX: usize = 2;

#[derive(Clone, Copy, Debug)]
struct Flight {
    first: u64,
    last: u64,
    sent_at: Duration,
    /// Sent to learn whether it is stored already.
    is_question: bool,
    /// A chunk that is not the last of its message.
    is_part: bool,
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
    /// Tells the attempts of this producer to send a message in chunks from those of others of its name.
    seed: u64,
    phase: Phase,
    epoch: u64,
    /// The time as of the last advance.
    now: Duration,
    queue: VecDeque<OutgoingMessage>,
    queue_bytes: usize,
    /// How many messages of the queue are in flight or were taken before this session.
    sent: usize,
    /// The message after these, while it is sent in chunks.
    chunking: Option<Chunking>,
    flights: VecDeque<Flight>,
    stored: Option<u64>,
    deduplication: Deduplication,
    /// What the broker said when the producer was opened last.
    taken: Option<u64>,
    /// The version of the schema that messages of this session are written with.
    schema_version: Option<Bytes>,
}

impl ProducerMachine {
    pub fn new(settings: Settings, options: ProducerOptions, seed: u64) -> Self {
        ProducerMachine {
            link: Link::new(settings, options.topic.clone(), seed),
            seed,
            phase: Phase::Detached,
            epoch: 0,
            now: Duration::ZERO,
            queue: VecDeque::new(),
            queue_bytes: 0,
            sent: 0,
            chunking: None,
            flights: VecDeque::new(),
            stored: options.earlier.stored,
            deduplication: Deduplication::new(options.guarantee, options.earlier),
            taken: None,
            schema_version: None,
            options,
        }
    }

    /// Takes a message. One that can never be stored is an error of the kind `Unfit`, and nothing has changed.
    ///
    /// A message that is larger than the broker's entries is sent in chunks.
    pub fn push(&mut self, message: OutgoingMessage) -> Result<()> {
        self.check(&message)?;
        let before = self.queue.back().map(|message| message.sequence).or(self.stored);
        if let Some(before) = before.filter(|&before| message.sequence <= before) {
            let place = self.place();
            return Err(Error::invalid(format!("{place}: message {} came after {before}", message.sequence)));
        }
        self.queue_bytes += message.bytes();
        self.queue.push_back(message);
        self.send_some()
    }

    /// Refuses what readers would not take, and what does not fit beside the payload.
    fn check(&mut self, message: &OutgoingMessage) -> Result<()> {
        let (bytes, most) = (message.payload_bytes(), self.link.settings().message_bytes_max);
        if bytes > most {
            let what = format!("has {bytes} bytes, expected at most {most}");
            return Err(self.unfit(message.sequence, &what));
        }
        // Each chunk of a message has its metadata, and readers take no more of it.
        let (bytes, most) = (message.metadata_bytes(), METADATA_BYTES_MAX.min(self.entry_bytes_max() / 2));
        if bytes > most {
            let what = format!("has {bytes} bytes of key and properties, expected at most {most}");
            return Err(self.unfit(message.sequence, &what));
        }
        Ok(())
    }

    fn unfit(&self, sequence: u64, what: &str) -> Error {
        Error::unfit(format!("{}: message {sequence} {what}", self.place()))
    }

    /// The greatest entry that the broker takes.
    fn entry_bytes_max(&mut self) -> usize {
        let conversation = self.link.conversation();
        conversation.and_then(|conversation| conversation.message_bytes_max()).unwrap_or(MESSAGE_BYTES_DEFAULT)
    }

    /// Whether more should be pushed now.
    pub fn has_room(&self) -> bool {
        self.queue_bytes < self.options.budget_bytes
    }

    /// Whether all that was pushed is stored, and it was seen whether the broker removes duplicates.
    pub fn is_flushed(&self) -> bool {
        self.queue.is_empty() && !self.deduplication.is_looking()
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
        self.deduplication.is_there()
    }

    fn place(&self) -> String {
        format!("producer \"{}\" of topic \"{}\"", self.options.name, self.options.topic.as_str())
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Detached => {
                self.phase = Phase::Detached;
                self.flights.clear();
                self.chunking = None;
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
            schema: self.options.schema.clone(),
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
                let version = answer.schema_version.filter(|version| !version.is_empty());
                self.schema_version = version.filter(|_| self.options.schema.is_some());
                self.opened(answer.last_sequence_id.and_then(|last| u64::try_from(last).ok()))
            }
            Command::Error(error) => self.refused(error.error, &error.message, now),
            _ => Ok(()),
        }
    }

    fn refused(&mut self, code: i32, message: &str, now: Duration) -> Result<()> {
        let error = Error::from_broker(code, message);
        if code == ServerError::ProducerBusy as i32 {
            return self.link.fail_as_busy(format!("another producer holds the name, {error}; stop it"), now);
        }
        if error.kind() == ErrorKind::Unavailable {
            self.link.fail(error, now);
            return Ok(());
        }
        Err(refusals::explained(error, code, self.options.schema.as_ref()))
    }

    /// The broker has taken everything up to a sequence, as it says.
    fn opened(&mut self, taken: Option<u64>) -> Result<()> {
        self.phase = Phase::Open;
        self.link.settle();
        self.taken = taken;
        self.deduplication.note_opened(taken, self.stored)?;
        self.sent = 0;
        self.flights.clear();
        self.chunking = None;
        self.send_some()
    }

    /// Passes over what the broker had taken when the producer was opened, also where it comes after that: a batch that
    /// begins with some of it is dropped whole, and those after it are not.
    fn pass_taken(&mut self) {
        let is_taken = |message: &OutgoingMessage| Some(message.sequence) <= self.taken;
        while self.phase == Phase::Open && self.queue.get(self.sent).is_some_and(is_taken) {
            self.sent += 1;
        }
    }

    /// Sends what is waiting, as far as it may.
    fn send_some(&mut self) -> Result<()> {
        self.pass_taken();
        // What is in flight while the producer is opened again is there twice if the broker removes no duplicates.
        let flights_max = if self.deduplication.is_unsure() { 1 } else { BATCHES_MAX };
        while self.phase == Phase::Open && self.flights.len() < flights_max {
            if let Some(chunking) = self.chunking.take() {
                if self.flights.iter().filter(|flight| flight.is_part).count() >= CHUNKS_MAX {
                    self.chunking = Some(chunking);
                    break;
                }
                self.send_chunk(chunking, false);
                continue;
            }
            let Some((count, is_full)) = self.next_batch() else { break };
            if self.flights.len() >= EAGER_BATCHES && !is_full {
                break;
            }
            self.send(count)?;
        }
        // Nothing follows what was taken before, so the last of it is sent alone.
        if self.phase == Phase::Open && self.flights.is_empty() && self.sent > 0 && self.sent == self.queue.len() {
            self.ask_whether_stored()?;
        }
        Ok(())
    }

    /// How many messages go together next, and whether no more would fit.
    fn next_batch(&mut self) -> Option<(usize, bool)> {
        let bytes_max = self.options.batch_bytes_max.min(self.entry_bytes_max());
        let (mut count, mut bytes) = (0, 0);
        for message in self.queue.iter().skip(self.sent) {
            if count > 0 && bytes + message.bytes() > bytes_max {
                return Some((count, true));
            }
            count += 1;
            bytes += message.bytes();
            if count >= self.options.batch_messages_max {
                return Some((count, true));
            }
        }
        (count > 0).then_some((count, bytes >= bytes_max))
    }

    /// The entry of messages of the queue.
    fn entry(&self, at: usize, count: usize) -> Option<Entry> {
        let messages: Vec<&OutgoingMessage> = self.queue.iter().skip(at).take(count).collect();
        batching::entry(&self.options.name, &messages, self.options.compression, self.schema_version.clone())
    }

    /// Sends the next messages together; the first of them alone where all are too large, and in chunks where it is.
    fn send(&mut self, count: usize) -> Result<()> {
        let (mut count, most) = (count, self.entry_bytes_max());
        let mut entry = self.entry(self.sent, count);
        if count > 1 && entry.as_ref().is_some_and(|entry| entry.bytes() > most) {
            count = 1;
            entry = self.entry(self.sent, count);
        }
        let (Some(entry), Some(first)) = (entry, self.queue.get(self.sent)) else { return Ok(()) };
        let (first, last) = (first.sequence, self.queue.get(self.sent + count - 1).map_or(0, |last| last.sequence));
        if entry.bytes() > most {
            self.chunking = Some(self.chunking_of(first, entry, most)?);
            return Ok(());
        }
        let flight = Flight { first, last, sent_at: self.now, is_question: false, is_part: false };
        self.fly(flight, count, &entry.encode(), false);
        self.sent += count;
        Ok(())
    }

    fn chunking_of(&self, sequence: u64, entry: Entry, most: usize) -> Result<Chunking> {
        let uuid = format!("{}-{sequence}-{:016x}-{}", self.options.name, self.seed, self.epoch);
        let too_large =
            || self.unfit(sequence, &format!("does not fit into entries of {most} bytes with its metadata"));
        Chunking::new(entry, uuid, most).ok_or_else(too_large)
    }

    /// Sends the next chunk of the message after those that were sent, or of the last of these as a question.
    fn send_chunk(&mut self, mut chunking: Chunking, is_question: bool) {
        let at = if is_question { self.sent - 1 } else { self.sent };
        let (Some(entry), Some(message)) = (chunking.next_entry(), self.queue.get(at)) else { return };
        let (sequence, is_part) = (message.sequence, !chunking.is_done());
        let flight = Flight { first: sequence, last: sequence, sent_at: self.now, is_question, is_part };
        self.fly(flight, 1, &entry, true);
        if is_part {
            self.chunking = Some(chunking);
        } else if !is_question {
            self.sent += 1;
        }
    }

    /// Sends the last message that was taken, or the last chunk of it: it is answered as one that is stored already.
    fn ask_whether_stored(&mut self) -> Result<()> {
        let (at, most) = (self.sent - 1, self.entry_bytes_max());
        let (Some(entry), Some(message)) = (self.entry(at, 1), self.queue.get(at)) else { return Ok(()) };
        let sequence = message.sequence;
        if entry.bytes() > most {
            let mut chunking = self.chunking_of(sequence, entry, most)?;
            chunking.skip_to_last();
            self.send_chunk(chunking, true);
            return Ok(());
        }
        let flight = Flight { first: sequence, last: sequence, sent_at: self.now, is_question: true, is_part: false };
        self.fly(flight, 1, &entry.encode(), false);
        Ok(())
    }

    fn fly(&mut self, flight: Flight, count: usize, entry: &Bytes, is_chunk: bool) {
        let command = Send {
            producer_id: PRODUCER,
            sequence_id: flight.first,
            num_messages: i32::try_from(count).ok(),
            highest_sequence_id: Some(flight.last),
            is_chunk: is_chunk.then_some(true),
        };
        if let Some(conversation) = self.link.conversation() {
            conversation.tell_with(Command::Send(command), entry);
            self.deduplication.note_sent(flight.last);
            self.flights.push_back(flight);
        }
    }

    fn on_frame(&mut self, command: Command, now: Duration) -> Result<()> {
        match command {
            Command::SendReceipt(receipt) if self.phase == Phase::Open => self.on_receipt(receipt, now),
            Command::SendError(error) => self.on_send_error(&error, now),
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

    fn on_send_error(&mut self, error: &SendError, now: Duration) -> Result<()> {
        if refusals::is_too_large(error) {
            let message = self.queue.iter().find(|message| message.sequence == error.sequence_id);
            return Err(refusals::too_large(error.sequence_id, message.map_or(0, OutgoingMessage::payload_bytes)));
        }
        self.refused(error.error, &error.message, now)
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
            (Some(_), false) if flight.is_part => {}
            (None, false) if flight.is_part => return Err(refusals::takes_parts_for_duplicates(flight.first)),
            (Some(_), false) => {
                self.store(flight.last);
                if self.deduplication.note_acknowledged(flight.last) {
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
            // Somebody sends under this name; opening anew tells how far.
            (None, false) if self.flights.is_empty() => self.link.renew(now),
            (None, false) => return Err(refusals::takes_for_duplicates(flight.first, flight.last)),
        }
        self.link.succeed();
        self.send_some()
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

    fn stage(&self) -> &'static str {
        if self.is_open() { "open" } else { self.link.stage() }
    }

    fn wants_input(&self) -> bool {
        true
    }
}
