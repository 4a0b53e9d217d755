//! A host as small as one can be: the real readers and coordinator of a job, one step that all streams reach, and
//! messages that arrive at once.

use crate::memory::{Row, rows_of};
use dataflow::{
    AtOnce, Batch, CheckpointPurpose, Command, Coordinator, CoordinatorAction, CoordinatorEvent, CoordinatorState,
    EventTime, FrozenReader, Meeting, Polled, Port, ProcessingTime, ReadBounds, Reader, ReaderId, ReaderState, Result,
    Span, StageId,
};
use seam::{Counts, Lead, Options, Seam, StreamInput, StreamStats};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Wake, Waker};

/// The step that all streams reach.
const STEP: usize = 0;
const STAGE: StageId = StageId { stage: 0, worker: 0 };
/// How long nothing may move until streams have come to rest: longer than readers wait with a report or a question.
const REST: Span = Span::millis(500);

/// How a job is run.
#[derive(Clone, Copy)]
pub struct Run {
    pub until_caught_up: bool,
    /// Whether topics get new ends where the job goes on.
    pub new_ends: bool,
    pub workers: usize,
    pub memory_bytes: usize,
    pub lead: Lead,
    /// The processing time at which it begins.
    pub now: i64,
    /// Whether no row is to come again that outputs had before.
    pub replayed: bool,
}

impl Run {
    pub fn new(until_caught_up: bool, workers: usize) -> Run {
        Run {
            until_caught_up,
            new_ends: false,
            workers,
            memory_bytes: 64 << 20,
            lead: Lead::default(),
            now: 0,
            replayed: true,
        }
    }

    pub fn options(&self) -> Options {
        Options {
            until_caught_up: self.until_caught_up,
            new_ends: self.new_ends,
            from: None,
            memory_bytes: self.memory_bytes,
            spill_dir: std::env::temp_dir(),
            lead: self.lead,
        }
    }
}

/// A reader, and what came of it.
struct Slot {
    reader: Box<dyn Reader>,
    /// The watermark in its lane; `None` while it is absent.
    lane: Option<EventTime>,
    /// The greatest watermark that it gave.
    given: EventTime,
    state: ReaderState,
    /// Whether it was woken, or got an order, since the last poll.
    bell: Arc<Bell>,
}

impl Slot {
    /// Whether it waits, and was woken since.
    fn is_called(&self) -> bool {
        matches!(self.state, ReaderState::Waiting { .. }) && self.bell.0.load(SeqCst)
    }
}

/// Remembers that it was rung.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A durable checkpoint.
#[derive(Clone, Debug)]
pub struct Kept {
    pub state: CoordinatorState,
    /// How far the step was advanced.
    pub level: EventTime,
    /// How many rows of each stream had come.
    pub rows: Vec<usize>,
    /// Whether nothing came after it.
    pub last: bool,
}

/// A job that is run.
pub struct Host {
    slots: BTreeMap<ReaderId, Slot>,
    coordinator: Box<dyn Coordinator>,
    stats: Vec<Arc<StreamStats>>,
    /// Where outputs begin.
    pub start: EventTime,
    pub now: i64,
    /// How far the step was advanced.
    pub level: EventTime,
    /// The rows of each stream, in the sequence in which they came.
    pub rows: Vec<Vec<Row>>,
    pub aside: Vec<Vec<(Port, Batch)>>,
    pub batches: usize,
    /// Times of rows given out that the step has not been advanced to.
    pub ahead: Vec<i64>,
    pub ahead_most: usize,
    /// Where inputs end, once the coordinator says so.
    pub end: Option<EventTime>,
    /// The checkpoints that were made durable, and the last of them.
    pub checkpoints: u64,
    pub kept: Option<Kept>,
    /// Whether the last barrier was sent.
    ended: bool,
    events: VecDeque<CoordinatorEvent>,
    // Above which time no row may come, instead of what the coordinator says; and what it said last, per stream.
    ceiling: Option<EventTime>,
    bounds: Vec<Option<ReadBounds>>,
    // Whether all streams end at one time.
    has_one_end: bool,
    /// Whether checkpoints wait to be stored, and the one that does.
    pub store_is_away: bool,
    unstored: Option<u64>,
}

impl Host {
    pub fn open(streams: Vec<StreamInput>, run: Run) -> Result<Host> {
        Host::go_on(streams, run, None)
    }

    /// Goes on from a checkpoint, if there is one.
    pub fn go_on(streams: Vec<StreamInput>, run: Run, kept: Option<&Kept>) -> Result<Host> {
        let seam = Seam::open(streams, &run.options(), kept.map(|kept| &kept.state))?;
        Host::of(&seam, run, kept)
    }

    /// Reads again what a checkpoint has read.
    pub fn open_until(streams: Vec<StreamInput>, run: Run, kept: &Kept) -> Result<Host> {
        let host = Host::of(&Seam::open_until(streams, &run.options(), &kept.state)?, run, None)?;
        Ok(Host { has_one_end: false, ..host })
    }

    fn of(seam: &Seam, run: Run, kept: Option<&Kept>) -> Result<Host> {
        let count = seam.stats().len();
        let all = Meeting { streams: (0..count).collect(), steps: vec![STEP] };
        let (readers, coordinator) = seam.begin(run.workers, Arc::new(AtOnce), &vec![all; count])?;
        let counts: Vec<usize> = readers.iter().map(Vec::len).collect();
        assert!(counts.iter().all(|count| (1..=run.workers).contains(count)), "{counts:?} of {}", run.workers);
        let mut slots = BTreeMap::new();
        for (stream, readers) in readers.into_iter().enumerate() {
            for (index, mut reader) in readers.into_iter().enumerate() {
                let bell = Arc::new(Bell(AtomicBool::new(false)));
                reader.wake(&Waker::from(bell.clone()))?;
                let (lane, state) = (Some(EventTime::MIN), ReaderState::Ready);
                slots.insert(ReaderId { stream, index }, Slot { reader, lane, given: EventTime::MIN, state, bell });
            }
        }
        let mut host = Host {
            slots,
            coordinator,
            stats: seam.stats(),
            start: seam.start(),
            now: run.now,
            level: kept.map_or(EventTime::MIN, |kept| kept.level),
            rows: vec![Vec::new(); count],
            aside: (0..count).map(|_| Vec::new()).collect(),
            batches: 0,
            ahead: Vec::new(),
            ahead_most: 0,
            end: None,
            checkpoints: 0,
            kept: None,
            ended: false,
            events: VecDeque::new(),
            ceiling: None,
            bounds: vec![None; count],
            has_one_end: true,
            store_is_away: false,
            unstored: None,
        };
        host.tell(CoordinatorEvent::Start { readers: counts, stages: vec![STAGE] })?;
        host.holds(&[], run.replayed)?;
        Ok(host)
    }

    /// The step holds something for these times, per stream, and has all rows again that are to come again, or not.
    pub fn holds(&mut self, due: &[(usize, EventTime)], replayed: bool) -> Result<()> {
        self.tell(CoordinatorEvent::Holds { stage: STAGE, due: due.to_vec(), replayed })
    }

    pub fn readers(&self) -> Vec<ReaderId> {
        self.slots.keys().copied().collect()
    }

    pub fn counts(&self, stream: usize) -> Counts {
        self.stats[stream].counts()
    }

    pub fn held_by(&self) -> Option<(String, EventTime)> {
        self.coordinator.held_by()
    }

    /// The watermark of a stream: the least of its readers that are present.
    pub fn watermark(&self, stream: usize) -> Option<EventTime> {
        self.slots.iter().filter(|(id, _)| id.stream == stream).filter_map(|(_, slot)| slot.lane).min()
    }

    pub fn is_finished(&self) -> bool {
        self.ended && self.slots.values().all(|slot| slot.state == ReaderState::Finished)
    }

    /// Asks for a checkpoint.
    pub fn want_checkpoint(&mut self) -> Result<()> {
        self.tell(CoordinatorEvent::CheckpointWanted(CheckpointPurpose::Commit))
    }

    /// Asks for the end.
    pub fn want_end(&mut self) -> Result<()> {
        self.tell(CoordinatorEvent::CheckpointWanted(CheckpointPurpose::End))
    }

    /// Stores checkpoints again, the one that waits first.
    pub fn store_is_back(&mut self) -> Result<()> {
        self.store_is_away = false;
        self.unstored.take().map_or(Ok(()), |number| self.tell(CoordinatorEvent::Durable(number)))
    }

    pub fn state(&self, id: ReaderId) -> ReaderState {
        self.slots[&id].state
    }

    /// Holds rows back above a time where readers have used up their lead.
    pub fn hold_at(&mut self, ceiling: EventTime) {
        self.ceiling = Some(ceiling);
        for (id, slot) in &mut self.slots {
            if let Some(bounds) = &self.bounds[id.stream] {
                slot.reader.bound(held(bounds.clone(), self.ceiling));
            }
        }
    }

    /// Polls a reader; gives whether something moved.
    pub fn poll(&mut self, id: ReaderId, rows_max: usize) -> Result<bool> {
        let Some(slot) = self.slots.get_mut(&id).filter(|slot| slot.state != ReaderState::Finished) else {
            return Ok(false);
        };
        slot.bell.0.store(false, SeqCst);
        let Polled { batch, aside, watermark, report, state } = slot.reader.poll(rows_max, ProcessingTime(self.now))?;
        let moved = batch.is_some() || watermark != slot.lane || state == ReaderState::Ready || report.is_some();
        let rows: Vec<Row> = batch.iter().flat_map(rows_of).collect();
        assert!(rows.len() <= rows_max, "{} rows, {rows_max} were asked for", rows.len());
        for row in &rows {
            assert!(row.time > slot.given.0, "{row:?} of {id:?} lies behind its watermark {}", slot.given);
            assert!(row.time > self.level.0, "{row:?} of {id:?} lies behind the step, which is at {}", self.level);
        }
        assert!(watermark.is_none_or(|watermark| watermark >= slot.given), "the watermark of {id:?} went back");
        slot.given = slot.given.max(watermark.unwrap_or(EventTime::MIN));
        (slot.lane, slot.state) = (watermark, state);
        self.batches += usize::from(batch.is_some());
        self.ahead.extend(rows.iter().map(|row| row.time));
        self.rows[id.stream].extend(rows);
        self.aside[id.stream].extend(aside);
        self.advance();
        if let Some(report) = report {
            self.tell(CoordinatorEvent::Report(id, report))?;
        }
        Ok(moved)
    }

    /// Polls a reader as a host on threads does: only when it says so, when it was woken or got an order, and when what it
    /// waits for is due. Gives whether it was polled.
    pub fn poll_when_due(&mut self, id: ReaderId, rows_max: usize) -> Result<bool> {
        let slot = &self.slots[&id];
        match slot.state {
            ReaderState::Waiting { until: Some(until) } if !slot.bell.0.load(SeqCst) => {
                self.now = self.now.max(until.0)
            }
            ReaderState::Waiting { until: None } | ReaderState::Finished if !slot.bell.0.load(SeqCst) => {
                return Ok(false);
            }
            _ => {}
        }
        self.poll(id, rows_max).map(|_| true)
    }

    /// Polls every reader for as long as it gives rows, up to a bound, until time alone moves nothing any more.
    pub fn rest(&mut self, rows_max: usize) -> Result<()> {
        let mut patience = self.now + REST.0;
        for _ in 0..100_000 {
            let mut moved = false;
            for id in self.readers() {
                let polls = (0..50).map(|_| self.poll(id, rows_max)).take_while(|moved| !matches!(moved, Ok(false)));
                for polled in polls.collect::<Vec<_>>() {
                    moved |= polled?;
                }
            }
            if moved {
                patience = self.now + REST.0;
            }
            if moved || self.slots.values().any(Slot::is_called) {
                continue;
            }
            match self.next_until().filter(|&until| until <= patience) {
                Some(until) => self.now = until.max(self.now + 1),
                None => return Ok(()),
            }
        }
        panic!("the streams never come to rest")
    }

    /// When the next reader has something to do that it waits for.
    fn next_until(&self) -> Option<i64> {
        let until = |slot: &Slot| match slot.state {
            ReaderState::Waiting { until } => until.map(|until| until.0),
            _ => None,
        };
        self.slots.values().filter_map(until).min()
    }

    /// Advances the step to the least of the lanes that are present.
    fn advance(&mut self) {
        let least = self.slots.values().filter_map(|slot| slot.lane).min();
        if let Some(least) = least.filter(|&least| least > self.level) {
            self.level = least;
            self.ahead.retain(|&time| time > least.0);
        }
        self.ahead_most = self.ahead_most.max(self.ahead.len());
    }

    /// Tells the coordinator, and does what it wants done, and tells what comes of that.
    fn tell(&mut self, event: CoordinatorEvent) -> Result<()> {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            let mut frozen = BTreeMap::new();
            for action in self.coordinator.handle(event, ProcessingTime(self.now))? {
                match action {
                    CoordinatorAction::Send(id, order) => self.order(id, order, &mut frozen)?,
                    CoordinatorAction::GiveUp(_) => {}
                    CoordinatorAction::Persist(state) => {
                        assert_eq!(CoordinatorState::parse(&state.to_bytes())?, state);
                        self.checkpoints += 1;
                        let (rows, last) = (self.rows.iter().map(Vec::len).collect(), self.ended);
                        self.kept = Some(Kept { state: state.clone(), level: self.level, rows, last });
                        match self.store_is_away {
                            true => self.unstored = Some(state.number),
                            false => self.events.push_back(CoordinatorEvent::Durable(state.number)),
                        }
                    }
                }
            }
            if !frozen.is_empty() {
                self.freeze(frozen);
            }
        }
        Ok(())
    }

    fn order(&mut self, id: ReaderId, order: Command, frozen: &mut BTreeMap<ReaderId, FrozenReader>) -> Result<()> {
        let count = self.slots.len();
        let slot = self.slots.get_mut(&id).expect("orders go to readers that are there");
        slot.bell.0.store(true, SeqCst);
        match order {
            Command::Assign(splits) => slot.reader.add(splits),
            Command::Bounds(bounds) => {
                let moves = self.has_one_end && self.end.is_some_and(|end| bounds.end != Some(end));
                assert!(!moves, "the end moves to {:?}", bounds.end);
                self.end = bounds.end;
                slot.reader.bound(held(bounds.clone(), self.ceiling));
                self.bounds[id.stream] = Some(bounds);
                Ok(())
            }
            Command::Durable(joined) => slot.reader.durable(joined),
            Command::Barrier(barrier) => {
                assert!(!self.ended, "nothing comes after the last barrier");
                self.ended = barrier.last && frozen.len() + 1 == count;
                frozen.insert(id, slot.reader.freeze()?);
                Ok(())
            }
        }
    }

    /// The step has the barrier in all lanes: those of readers that turn present after it do so at the level of their
    /// stream.
    fn freeze(&mut self, frozen: BTreeMap<ReaderId, FrozenReader>) {
        assert_eq!(frozen.len(), self.slots.len(), "a barrier goes to all readers at once");
        let present: Vec<(ReaderId, EventTime)> = frozen
            .iter()
            .filter(|(_, frozen)| frozen.turns_present())
            .map(|(id, _)| {
                let of_stream = self.slots.iter().filter(|(other, _)| other.stream == id.stream);
                let given = of_stream.map(|(_, slot)| slot.given).max().unwrap_or(EventTime::MIN);
                (*id, self.watermark(id.stream).unwrap_or(self.level.max(given)))
            })
            .collect();
        for (id, level) in present {
            self.slots.get_mut(&id).expect("it is there").lane = Some(level);
        }
        let readers = frozen.into_iter().map(|(id, frozen)| CoordinatorEvent::ReaderFrozen(id, frozen));
        self.events.extend(readers);
        self.events.push_back(CoordinatorEvent::StageFrozen { stage: STAGE, levels: vec![(STEP, self.level)] });
    }
}

/// Bounds with another ceiling.
fn held(bounds: ReadBounds, ceiling: Option<EventTime>) -> ReadBounds {
    match ceiling {
        Some(least) => ReadBounds { least, window: Span::ZERO, ..bounds },
        None => bounds,
    }
}
