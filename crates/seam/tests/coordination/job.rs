//! A job: random streams, and the real readers and coordinator between stages, on a network with delays.

mod checks;
mod starts;

use crate::breaks::{self, Break};
use crate::memory::{self, Random};
use crate::network::{Channel, Event, Network};
use crate::stage::{Done, Entry, Frozen, GROUPS, HOLD, Lane, NEVER, Row, STEPS, Stage, inputs_of};
use crate::stream::Stream;
use dataflow::{
    AtOnce, CheckpointPurpose, Command, Coordinator, CoordinatorAction, CoordinatorEvent, CoordinatorState,
    FrozenReader, Meeting, ProcessingTime, Reader, ReaderId, ReaderState, Split, StageId,
};
use seam::{Lead, Options, Seam};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub const MILLI: i64 = 1_000;
pub const FOREVER: i64 = i64::MAX / 4;
/// How long a message takes at most, and how long a checkpoint is written at most where its state is small.
const HOP: i64 = 5;
pub const WRITE: i64 = 40;
/// How many rows a reader gives per poll.
pub const ROWS_MAX: usize = 3;

/// What came out: by operator and key group, and by the sequence in which it was put out.
#[derive(Default)]
pub struct Published {
    pub entries: BTreeMap<(usize, usize), BTreeMap<usize, (Entry, i64)>>,
    now: i64,
}

impl Published {
    pub fn count(&self, step: usize, group: usize) -> usize {
        self.entries.get(&(step, group)).map_or(0, BTreeMap::len)
    }

    /// The broker drops a sequence that it has.
    pub fn put(&mut self, step: usize, group: usize, sequence: usize, entry: Entry) {
        self.entries.entry((step, group)).or_default().entry(sequence).or_insert((entry, self.now));
    }
}

pub struct ReaderSlot {
    pub reader: Box<dyn Reader>,
    /// The watermark that it gave last; `None`: absent.
    pub told: Option<i64>,
    /// Whether it holds nobody back, as it reported last.
    free: bool,
    token: u64,
    pub splits: BTreeSet<Split>,
}

struct Store {
    state: Vec<u8>,
    stages: BTreeMap<usize, Frozen>,
    given: GivenRows,
    watermarks: Vec<i64>,
    released: Vec<i64>,
}

/// The times of the rows that were given out, by the split that they came from.
type GivenRows = BTreeMap<(usize, Split), BTreeMap<(u32, u64), i64>>;

/// What a checkpoint gathers.
#[derive(Default)]
pub struct Gathering {
    pub readers: BTreeMap<ReaderId, FrozenReader>,
    stages: BTreeMap<StageId, Frozen>,
    given: GivenRows,
    joins: Vec<((usize, u32), usize, Option<i64>)>,
}

/// What was seen in a run.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub restarts: usize,
    pub lost_readers: usize,
    pub joined: usize,
    /// Those of them that were present before.
    pub again: usize,
    pub rows: usize,
    pub worst: i64,
    pub asks: usize,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.restarts += other.restarts;
        self.lost_readers += other.lost_readers;
        self.joined += other.joined;
        self.again += other.again;
        self.rows += other.rows;
        self.worst = self.worst.max(other.worst);
        self.asks += other.asks;
    }
}

pub struct Job {
    pub random: Random,
    pub broken: Option<Break>,
    pub net: Network,
    pub streams: Vec<Stream>,
    pub lead: usize,
    pace: i64,
    // How long a checkpoint is written at most, in milliseconds.
    pub write: i64,
    pub published: Published,
    /// At which rows and clocks a partition joined; `None` where the stream had no watermark.
    pub joins: BTreeMap<(usize, u32), BTreeMap<usize, Option<i64>>>,
    store: Option<Store>,
    pub crashes: Vec<(i64, i64)>,
    // Whether it may crash.
    crashes_happen: bool,
    coordinator: Option<Box<dyn Coordinator>>,
    pub readers: BTreeMap<ReaderId, ReaderSlot>,
    pub stages: BTreeMap<StageId, Stage>,
    workers: usize,
    down: bool,
    pub first: bool,
    pub gathering: Gathering,
    // The watermarks of the last durable checkpoint.
    durable: Vec<i64>,
    // Per stream up to when rows were released in this run.
    released: Vec<i64>,
    given: GivenRows,
    pub figures: Figures,
    pub wrong: breaks::Memory,
    // Where the watermark of each stream stops while history is read, and where outputs begin.
    caps: Vec<i64>,
    outputs_begin: i64,
}

/// The streams that a stream meets, itself among them.
pub fn meet(stream: usize) -> &'static [usize] {
    if stream < 2 { &[0, 1] } else { &[2] }
}

impl Job {
    pub fn new(seed: u64, broken: Option<Break>) -> Job {
        let mut random = Random(seed);
        let lead = random.of(&[4, 8, 30]) as usize;
        let pace = random.of(&[100, 400, 1_500]);
        let count = random.of(&[2, 3, 3]) as usize;
        let margin = random.of(&[0, 0, 250]) * MILLI;
        let lag = random.of(&[0, 0, 0, margin, margin + 100 * MILLI, margin + 2_500 * MILLI]);
        let streams = (0..count).map(|number| Stream::new(&mut random, number, margin, lag)).collect();
        Job {
            random,
            broken,
            net: Network::default(),
            streams,
            lead,
            pace,
            write: WRITE,
            published: Published::default(),
            joins: BTreeMap::new(),
            store: None,
            crashes: Vec::new(),
            crashes_happen: true,
            coordinator: None,
            readers: BTreeMap::new(),
            stages: BTreeMap::new(),
            workers: 1,
            down: false,
            first: true,
            gathering: Gathering::default(),
            durable: vec![NEVER; count],
            released: vec![NEVER; count],
            given: GivenRows::new(),
            figures: Figures::default(),
            wrong: breaks::Memory::default(),
            caps: Vec::new(),
            outputs_begin: NEVER,
        }
    }

    /// A job without crashes, whose two streams meet and begin in the same moment, far apart in event time. The one ahead
    /// may have had rows before that were not ahead. A checkpoint may be on its way for longer than a leap waits.
    pub fn beginning(seed: u64, broken: Option<Break>) -> Job {
        const FAR: i64 = -10_000 * MILLI;
        let mut job = Job::new(seed, broken);
        let (at, ahead) = (job.millis(5_000, 7_000), job.random.below(2));
        let before = job.random.percent(50).then_some(FAR);
        job.streams.truncate(2);
        for number in 0..2 {
            let (shift, before) = if number == ahead { (0, before) } else { (FAR, None) };
            job.streams[number] = Stream::beginning(&mut job.random, number, at, shift, before);
        }
        job.write = job.random.of(&[WRITE, 15 * WRITE]);
        (job.durable, job.released, job.crashes_happen) = (vec![NEVER; 2], vec![NEVER; 2], false);
        job
    }

    pub fn is(&self, broken: Break) -> bool {
        self.broken == Some(broken)
    }

    fn millis(&mut self, from: i64, to: i64) -> i64 {
        (from + self.random.below((to - from + 1) as usize) as i64) * MILLI
    }

    pub fn hop(&mut self) -> i64 {
        self.millis(0, HOP)
    }

    pub fn window(&self, stream: usize) -> i64 {
        let meet = meet(stream).iter().map(|&other| &self.streams[other]);
        meet.map(|other| other.delay + other.quiet + other.margin).max().unwrap().max(1)
    }

    /// Which streams meet, and which operators each reaches.
    pub fn meetings(&self) -> Vec<Meeting> {
        let of = |stream: usize| Meeting {
            streams: meet(stream).iter().copied().filter(|&other| other < self.streams.len()).collect(),
            steps: (0..STEPS.len()).filter(|&step| STEPS[step].inputs.contains(&stream)).collect(),
        };
        (0..self.streams.len()).map(of).collect()
    }

    pub fn run(&mut self) -> Result<(), String> {
        self.net.now = self.random.of(&[0, 0, 1_000, 4_000]) * MILLI;
        let now = self.net.now;
        for number in 0..self.streams.len() {
            if self.random.percent(30) {
                self.streams[number].archive(&mut self.random, now);
            }
        }
        self.crashes.push((NEVER, now));
        if self.random.percent(15) {
            let at = now + self.millis(10, 150);
            self.crash_at(at);
        }
        self.start()?;
        let firsts = self.streams.iter().flat_map(|stream| &stream.shown);
        let firsts: Vec<i64> = firsts.filter_map(|shown| shown.first().copied()).collect();
        for _ in 0..self.random.of(&[0, 0, 1, 2, 3]) {
            // Half of them where a partition gets its first row.
            let near = if firsts.is_empty() { 500 * MILLI } else { self.random.of(&firsts) };
            let time = if self.random.percent(50) { self.millis(50, 9_000) } else { near + self.millis(-300, 300) };
            self.crash_at(time.max(now + 50 * MILLI));
        }
        let last =
            self.streams.iter().flat_map(|stream| &stream.logs).filter_map(|log| log.last().map(|row| row.1)).max();
        let end = last.unwrap_or(0).max(9_000 * MILLI) + HOLD + 18_000 * MILLI;
        while let Some(event) = self.net.next(end) {
            self.published.now = self.net.now;
            for stream in &self.streams {
                stream.topic.inner.set_now(self.net.now);
            }
            self.step(event).map_err(|error| format!("{} ms: {error}", self.net.now / MILLI))?;
        }
        self.figures.joined = self.joins.values().map(BTreeMap::len).sum();
        self.figures.again = self.joins.values().flat_map(BTreeMap::keys).filter(|&&row| row > 0).count();
        Ok(())
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::ToReader(reader, order) => self.order(reader, order),
            Event::ToStage(stage, lane, message) => {
                let mut done = Done::default();
                if let Some(stage) = self.stages.get_mut(&stage) {
                    stage.receive(lane, message, &mut self.published, &mut done)?;
                }
                self.stage_did(stage, done);
                Ok(())
            }
            Event::ToCoordinator(event) => self.tell(event),
            Event::Wake(reader, token) => match self.readers.get(&reader) {
                Some(slot) if token == 0 || slot.token == token => self.poll(reader),
                _ => Ok(()),
            },
            Event::Periodic => {
                self.plan_checkpoint();
                if self.first {
                    Ok(())
                } else {
                    self.tell(CoordinatorEvent::CheckpointWanted(CheckpointPurpose::Commit))
                }
            }
            Event::Durable(state) => self.durable(state),
            Event::Crash => {
                self.crash();
                Ok(())
            }
            Event::Start => self.start(),
        }
    }

    fn plan_checkpoint(&mut self) {
        let slow = if self.net.now > 12_000 * MILLI { 10 } else { 1 };
        let at = self.net.now + self.millis(self.pace / 2, self.pace * 2) * slow;
        self.net.at(at, Event::Periodic);
    }

    /// Takes note of questions since the last time, or lets those go that were asked by opening.
    fn note_asks(&mut self, count: bool) {
        for stream in &mut self.streams {
            let mut asked = std::mem::take(&mut stream.topic.answers.lock().unwrap().asks);
            if count {
                stream.asks.append(&mut asked);
            }
        }
    }

    fn stage_did(&mut self, id: StageId, done: Done) {
        if let Some((_, frozen)) = done.frozen {
            self.gathering.stages.insert(id, frozen);
        }
        for event in done.events {
            let delay = self.hop();
            self.net.send(Channel::Stage(id), delay, Event::ToCoordinator(event));
        }
    }

    /// Tells the coordinator, and does what it wants done.
    pub fn tell(&mut self, event: CoordinatorEvent) -> Result<(), String> {
        let event = breaks::event(self, event);
        let now = ProcessingTime(self.net.now);
        let coordinator = self.coordinator.as_mut().ok_or("no coordinator")?;
        for action in coordinator.handle(event, now).map_err(|error| error.chain())? {
            match action {
                CoordinatorAction::Send(reader, order) => {
                    let (channel, delay, order) = breaks::order(self, reader, order);
                    self.net.send(channel, delay, Event::ToReader(reader, order));
                }
                CoordinatorAction::GiveUp(_) => {}
                CoordinatorAction::Persist(state) => {
                    self.check_stages()?;
                    self.note_joins(&state)?;
                    let at = self.net.now + self.millis(self.write / WRITE, self.write);
                    self.net.at(at, Event::Durable(state));
                }
            }
        }
        Ok(())
    }

    fn durable(&mut self, state: CoordinatorState) -> Result<(), String> {
        let number = state.number;
        let gathering = std::mem::take(&mut self.gathering);
        let watermarks = state.watermarks.iter().map(|watermark| watermark.0).collect();
        let state = breaks::persisted(self, &gathering, state);
        let mut stages: BTreeMap<usize, Frozen> = BTreeMap::new();
        for (id, frozen) in gathering.stages {
            stages.entry(id.stage).or_default().merge(frozen);
        }
        let released = self.released.clone();
        self.store = Some(Store { state: state.to_bytes(), stages, given: gathering.given, watermarks, released });
        self.first = false;
        for (split, row, clock) in gathering.joins {
            self.joins.entry(split).or_default().insert(row, clock);
            if self.crashes.len() < 5 && self.random.percent(20) {
                let at = self.net.now + self.millis(1, 800);
                self.crash_at(at);
            }
        }
        self.tell(CoordinatorEvent::Durable(number))
    }

    fn order(&mut self, id: ReaderId, order: Command) -> Result<(), String> {
        let Some(slot) = self.readers.get_mut(&id) else { return Ok(()) };
        let chain = |error: dataflow::Error| error.chain();
        match order {
            Command::Assign(splits) => {
                slot.splits.extend(splits.iter().map(|split| split.split));
                slot.reader.add(splits).map_err(chain)?;
            }
            Command::Bounds(bounds) => slot.reader.bound(bounds),
            Command::Durable(joined) => slot.reader.durable(joined).map_err(chain)?,
            Command::Barrier(barrier) => {
                let frozen = slot.reader.freeze().map_err(chain)?;
                let lane = Lane::Barrier { number: barrier.number, joins: frozen.turns_present() };
                self.gathering.readers.insert(id, frozen.clone());
                let own = self.readers[&id].splits.iter().map(|split| (id.stream, *split));
                let given = own.filter_map(|split| Some((split, self.given.get(&split)?.clone())));
                self.gathering.given.extend(given.collect::<Vec<_>>());
                self.put_on_lanes(id, &lane);
                let delay = self.hop();
                self.net.send(
                    Channel::Reader(id),
                    delay,
                    Event::ToCoordinator(CoordinatorEvent::ReaderFrozen(id, frozen)),
                );
            }
        }
        self.poll(id)
    }

    /// Puts a message on every lane of a reader, after the rows.
    fn put_on_lanes(&mut self, id: ReaderId, message: &Lane) {
        let stages: Vec<StageId> =
            self.stages.keys().copied().filter(|stage| inputs_of(stage.stage).contains(&id.stream)).collect();
        for stage in stages {
            let delay = self.hop();
            self.net.send(Channel::Lane(id, stage), delay, Event::ToStage(stage, id, message.clone()));
        }
    }

    fn poll(&mut self, id: ReaderId) -> Result<(), String> {
        let now = self.net.now;
        // What was released once is not out again where a stream joins below it.
        for stream in 0..self.streams.len() {
            self.released[stream] = self.released[stream].max(self.least(stream));
        }
        let least = self.released[id.stream];
        let slot = self.readers.get_mut(&id).ok_or("no such reader")?;
        let polled = slot.reader.poll(ROWS_MAX, ProcessingTime(now)).map_err(|error| error.chain())?;
        if let Some(batch) = &polled.batch {
            self.give(id, memory::rows_of(batch), least)?;
        }
        let slot = self.readers.get_mut(&id).unwrap();
        // Before it has bounds a reader does not know how far its stream has come.
        let told = polled.watermark.map(|watermark| slot.told.map_or(watermark.0, |told| told.max(watermark.0)));
        let before = std::mem::replace(&mut slot.told, told);
        if before != told {
            self.put_on_lanes(id, &told.map_or(Lane::Absent, Lane::Watermark));
        }
        if let Some(report) = polled.report {
            self.readers.get_mut(&id).unwrap().free = report.watermark.is_none();
            let delay = self.hop();
            self.net.send(Channel::Reader(id), delay, Event::ToCoordinator(CoordinatorEvent::Report(id, report)));
        }
        self.note_asks(true);
        let wake = match polled.state {
            ReaderState::Ready => Some(now + self.millis(1, 4)),
            ReaderState::Waiting { until } => until.map(|until| until.0.max(now + 1)),
            ReaderState::Finished => return Err(format!("{id:?} of a stream without an end is finished")),
        };
        let slot = self.readers.get_mut(&id).unwrap();
        slot.token += 1;
        if let Some(wake) = wake {
            self.net.at(wake, Event::Wake(id, slot.token));
        }
        Ok(())
    }

    /// Sends rows to the workers that hold their keys.
    fn give(&mut self, id: ReaderId, rows: Vec<memory::Row>, least: i64) -> Result<(), String> {
        if self.store.is_none() && !rows.is_empty() {
            return Err(format!("rows first: {id:?} gives rows before the first checkpoint is durable"));
        }
        let (mut beyond, mut firsts) = (false, BTreeSet::new());
        for row in rows {
            let (partition, position) = row.order.position();
            let row =
                Row { time: row.time, order: (partition, position.entry), key: row.id / 2, good: row.id % 2 == 1 };
            let (n, stream) = (position.entry, &self.streams[id.stream]);
            let live = n as usize >= stream.archived[partition as usize];
            let level = stream.levels[partition as usize][n as usize];
            // Where a partition stands is looked at before each of its batches.
            let first = firsts.insert(partition);
            beyond |= first && live && level > NEVER && level > least.saturating_add(self.window(id.stream));
            let share = || self.readers[&id].splits.iter().find(|split| matches!(split, Split::Share(_)));
            let split = if live { Split::Partition(partition) } else { *share().ok_or("a row of no share")? };
            self.given.entry((id.stream, split)).or_default().insert((partition, n), row.time);
            let worker = row.key as usize % GROUPS % self.workers;
            for stage in (0..5).filter(|&stage| inputs_of(stage).contains(&id.stream)) {
                let stage = StageId { stage, worker };
                let delay = self.hop();
                self.net.send(Channel::Lane(id, stage), delay, Event::ToStage(stage, id, Lane::Row(row)));
            }
        }
        if beyond { self.check_lead(id, least) } else { Ok(()) }
    }
}
