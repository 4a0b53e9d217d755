//! Keeps the readers of a job together in event time: a state machine that is told what happens and says what to do.
//!
//! Only streams that meet in a step hold each other back, and only those that have shown a row. A reader may always
//! lead by a fixed number of rows that the least watermark has not released, and beyond it by delay and silence.

use crate::checkpoint::{Checkpoint, Gathered};
use crate::position::PartitionPosition;
use dataflow::{
    Barrier, CheckpointPurpose, Command, Coordinator, CoordinatorAction, CoordinatorEvent, CoordinatorState, Error,
    EventTime, Meeting, ProcessingTime, ReadBounds, ReaderId, Report, Result, Span, Split, SplitState, StageId,
};
use std::collections::{BTreeMap, BTreeSet};

/// A stream as the coordinator knows it before it is read.
#[derive(Clone, Debug)]
pub(crate) struct StreamTime {
    /// The name, for people.
    pub name: String,
    /// Whether it has a topic.
    pub live: bool,
    /// The declared delay.
    pub delay: Span,
    /// The declared silence; zero where there is none.
    pub quiet: Span,
    /// How long before now its partitions say that they are drained.
    pub margin: Span,
    /// Where its watermark stops while history is read; no row of its topic lies at or before that.
    pub cap: EventTime,
    /// Where its watermark ends, if that is known before all is read.
    pub end: Option<EventTime>,
}

impl StreamTime {
    /// How far its watermark stays after now at most once its partitions are silent, in microseconds.
    fn silence(&self) -> i64 {
        self.delay.0.saturating_add(self.quiet.0).saturating_add(self.margin.0)
    }
}

/// The coordinator of a job.
pub(crate) struct JobCoordinator {
    streams: Vec<StreamTime>,
    meetings: Vec<Meeting>,
    // What a run goes on from: the last durable checkpoint, or the beginning.
    durable: CoordinatorState,
    // The number at which nothing is durable yet.
    begins_after: u64,
    // The number of the newest checkpoint that was begun.
    number: u64,
    readers: BTreeMap<ReaderId, Option<Report>>,
    stages: BTreeMap<StageId, StageHolds>,
    bounds: Vec<Option<ReadBounds>>,
    running: Option<Checkpoint>,
    // A checkpoint that is wanted while another is on its way, or before the first one.
    wanted: Option<CheckpointPurpose>,
    // Absent readers that wait to be present. Until they count, the least watermark stands still: it would fall again.
    joining: BTreeSet<ReaderId>,
    // Whether the last barrier was sent.
    ended: bool,
    // Whether the end was asked for while a checkpoint was on its way, which may take as long as an output stands still.
    stops: bool,
}

/// What a stage said of the rows that it holds.
#[derive(Debug, Default)]
struct StageHolds {
    due: Vec<(usize, EventTime)>,
    replayed: bool,
    // Whether it has said anything.
    told: bool,
}

impl Coordinator for JobCoordinator {
    fn handle(&mut self, event: CoordinatorEvent, _: ProcessingTime) -> Result<Vec<CoordinatorAction>> {
        let mut actions = Vec::new();
        match event {
            CoordinatorEvent::Start { readers, stages } => self.start(&readers, stages, &mut actions)?,
            CoordinatorEvent::Report(reader, report) => self.report(reader, report)?,
            CoordinatorEvent::Holds { stage, due, replayed } => {
                let Some(held) = self.stages.get_mut(&stage) else {
                    return Err(Error::internal(format!("{stage:?} holds rows, but is not of this run")));
                };
                held.replayed |= replayed;
                (held.due, held.told) = (due, true);
            }
            CoordinatorEvent::ReaderFrozen(reader, frozen) => {
                if let Some(Some(report)) = self.readers.get_mut(&reader) {
                    report.joins = false;
                }
                self.running()?.reader(reader, frozen)?;
                self.complete(&mut actions)?;
            }
            CoordinatorEvent::StageFrozen { stage, levels } => {
                self.running()?.stage(stage, levels)?;
                self.complete(&mut actions)?;
            }
            CoordinatorEvent::Durable(number) => self.durable(number, &mut actions)?,
            CoordinatorEvent::TooLate(number) => self.give_up(number, &mut actions),
            CoordinatorEvent::CheckpointWanted(purpose) => {
                self.stops |= purpose == CheckpointPurpose::End && self.running.is_some();
                self.want(purpose);
            }
        }
        self.begin_checkpoint(&mut actions);
        self.bound(&mut actions);
        Ok(actions)
    }

    fn held_by(&self) -> Option<(String, EventTime)> {
        let standing = self.readers.iter().filter(|(_, report)| !report.as_ref().is_some_and(|report| report.finished));
        let level = |(reader, report): (&ReaderId, &Option<Report>)| match report {
            Some(report) => report.watermark.map(|watermark| (watermark, reader.stream)),
            None => Some((self.durable.watermarks[reader.stream], reader.stream)),
        };
        let (watermark, stream) = standing.filter_map(level).min()?;
        Some((self.streams[stream].name.clone(), watermark))
    }
}

impl JobCoordinator {
    /// For the streams of a job, which meet as is said, and go on from a state.
    pub fn new(streams: Vec<StreamTime>, meetings: &[Meeting], state: CoordinatorState) -> Result<JobCoordinator> {
        let known = |meeting: &Meeting| meeting.streams.iter().all(|&stream| stream < streams.len());
        if meetings.len() != streams.len() || !meetings.iter().all(known) {
            return Err(Error::internal(format!("{} streams meet as {meetings:?} says", streams.len())));
        }
        Ok(JobCoordinator {
            bounds: vec![None; streams.len()],
            streams,
            meetings: meetings.to_vec(),
            begins_after: 0,
            number: state.number,
            durable: state,
            readers: BTreeMap::new(),
            stages: BTreeMap::new(),
            running: None,
            wanted: None,
            joining: BTreeSet::new(),
            ended: false,
            stops: false,
        })
    }

    /// The same for a job of which nothing is read at the checkpoint of this number.
    #[must_use]
    pub fn beginning_after(self, checkpoint: u64) -> JobCoordinator {
        JobCoordinator { begins_after: checkpoint, ..self }
    }

    /// Whether nothing was made durable yet, so that nothing may be given out.
    fn is_first(&self) -> bool {
        self.durable.number == self.begins_after
    }

    fn start(&mut self, readers: &[usize], stages: Vec<StageId>, actions: &mut Vec<CoordinatorAction>) -> Result<()> {
        if readers.len() != self.streams.len() || readers.contains(&0) {
            return Err(Error::internal(format!("{} streams have {readers:?} readers", self.streams.len())));
        }
        self.readers.clear();
        for (stream, &count) in readers.iter().enumerate() {
            self.readers.extend((0..count).map(|index| (ReaderId { stream, index }, None)));
        }
        self.stages = stages.into_iter().map(|stage| (stage, StageHolds::default())).collect();
        self.bounds = vec![None; self.streams.len()];
        (self.running, self.wanted, self.ended) =
            (None, self.wanted.filter(|wanted| *wanted == CheckpointPurpose::End), false);
        self.stops = false;
        self.joining.clear();
        let mut assigned: BTreeMap<ReaderId, Vec<SplitState>> = BTreeMap::new();
        for (stream, state) in &self.durable.splits {
            let turn = match state.split {
                Split::Share(share) => usize::from(share),
                Split::Partition(partition) => partition as usize,
            };
            let reader = ReaderId { stream: *stream, index: turn % readers[*stream] };
            assigned.entry(reader).or_default().push(state.clone());
        }
        let assign = |(reader, splits)| CoordinatorAction::Send(reader, Command::Assign(splits));
        actions.extend(assigned.into_iter().map(assign));
        Ok(())
    }

    fn report(&mut self, reader: ReaderId, mut report: Report) -> Result<()> {
        let meet = self.meetings.get(reader.stream).map_or(0, |meeting| meeting.streams.len());
        let Some(known) = self.readers.get_mut(&reader).filter(|_| [0, meet].contains(&report.waits.len())) else {
            return Err(Error::internal(format!("{reader:?} reports {report:?}, which does not fit this run")));
        };
        // Before it has bounds a reader does not know how far its stream has come.
        report.watermark = report.watermark.map(|watermark| watermark.max(self.durable.watermarks[reader.stream]));
        let asked = known.as_ref().is_some_and(|known| known.joins);
        let joins = report.joins;
        if joins && report.watermark.is_none() {
            self.joining.insert(reader);
        }
        *known = Some(report);
        if joins && !asked {
            self.want(CheckpointPurpose::Commit);
        }
        if self.is_first() && self.wanted.is_none() {
            self.want(CheckpointPurpose::Commit);
        }
        self.want_last();
        Ok(())
    }

    fn want(&mut self, purpose: CheckpointPurpose) {
        if !self.ended {
            self.wanted = self.wanted.max(Some(purpose));
        }
    }

    /// The last checkpoint follows when everything was given out and the watermarks stand where inputs end.
    fn want_last(&mut self) {
        let Some(end) = self.input_end() else { return };
        let there = |(reader, report): (&ReaderId, &Option<Report>)| {
            let end = self.streams[reader.stream].end.unwrap_or(end);
            report.as_ref().and_then(|report| report.watermark).is_some_and(|watermark| watermark >= end)
        };
        if self.readers.iter().all(there) {
            self.want(CheckpointPurpose::End);
        }
    }

    /// Sends the barriers of a checkpoint that is wanted: one at a time, and the first one when all splits were looked
    /// at.
    fn begin_checkpoint(&mut self, actions: &mut Vec<CoordinatorAction>) {
        let looked = || self.readers.values().flatten().map(|report| report.splits).sum::<usize>();
        if self.running.is_some()
            || self.readers.is_empty()
            || (self.is_first() && looked() < self.durable.splits.len())
        {
            return;
        }
        let Some(purpose) = self.wanted.take() else { return };
        self.number += 1;
        self.ended = purpose == CheckpointPurpose::End;
        let barrier = Command::Barrier(Barrier::new(self.number, purpose));
        actions.extend(self.readers.keys().map(|&reader| CoordinatorAction::Send(reader, barrier.clone())));
        let (readers, stages) = (self.readers.keys().copied(), self.stages.keys().copied());
        self.running = Some(Checkpoint::new(self.number, readers, stages));
    }

    fn running(&mut self) -> Result<&mut Checkpoint> {
        self.running.as_mut().ok_or_else(|| Error::internal("something was frozen, but no checkpoint is on its way"))
    }

    /// When all have frozen: finds the levels of those that join, and has the checkpoint made durable.
    fn complete(&mut self, actions: &mut Vec<CoordinatorAction>) -> Result<()> {
        let Some(gathered) = self.running()?.gather()? else { return Ok(()) };
        let state = self.state_of(&gathered)?;
        let running = self.running()?;
        actions.push(CoordinatorAction::Persist(state.clone()));
        running.state = Some(state);
        Ok(())
    }

    fn state_of(&mut self, gathered: &Gathered) -> Result<CoordinatorState> {
        let mut state =
            CoordinatorState { number: self.number, splits: Vec::new(), watermarks: self.durable.watermarks.clone() };
        let mut joined = BTreeMap::new();
        for (stream, time) in self.streams.iter().enumerate() {
            let level = gathered.level(stream, &self.meetings[stream].steps);
            let level = level.max(self.durable.watermarks[stream]);
            let mut given = gathered.watermark(stream);
            for (&reader, frozen) in gathered.readers_of(stream) {
                // A present reader held its watermark; an absent one joins where the stream stands. Both ahead of history:
                // one that is about to be absent may not have come that far.
                let joins_at = if frozen.absent { level } else { frozen.watermark }.max(time.cap);
                if frozen.turns_present() {
                    given = Some(given.map_or(joins_at, |given| given.min(joins_at)));
                }
                for split in &frozen.splits {
                    let mut split = split.clone();
                    if frozen.joining.contains(&split.split) {
                        let mut position = PartitionPosition::parse(&split.position)?;
                        position.join(time.delay, joins_at);
                        split.position = position.to_bytes();
                        joined.entry(reader).or_insert((joins_at, Vec::new())).1.push(split.clone());
                    }
                    state.splits.push((stream, split));
                }
            }
            state.watermarks[stream] = state.watermarks[stream].max(given.unwrap_or(EventTime::MIN));
        }
        self.check_splits(&state)?;
        self.running()?.joined = joined;
        Ok(state)
    }

    /// Refuses a checkpoint that does not have every split, each once.
    fn check_splits(&self, state: &CoordinatorState) -> Result<()> {
        let ids = |state: &CoordinatorState| {
            let mut ids: Vec<_> = state.splits.iter().map(|(stream, state)| (*stream, state.split)).collect();
            ids.sort_unstable();
            ids
        };
        let (expected, found) = (ids(&self.durable), ids(state));
        if expected == found {
            return Ok(());
        }
        Err(Error::internal(format!("checkpoint {} has the splits {found:?}, expected {expected:?}", state.number)))
    }

    /// Gives a checkpoint up that takes too long, for the next one. Not the first and the last one, and none at which a
    /// reader joins: rows, or the end, wait for that very checkpoint.
    fn give_up(&mut self, number: u64, actions: &mut Vec<CoordinatorAction>) {
        let is_needed = self.is_first() || self.ended;
        let given_up = self.running.take_if(|running| {
            running.number == number && running.state.is_some() && running.joined.is_empty() && !is_needed
        });
        if given_up.is_some() {
            actions.push(CoordinatorAction::GiveUp(number));
            self.want(CheckpointPurpose::Commit);
        }
    }

    /// A checkpoint is durable: those that joined go on, and what waited for it follows.
    fn durable(&mut self, number: u64, actions: &mut Vec<CoordinatorAction>) -> Result<()> {
        let asked = self.running.take_if(|running| running.number == number && running.state.is_some());
        let Some(Checkpoint { state: Some(state), mut joined, .. }) = asked else {
            return Err(Error::internal(format!("checkpoint {number} is said to be durable, and was not asked for")));
        };
        self.durable = state;
        for (&reader, report) in &mut self.readers {
            let (level, splits) = joined.remove(&reader).unzip();
            if let (Some(level), Some(report)) = (level, report.as_mut())
                && self.joining.remove(&reader)
            {
                report.watermark = Some(level);
            }
            actions.push(CoordinatorAction::Send(reader, Command::Durable(splits.unwrap_or_default())));
        }
        if self.readers.values().flatten().any(|report| report.joins) {
            self.want(CheckpointPurpose::Commit);
        }
        Ok(())
    }
}

/// What holds readers back.
impl JobCoordinator {
    /// Sends each stream's readers its bounds where they changed.
    fn bound(&mut self, actions: &mut Vec<CoordinatorAction>) {
        if self.readers.is_empty() {
            return;
        }
        for stream in 0..self.streams.len() {
            let bounds = self.bounds_of(stream);
            if self.bounds[stream].as_ref() == Some(&bounds) {
                continue;
            }
            for &reader in self.readers.keys().filter(|reader| reader.stream == stream) {
                actions.push(CoordinatorAction::Send(reader, Command::Bounds(bounds.clone())));
            }
            self.bounds[stream] = Some(bounds);
        }
    }

    fn bounds_of(&self, stream: usize) -> ReadBounds {
        let meeting = &self.meetings[stream];
        let levels: Vec<Option<EventTime>> = meeting.streams.iter().map(|&other| self.watermark(other)).collect();
        let joins = self.joining.iter().any(|reader| meeting.streams.contains(&reader.stream));
        let least = match &self.bounds[stream] {
            Some(known) if joins => known.least,
            _ => self.least(meeting, &levels),
        };
        let met = || meeting.streams.iter().map(|&other| &self.streams[other]);
        let window = met().map(StreamTime::silence).max().unwrap_or(0);
        let pace = met().map(|time| time.delay.0).chain([self.streams[stream].silence()]).max().unwrap_or(0);
        let meets_absent = meeting.streams.iter().any(|&other| other != stream && self.may_join(other));
        ReadBounds {
            go: !self.is_first(),
            stops: self.stops,
            given: self.durable.watermarks[stream],
            cap: self.streams[stream].cap,
            may_join: self.is_first() || self.is_replayed(),
            least,
            window: Span(window.max(1)),
            watermarks: levels.iter().map(|level| level.unwrap_or(EventTime::MIN)).collect(),
            due: self.due(stream, &levels),
            clock: self.clock(),
            follow: self.watermark(stream).or_else(|| levels.iter().flatten().copied().max()),
            meets_absent,
            furthest: if meets_absent { self.furthest(meeting) } else { EventTime::MIN },
            meets_joining: joins,
            pace: Span(pace),
            end: self.input_end().map(|end| self.streams[stream].end.unwrap_or(end)),
            replays: self.replays(),
            replaying: self.is_replaying(),
        }
    }

    /// How far the streams that meet have come, given how far each has. One whose watermark has come to where it ends holds
    /// nobody back any more: what others still have ahead of it was given out before, too, and waits where it waited then.
    fn least(&self, meeting: &Meeting, levels: &[Option<EventTime>]) -> EventTime {
        let has_ended = |stream: usize, level: EventTime| self.streams[stream].end.is_some_and(|end| level >= end);
        let with_more = || {
            let all = meeting.streams.iter().zip(levels).filter_map(|(&stream, level)| Some((stream, (*level)?)));
            all.filter(|&(stream, level)| !has_ended(stream, level)).map(|(_, level)| level)
        };
        let ends = meeting.streams.iter().any(|&stream| self.streams[stream].end.is_some());
        with_more().min().unwrap_or(if ends { EventTime::MAX } else { EventTime::MIN })
    }

    /// The watermark of a stream as far as is known, over its readers that have more to come; `None` when it holds
    /// nobody back.
    fn watermark(&self, stream: usize) -> Option<EventTime> {
        let level = |report: &Option<Report>| match report {
            Some(report) if report.finished => None,
            Some(report) => report.watermark,
            None => Some(self.durable.watermarks[stream]),
        };
        self.readers_of(stream).filter_map(|(_, report)| level(report)).min()
    }

    /// Whether a stream holds nobody back and may yet: nothing of its topic was given out, or nothing waits for more.
    fn may_join(&self, stream: usize) -> bool {
        let has_more = |report: &Option<Report>| report.as_ref().is_none_or(|report| !report.finished);
        self.streams[stream].live
            && self.watermark(stream).is_none()
            && self.readers_of(stream).any(|(_, report)| has_more(report))
    }

    /// The greatest watermark that a reader of the streams that meet has given.
    fn furthest(&self, meeting: &Meeting) -> EventTime {
        let reports = meeting.streams.iter().flat_map(|&stream| self.readers_of(stream));
        reports.filter_map(|(_, report)| report.as_ref()?.watermark).max().unwrap_or(EventTime::MIN)
    }

    fn readers_of(&self, stream: usize) -> impl Iterator<Item = (&ReaderId, &Option<Report>)> {
        let (from, to) = (ReaderId { stream, index: 0 }, ReaderId { stream: stream + 1, index: 0 });
        self.readers.range(from..to)
    }

    /// The least time above a stream's watermark at which something comes out that waits for it.
    fn due(&self, stream: usize, levels: &[Option<EventTime>]) -> Option<EventTime> {
        let own = self.watermark(stream);
        // Where nobody leads no row is released, and the oldest one would be due for ever; so it is where who leads stands
        // until rows have come again that wait for this stream.
        let leads = levels.iter().any(Option::is_some) && (own.is_some() || self.is_replayed());
        let given_out = self.meetings[stream].streams.iter().filter(|_| leads).flat_map(|&other| {
            let place = self.meetings[other].streams.iter().position(|&met| met == stream);
            self.readers_of(other).filter_map(move |(_, report)| *report.as_ref()?.waits.get(place?)?)
        });
        // Those that follow wait for this stream in their place.
        let met = || self.meetings[stream].streams.iter().zip(levels);
        let waits = |of: usize| met().any(|(&met, level)| met == of && (met == stream || level.is_none()));
        let held = self.stages.values().flat_map(|held| &held.due).filter(|(of, _)| waits(*of)).map(|(_, at)| *at);
        given_out.chain(held).filter(|&at| own.is_none_or(|own| at > own)).min()
    }

    /// Whether all rows have come again that outputs had before a restart.
    fn is_replayed(&self) -> bool {
        self.stages.values().all(|held| held.replayed)
    }

    /// Whether everything is given out but for what waits until rows have come again that outputs had before a restart.
    fn replays(&self) -> bool {
        let awaits = |report: &Report| report.awaits_replay;
        let all = self.readers.values().all(|report| report.as_ref().is_some_and(|it| it.finished || awaits(it)));
        all && self.is_replaying() && self.readers.values().flatten().any(awaits)
    }

    /// Whether rows are to come again that outputs had before a restart, as every stage has said.
    fn is_replaying(&self) -> bool {
        self.stages.values().all(|held| held.told) && !self.is_replayed()
    }

    /// The greatest clock that live streams have shown.
    fn clock(&self) -> Option<EventTime> {
        let live = self.readers.iter().filter(|(reader, _)| self.streams[reader.stream].live);
        live.filter_map(|(_, report)| report.as_ref()?.clock).max()
    }

    /// Where inputs end, once every reader has given out everything: at the greatest clock of the topics, and nowhere
    /// when there is none.
    fn input_end(&self) -> Option<EventTime> {
        let finished = |report: &Option<Report>| report.as_ref().is_some_and(|report| report.finished);
        let all = !self.readers.is_empty() && self.readers.values().all(finished);
        all.then(|| self.clock().unwrap_or(EventTime::MAX))
    }
}
