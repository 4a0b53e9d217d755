//! Entries to messages that wait to be taken: each once, in order, and within the memory that there is.

use super::arrival_clock::ArrivalClock;
use super::chunks::{Chunks, GivenUp, OPEN_MS_MAX, Outcome, WholePayload};
use super::continuity::{Continuity, Expectation, Verdict};
use super::opening::{self, Opening};
use super::options::{Drained, ReaderOptions};
use super::permits::Permits;
use crate::error::{Error, Result};
use crate::message::Message;
use crate::position::{EntryId, MessageId, Position};
use crate::wire::frame::{WireEntry, decode_entry};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// What a reader has received. Messages stay when a connection is lost; the rest begins anew with the next one.
#[derive(Debug)]
pub struct Intake {
    message_bytes_max: usize,
    /// Where the last message stands that was received, taken or not.
    received: Option<Position>,
    /// Messages up to here are passed over.
    seen: Option<MessageId>,
    /// When the entry of that message was stored, at the latest.
    seen_by_ms: Option<u64>,
    begun_after_ms: Option<u64>,
    continuity: Continuity,
    chunks: Chunks,
    /// Whether nothing that lies before the first entry of this consumer is part of a message that is not yet whole.
    begins_whole: bool,
    /// What began before that has been given up by now.
    is_long_since: bool,
    /// When the first entry of this consumer was stored.
    first_ms: Option<u64>,
    /// A chunk came of a message that began before that entry.
    wants_earlier: bool,
    permits: Permits,
    waiting: VecDeque<Message>,
    waiting_bytes: usize,
    /// For the next message.
    given_up: GivenUp,
    /// What time it is where messages arrive.
    pub clock: ArrivalClock,
    has_transactions: bool,
}

impl Intake {
    pub fn new(options: &ReaderOptions, message_bytes_max: usize, received: Option<Position>) -> Self {
        let allows_gaps = options.allows_gaps;
        Intake {
            message_bytes_max,
            received,
            seen: received.map(|position| position.last),
            seen_by_ms: None,
            begun_after_ms: None,
            continuity: Continuity::new(Expectation::Oldest, allows_gaps),
            chunks: Chunks::new(message_bytes_max),
            begins_whole: true,
            is_long_since: false,
            first_ms: None,
            wants_earlier: false,
            permits: Permits::new(options.budget_bytes),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            given_up: GivenUp::default(),
            clock: ArrivalClock::new(options.producer_clocks.clone()),
            has_transactions: false,
        }
    }

    /// Another consumer begins, which has no permits, and is at its first entry; before it may lie parts of messages that
    /// are not yet whole, unless it begins whole. The partition ends at `end`.
    pub fn begin(&mut self, expectation: Expectation, begins_whole: bool, end: Option<EntryId>) {
        self.continuity.begin(expectation);
        self.begins_whole = begins_whole;
        self.is_long_since = false;
        self.first_ms = None;
        self.chunks = Chunks::new(self.message_bytes_max);
        self.permits.reset();
        self.given_up.clear();
        self.clock.begin(end);
    }

    /// Passes over what was there up to the end of a partition.
    pub fn skip_to(&mut self, end: Option<MessageId>) {
        // The entry is passed over whole, whatever is said of its last message.
        self.seen = end.map(|end| MessageId { index: u32::MAX, ..end });
    }

    /// Where a reader goes on after what was received.
    pub fn received(&self) -> Option<Position> {
        self.received
    }

    pub fn pop(&mut self) -> Option<Message> {
        let message = self.waiting.pop_front()?;
        self.waiting_bytes -= message.bytes();
        Some(message)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The permits to give to the broker now.
    pub fn grant(&mut self) -> u32 {
        // What is open in chunks has a bound of its own: more has to come before any of it can be taken.
        self.permits.grant(self.waiting_bytes)
    }

    /// Whether bytes should be taken from the connection at all.
    pub fn has_room(&self) -> bool {
        self.permits.has_room(self.waiting_bytes)
    }

    /// Up to when nothing more was there than what lies up to `end`, where the partition ended at a moment; none where
    /// messages become visible later than they are stamped.
    pub fn drained(&mut self, end: Option<MessageId>, moment: Duration) -> Option<Drained> {
        let end = end.map(|end| end.entry);
        if self.has_transactions { None } else { self.clock.drained(end, moment) }
    }

    /// Whether an entry is still to come again after which this reader began.
    pub fn waits_for_place(&self) -> bool {
        self.received.is_some_and(|received| !self.clock.has_received(received.last.entry))
    }

    /// Takes what followed a MESSAGE command.
    pub fn take_entry(&mut self, id: EntryId, rest: Bytes, now: Duration) -> Result<()> {
        let entry = decode_entry(rest).map_err(|error| error.context(format_args!("entry {id}")))?;
        let metadata = &entry.metadata;
        opening::check_readable(metadata).map_err(|error| error.context(format_args!("entry {id}")))?;
        let messages = opening::messages_of(metadata);
        let index = entry.broker.and_then(|broker| broker.index);
        if self.continuity.follow(id, messages, index)? == Verdict::Repeated {
            self.permits.take(messages, 0);
            return Ok(());
        }
        self.check_same(id, &entry)?;
        self.has_transactions |= metadata.txnid_most_bits.is_some() || metadata.txnid_least_bits.is_some();
        let payload = self.whole_payload(id, &entry, now);
        if self.wants_earlier {
            // The entry has not been read until it is known whose part it is.
            self.continuity.begin(Expectation::Oldest);
            return Ok(());
        }
        let is_marker = metadata.marker_type.is_some();
        let Some(WholePayload { bytes: payload, too_large }) = payload.filter(|_| !is_marker) else {
            self.permits.take(messages, entry.payload.len());
            return Ok(());
        };
        let stamp = stamp_of(&entry);
        let (oldest_chunk, message_bytes_max) = (self.chunks.oldest(), self.message_bytes_max);
        let opening = Opening { id, entry: &entry, payload, too_large, oldest_chunk, message_bytes_max };
        let opened = opening::open(&opening);
        // A permit lets an entry come, and a message in chunks is many.
        let is_chunk = opening::is_chunk(metadata);
        let largest = opened.iter().map(Message::bytes).max().filter(|_| !is_chunk);
        self.permits.take(messages, largest.unwrap_or(entry.payload.len()));
        let seen = self.seen;
        for mut message in opened.into_iter().filter(|message| seen.is_none_or(|seen| message.id > seen)) {
            message.given_up = self.given_up.take();
            message.knows_chunks = self.begins_whole || self.is_long_since;
            self.received = Some(message.position);
            self.seen = Some(message.id);
            self.seen_by_ms = Some(stamp);
            self.waiting_bytes += message.bytes();
            self.waiting.push_back(message);
        }
        Ok(())
    }

    /// Looks at the entry that was read before: one that was stored later than that is of a topic that was made again,
    /// whose ids have come to the same place.
    fn check_same(&mut self, id: EntryId, entry: &WireEntry) -> Result<()> {
        if self.seen.is_none_or(|seen| seen.entry != id) {
            return Ok(());
        }
        // A broker may have begun to show its stamps since; the entry was published before it got one.
        let stamp = stamp_of(entry).min(entry.metadata.publish_time);
        if let Some(by) = self.seen_by_ms.filter(|&by| stamp > by) {
            return Err(made_again(id, stamp, by));
        }
        self.begun_after_ms.get_or_insert(stamp);
        self.seen_by_ms.get_or_insert(stamp);
        Ok(())
    }

    /// Whether all messages that are not whole at the last entry are known.
    pub fn knows_chunks(&self) -> bool {
        self.begins_whole || self.is_long_since
    }

    /// The first chunk of the oldest message that is not whole.
    pub fn oldest_chunk(&self) -> Option<EntryId> {
        self.chunks.oldest()
    }

    /// Whether a ledger has begun before whose entries others may be missing, since nobody counts messages.
    pub fn take_uncounted_ledger(&mut self) -> bool {
        self.continuity.take_uncounted_ledger()
    }

    /// The last entry that has come, where no message waits to be taken.
    pub fn received_without_messages(&self) -> Option<EntryId> {
        self.continuity.previous().filter(|_| self.waiting.is_empty())
    }

    /// The last entry that has come.
    pub fn last_entry(&self) -> Option<EntryId> {
        self.continuity.previous()
    }

    /// When the entry was stored after which the reader began; known once it came again.
    pub fn begun_after_ms(&self) -> Option<u64> {
        self.begun_after_ms
    }

    /// Whether the reader has to begin earlier, since a message that comes next began before its first entry.
    pub fn take_wish_for_earlier(&mut self) -> bool {
        std::mem::take(&mut self.wants_earlier)
    }

    /// The payload of an entry, or of the message that is whole with this chunk.
    fn whole_payload(&mut self, id: EntryId, entry: &WireEntry, now: Duration) -> Option<WholePayload> {
        let stamp = entry.broker.and_then(|broker| broker.broker_timestamp);
        self.clock.receive(id, stamp, entry.metadata.publish_time, now);
        let is_stamped = stamp.is_some();
        let stamp = stamp_of(entry);
        let first = *self.first_ms.get_or_insert(stamp);
        // The clock of one producer says nothing of how long ago another one began.
        let is_long_since = is_stamped && stamp > first.saturating_add(OPEN_MS_MAX);
        self.is_long_since |= is_long_since;
        let producer = (!is_stamped).then_some(entry.metadata.producer_name.as_str());
        self.chunks.pass(stamp, producer, &mut self.given_up);
        let outcome = if opening::is_chunk(&entry.metadata) {
            self.chunks.take(id, &entry.metadata, &entry.payload, stamp, &mut self.given_up)
        } else {
            Outcome::Whole(WholePayload { bytes: entry.payload.clone(), too_large: None })
        };
        let is_seen = self.seen.is_some_and(|seen| id <= seen.entry);
        if is_seen {
            // What was given up before this place was told with a message before it.
            self.given_up.clear();
        }
        match outcome {
            Outcome::Whole(payload) => Some(payload),
            Outcome::None => None,
            Outcome::Headless => {
                // A message that began longer ago has been given up.
                self.wants_earlier = !self.begins_whole && !is_seen && !is_long_since;
                None
            }
        }
    }
}

/// When an entry was stored, as far as that is told.
fn stamp_of(entry: &WireEntry) -> u64 {
    entry.broker.and_then(|broker| broker.broker_timestamp).unwrap_or(entry.metadata.publish_time)
}

/// What came in place of an entry that was read before is another.
pub fn made_again(id: impl fmt::Display, stamp_ms: u64, by_ms: u64) -> Error {
    Error::lost(format!(
        "entry {id} was stored {} ms after the one that was read there before: the topic was made again, and holds other \
         messages; begin anew with --fresh",
        stamp_ms.saturating_sub(by_ms)
    ))
}
