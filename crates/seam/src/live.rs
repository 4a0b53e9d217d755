//! Reads the partitions of a topic that one reader holds: decodes, places rows by the partition's clock, and tells the
//! watermark.

use crate::clock::is_nonsense;
use crate::partition::{Partition, Presence, shown};
use crate::placing::{Coordinate, NO_EVENT_TIME, RowPlace, Rows, event_time, instants};
use crate::position::PartitionPosition;
use crate::unreleased::OutRows;
use crate::{Live, StreamSpec, StreamStats};
use dataflow::{
    BadRowPolicy, Batch, Error, EventTime, Fates, Message, Port, ProcessingTime, Result, Span, Split, SplitState,
    decode_messages,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

/// About how many bytes of messages one poll takes.
const READ_BYTES: usize = 4 << 20;

/// How many dead letters, and bytes of them, a partition may have that has shown no time yet: nothing releases them
/// before.
const TIMELESS_MAX: (usize, usize) = (256 << 10, 64 << 20);

/// How long after it joined a partition that has shown no time asks again for a checkpoint.
const TIMELESS_PAUSE: Span = Span::seconds(10);

/// How often it says how its partitions stand while rows come.
const SHOW_EVERY: Span = Span::millis(100);

/// How many messages of an absent partition are looked at in one poll.
const TIMELESS_LOOKS: usize = 1024;

/// How long after a question a partition is asked again how far it is drained. A row that waits for silence waits half of
/// that longer, and each question costs its log something: each of n partitions is asked every n milliseconds, but at
/// most every 20.
fn pause_of(partitions: usize) -> Span {
    Span::millis(partitions.clamp(1, 20) as i64)
}

/// Partitions of a stream's topic.
pub(crate) struct LiveReader {
    spec: StreamSpec,
    live: Live,
    stats: Arc<StreamStats>,
    partitions: Vec<Partition>,
    waker: Option<Waker>,
    // Rows that leave at other ports, with their splits, until they are taken.
    aside: Vec<(Split, (Port, Batch))>,
    // What became of rows that do not go on, until that is taken.
    removed: Fates,
    // Whether the last poll may have left messages that the next one can read.
    more: bool,
    // When it said last how the partitions stand.
    shown_at: Option<ProcessingTime>,
}

/// What holds the rows of a poll back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveBounds {
    pub rows_max: usize,
    /// Partitions whose watermark is above this give out nothing.
    pub ceiling: EventTime,
    /// The watermark that the reader has given; what lies at or before it waits for a checkpoint.
    pub given: EventTime,
    /// Where outputs and history go on without the partitions that have shown no time: so does what lies at or before it.
    pub cap: EventTime,
}

impl LiveReader {
    /// For a topic; it has no partitions yet.
    pub fn new(spec: &StreamSpec, live: &Live, stats: Arc<StreamStats>) -> LiveReader {
        LiveReader {
            spec: spec.clone(),
            live: live.clone(),
            stats,
            partitions: Vec::new(),
            waker: None,
            aside: Vec::new(),
            removed: Fates::default(),
            more: false,
            shown_at: None,
        }
    }

    /// Takes a partition up; gives its rows that were out, and whether it holds nobody back.
    pub fn add(&mut self, index: u32, position: &[u8]) -> Result<(OutRows, bool)> {
        let at = PartitionPosition::parse(position)?;
        let taken_up = (at.out, at.absent);
        let mut partition = Partition::open(&self.spec, self.live.topic.as_ref(), index, at)?;
        if let Some(waker) = &self.waker {
            partition.wake(waker)?;
        }
        self.partitions.push(partition);
        self.more = true;
        Ok(taken_up)
    }

    /// Remembers whom to wake when a partition may have new messages.
    pub fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.waker = Some(waker.clone());
        self.partitions.iter_mut().try_for_each(|partition| partition.wake(waker))
    }

    /// The greatest clock of the partitions.
    pub fn clock(&self) -> Option<EventTime> {
        self.partitions.iter().filter_map(|partition| partition.clock.clock()).max()
    }

    /// Whether every partition has come to its end position; so has none at all.
    pub fn has_ended(&self) -> bool {
        self.partitions.iter().all(Partition::at_end)
    }

    /// Whether partitions have not come to their end position, and none of these may be read before rows have come again
    /// that outputs had before a restart.
    pub fn awaits_replay(&self) -> bool {
        let mut left = self.partitions.iter().filter(|partition| !partition.at_end()).peekable();
        left.peek().is_some() && left.all(|partition| matches!(partition.presence, Presence::Absent | Presence::Below))
    }

    /// Whether the last poll may have left messages that it was free to read.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// No row at or before this comes later; `None` when there is no partition to wait for. Those that join count
    /// before their checkpoint is durable only where the reader is present. One that never gave a time, and may not join
    /// before the rows of an earlier run have come again, waits for these: that run had gone on without it.
    pub fn watermark(&self, absent: bool, may_join: bool) -> Option<EventTime> {
        let counts = |partition: &&Partition| match partition.presence {
            Presence::Joins if absent => false,
            Presence::Below if !may_join && partition.watermark() == EventTime::MIN => false,
            _ => partition.counts(),
        };
        self.partitions.iter().filter(counts).map(Partition::watermark).min()
    }

    /// Whether the next message of a partition lies below a watermark that was given.
    pub fn has_below(&self) -> bool {
        self.partitions.iter().any(|partition| partition.presence == Presence::Below)
    }

    /// How far the partitions let the watermark go, but for those whose next message lies below one that was given.
    pub fn watermark_beside_below(&self) -> Option<EventTime> {
        let others = self.partitions.iter().filter(|partition| partition.presence != Presence::Below);
        others.filter(|partition| partition.counts()).map(Partition::watermark).min()
    }

    /// The watermarks of partitions that have something to read and stand above a ceiling.
    pub fn at_ceiling(&self, ceiling: EventTime) -> impl Iterator<Item = EventTime> {
        let held = move |partition: &&Partition| {
            partition.is_read() && partition.watermark() > ceiling && !partition.is_caught_up()
        };
        self.partitions.iter().filter(held).map(Partition::watermark)
    }

    /// Whether a partition waits for a checkpoint.
    pub fn asks(&self, may_join: bool) -> bool {
        let asks = |partition: &Partition| {
            joins(partition, may_join) || partition.is_timeless() || partition.wants_checkpoint()
        };
        self.partitions.iter().any(asks)
    }

    /// Looks whether absent partitions have a message that something comes out of. One without a time asks for a checkpoint
    /// only so often, since its partition is absent again afterwards. Gives when it may do so next.
    pub fn look_at_absent(&mut self, now: ProcessingTime) -> Result<Option<ProcessingTime>> {
        let mut until = None;
        for turn in 0..self.partitions.len() {
            if self.partitions[turn].presence != Presence::Absent || self.partitions[turn].at_end() {
                continue;
            }
            let Some(has_time) = self.look_at_first(turn)? else { continue };
            let partition = &mut self.partitions[turn];
            let joined = partition.joined.filter(|&joined| !has_time && joined <= now);
            let again = joined.map(|joined| joined.plus(TIMELESS_PAUSE));
            match again.filter(|&again| again > now) {
                Some(again) => until = until.into_iter().chain([again]).min(),
                None => (partition.presence, partition.joined) = (Presence::Asks, Some(now)),
            }
        }
        Ok(until)
    }

    /// Whether the first message of an absent partition has a time; `None` where there is none. Messages that the policy
    /// leaves out are counted and passed here: nothing comes out of them, so nobody has to know where they lie.
    fn look_at_first(&mut self, turn: usize) -> Result<Option<bool>> {
        for _ in 0..TIMELESS_LOOKS {
            let partition = &mut self.partitions[turn];
            let Some(first) = partition.look()? else { return Ok(None) };
            let decoded = decode_messages(self.live.decode.as_ref(), std::slice::from_ref(first))?;
            let has_time = decoded.bad.is_empty()
                && event_time(&instants(decoded.rows.column(self.spec.time_column))?, 0)
                    .is_some_and(|event| !is_nonsense(event, first.arrival));
            if has_time || self.spec.bad_rows != BadRowPolicy::Skip {
                return Ok(Some(has_time));
            }
            let messages = partition.read(1, usize::MAX)?;
            let bounds =
                LiveBounds { rows_max: 1, ceiling: EventTime::MAX, given: EventTime::MIN, cap: EventTime::MIN };
            self.place(turn, &messages, bounds)?;
        }
        self.more = true;
        Ok(None)
    }

    /// Lets those that ask join at the checkpoint, holding a watermark, and those that show no time leave; gives those
    /// that join.
    pub fn freeze(&mut self, given: EventTime, may_join: bool) -> Vec<Split> {
        let mut joining = Vec::new();
        for partition in &mut self.partitions {
            partition.freeze();
            if joins(partition, may_join) {
                partition.hold(given);
                joining.push(Split::Partition(partition.index));
            } else if partition.is_timeless() {
                partition.presence = Presence::Leaves;
            }
        }
        joining
    }

    /// How far every partition was given out.
    pub fn positions(&self, out: &HashMap<Split, OutRows>) -> Vec<SplitState> {
        let position = |partition: &Partition| {
            let split = Split::Partition(partition.index);
            let out = out.get(&split).copied().unwrap_or(OutRows::NONE);
            SplitState { split, position: partition.position(out).to_bytes() }
        };
        self.partitions.iter().map(position).collect()
    }

    /// A checkpoint is durable: those that left are absent, and those that joined go on where the coordinator says.
    /// Gives the greatest level at which one joined.
    pub fn durable(&mut self, joined: &[SplitState]) -> Result<Option<EventTime>> {
        let mut level = None;
        for partition in &mut self.partitions {
            partition.durable();
            let split = Split::Partition(partition.index);
            if partition.presence == Presence::Leaves {
                partition.presence = Presence::Absent;
            } else if let Some(joined) = joined.iter().find(|joined| joined.split == split) {
                partition.go_on(&self.spec, &PartitionPosition::parse(&joined.position)?);
                partition.presence = Presence::Present;
                self.more = true;
                level = level.max(Some(partition.watermark()));
            }
        }
        Ok(level)
    }

    /// The next rows of partitions, by split, those with the least watermark first.
    pub fn read(&mut self, bounds: LiveBounds) -> Result<Vec<(Split, Batch)>> {
        let mut turns: Vec<(EventTime, usize)> =
            self.partitions.iter().enumerate().map(|(turn, partition)| (partition.watermark(), turn)).collect();
        turns.sort_unstable();
        let (mut batches, mut room, mut bytes) = (Vec::new(), bounds.rows_max, READ_BYTES);
        self.more = false;
        for (watermark, turn) in turns {
            let partition = &mut self.partitions[turn];
            if !partition.is_read() {
                continue;
            }
            if watermark > bounds.ceiling {
                partition.look()?;
                continue;
            }
            if room == 0 || bytes == 0 {
                self.more = true;
                break;
            }
            let messages = partition.read(room, bytes)?;
            if messages.is_empty() {
                continue;
            }
            self.more = true;
            room -= messages.len();
            bytes = bytes.saturating_sub(messages.iter().map(|message| message.payload.len()).sum());
            let batch = self.place(turn, &messages, bounds)?;
            self.partitions[turn].advance();
            if batch.rows() > 0 {
                self.stats.live_rows.fetch_add(batch.rows() as u64, Relaxed);
                batches.push((Split::Partition(self.partitions[turn].index), batch));
            }
        }
        Ok(batches)
    }

    /// Asks partitions that have nothing to read how far they are drained, where enough silence has passed for the
    /// answer to lift them to what is due, and a few times more. Gives when it will have for the next one.
    pub fn look_at_silence(&mut self, due: Option<EventTime>, now: ProcessingTime) -> Result<Option<ProcessingTime>> {
        let (mut until, pause) = (None, pause_of(self.partitions.len()));
        for partition in &mut self.partitions {
            partition.look_at_clock(now);
            if partition.ask_at(due, pause).is_some_and(|at| at <= now) {
                partition.ask(due, now)?;
                self.more |= !partition.is_caught_up();
            }
            until = until.into_iter().chain(partition.ask_at(due, pause)).min();
        }
        Ok(until)
    }

    /// Says how the partitions stand: now and then while rows come, and always where nothing may come for a while.
    pub fn show(&mut self, rests: bool, now: ProcessingTime) {
        let is_recent = |shown: ProcessingTime| shown <= now && shown.plus(SHOW_EVERY) > now;
        if !rests && self.shown_at.is_some_and(is_recent) {
            return;
        }
        self.shown_at = Some(now);
        let topic = self.live.topic.name();
        self.stats.stand(self.partitions.iter().map(|partition| partition.standing(&self.spec, topic)));
    }

    /// What became of rows that do not go on, since the last call.
    pub fn take_removed(&mut self) -> Fates {
        std::mem::take(&mut self.removed)
    }

    /// Rows that leave at other ports, since the last call.
    pub fn take_aside(&mut self) -> Vec<(Split, (Port, Batch))> {
        std::mem::take(&mut self.aside)
    }

    /// Decodes messages of one partition and places their rows.
    fn place(&mut self, turn: usize, messages: &[Message], bounds: LiveBounds) -> Result<Batch> {
        let partition = &mut self.partitions[turn];
        let decoded = decode_messages(self.live.decode.as_ref(), messages)?;
        let events = instants(decoded.rows.column(self.spec.time_column))?;
        let mut rows = Rows::new(&self.spec, &self.stats, decoded.rows.num_rows());
        let (mut bad, mut row, index) = (decoded.bad.iter().peekable(), 0, partition.index);
        let topic = self.live.topic.name();
        for (at, message) in messages.iter().enumerate() {
            let (arrival, position) = (message.arrival, message.position);
            let shown_at = || format!("topic \"{topic}\", partition {index}, message {}", shown(Some(position)));
            let clock = partition.clock.at(arrival);
            let coordinate = Coordinate { partition: index, position, arrival, clock };
            let place = RowPlace { row, coordinate: Some(coordinate), arrival: Some(arrival), at: &shown_at };
            let is_bad = bad.peek().is_some_and(|(bad, _)| *bad == at);
            let event = if is_bad { None } else { event_time(&events, row as usize) };
            // The clock rules that out, unless the partition was said to be drained up to a time after this arrival. One
            // that has shown no time yet does not.
            let passed = match clock {
                Some(clock) => clock.minus(self.spec.delay) <= bounds.given,
                None => time_without_clock(&self.spec, event, arrival)
                    .is_some_and(|time| time <= bounds.given.max(bounds.cap)),
            };
            if passed {
                partition.put_back(&messages[at..]);
                break;
            }
            partition.pass(message);
            if let Some((_, error)) = bad.next_if(|(bad, _)| *bad == at) {
                partition.arrive(arrival);
                rows.bad(&error.chain(), Some(&message.payload), &place)?;
                continue;
            }
            match event {
                Some(event) => rows.put(partition.place(event, arrival), &place)?,
                None => {
                    partition.arrive(arrival);
                    rows.bad_without_time(&decoded.rows, &place)?;
                }
            }
            row += 1;
        }
        let (batch, removed) = rows.finish(&decoded.rows)?;
        self.removed.merge(&removed.fates);
        let aside = removed.ports;
        if partition.clock.clock().is_none() {
            let rows: usize = aside.iter().map(|(_, batch)| batch.rows()).sum();
            let bytes: usize = aside.iter().map(|(_, batch)| batch.bytes()).sum();
            partition.timeless = (partition.timeless.0 + rows, partition.timeless.1 + bytes);
            if partition.timeless.0 > TIMELESS_MAX.0 || partition.timeless.1 > TIMELESS_MAX.1 {
                return Err(self.without_time(turn, decoded.bad.last().map(|(_, error)| error)));
            }
        }
        let split = Split::Partition(index);
        self.aside.extend(aside.into_iter().map(|aside| (split, aside)));
        Ok(batch)
    }

    /// A partition whose messages are all bad gives its dead letters no order, and they would be kept for ever.
    fn without_time(&self, turn: usize, last: Option<&Error>) -> Error {
        let partition = &self.partitions[turn];
        let last = last.map_or_else(|| NO_EVENT_TIME.to_owned(), Error::chain);
        Error::data(format!(
            "stream \"{}\": topic \"{}\", partition {}: all {} messages so far are bad, and dead letters wait for the \
             first one with a time; of the last one: {last}; look at the declared columns, or let ON BAD ROW SKIP count \
             such messages and go on",
            self.spec.name,
            self.live.topic.name(),
            partition.index,
            partition.timeless.0,
        ))
    }
}

/// Where a message lies in time whose partition has shown none yet: a row at its own time, and a dead letter where it
/// arrived. Nothing comes out of what is left out.
fn time_without_clock(spec: &StreamSpec, event: Option<EventTime>, arrival: ProcessingTime) -> Option<EventTime> {
    let letter = || (spec.bad_rows == BadRowPolicy::DeadLetter).then_some(EventTime(arrival.0));
    event.filter(|&event| !is_nonsense(event, arrival)).or_else(letter)
}

/// Whether a partition joins at the next checkpoint. One that was present does so only when everything that outputs had
/// before a restart has come out again, since that came out without its message.
fn joins(partition: &Partition, may_join: bool) -> bool {
    match partition.presence {
        Presence::Asks => true,
        Presence::Below => may_join,
        Presence::Present | Presence::Absent | Presence::Joins | Presence::Leaves => false,
    }
}
