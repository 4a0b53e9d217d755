//! Rules that are left out, one at a time, from outside: by what the network changes, delays or leaves out.
//!
//! One rule of the model has no counterpart here: that the coordinator freezes before it sends anything else. It gives
//! out all splits at once when a run starts, and has no part of its own in a checkpoint that a later order could change.

use crate::job::{Gathering, Job, meet};
use crate::network::{Channel, Event};
use crate::stage::{NEVER, Wrong};
use dataflow::{
    ByteReader, ByteWriter, Command, CoordinatorEvent, CoordinatorState, EventTime, FrozenReader, Meeting, ReadBounds,
    ReaderId, Report, Span, Split, SplitState,
};
use std::collections::BTreeMap;

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The ceiling joins all streams of the job.
    CeilingAll,
    /// There is no ceiling.
    NoCeiling,
    /// A position does not say how many rows were given out and not released.
    LeadForgotten,
    /// A stage has one watermark.
    OneWatermark,
    /// An absent reader holds its stream back.
    AbsentMin,
    /// An absent split joins without asking.
    AbsentMax,
    /// A watermark that leaps leaves no moment to those that begin; noticed by jobs whose streams begin together.
    LeapsAtOnce,
    /// Operators go on as if an absent stream had no delay.
    AbsentForgotten,
    /// A reader is absent before all splits of its stream are given out.
    EarlyAbsent,
    /// The level of a join is what the coordinator knew as it sent the barrier.
    JoinsKnown,
    /// The first row of a split is recorded only where it has to be moved.
    UnmovedGoes,
    /// Joins are not recorded.
    NoRecord,
    /// A split may join before the replay has reached what was published.
    JoinInReplay,
    /// Rows go out before the first checkpoint is durable.
    RowsFirst,
    /// B is asked for only if rows of the stream itself wait.
    OwnRowsOnly,
    /// B is asked only where a stream is at the least watermark of those that meet.
    OnlyLeast,
    /// Streams that meet share one due time.
    OneDue,
    /// B is asked for when it can reach the greatest due time.
    ReachGreatest,
    /// B is asked for as long as something waits.
    AskAlways,
    /// A split that waits at its ceiling does not say so.
    NoWant,
    /// Barriers have a channel of their own.
    TwoChannels,
    /// A checkpoint does not hold the watermarks that were given.
    LostGiven,
}

pub const BREAKS: [Break; 21] = [
    Break::CeilingAll,
    Break::NoCeiling,
    Break::LeadForgotten,
    Break::OneWatermark,
    Break::AbsentMin,
    Break::AbsentMax,
    Break::AbsentForgotten,
    Break::EarlyAbsent,
    Break::JoinsKnown,
    Break::UnmovedGoes,
    Break::NoRecord,
    Break::JoinInReplay,
    Break::RowsFirst,
    Break::OwnRowsOnly,
    Break::OnlyLeast,
    Break::OneDue,
    Break::ReachGreatest,
    Break::AskAlways,
    Break::NoWant,
    Break::TwoChannels,
    Break::LostGiven,
];

/// What a break has to remember of a run.
#[derive(Default)]
pub struct Memory {
    // The watermarks that readers have reported, and those when the last barrier was sent.
    known: BTreeMap<ReaderId, EventTime>,
    known_at_barrier: BTreeMap<ReaderId, EventTime>,
    barrier: u64,
    // What the readers of a stream were told last.
    bounds: BTreeMap<usize, ReadBounds>,
}

/// The first seed that notices a break, and how.
pub fn noticed(broken: Break, seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| crate::play(seed, Some(broken)).err().map(|failure| (seed, failure)))
}

/// What is wrong with the stages.
pub fn stage(broken: Option<Break>) -> Wrong {
    Wrong {
        one_watermark: broken == Some(Break::OneWatermark),
        absent_counts: broken == Some(Break::AbsentMin),
        always_replayed: broken == Some(Break::JoinInReplay),
        first_input_only: broken == Some(Break::OwnRowsOnly),
        absent_forgotten: broken == Some(Break::AbsentForgotten),
    }
}

/// What the coordinator is told of the job.
pub fn meetings(job: &Job) -> Vec<Meeting> {
    let mut meetings = job.meetings();
    if job.is(Break::CeilingAll) {
        meetings.iter_mut().for_each(|meeting| meeting.streams = (0..job.streams.len()).collect());
    }
    meetings
}

/// What comes to the coordinator.
pub fn event(job: &mut Job, event: CoordinatorEvent) -> CoordinatorEvent {
    match event {
        CoordinatorEvent::Report(reader, report) => {
            if let Some(watermark) = report.watermark {
                job.wrong.known.insert(reader, watermark);
            }
            CoordinatorEvent::Report(reader, self::report(job, reader, report))
        }
        CoordinatorEvent::ReaderFrozen(reader, mut frozen) => {
            if job.is(Break::JoinsKnown) && !frozen.absent && frozen.joining.is_empty() {
                frozen.watermark = job.wrong.known_at_barrier.get(&reader).copied().unwrap_or(EventTime::MIN);
            }
            CoordinatorEvent::ReaderFrozen(reader, frozen)
        }
        event => event,
    }
}

fn report(job: &mut Job, id: ReaderId, mut report: Report) -> Report {
    let streams = job.meetings()[id.stream].streams.clone();
    match job.broken {
        Some(Break::AbsentMax) if report.joins => {
            join_at_once(job, id, None);
            report.joins = false;
        }
        Some(Break::UnmovedGoes) if report.joins && goes_unmoved(job, id) => {
            let given = job.readers[&id].told;
            join_at_once(job, id, given);
            report.joins = false;
        }
        Some(Break::OwnRowsOnly) => {
            for (wait, stream) in report.waits.iter_mut().zip(streams) {
                *wait = wait.filter(|_| stream == id.stream);
            }
        }
        Some(Break::NoWant) => {
            let watermarks = job.wrong.bounds.get(&id.stream).map_or_else(Vec::new, |bounds| bounds.watermarks.clone());
            for (wait, watermark) in report.waits.iter_mut().zip(watermarks) {
                *wait = job.out_above(id, watermark.0).into_iter().min().map(EventTime);
            }
        }
        _ => {}
    }
    report
}

/// Whether the reader is present, and the first rows of all its splits that ask lie ahead of what it has given.
fn goes_unmoved(job: &Job, id: ReaderId) -> bool {
    let slot = &job.readers[&id];
    let Some(given) = slot.told.filter(|&given| given > NEVER) else { return false };
    asking(job, id).into_iter().all(|partition| job.streams[id.stream].logs[partition as usize][0].0 > given)
}

/// The partitions of a reader that have a row and have given out none.
fn asking(job: &Job, id: ReaderId) -> Vec<u32> {
    let partitions = job.readers[&id].splits.iter().filter_map(|split| match split {
        Split::Partition(partition) => Some(*partition),
        Split::Share(_) => None,
    });
    let shows = |partition: &u32| {
        let first = job.streams[id.stream].shown[*partition as usize].first();
        first.is_some_and(|&shown| shown <= job.net.now) && !job.has_given(id.stream, *partition)
    };
    partitions.filter(shows).collect()
}

/// Lets the splits of a reader that ask go on without a checkpoint.
fn join_at_once(job: &mut Job, id: ReaderId, given: Option<i64>) {
    let delay = job.streams[id.stream].delay;
    let slot = job.readers.get_mut(&id).unwrap();
    let FrozenReader { splits, joining, .. } = slot.reader.freeze().unwrap();
    let mut joined: Vec<SplitState> = splits.into_iter().filter(|split| joining.contains(&split.split)).collect();
    if let Some(given) = given {
        for split in &mut joined {
            split.position = lift(&split.position, given + delay + 1);
            if let Split::Partition(partition) = split.split {
                job.joins.entry((id.stream, partition)).or_default().insert(0, Some(given + delay + 1));
            }
        }
    }
    slot.reader.durable(joined).unwrap();
    let now = job.net.now;
    job.net.at(now + 1, Event::Wake(id, 0));
}

/// The position of a partition, in the form of version 2, with another clock.
fn lift(position: &[u8], clock: i64) -> Vec<u8> {
    let mut from = ByteReader::new("a position", position, 2).unwrap();
    let mut out = ByteWriter::new(2);
    out.bytes(from.bytes().unwrap());
    out.bytes(from.bytes().unwrap());
    let shown = from.u8().unwrap();
    out.u8(shown);
    (0..3 * shown).for_each(|_| out.u64(from.u64().unwrap()));
    let alone = (from.option().unwrap(), from.option().unwrap());
    assert_eq!(from.u8().unwrap(), 0, "a partition that joins has no second clock");
    out.option(Some(clock));
    out.option(None);
    out.u8(1);
    out.option(alone.0);
    out.option(alone.1);
    // It is absent no more; what follows stays.
    assert_eq!(from.u8().unwrap(), 1, "a partition that joins was absent");
    out.u8(0);
    let mut bytes = out.finish();
    bytes.extend(from.rest());
    bytes
}

/// What goes to a reader, and how.
pub fn order(job: &mut Job, reader: ReaderId, order: Command) -> (Channel, i64, Command) {
    let mut delay = job.hop();
    let mut channel = Channel::Orders(reader);
    let order = match order {
        Command::Bounds(bounds) => {
            job.wrong.bounds.insert(reader.stream, bounds.clone());
            Command::Bounds(self::bounds(job, reader, bounds))
        }
        Command::Assign(mut splits) => {
            if job.is(Break::EarlyAbsent) {
                delay += 10 * job.hop();
                channel = Channel::OrdersApart(reader);
            }
            if job.is(Break::LeadForgotten) {
                splits.iter_mut().for_each(|split| forget_lead(&mut split.position));
            }
            Command::Assign(splits)
        }
        Command::Barrier(barrier) => {
            if job.is(Break::TwoChannels) || job.is(Break::EarlyAbsent) {
                channel = Channel::OrdersApart(reader);
            }
            if barrier.number != job.wrong.barrier {
                job.wrong.barrier = barrier.number;
                job.wrong.known_at_barrier = job.wrong.known.clone();
            }
            Command::Barrier(barrier)
        }
        order => order,
    };
    (channel, delay, order)
}

/// The last three numbers of a position say what is out.
fn forget_lead(position: &mut Vec<u8>) {
    position.truncate(position.len() - 24);
    position.extend([0; 16]);
    position.extend(i64::MIN.to_le_bytes());
}

fn bounds(job: &Job, reader: ReaderId, mut bounds: ReadBounds) -> ReadBounds {
    let stream = reader.stream;
    let met = &meetings(job)[stream].streams;
    let own = met.iter().zip(&bounds.watermarks).find(|(met, _)| **met == stream).map_or(NEVER, |(_, own)| own.0);
    match job.broken {
        Some(Break::LeapsAtOnce) => bounds.meets_absent = false,
        Some(Break::NoCeiling) => bounds.window = Span(i64::MAX / 4),
        Some(Break::RowsFirst) => bounds.go = true,
        Some(Break::OnlyLeast) if own > bounds.least.0 => bounds.due = None,
        Some(Break::OneDue) => {
            let of_met = met.iter().filter_map(|met| job.wrong.bounds.get(met)?.due);
            bounds.due = of_met.filter(|due| *due > bounds.least).min();
        }
        Some(Break::ReachGreatest) => {
            let held = job.stages.values().filter_map(|stage| stage.greatest_due(stream));
            let readers = job.readers.keys().filter(|id| meet(stream).contains(&id.stream));
            let out = readers.flat_map(|&id| job.out_above(id, own));
            bounds.due = bounds.due.map(|due| due.max(EventTime(held.chain(out).max().unwrap_or(NEVER))));
        }
        Some(Break::AskAlways) => bounds.due = bounds.due.filter(|_| own > NEVER).map(|_| EventTime(own + 1)),
        _ => {}
    }
    bounds
}

/// What a checkpoint keeps.
pub fn persisted(job: &Job, gathering: &Gathering, mut state: CoordinatorState) -> CoordinatorState {
    match job.broken {
        Some(Break::LostGiven) => state.watermarks.iter_mut().for_each(|watermark| *watermark = EventTime::MIN),
        Some(Break::NoRecord) => {
            for (stream, split) in &mut state.splits {
                let own = gathering.readers.iter().filter(|(id, _)| id.stream == *stream);
                let joined = own.filter(|(_, frozen)| frozen.joining.contains(&split.split));
                let frozen = joined.flat_map(|(_, frozen)| &frozen.splits).find(|frozen| frozen.split == split.split);
                if let Some(frozen) = frozen {
                    *split = frozen.clone();
                }
            }
        }
        _ => {}
    }
    state
}
