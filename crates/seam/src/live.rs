//! Reads the partitions of a topic forward: decodes, places rows by the partition's clock, and tells the watermark.

use crate::clock::{PartitionClock, Placed, is_nonsense};
use crate::placing::{Aside, Coordinate, RowPlace, Rows, event_time, instants};
use crate::{Frontier, Live, StreamSpec, StreamStats};
use dataflow::{
    Batch, Decode, Error, EventTime, Message, PartitionLog, Position, ProcessingTime, ReadBounds, Result, Span, Topic,
    concat,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

/// About how many bytes of messages one poll takes.
const READ_BYTES: usize = 4 << 20;
/// How soon a partition that cannot say how far it is drained is asked again at first; 32 times that at last.
const ASK_AGAIN: Span = Span::millis(1);
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
    // When silence will have lifted the watermark to what is due.
    until: Option<ProcessingTime>,
    // How often in a row partitions were asked how far they are drained, and could not say.
    vain: u32,
}

struct Partition {
    index: u32,
    log: Box<dyn PartitionLog>,
    clock: PartitionClock,
    position: Option<Position>,
    // The last message when the reader was opened.
    end: Option<Position>,
    // Whether the last look found nothing after the position.
    caught_up: bool,
    // A time up to which everything that arrived has been read, while nothing was read since.
    drained: Option<ProcessingTime>,
    // What the clock would be, had the partition not shown its first row when the stream had given a watermark; until
    // the two agree.
    alone: Option<PartitionClock>,
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
            let caught_up = drained.is_some();
            partitions.push(Partition {
                index,
                log,
                clock,
                position,
                end: end.last,
                caught_up,
                drained,
                alone: None,
                start,
            });
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
            until: None,
            vain: 0,
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
            false => !partition.caught_up,
        })
    }

    /// Whether the topic has shown no row that could tell a time, and has nothing unread.
    pub fn is_empty(&self) -> bool {
        self.partitions.iter().all(|partition| partition.clock.clock().is_none() && partition.caught_up)
    }

    /// When silence will have lifted the watermark to what was due at the last poll.
    pub fn until(&self) -> Option<ProcessingTime> {
        self.until
    }

    /// No row at or before this comes later; `None` while a partition may still have one at any time, or when no
    /// partition has a row.
    pub fn watermark(&self) -> Option<EventTime> {
        if self.has_ended() {
            return self.clock();
        }
        let mut least: Option<EventTime> = None;
        for partition in self.partitions.iter().filter(|partition| !self.until_caught_up || !partition.at_end()) {
            match (partition.watermark(), partition.caught_up) {
                (Some(watermark), _) => least = Some(least.map_or(watermark, |least| least.min(watermark))),
                (None, true) => {}
                (None, false) => return None,
            }
        }
        least
    }

    /// The next rows of partitions whose watermark is not above the bound, those with the least first. Rows at or
    /// before `given` are moved to the microsecond after it. Where nothing is left to read, asks how far partitions
    /// are drained, if that can lift the watermark to what is due.
    pub fn poll(&mut self, rows_max: usize, bounds: &ReadBounds, given: EventTime) -> Result<Option<Batch>> {
        let batch = self.read(rows_max, bounds.live, given)?;
        self.until = match bounds.due {
            Some(due) if !self.until_caught_up => self.look_at_silence(due, bounds.now)?,
            _ => None,
        };
        Ok(batch)
    }

    /// Lifts the watermark to what is due if enough silence has passed; else says when it will have.
    fn look_at_silence(&mut self, due: EventTime, now: ProcessingTime) -> Result<Option<ProcessingTime>> {
        let mut until = ProcessingTime(i64::MIN);
        for partition in &self.partitions {
            match partition.watermark() {
                Some(watermark) if watermark < due => {}
                _ => continue,
            }
            // A partition that has more to read, or that silence never moves, is what is waited for.
            let Some(drained_to) = partition.clock.drained_for(due).filter(|_| partition.caught_up) else {
                return Ok(None);
            };
            // A partition that is asked at a time answers for the microsecond before it.
            until = until.max(drained_to.plus(Span(1)));
        }
        if until > now {
            return Ok(Some(until));
        }
        let mut lifted = true;
        for partition in self.partitions.iter_mut().filter(|partition| partition.watermark().is_some_and(|at| at < due))
        {
            self.more |= partition.look_at_end()?;
            lifted &= partition.watermark().is_some_and(|at| at >= due);
        }
        // While a producer appends there is no newer answer; it is asked again in a moment, and less and less often.
        self.vain = if lifted { 0 } else { self.vain + 1 };
        let pause = Span(ASK_AGAIN.0 << self.vain.min(5));
        Ok((!lifted).then(|| now.plus(pause)))
    }

    fn read(&mut self, rows_max: usize, ceiling: EventTime, given: EventTime) -> Result<Option<Batch>> {
        let mut turns: Vec<(Option<EventTime>, usize)> =
            self.partitions.iter().enumerate().map(|(turn, partition)| (partition.watermark(), turn)).collect();
        turns.sort_unstable();
        let (mut batches, mut room, mut bytes) = (Vec::new(), rows_max, READ_BYTES);
        self.more = false;
        for (watermark, turn) in turns {
            if self.until_caught_up && self.partitions[turn].at_end() {
                continue;
            }
            if watermark.is_some_and(|watermark| watermark > ceiling) {
                continue;
            }
            if room == 0 || bytes == 0 {
                self.more = true;
                break;
            }
            let messages = self.partitions[turn].read(room, bytes, self.until_caught_up)?;
            if messages.is_empty() {
                continue;
            }
            self.more = true;
            room -= messages.len();
            bytes = bytes.saturating_sub(messages.iter().map(|message| message.payload.len()).sum());
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
        let partition_index = partition.index;
        for (index, message) in messages.iter().enumerate() {
            let at = || {
                format!(
                    "topic \"{}\", partition {}, message {}",
                    self.topic.name(),
                    partition_index,
                    shown(Some(message.position))
                )
            };
            let clock = partition.clock.at(message.arrival);
            let coordinate =
                Coordinate { partition: partition.index, position: message.position, arrival: message.arrival, clock };
            let place = RowPlace { row, coordinate: Some(coordinate), given, at: &at };
            if let Some((_, error)) = bad.next_if(|(bad, _)| *bad == index) {
                partition.arrive(message.arrival);
                rows.bad(&error.chain(), Some(&message.payload), &place)?;
                continue;
            }
            match event_time(&events, row as usize) {
                Some(event) => rows.put(partition.place_row(event, message.arrival, given), &place)?,
                None => {
                    partition.arrive(message.arrival);
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

    fn arrive(&mut self, arrival: ProcessingTime) {
        self.clock.arrive(arrival);
        if let Some(alone) = &mut self.alone {
            alone.arrive(arrival);
        }
    }

    /// Places a row. The first row of a partition may come when the stream has given a watermark; then the clock
    /// begins there, and what that moves is told apart from what is late by itself.
    fn place_row(&mut self, event: EventTime, arrival: ProcessingTime, given: EventTime) -> Placed {
        let before = self.clock;
        if !is_nonsense(event, arrival) && self.clock.join(given) {
            self.alone = Some(before);
        }
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

    fn watermark(&self) -> Option<EventTime> {
        self.drained.map_or_else(|| self.clock.watermark(), |drained_to| self.clock.watermark_drained(drained_to))
    }

    /// The next messages, up to the end position where there is one.
    fn read(&mut self, messages_max: usize, bytes_max: usize, to_end: bool) -> Result<Vec<Message>> {
        let mut messages = self.log.read(messages_max, bytes_max)?;
        if to_end {
            messages.truncate(messages.partition_point(|message| Some(message.position) <= self.end));
        }
        self.caught_up = messages.is_empty();
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
        self.caught_up = drained;
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
