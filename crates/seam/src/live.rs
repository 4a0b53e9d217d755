//! Reads the partitions of a topic forward: decodes, places rows by the partition's clock, and tells the watermark.

use crate::clock::PartitionClock;
use crate::placing::{Aside, Coordinate, RowPlace, Rows, event_time, instants};
use crate::{Frontier, Live, Quiet, StreamSpec, StreamStats};
use dataflow::{
    Batch, Decode, Error, EventTime, Message, PartitionLog, Position, ProcessingTime, Result, Topic, concat,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

/// About how many bytes of messages one read takes.
const READ_BYTES: usize = 4 << 20;
/// How many messages are read at once to find the first one that moves a partition's clock.
const PROBE_MESSAGES: usize = 256;

/// The partitions of a stream's topic.
pub(crate) struct LiveReader {
    spec: StreamSpec,
    topic: Arc<dyn Topic>,
    decode: Arc<dyn Decode>,
    stats: Arc<StreamStats>,
    partitions: Vec<Partition>,
    until_caught_up: bool,
    // Rows that leave at other ports, until they are taken.
    aside: Aside,
    // Whether the last poll may have left messages that the next one can read.
    more: bool,
}

struct Partition {
    index: u32,
    log: Box<dyn PartitionLog>,
    clock: PartitionClock,
    position: Option<Position>,
    // The last message when the reader was opened.
    end: Option<Position>,
    // A time up to which everything that arrived has been read, while nothing was read since.
    drained: Option<ProcessingTime>,
    // What the partition adds to the least value at which outputs begin; `None` when it does not count.
    start: Option<EventTime>,
}

impl LiveReader {
    /// Opens every partition behind the frontier and looks at its end; reads no row, except to find where a
    /// partition begins that has rows but none before the frontier.
    pub fn open(
        spec: &StreamSpec,
        live: &Live,
        frontier: &Frontier,
        stats: Arc<StreamStats>,
        until_caught_up: bool,
    ) -> Result<LiveReader> {
        let mut partitions = Vec::new();
        for (index, at) in frontier.partitions.iter().enumerate() {
            let index = index as u32;
            let position = at.map(|at| at.position);
            let mut log = live.topic.open(index, position)?;
            let end = log.end()?;
            let clock = match at {
                Some(at) => PartitionClock::resume(spec, at.clock, at.arrival),
                None => PartitionClock::new(spec),
            };
            if end.last < position {
                return Err(Error::corrupt(format!(
                    "stream \"{}\": topic \"{}\", partition {index} ends at {}, before the message {} that its history has",
                    spec.name,
                    live.topic.name(),
                    shown(end.last),
                    shown(position)
                )));
            }
            let drained = (end.last == position).then_some(end.drained_to);
            let start = match (clock.clock(), drained) {
                (Some(_), Some(drained_to)) => clock.watermark_drained(drained_to),
                (Some(_), None) => clock.watermark(),
                (None, Some(_)) => None,
                (None, None) => first_clock(spec, live, index, position, end.last)?.and_then(|first| first.watermark()),
            };
            partitions.push(Partition { index, log, clock, position, end: end.last, drained, start });
        }
        Ok(LiveReader {
            spec: spec.clone(),
            topic: live.topic.clone(),
            decode: live.decode.clone(),
            stats,
            partitions,
            until_caught_up,
            aside: Vec::new(),
            more: true,
        })
    }

    /// Remembers whom to wake when a partition may have new messages.
    pub fn wake(&mut self, waker: &Waker) -> Result<()> {
        self.partitions.iter_mut().try_for_each(|partition| partition.log.wake(waker))
    }

    /// Where outputs of this stream begin; `None` when no partition has a row.
    pub fn start(&self) -> Option<EventTime> {
        self.partitions.iter().filter_map(|partition| partition.start).min()
    }

    /// Where the watermark stops while history is read. With end positions a partition that ends at the frontier
    /// holds nobody back, and silence behind the end positions counts for nothing.
    pub fn history_cap(&self) -> EventTime {
        if !self.until_caught_up {
            return self.start().unwrap_or(EventTime::MIN);
        }
        let unread =
            self.partitions.iter().filter(|partition| !partition.at_end()).filter_map(|partition| partition.start);
        unread.min().or(self.clock()).unwrap_or(EventTime::MIN)
    }

    /// The greatest clock of the partitions.
    pub fn clock(&self) -> Option<EventTime> {
        self.partitions.iter().filter_map(|partition| partition.clock.clock()).max()
    }

    /// Whether every end position is reached, where there are end positions.
    pub fn has_ended(&self) -> bool {
        self.until_caught_up && self.partitions.iter().all(Partition::at_end)
    }

    /// Whether the last poll may have left messages that it was free to read.
    pub fn has_more(&self) -> bool {
        self.more
    }

    /// Whether a partition may have messages that were there when it was last read.
    pub fn has_backlog(&self) -> bool {
        self.partitions.iter().any(|partition| match self.until_caught_up {
            true => !partition.at_end(),
            false => partition.drained.is_none(),
        })
    }

    /// Whether the topic has shown no row that could tell a time, and has nothing unread.
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(|partition| partition.clock.clock().is_none() && partition.drained.is_some())
    }

    /// For a topic that is empty: what the quiet rule says of it without any row; `None` when it never runs on.
    pub fn watermark_of_silence(&self) -> Option<EventTime> {
        let Quiet::After(quiet) = self.spec.quiet else { return None };
        let drained_to = self.partitions.iter().filter_map(|partition| partition.drained).min()?;
        Some(EventTime(drained_to.0).minus(quiet).minus(self.spec.delay).before())
    }

    /// No row at or before this comes later; `None` while a partition may still have one at any time, or when no
    /// partition has a row.
    pub fn watermark(&self) -> Option<EventTime> {
        if self.has_ended() {
            return self.clock();
        }
        let mut least: Option<EventTime> = None;
        for partition in self.partitions.iter().filter(|partition| !self.until_caught_up || !partition.at_end()) {
            match (partition.watermark(), partition.drained) {
                (Some(watermark), _) => least = Some(least.map_or(watermark, |least| least.min(watermark))),
                (None, Some(_)) => {}
                (None, None) => return None,
            }
        }
        least
    }

    /// The next rows of partitions whose watermark is not above the ceiling, those furthest behind first. Rows at or
    /// before `given` are moved to the microsecond behind it.
    pub fn poll(&mut self, rows_max: usize, ceiling: EventTime, given: EventTime) -> Result<Option<Batch>> {
        let mut turns: Vec<(Option<EventTime>, usize)> =
            self.partitions.iter().enumerate().map(|(turn, partition)| (partition.watermark(), turn)).collect();
        turns.sort_unstable();
        let (mut batches, mut room) = (Vec::new(), rows_max);
        self.more = false;
        for (watermark, turn) in turns {
            if self.until_caught_up && self.partitions[turn].at_end() {
                continue;
            }
            if watermark.is_some_and(|watermark| watermark > ceiling) {
                continue;
            }
            if room == 0 {
                self.more = true;
                break;
            }
            let messages = self.partitions[turn].read(room, self.until_caught_up)?;
            if messages.is_empty() {
                self.more |= self.partitions[turn].look_at_end()?;
                continue;
            }
            self.more = true;
            room -= messages.len();
            let batch = self.place(turn, &messages, given)?;
            if batch.rows() > 0 {
                batches.push(batch);
            }
        }
        if batches.is_empty() {
            return Ok(None);
        }
        let batch = concat(&self.spec.schema, &batches)?;
        self.stats.live_rows.fetch_add(batch.rows() as u64, Relaxed);
        Ok(Some(batch))
    }

    /// Rows that leave at other ports, since the last call.
    pub fn take_aside(&mut self) -> Aside {
        std::mem::take(&mut self.aside)
    }

    /// Decodes messages of one partition and places their rows.
    fn place(&mut self, turn: usize, messages: &[Message], given: EventTime) -> Result<Batch> {
        let partition = &mut self.partitions[turn];
        let payloads: Vec<&[u8]> = messages.iter().map(|message| message.payload.as_slice()).collect();
        let decoded = self.decode.decode(&payloads)?;
        let events = instants(decoded.rows.column(self.spec.time_column))?;
        let mut rows = Rows::new(&self.spec, &self.stats, decoded.rows.num_rows());
        let (mut bad, mut row) = (decoded.bad.iter().peekable(), 0);
        for (index, message) in messages.iter().enumerate() {
            let at = || {
                format!(
                    "topic \"{}\", partition {}, message {}",
                    self.topic.name(),
                    partition.index,
                    shown(Some(message.position))
                )
            };
            let clock = partition.clock.at(message.arrival);
            let coordinate =
                Coordinate { partition: partition.index, position: message.position, arrival: message.arrival, clock };
            let place = RowPlace { row, coordinate: Some(coordinate), given, at: &at };
            if let Some((_, error)) = bad.next_if(|(bad, _)| *bad == index) {
                partition.clock.arrive(message.arrival);
                rows.bad(&error.chain(), Some(&message.payload), &place)?;
                continue;
            }
            match event_time(&events, row as usize) {
                Some(event) => rows.put(partition.clock.row(event, message.arrival), &place)?,
                None => {
                    partition.clock.arrive(message.arrival);
                    rows.bad("it has no event time", None, &place)?;
                }
            }
            row += 1;
        }
        let (batch, aside) = rows.finish(&decoded.rows)?;
        self.aside.extend(aside);
        Ok(batch)
    }
}

impl Partition {
    fn at_end(&self) -> bool {
        self.position >= self.end
    }

    fn watermark(&self) -> Option<EventTime> {
        self.drained.map_or_else(|| self.clock.watermark(), |drained_to| self.clock.watermark_drained(drained_to))
    }

    /// The next messages, up to the end position where there is one.
    fn read(&mut self, messages_max: usize, to_end: bool) -> Result<Vec<Message>> {
        let mut messages = self.log.read(messages_max, READ_BYTES)?;
        if to_end {
            messages.truncate(messages.partition_point(|message| Some(message.position) <= self.end));
        }
        if let Some(last) = messages.last() {
            self.position = Some(last.position);
            self.drained = None;
        }
        Ok(messages)
    }

    /// Finds out whether nothing is left to read, and up to when; whether there is more.
    fn look_at_end(&mut self) -> Result<bool> {
        let end = self.log.end()?;
        let drained = end.last <= self.position;
        if drained {
            self.drained = self.drained.max(Some(end.drained_to));
        }
        Ok(!drained)
    }
}

/// The clock of a partition behind the first row that moves it, among those up to `last`.
fn first_clock(
    spec: &StreamSpec,
    live: &Live,
    partition: u32,
    after: Option<Position>,
    last: Option<Position>,
) -> Result<Option<PartitionClock>> {
    let mut log = live.topic.open(partition, after)?;
    let mut clock = PartitionClock::new(spec);
    loop {
        let messages = log.read(PROBE_MESSAGES, READ_BYTES)?;
        if messages.is_empty() {
            return Ok(None);
        }
        let payloads: Vec<&[u8]> = messages.iter().map(|message| message.payload.as_slice()).collect();
        let decoded = live.decode.decode(&payloads)?;
        let events = instants(decoded.rows.column(spec.time_column))?;
        let mut bad = decoded.bad.iter().map(|(index, _)| *index).peekable();
        let mut row = 0;
        for (index, message) in messages.iter().enumerate() {
            if Some(message.position) > last {
                return Ok(None);
            }
            if bad.next_if_eq(&index).is_some() {
                continue;
            }
            if let Some(event) = event_time(&events, row) {
                clock.row(event, message.arrival);
            }
            if clock.clock().is_some() {
                return Ok(Some(clock));
            }
            row += 1;
        }
    }
}

fn shown(position: Option<Position>) -> String {
    position.map_or_else(|| "its beginning".to_owned(), crate::frontier::message_id)
}
