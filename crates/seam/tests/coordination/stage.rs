//! The operators between two exchanges on one worker, over rows with a key: naive, and frozen at barriers.

use crate::job::Published;
use dataflow::{CoordinatorEvent, EventTime, ReaderId, StageId};
use std::collections::BTreeMap;

/// How many key groups there are.
pub const GROUPS: usize = 4;
/// How long a forward EXISTS holds a row.
pub const HOLD: i64 = 10_000_000;
pub const NEVER: i64 = i64::MIN;

/// A row as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub time: i64,
    /// Its partition and its place there.
    pub order: (u32, u64),
    pub key: i64,
    pub good: bool,
}

/// What an operator computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// How many rows of the key lie within so much time.
    Count(i64),
    /// The last row of the other stream.
    AsOf,
    /// Whether the other stream has a row within [`HOLD`].
    Exists,
    /// Nothing, for rows that are good.
    Filter,
}

/// An operator of the job: where it stands, and which streams reach it.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub stage: usize,
    pub inputs: &'static [usize],
    pub what: What,
}

/// The operators of every job. Streams 0 and 1 meet, stream 2 meets nobody.
pub const STEPS: [Step; 6] = [
    Step { stage: 0, inputs: &[0], what: What::Count(5_000_000) },
    Step { stage: 1, inputs: &[0, 1], what: What::AsOf },
    Step { stage: 1, inputs: &[0], what: What::Count(700_000) },
    Step { stage: 2, inputs: &[0, 1], what: What::Exists },
    Step { stage: 3, inputs: &[0], what: What::Filter },
    Step { stage: 4, inputs: &[2], what: What::Count(5_000_000) },
];

/// When a row comes out, with its place, its key and what the operator says of it.
pub type Entry = (i64, (u32, u64), i64, (i64, i64));

impl Step {
    /// Whether a row of its first input comes out at all.
    pub fn takes(&self, row: &Row) -> bool {
        self.what != What::Filter || row.good
    }

    pub fn due(&self, row: &Row) -> i64 {
        if self.what == What::Exists { row.time + HOLD } else { row.time }
    }

    /// What comes out for a row, over the rows of its key.
    pub fn answer(&self, row: &Row, left: &[Row], right: &[Row]) -> Entry {
        let same = |row: &Row, other: &&Row| other.key == row.key;
        let value = match self.what {
            What::Count(span) => {
                let within = |other: &&Row| (row.time - span..=row.time).contains(&other.time);
                (left.iter().filter(|other| same(row, other)).filter(within).count() as i64, 0)
            }
            What::AsOf => {
                let before = right.iter().filter(|other| same(row, other) && other.time <= row.time);
                let last = before.map(|other| (other.time, other.order)).max();
                last.map_or((-1, -1), |(time, order)| (time, i64::from(order.0) << 40 | order.1 as i64))
            }
            What::Exists => {
                let within = |other: &Row| (row.time..=row.time + HOLD).contains(&other.time);
                (i64::from(right.iter().any(|other| same(row, &other) && within(other))), 0)
            }
            What::Filter => (1, 0),
        };
        (self.due(row), row.order, row.key, value)
    }
}

/// What comes in a lane.
#[derive(Clone, Debug)]
pub enum Lane {
    Row(Row),
    Watermark(i64),
    Absent,
    Barrier {
        number: u64,
        /// Whether the reader turns present after it.
        joins: bool,
    },
}

/// A stage's part of a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Frozen {
    rows: BTreeMap<(usize, usize), Vec<Row>>,
    held: BTreeMap<(usize, usize), Vec<Row>>,
    sequence: BTreeMap<(usize, usize), usize>,
    level: BTreeMap<usize, i64>,
    given: BTreeMap<usize, i64>,
}

impl Frozen {
    /// Takes the parts of another worker over.
    pub fn merge(&mut self, other: Frozen) {
        self.rows.extend(other.rows);
        self.held.extend(other.held);
        self.sequence.extend(other.sequence);
        self.level.extend(other.level);
        self.given.extend(other.given);
    }

    pub fn levels(&self) -> &BTreeMap<usize, i64> {
        &self.level
    }
}

/// How a stage is told to be wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wrong {
    pub one_watermark: bool,
    pub absent_counts: bool,
    pub always_replayed: bool,
    pub first_input_only: bool,
    pub absent_forgotten: bool,
}

/// What a stage did in one step.
#[derive(Default)]
pub struct Done {
    pub events: Vec<CoordinatorEvent>,
    pub frozen: Option<(u64, Frozen)>,
}

/// A stage; it steps on one message of a lane at a time.
pub struct Stage {
    id: StageId,
    wrong: Wrong,
    // What streams declare.
    delays: Vec<i64>,
    // By operator and key group: rows by stream and group, rows held, what was put out.
    state: Frozen,
    // `None`: absent.
    lanes: BTreeMap<ReaderId, Option<i64>>,
    blocked: BTreeMap<ReaderId, bool>,
    waiting: Vec<(ReaderId, Lane)>,
    reported: Option<(Vec<(usize, EventTime)>, bool)>,
    published: BTreeMap<(usize, usize), usize>,
}

impl Stage {
    pub fn new(
        id: StageId,
        workers: usize,
        (readers, delays): (&[usize], &[i64]),
        frozen: Option<Frozen>,
        published: &Published,
    ) -> Stage {
        let mut state = frozen.unwrap_or_default();
        let here = |group: usize| group % workers == id.worker;
        state.rows.retain(|(_, group), _| here(*group));
        state.held.retain(|(_, group), _| here(*group));
        state.sequence.retain(|(_, group), _| here(*group));
        for (step, _) in steps_of(id.stage) {
            state.level.entry(step).or_insert(NEVER);
            (0..GROUPS).filter(|&group| here(group)).for_each(|group| {
                state.sequence.entry((step, group)).or_insert(0);
            });
        }
        let inputs = inputs_of(id.stage);
        let mut lanes = BTreeMap::new();
        for &stream in &inputs {
            let given = *state.given.entry(stream).or_insert(NEVER);
            let count = readers.get(stream).copied().unwrap_or(0);
            lanes.extend((0..count).map(|index| (ReaderId { stream, index }, Some(given))));
        }
        let published =
            state.sequence.keys().map(|&(step, group)| ((step, group), published.count(step, group))).collect();
        let (blocked, waiting, reported) = (BTreeMap::new(), Vec::new(), None);
        let (wrong, delays) = (Wrong::default(), delays.to_vec());
        Stage { id, wrong, delays, state, lanes, blocked, waiting, reported, published }
    }

    pub fn break_it(&mut self, wrong: Wrong) {
        self.wrong = wrong;
    }

    /// The least level of the operators that a stream reaches.
    pub fn passed(&self, stream: usize) -> Option<i64> {
        steps_of(self.id.stage)
            .filter(|(_, step)| step.inputs.contains(&stream))
            .map(|(at, _)| self.state.level[&at])
            .min()
    }

    /// The greatest time at which something that it holds comes out and that a stream reaches.
    pub fn greatest_due(&self, stream: usize) -> Option<i64> {
        let held = self.state.held.iter().filter(|((step, _), _)| STEPS[*step].inputs.contains(&stream));
        held.flat_map(|((step, _), rows)| rows.iter().map(|row| STEPS[*step].due(row))).max()
    }

    pub fn receive(
        &mut self,
        lane: ReaderId,
        message: Lane,
        out: &mut Published,
        done: &mut Done,
    ) -> Result<(), String> {
        if self.blocked.contains_key(&lane) {
            self.waiting.push((lane, message));
            return Ok(());
        }
        match message {
            Lane::Row(row) => self.take(lane.stream, row)?,
            Lane::Watermark(level) => {
                let here = self.lanes.get_mut(&lane).ok_or("no such lane")?;
                *here = Some(here.map_or(level, |here| here.max(level)));
            }
            Lane::Absent if self.wrong.absent_counts => {}
            Lane::Absent => *self.lanes.get_mut(&lane).ok_or("no such lane")? = None,
            Lane::Barrier { number, joins } => {
                self.blocked.insert(lane, joins);
                return if self.blocked.len() == self.lanes.len() { self.align(number, out, done) } else { Ok(()) };
            }
        }
        self.advance(out, done);
        Ok(())
    }

    fn take(&mut self, stream: usize, row: Row) -> Result<(), String> {
        let given = self.state.given[&stream];
        if row.time <= given {
            return Err(format!("behind input: {row:?} of stream {stream}, which has given {given}"));
        }
        let group = row.key as usize % GROUPS;
        for (at, step) in steps_of(self.id.stage).filter(|(_, step)| step.inputs.contains(&stream)) {
            let level = self.state.level[&at];
            if row.time <= level {
                return Err(format!("behind operator: {row:?} of stream {stream} at operator {at}, level {level}"));
            }
            if stream == step.inputs[0] && step.takes(&row) {
                self.state.held.entry((at, group)).or_default().push(row);
            }
        }
        self.state.rows.entry((stream, group)).or_default().push(row);
        Ok(())
    }

    /// A stream without a present lane holds nobody back.
    fn input_level(&self, stream: usize) -> Option<i64> {
        let lanes = self.lanes.iter().filter(|(lane, _)| lane.stream == stream);
        lanes.filter_map(|(_, level)| *level).min()
    }

    pub fn advance(&mut self, out: &mut Published, done: &mut Done) {
        let levels: BTreeMap<usize, Option<i64>> =
            inputs_of(self.id.stage).into_iter().map(|stream| (stream, self.input_level(stream))).collect();
        for (stream, level) in &levels {
            let given = self.state.given.entry(*stream).or_insert(NEVER);
            *given = (*given).max(level.unwrap_or(NEVER));
        }
        for (at, step) in steps_of(self.id.stage) {
            let reach = levels.iter().filter(|(stream, _)| self.wrong.one_watermark || step.inputs.contains(stream));
            let level = |(&stream, level): (&usize, &Option<i64>)| {
                Some((*level)?.saturating_sub(self.lag(step, stream, &levels)))
            };
            if let Some(level) = reach.filter_map(level).min()
                && level > self.state.level[&at]
            {
                self.state.level.insert(at, level);
                self.put_out(at, step, level, out);
            }
        }
        self.report(&levels, done);
    }

    /// A stream counts at an operator so far as one that is absent there would let it go with its clock.
    fn lag(&self, step: &Step, stream: usize, levels: &BTreeMap<usize, Option<i64>>) -> i64 {
        let absent = step.inputs.iter().filter(|&other| levels.get(other).is_some_and(Option::is_none));
        let longest = absent.map(|&other| self.delays[other]).max().filter(|_| !self.wrong.absent_forgotten);
        let here = levels.get(&stream).is_some_and(Option::is_some);
        longest.filter(|_| here).map_or(0, |longest| (longest - self.delays[stream]).max(0))
    }

    fn put_out(&mut self, at: usize, step: &Step, level: i64, out: &mut Published) {
        for group in 0..GROUPS {
            let Some(held) = self.state.held.get_mut(&(at, group)) else { continue };
            let (mut due, rest): (Vec<Row>, Vec<Row>) = held.drain(..).partition(|row| step.due(row) <= level);
            *held = rest;
            due.sort_by_key(|row| (step.due(row), row.order));
            let none = Vec::new();
            let rows = |stream: usize| self.state.rows.get(&(stream, group)).unwrap_or(&none);
            let last = step.inputs[step.inputs.len() - 1];
            for row in due {
                let entry = step.answer(&row, rows(step.inputs[0]), rows(last));
                let sequence = self.state.sequence.entry((at, group)).or_insert(0);
                out.put(at, group, *sequence, entry);
                *sequence += 1;
            }
        }
    }

    /// The least time above each input's level at which something comes out that it reaches.
    fn report(&mut self, levels: &BTreeMap<usize, Option<i64>>, done: &mut Done) {
        let mut due = Vec::new();
        for (&stream, level) in levels {
            let level = level.unwrap_or(NEVER);
            let reached = |step: &usize| match self.wrong.first_input_only {
                true => STEPS[*step].inputs[0] == stream,
                false => STEPS[*step].inputs.contains(&stream),
            };
            let held = self.state.held.iter().filter(|((step, _), _)| reached(step));
            let times = held.flat_map(|((step, _), rows)| {
                let lag = self.lag(&STEPS[*step], stream, levels);
                rows.iter().map(move |row| STEPS[*step].due(row) + lag)
            });
            due.extend(times.filter(|&at| at > level).min().map(|at| (stream, EventTime(at))));
        }
        let reached = self.published.iter().all(|(at, count)| self.state.sequence[at] >= *count);
        let replayed = reached || self.wrong.always_replayed;
        if self.reported.as_ref() != Some(&(due.clone(), replayed)) {
            self.reported = Some((due.clone(), replayed));
            done.events.push(CoordinatorEvent::Holds { stage: self.id, due, replayed });
        }
    }

    fn align(&mut self, number: u64, out: &mut Published, done: &mut Done) -> Result<(), String> {
        let frozen = self.state.clone();
        let levels = frozen.level.iter().map(|(&step, &level)| (step, EventTime(level))).collect();
        done.events.push(CoordinatorEvent::StageFrozen { stage: self.id, levels });
        done.frozen = Some((number, frozen));
        let blocked = std::mem::take(&mut self.blocked);
        for lane in blocked.iter().filter(|(_, joins)| **joins).map(|(lane, _)| *lane) {
            // Present from here on, at what has been given so far.
            let reached = steps_of(self.id.stage).filter(|(_, step)| step.inputs.contains(&lane.stream));
            let top = reached.map(|(at, _)| self.state.level[&at]).max().unwrap_or(NEVER);
            let level = self.input_level(lane.stream).unwrap_or(top).max(self.state.given[&lane.stream]);
            self.lanes.insert(lane, Some(level));
        }
        for (lane, message) in std::mem::take(&mut self.waiting) {
            self.receive(lane, message, out, done)?;
        }
        self.advance(out, done);
        Ok(())
    }
}

/// The operators of a stage.
pub fn steps_of(stage: usize) -> impl Iterator<Item = (usize, &'static Step)> {
    STEPS.iter().enumerate().filter(move |(_, step)| step.stage == stage)
}

/// The streams that reach a stage.
pub fn inputs_of(stage: usize) -> Vec<usize> {
    let mut inputs: Vec<usize> = steps_of(stage).flat_map(|(_, step)| step.inputs.iter().copied()).collect();
    inputs.sort_unstable();
    inputs.dedup();
    inputs
}
