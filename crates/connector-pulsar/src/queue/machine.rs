//! The consumer of a queue's partition as a state machine without I/O.
//!
//! ```text
//! attached -> SUBSCRIBE -> FLOW -> messages -> acknowledge -> ACK -> the broker's receipt
//!                            ^ a connection that is lost: what was acknowledged without a receipt is acknowledged again
//! ```
//!
//! Messages come in any order. A broker gives those again that a connection took with it; such a one is not given out
//! twice by this consumer, and one that is acknowledged is acknowledged again.

use super::open_entries::{OpenEntries, count_open, is_open};
use super::options::{OPEN_MAX, QueueOptions};
use crate::conversation::{Heard, RequestId};
use crate::error::{Error, ErrorKind, Result};
use crate::link::{Event, Link};
use crate::machine::Machine;
use crate::message::{Message, Payload};
use crate::position::{EntryId, MessageId};
use crate::reader::opening::{self, Opening};
use crate::reader::permits::Permits;
use crate::settings::Settings;
use crate::wire::frame::{Frame, decode_entry};
use crate::wire::protocol::{
    Ack, AckResponse, Command, ConsumerStats, ConsumerStatsResponse, Delivery, Flow, ServerError, Subscribe,
};
use bytes::Bytes;
use dataflow::QueueSharing;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

const CONSUMER: u64 = 1;
const SHARED: i32 = 1;
const KEY_SHARED: i32 = 3;
/// Each message by itself, and not all before it.
const INDIVIDUAL: i32 = 0;
/// How many entries one command acknowledges.
const ACKS_MAX: usize = 1000;
/// What is wrong once may be an accident of the connection.
const DOUBTS_MAX: u32 = 2;
/// How long a broker that answers gives nothing until what is left is taken for being with other consumers.
const SILENCE: Duration = Duration::from_secs(2);

/// Why a part of a message is a bad row.
const CHUNK: &str = "it is a part of a message in chunks, whose parts may go to several consumers: a queue does not put \
                     them together; publish it in one piece, or read the topic without QUEUE";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Detached,
    Subscribing(RequestId),
    Reading,
}

/// What the broker says of a queue's partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// The entries that no consumer has acknowledged.
    pub backlog: Option<u64>,
    /// Whether it gives nothing more before some are acknowledged.
    pub is_blocked: bool,
    /// Whether all was received that was there when the consumer began, or what is left is with others.
    pub is_used_up: bool,
}

/// The consumer of one partition.
#[derive(Debug)]
pub struct QueueMachine {
    link: Link,
    options: QueueOptions,
    phase: Phase,
    permits: Permits,
    entries: OpenEntries,
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    /// Entries that are to be acknowledged as far as that may be.
    due: BTreeSet<EntryId>,
    /// Those on their way, and whether all of each is.
    asked: BTreeMap<RequestId, Vec<(EntryId, bool)>>,
    stats_request: Option<(RequestId, Duration)>,
    stats: QueueStats,
    /// How many entries there were when it began, and how many it has received since.
    began_with: Option<u64>,
    received: u64,
    /// When the last entry came, or the subscription.
    received_at: Duration,
    doubted: Option<(EntryId, u32)>,
    /// Nothing is given out any more, and what is acknowledged is still told.
    is_leaving: bool,
}

impl QueueMachine {
    pub fn new(settings: Settings, options: QueueOptions, seed: u64) -> Self {
        QueueMachine {
            permits: Permits::new(options.budget_bytes),
            link: Link::new(settings, options.topic.clone(), seed),
            options,
            phase: Phase::Detached,
            entries: OpenEntries::default(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            due: BTreeSet::new(),
            asked: BTreeMap::new(),
            stats_request: None,
            stats: QueueStats::default(),
            began_with: None,
            received: 0,
            received_at: Duration::ZERO,
            doubted: None,
            is_leaving: false,
        }
    }

    /// The next message, if one is here.
    pub fn take(&mut self) -> Option<Message> {
        let message = self.waiting.pop_front()?;
        self.waiting_bytes -= message.bytes();
        self.flow();
        Some(message)
    }

    /// These messages are not needed any more. The broker is told with the next step, and again until it has confirmed.
    pub fn acknowledge(&mut self, ids: impl IntoIterator<Item = MessageId>) {
        for id in ids {
            if self.entries.close(id) {
                self.due.insert(id.entry);
                // The broker goes on by itself once that has come.
                self.stats.is_blocked = false;
            }
        }
        self.flow();
    }

    /// Gives out no more messages; those that wait are given to others once the connection ends.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// Whether the broker has confirmed all acknowledgements.
    pub fn is_settled(&self) -> bool {
        self.due.is_empty() && self.asked.is_empty()
    }

    /// What the broker said last.
    pub fn stats(&self) -> QueueStats {
        // What has come and was not taken is still to be read.
        QueueStats { is_used_up: self.stats.is_used_up && self.waiting.is_empty(), ..self.stats }
    }

    /// Asks how the subscription stands. Call it about once a second.
    pub fn ask_stats(&mut self, now: Duration) {
        if self.phase != Phase::Reading || self.stats_request.is_some() {
            return;
        }
        let ask = |request_id| Command::ConsumerStats(ConsumerStats { request_id, consumer_id: CONSUMER });
        if let Some(conversation) = self.link.conversation() {
            self.stats_request = Some((conversation.ask("how its subscription stands", ask, now), now));
        }
    }

    fn flow(&mut self) {
        if self.phase != Phase::Reading || self.is_leaving || self.entries.messages() >= OPEN_MAX {
            return;
        }
        let Some(conversation) = self.link.conversation_if_read() else { return };
        let grant = self.permits.grant(self.waiting_bytes);
        if grant > 0 {
            conversation.tell(Command::Flow(Flow { consumer_id: CONSUMER, message_permits: grant }));
        }
    }

    /// Tells what is to be acknowledged.
    fn flush(&mut self, now: Duration) {
        while self.phase == Phase::Reading && !self.due.is_empty() {
            let Some(conversation) = self.link.conversation_if_read() else { return };
            let (mut message_id, mut entries) = (Vec::new(), Vec::new());
            while let Some(id) = self.due.pop_first() {
                if let Some((acked, is_whole)) = self.entries.acked(id) {
                    message_id.push(acked);
                    entries.push((id, is_whole));
                }
                if entries.len() == ACKS_MAX {
                    break;
                }
            }
            let ack = |request_id| {
                let request_id = Some(request_id);
                Command::Ack(Ack { consumer_id: CONSUMER, ack_type: INDIVIDUAL, message_id, request_id })
            };
            let request = conversation.ask("an acknowledgement", ack, now);
            self.asked.insert(request, entries);
        }
    }

    fn on_event(&mut self, event: Event, now: Duration) -> Result<()> {
        match event {
            Event::Detached => {
                self.phase = Phase::Detached;
                self.stats_request = None;
                self.entries.detached();
                let asked = std::mem::take(&mut self.asked);
                self.due.extend(asked.into_values().flatten().map(|(id, _)| id));
                Ok(())
            }
            Event::Attached => {
                self.subscribe(now);
                Ok(())
            }
            Event::Heard(Heard::Answer(request, command)) => self.on_answer(request, command, now),
            Event::Heard(Heard::Frame(frame)) => self.on_frame(frame, now),
            Event::Heard(Heard::Greeted | Heard::Challenged) => Ok(()),
        }
    }

    fn subscribe(&mut self, now: Duration) {
        let QueueOptions { subscription, sharing, name, .. } = self.options.clone();
        let topic = self.options.topic.to_string();
        let sub_type = match sharing {
            QueueSharing::Any => SHARED,
            QueueSharing::ByKey => KEY_SHARED,
        };
        let ask = |request_id| {
            Command::Subscribe(Subscribe {
                topic,
                subscription,
                sub_type,
                consumer_id: CONSUMER,
                request_id,
                consumer_name: Some(name),
                durable: Some(true),
                start_message_id: None,
                initial_position: Some(1),
                force_topic_creation: Some(false),
            })
        };
        if let Some(conversation) = self.link.conversation() {
            self.phase = Phase::Subscribing(conversation.ask("a subscription", ask, now));
        }
    }

    fn on_answer(&mut self, request: RequestId, command: Command, now: Duration) -> Result<()> {
        match (self.phase, command) {
            (Phase::Subscribing(asked), Command::Success(_)) if asked == request => {
                self.phase = Phase::Reading;
                self.received_at = now;
                self.permits.reset();
                self.link.succeed();
                self.ask_stats(now);
                self.flow();
                Ok(())
            }
            (Phase::Reading, Command::AckResponse(answer)) => self.on_receipt(request, answer, now),
            (Phase::Reading, Command::ConsumerStatsResponse(answer)) => {
                self.on_stats(request, &answer);
                Ok(())
            }
            (phase, Command::Error(error)) => {
                let is_subscription = matches!(phase, Phase::Subscribing(_));
                self.on_refusal((error.error, &error.message), is_subscription, now)
            }
            _ => Ok(()),
        }
    }

    fn on_receipt(&mut self, request: RequestId, answer: AckResponse, now: Duration) -> Result<()> {
        if let Some(code) = answer.error {
            return self.on_refusal((code, &answer.message.unwrap_or_default()), false, now);
        }
        for (id, _) in self.asked.remove(&request).into_iter().flatten().filter(|(_, is_whole)| *is_whole) {
            self.entries.confirmed(id);
        }
        Ok(())
    }

    fn on_stats(&mut self, request: RequestId, answer: &ConsumerStatsResponse) {
        let Some((_, asked_at)) = self.stats_request.take_if(|(asked, _)| *asked == request) else { return };
        self.stats.backlog = answer.backlog;
        let is_told = answer.is_blocked.unwrap_or_default();
        self.stats.is_blocked = is_told;
        let Some(backlog) = answer.backlog else { return };
        let began_with = *self.began_with.get_or_insert(backlog.saturating_add(self.received));
        let is_silent = asked_at.saturating_sub(self.received_at) >= SILENCE && !is_told;
        // The broker may have taken acknowledgements that it has not confirmed here, so their entries do not count.
        let is_here = backlog <= self.entries.unacknowledged() as u64;
        let has_room = self.entries.messages() < OPEN_MAX && self.waiting.is_empty();
        self.stats.is_used_up |= self.received >= began_with || is_here || (is_silent && has_room);
        // A broker does not tell a consumer that it gives its subscription nothing more before others or it acknowledge some.
        self.stats.is_blocked |= is_silent && has_room && !is_here && self.entries.messages() > 0;
    }

    fn on_refusal(&mut self, (code, message): (i32, &str), is_subscription: bool, now: Duration) -> Result<()> {
        let (error, subscription) = (Error::from_broker(code, message), &self.options.subscription);
        if is_subscription && code == ServerError::ConsumerBusy as i32 {
            let held = format!(
                "the subscription \"{subscription}\" is held by a consumer that does not share it in this way: stop what \
                 holds it, or say QUEUE or QUEUE BY KEY as the others do: {error}"
            );
            return self.link.fail_as_busy(held, now);
        }
        if error.kind() == ErrorKind::Unavailable {
            self.link.fail(error, now);
            return Ok(());
        }
        if !is_subscription || code == ServerError::TopicNotFound as i32 {
            return Err(error);
        }
        Err(error.context(format_args!("the subscription \"{subscription}\" is refused")).with_hint(
            "let the role consume in the namespace and have it made there: a queue is read by its subscription",
        ))
    }

    fn on_frame(&mut self, frame: Frame, now: Duration) -> Result<()> {
        match frame.command {
            Command::Delivery(delivery) if delivery.consumer_id == CONSUMER && self.phase == Phase::Reading => {
                self.on_delivery(&delivery, frame.rest, now)
            }
            Command::CloseConsumer(_) => {
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

    fn on_delivery(&mut self, delivery: &Delivery, rest: Bytes, now: Duration) -> Result<()> {
        if self.is_leaving {
            return Ok(());
        }
        let Some(id) = EntryId::from_wire(&delivery.message_id) else {
            self.link.fail(Error::unavailable("the broker sent an entry without a place"), now);
            return Ok(());
        };
        match self.take_entry(id, &delivery.ack_set, rest) {
            Ok(()) => {
                self.doubted = self.doubted.filter(|(doubted, _)| *doubted != id);
                self.received_at = now;
                self.link.succeed();
                self.flow();
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

    fn take_entry(&mut self, id: EntryId, ack_set: &[i64], rest: Bytes) -> Result<()> {
        let entry = decode_entry(rest).map_err(|error| error.context(format_args!("entry {id}")))?;
        let metadata = &entry.metadata;
        opening::check_readable(metadata).map_err(|error| error.context(format_args!("entry {id}")))?;
        let messages = opening::messages_of(metadata);
        let left = count_open(ack_set, messages);
        if let Some(is_acknowledged) = self.entries.came_again(id) {
            // It came again, since the connection was another one: what it holds is known.
            self.permits.take(left, 0);
            if is_acknowledged && !self.asked.values().flatten().any(|(asked, is_whole)| *asked == id && *is_whole) {
                self.due.insert(id);
            }
            return Ok(());
        }
        self.received += 1;
        let opened = self.open(id, &entry, metadata.marker_type.is_some());
        // An entry that cannot be read is one message, whichever of its own others have acknowledged.
        let is_one_by_one = opened.len() == messages as usize;
        let is_left = |message: &Message| !is_one_by_one || is_open(ack_set, message.id.index);
        let opened: Vec<Message> = opened.into_iter().filter(is_left).collect();
        let largest = opened.iter().map(Message::bytes).max();
        self.permits.take(left, largest.unwrap_or(entry.payload.len()));
        // An entry without messages that can be read is acknowledged whole, and how many it says to have may be any number.
        let is_read = opened.iter().any(|message| !matches!(message.payload, Payload::Unreadable { .. }));
        self.entries.insert(id, if is_read { messages } else { 1 }, opened.iter().map(|message| message.id.index));
        if opened.is_empty() {
            self.due.insert(id);
        }
        self.waiting_bytes += opened.iter().map(Message::bytes).sum::<usize>();
        self.waiting.extend(opened);
        Ok(())
    }

    /// The messages of an entry; none of a marker.
    fn open(&self, id: EntryId, entry: &crate::wire::frame::WireEntry, is_marker: bool) -> Vec<Message> {
        if is_marker {
            return Vec::new();
        }
        let (payload, message_bytes_max) = (entry.payload.clone(), self.link.settings().message_bytes_max);
        let opening = Opening { id, entry, payload, too_large: None, oldest_chunk: None, message_bytes_max };
        if !opening::is_chunk(&entry.metadata) {
            return opening::open(&opening);
        }
        let bytes = entry.payload.clone();
        vec![opening::unreadable(&opening, Payload::Unreadable { reason: CHUNK.to_owned(), bytes })]
    }
}

impl Machine for QueueMachine {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn advance(&mut self, now: Duration) -> Result<()> {
        self.link.advance(now);
        while let Some(event) = self.link.next_event(now)? {
            let topic = self.options.topic.clone();
            self.on_event(event, now).map_err(|error| error.context(format_args!("topic \"{}\"", topic.as_str())))?;
        }
        self.flush(now);
        // The broker may have read what was backed up.
        self.flow();
        Ok(())
    }

    fn stage(&self) -> &'static str {
        match self.phase {
            Phase::Detached => self.link.stage(),
            Phase::Subscribing(_) => "subscribing",
            Phase::Reading if self.is_leaving => "leaving",
            Phase::Reading => "reading",
        }
    }

    fn wants_input(&self) -> bool {
        self.phase != Phase::Reading || self.is_leaving || self.permits.has_room(self.waiting_bytes)
    }
}
