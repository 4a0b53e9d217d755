//! One partition of a topic, read forward: its clock, whether it has shown a row, and how far it is drained.

use crate::clock::{PartitionClock, Placed};
use crate::position::{ClockPosition, LastMessage, PartitionPosition, QUEUE_END};
use crate::standing::{PartitionStanding, PartitionState};
use crate::unreleased::OutRows;
use crate::{StreamSpec, frontier};
use dataflow::{EventTime, Message, PartitionLog, Position, ProcessingTime, Result, Span, Topic, TopicId};
use std::collections::VecDeque;
use std::task::Waker;

/// How soon a partition that could not say how far it is drained is asked again at first; 32 times that at last, which is
/// also how soon it is looked at that was asked and has not answered.
const ASK_AGAIN: Span = Span::millis(1);
const DOUBLED_MAX: u32 = 5;
/// How often it is asked once more after it has come to what is due: whoever waits next is told of only after the answer
/// that let go who waited before, and would wait for a question of his own.
const FURTHER: u32 = 3;

/// A partition that a reader holds.
pub(crate) struct Partition {
    pub index: u32,
    margin: Span,
    topic: TopicId,
    log: Box<dyn PartitionLog>,
    position: Option<Position>,
    // Where the checkpoint that is on its way has it.
    frozen: Option<Position>,
    pub clock: PartitionClock,
    /// When it last asked to join.
    pub joined: Option<ProcessingTime>,
    /// Its dead letters, in rows and bytes, until it has shown a time.
    pub timeless: (usize, usize),
    // What the clock would be, had the partition not joined; until the two agree.
    alone: Option<PartitionClock>,
    // How often that began.
    joins: u64,
    pub presence: Presence,
    // Where a bounded run ends it.
    end: Option<LastMessage>,
    // Whether a message after that has come: no other comes before it.
    is_past_end: bool,
    // What it adds to the least value at which outputs begin.
    start: Option<EventTime>,
    // Messages that were read and have not been given out: one that was looked for, or those that wait for a checkpoint.
    next: VecDeque<Message>,
    // Whether the last look found nothing after the position.
    caught_up: bool,
    // The greatest watermark that it has stood at.
    level: EventTime,
    // When it was last asked how far it is drained, whether the answer was on its way then, and how often in a row it
    // could not say.
    asked: Option<ProcessingTime>,
    awaits: bool,
    vain: u32,
    // How often it is still asked once more.
    further: u32,
    // By how much the clock by which its messages arrive is ahead of ours, as far as the last answer and arrivals since show.
    ahead: Span,
    // How many messages were given out since the checkpoint before.
    given: u64,
}

/// Whether others wait for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// It gives out rows, and its watermark counts.
    Present,
    /// It has shown no row and holds nobody back.
    Absent,
    /// It was absent and has a message, which waits for a checkpoint.
    Asks,
    /// It was present and has a message below a watermark that was given, in the belief that it was drained; the message
    /// waits for a checkpoint, and the watermark stands still and counts.
    Below,
    /// That checkpoint is on its way; its watermark stands still and counts.
    Joins,
    /// It has shown messages but no time, and nothing is left of them; it is absent from the checkpoint on that is on
    /// its way, so that a restart knows that others did not wait for it.
    Leaves,
}

impl Partition {
    /// Takes a partition up where it was read to.
    pub fn open(spec: &StreamSpec, topic: &dyn Topic, index: u32, at: PartitionPosition) -> Result<Partition> {
        let mut partition = Partition {
            index,
            margin: topic.margin(),
            log: topic.hold(index, at.message)?,
            position: at.message,
            frozen: None,
            clock: PartitionClock::new(spec),
            joined: None,
            timeless: (0, 0),
            alone: None,
            joins: at.joins,
            presence: if at.absent { Presence::Absent } else { Presence::Present },
            end: at.end,
            is_past_end: false,
            start: at.start,
            next: VecDeque::new(),
            caught_up: false,
            level: EventTime::MIN,
            asked: None,
            awaits: false,
            vain: 0,
            further: 0,
            ahead: Span::ZERO,
            given: 0,
            topic: topic.id().clone(),
        };
        partition.go_on(spec, &at);
        if let (Some(_), Some(arrival)) = (at.message, partition.clock.arrival()) {
            partition.log.arrived_by(arrival);
        }
        Ok(partition)
    }

    /// Goes on with the clock of a position.
    pub fn go_on(&mut self, spec: &StreamSpec, at: &PartitionPosition) {
        self.clock = at.clock.resume(spec);
        self.alone = at.alone.map(|alone| alone.resume(spec));
        self.joins = at.joins;
        self.level = self.level.max(self.clock.watermark().unwrap_or(EventTime::MIN));
    }

    /// How far it was given out, with its rows that are out.
    pub fn position(&self, out: OutRows) -> PartitionPosition {
        PartitionPosition {
            topic: self.topic.clone(),
            message: self.position,
            clock: ClockPosition::of(&self.clock),
            alone: self.alone.as_ref().map(ClockPosition::of),
            joins: self.joins,
            absent: !matches!(self.presence, Presence::Present | Presence::Below),
            end: self.end,
            start: self.start,
            out,
        }
    }

    /// How it stands, for people.
    pub fn standing(&self, spec: &StreamSpec, topic: &str) -> PartitionStanding {
        let is_moved_on = self.clock.watermark().is_some_and(|by_rows| self.level > by_rows);
        let state = match self.presence {
            _ if self.at_end() => PartitionState::Ended,
            Presence::Absent | Presence::Leaves => PartitionState::Absent,
            Presence::Asks | Presence::Below | Presence::Joins => PartitionState::Joins,
            Presence::Present if !self.caught_up => PartitionState::Active,
            Presence::Present if is_moved_on => PartitionState::Quiet,
            Presence::Present => PartitionState::Silent,
        };
        PartitionStanding {
            partition: self.index,
            topic: topic.to_owned(),
            position: self.position,
            arrival: self.clock.arrival(),
            clock: self.clock.clock(),
            watermark: self.level,
            counts: self.counts(),
            state,
            quiet: spec.quiet,
            delay: spec.delay,
        }
    }

    /// Remembers whom to wake when it may have new messages.
    pub fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.log.wake(waker)
    }

    /// Whether everything was given out that a bounded run reads.
    pub fn at_end(&self) -> bool {
        self.end.is_some_and(|LastMessage(end)| self.position >= end)
    }

    /// Whether it has nothing to read, as far as is known.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// Whether its watermark counts.
    pub fn counts(&self) -> bool {
        !matches!(self.presence, Presence::Absent | Presence::Asks) && !self.at_end()
    }

    /// Whether it gives out rows.
    pub fn is_read(&self) -> bool {
        self.presence == Presence::Present && !self.at_end()
    }

    /// Whether it has shown messages but no time, with nothing left of them: others shall not wait for it.
    pub fn is_timeless(&self) -> bool {
        self.is_read() && self.caught_up && self.end.is_none() && self.clock.clock().is_none()
    }

    /// No row at or before this comes later.
    pub fn watermark(&self) -> EventTime {
        self.level
    }

    /// A checkpoint begins that has where it was given out to.
    pub fn freeze(&mut self) {
        self.frozen = self.position;
        self.given = 0;
    }

    /// That checkpoint is durable.
    pub fn durable(&mut self) {
        if let Some(message) = self.frozen.take() {
            self.log.durable(message);
        }
    }

    /// Whether it gives nothing more, or soon will not, before a checkpoint is durable.
    pub fn wants_checkpoint(&self) -> bool {
        let Some(queue) = self.log.queue() else { return false };
        // Half of what may be open is given out while the checkpoint is on its way.
        self.given >= (queue.open_max / 2).max(1) || (queue.is_blocked && self.given > 0)
    }

    /// Stands still at the watermark that its reader has given until its checkpoint is durable: it joins there. It may have
    /// stood further on by itself, in the belief that it was drained, while others held the reader back.
    pub fn hold(&mut self, given: EventTime) {
        (self.presence, self.level) = (Presence::Joins, given);
    }

    /// Finds out whether it has a message to read, without giving it out.
    pub fn look(&mut self) -> Result<Option<&Message>> {
        if self.next.is_empty() {
            self.next = self.read_log(1, usize::MAX)?.into();
        }
        self.caught_up = self.next.is_empty() && !self.log.is_behind();
        self.find_end();
        Ok(self.next.front())
    }

    /// The next messages, up to the end position where there is one.
    pub fn read(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
        let mut messages: Vec<Message> = self.next.drain(..self.next.len().min(messages_max)).collect();
        if messages_max > messages.len() {
            messages.append(&mut self.read_log(messages_max - messages.len(), bytes_max)?);
        }
        self.caught_up = messages.is_empty() && !self.log.is_behind();
        if messages.is_empty() {
            self.find_end();
        }
        Ok(messages)
    }

    /// A bounded run ends a queue where it is used up, and a partition whose last entries give no message, such as chunks
    /// whose rest came later or never, with the message before them.
    fn find_end(&mut self) {
        let Some(end) = self.end.filter(|_| self.next.is_empty()) else { return };
        let is_used_up = match end == QUEUE_END {
            true => self.log.queue().is_some_and(|queue| queue.is_used_up),
            false => self.is_past_end || !self.log.is_behind(),
        };
        if is_used_up && !self.at_end() {
            self.end = Some(LastMessage(self.position));
        }
    }

    /// A message is given out.
    pub fn pass(&mut self, message: &Message) {
        self.position = Some(message.position);
        self.given += 1;
    }

    /// Takes back messages that were read last, the first of which lies below a watermark that was given.
    pub fn put_back(&mut self, messages: &[Message]) {
        messages.iter().rev().for_each(|message| self.next.push_front(message.clone()));
        (self.presence, self.caught_up) = (Presence::Below, false);
    }

    fn read_log(&mut self, messages_max: usize, bytes_max: usize) -> Result<Vec<Message>> {
        let mut messages = self.log.read(messages_max, bytes_max)?;
        if let Some(LastMessage(end)) = self.end {
            let there = messages.len();
            messages.truncate(messages.partition_point(|message| Some(message.position) <= end));
            self.is_past_end |= messages.len() < there;
        }
        Ok(messages)
    }

    /// Takes note of an arrival that has no event time.
    pub fn arrive(&mut self, arrival: ProcessingTime) {
        self.clock.arrive(arrival);
        if let Some(alone) = &mut self.alone {
            alone.arrive(arrival);
        }
    }

    /// Places a row. What is moved because the partition joined is told apart from what is late by itself.
    pub fn place(&mut self, event: EventTime, arrival: ProcessingTime) -> Placed {
        let placed = self.clock.row(event, arrival);
        let Some(alone) = &mut self.alone else { return placed };
        let by_itself = alone.row(event, arrival);
        if alone.clock() == self.clock.clock() {
            self.alone = None;
        }
        match placed {
            Placed::Late(time) if placed != by_itself => {
                Placed::Joined { time, late: matches!(by_itself, Placed::Late(_)) }
            }
            placed => placed,
        }
    }

    /// Moves the watermark on to the clock, when the rows that moved it are given out.
    pub fn advance(&mut self) {
        self.level = self.level.max(self.clock.watermark().unwrap_or(EventTime::MIN));
    }

    /// The time now. Where the clock was set back a question that lies ahead of it was asked long enough ago.
    pub fn look_at_clock(&mut self, now: ProcessingTime) {
        self.asked = self.asked.filter(|&asked| asked <= now);
        if let Some(arrival) = self.clock.arrival() {
            self.is_at_least(arrival, now);
        }
    }

    /// The clock by which messages arrive shows this time, or a later one, now: that of another machine, or of producers.
    fn is_at_least(&mut self, time: ProcessingTime, now: ProcessingTime) {
        self.ahead = self.ahead.max(Span(time.0.saturating_sub(now.0)));
    }

    /// When to ask how far it is drained so that its watermark reaches what is due, or goes a little further where it has
    /// just done so; `None` when there is more to read, or when silence does not move it there. After a question there is
    /// a pause, and an answer that was on its way is taken as soon as it is here. The first
    /// answer shows what its clock is to ours, so that question does not wait.
    pub fn ask_at(&self, due: Option<EventTime>, pause: Span) -> Option<ProcessingTime> {
        if self.presence != Presence::Present || !self.caught_up || self.end.is_some() {
            return None;
        }
        let further = (self.further > 0).then(|| self.level.plus(pause));
        let sought = due.filter(|&due| self.level < due).or(further)?;
        // A partition that is asked at a time may answer for the microsecond before it, or for its margin before.
        let reached = self.clock.drained_for(sought)?.plus(Span(1)).plus(self.margin);
        let reached = ProcessingTime(reached.0.saturating_sub(self.ahead.0));
        let Some(asked) = self.asked else { return Some(ProcessingTime(i64::MIN)) };
        let again = |doubled: u32| Span(ASK_AGAIN.0 << doubled.min(DOUBLED_MAX));
        match (self.awaits, self.log.awaits_end(), self.vain) {
            (true, false, _) => Some(asked),
            (true, true, _) => Some(asked.plus(again(DOUBLED_MAX))),
            (false, _, 0) => Some(reached.max(asked.plus(pause))),
            (false, _, vain) => Some(reached.max(asked.plus(again(vain - 1)))),
        }
    }

    /// Asks how far it is drained. While a producer appends there is no newer answer; then it is asked again in a
    /// moment, and less and less often.
    pub fn ask(&mut self, due: Option<EventTime>, now: ProcessingTime) -> Result<()> {
        let is_due = |level: EventTime| due.is_some_and(|due| level < due);
        let was_due = is_due(self.level);
        let end = self.log.end()?;
        self.caught_up = end.last <= self.position;
        if self.caught_up {
            self.level = self.level.max(self.clock.watermark_drained(end.drained_to).unwrap_or(EventTime::MIN));
        }
        // What was known of its clock before may be of a clock of ours that was set since.
        self.ahead = Span::ZERO;
        self.is_at_least(end.drained_to.plus(self.margin), now);
        // The pause counts from the question, and not from its answer.
        let is_answer = std::mem::replace(&mut self.awaits, self.log.awaits_end());
        if self.awaits || !is_answer {
            self.asked = Some(now);
            self.further = if was_due { FURTHER } else { self.further.saturating_sub(1) };
        }
        if !self.awaits {
            self.vain = if is_due(self.level) { self.vain.saturating_add(1) } else { 0 };
        }
        Ok(())
    }
}

/// A position as people read it.
pub(crate) fn shown(position: Option<Position>) -> String {
    position.map_or_else(|| "its beginning".to_owned(), frontier::message_id)
}
