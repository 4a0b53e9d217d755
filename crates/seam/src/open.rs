//! Opens the streams of a job: checks that both sides of each belong together, and finds where outputs begin.

use crate::StreamStats;
use crate::archive::{CLOCK_PROPERTY, check_clock_property};
use crate::coordinator::{JobCoordinator, StreamTime};
use crate::frontier::{FRONTIER_PROPERTY, Frontier};
use crate::history::{HistoryPlan, HistoryRoom, SharePosition};
use crate::layout::{Layout, Stamps};
use crate::position::{PartitionPosition, ShareBytes};
use crate::probe::{Ends, begin, history_cap, resume};
use crate::reader::StreamReader;
use crate::source::{Lead, Source, StreamInput, check_decode};
use crate::stream_checkpoint::{StreamCheckpoint, UnreadHistory};
use crate::unreleased::OutRows;
use dataflow::{
    Background, Coordinator, CoordinatorState, Error, EventTime, Meeting, Reader, Result, Span, Split, SplitState,
    Topic,
};
use std::path::PathBuf;
use std::sync::Arc;

/// How the streams of a job are read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ends topics where they end when they are opened; a job that goes on from a checkpoint of a run which had ends keeps
    /// those, unless `new_ends` says otherwise.
    pub until_caught_up: bool,
    /// Gives topics new ends: the run that the job goes on from had come to its own.
    pub new_ends: bool,
    /// Where output is to begin; all is read all the same.
    pub from: Option<EventTime>,
    /// How many bytes of history rows may be in memory, over all streams.
    pub memory_bytes: usize,
    /// Where rows that exceed it are written to.
    pub spill_dir: PathBuf,
    /// How far a reader may lead the others.
    pub lead: Lead,
}

/// The readers of each stream, in the sequence of the streams.
pub type Readers = Vec<Vec<Box<dyn Reader>>>;

/// The opened streams of a job.
pub struct Seam {
    sources: Vec<Arc<Source>>,
    state: CoordinatorState,
    start: EventTime,
    from: Option<EventTime>,
    unread: Vec<UnreadHistory>,
    // The number of the checkpoint at which nothing is read yet.
    begins_after: u64,
}

impl Seam {
    /// Opens streams; their index is the source's index. Reads no rows, except to find where partitions begin.
    ///
    /// A job that goes on from a checkpoint takes the positions from there. A history that it has read to its end is not
    /// opened again, whatever has become of its files; one that it has read in part has to be as it was. Partitions of a
    /// topic that the checkpoint does not have are read from their beginning.
    pub fn open(streams: Vec<StreamInput>, options: &Options, restored: Option<&CoordinatorState>) -> Result<Seam> {
        Seam::open_between(streams, options, (restored, None))
    }

    /// Opens streams from their beginning up to where a checkpoint had read them: what it had read is read again, each row
    /// with the time that it had, whatever topics and archives have gained since, and watermarks end where those of the
    /// checkpoint stood. [`read_again`](crate::read_again) says whether that can be.
    pub fn open_until(streams: Vec<StreamInput>, options: &Options, until: &CoordinatorState) -> Result<Seam> {
        let options = Options { until_caught_up: true, new_ends: false, from: None, ..options.clone() };
        Seam::open_between(streams, &options, (None, Some(until)))
    }

    fn open_between(
        streams: Vec<StreamInput>,
        options: &Options,
        (restored, until): (Option<&CoordinatorState>, Option<&CoordinatorState>),
    ) -> Result<Seam> {
        // Where no stream has a topic nothing can follow what is there.
        let bounded = options.until_caught_up || streams.iter().all(|stream| stream.live.is_none());
        let known = restored.map(|state| StreamCheckpoint::of_all(&streams, state)).transpose()?;
        let known = |index: usize| known.as_ref().map(|known| &known[index]);
        let ends = until.map(|state| StreamCheckpoint::of_all(&streams, state)).transpose()?;
        let ends = |index: usize| ends.as_ref().map(|ends| &ends[index]);
        let plan = |(index, stream): (usize, &StreamInput)| {
            let plan = plan_history(stream, known(index))?;
            let until = ends(index).filter(|_| stream.live.is_some()).map(StreamCheckpoint::last_messages);
            Ok(match until {
                Some(until) => plan.map(|plan| plan.until(until)),
                None => plan,
            })
        };
        let plans: Vec<Option<HistoryPlan>> = streams.iter().enumerate().map(plan).collect::<Result<_>>()?;
        let unread = |(index, stream): (usize, &StreamInput)| known(index)?.unread(stream);
        let unread = streams.iter().enumerate().filter_map(unread).collect();
        let memory_bytes = options.memory_bytes / plans.iter().flatten().count().max(1);
        let mut seam = Seam {
            sources: Vec::new(),
            state: CoordinatorState {
                number: restored.map_or(0, |state| state.number),
                splits: Vec::new(),
                watermarks: vec![EventTime::MIN; streams.len()],
            },
            start: EventTime::MAX,
            from: options.from,
            unread,
            begins_after: 0,
        };
        if let Some(state) = restored {
            seam.state.watermarks.clone_from(&state.watermarks);
        }
        for (index, (stream, plan)) in streams.into_iter().zip(plans).enumerate() {
            let plan = plan.map(Arc::new);
            let mut opened = open_stream((stream, plan), options, memory_bytes, (known(index), ends(index)))?;
            opened.source.bounded = bounded;
            seam.start = seam.start.min(opened.start.unwrap_or(EventTime::MAX));
            seam.state.splits.extend(opened.splits.into_iter().map(|split| (index, split)));
            seam.sources.push(Arc::new(opened.source));
        }
        if seam.start == EventTime::MAX {
            seam.start = EventTime::MIN;
        }
        Ok(seam)
    }

    /// Numbers the checkpoints of a job that begins after one of an earlier plan.
    #[must_use]
    pub fn numbered_after(mut self, checkpoint: u64) -> Seam {
        (self.state.number, self.begins_after) = (checkpoint, checkpoint);
        self
    }

    /// The readers of every stream, in the sequence of the streams and without splits, and the coordinator of the job:
    /// a stream has as many readers as there are workers, or as it has splits where those are fewer. `background` runs
    /// what is read ahead, and `meetings` says for each stream which streams meet it, and which steps it reaches. A
    /// later run of the job in the same process is begun anew.
    pub fn begin(
        &self,
        workers: usize,
        background: Arc<dyn Background>,
        meetings: &[Meeting],
    ) -> Result<(Readers, Box<dyn Coordinator>)> {
        Ok((self.readers(workers, &background), self.coordinator(meetings)?))
    }

    fn readers(&self, workers: usize, background: &Arc<dyn Background>) -> Readers {
        let readers = |(index, source): (usize, &Arc<Source>)| {
            let splits = self.state.splits.iter().filter(|(of, _)| *of == index).count();
            let count = splits.clamp(1, workers.max(1));
            let reader = |index| {
                Box::new(StreamReader::new(source.clone(), (index, count), background.clone())) as Box<dyn Reader>
            };
            (0..count).map(reader).collect()
        };
        self.sources.iter().enumerate().map(readers).collect()
    }

    fn coordinator(&self, meetings: &[Meeting]) -> Result<Box<dyn Coordinator>> {
        let time_of = |source: &Arc<Source>| StreamTime {
            name: source.spec.name.clone(),
            live: source.live.is_some(),
            delay: source.spec.delay,
            quiet: source.spec.quiet.allowance(),
            margin: source.live.as_ref().map_or(Span::ZERO, |live| live.topic.margin()),
            cap: source.cap,
            end: Some(source.end).filter(|end| *end < EventTime::MAX),
        };
        let streams = self.sources.iter().map(time_of).collect();
        let coordinator = JobCoordinator::new(streams, meetings, self.state.clone())?;
        Ok(Box::new(coordinator.beginning_after(self.begins_after)))
    }

    /// Whether every stream ends: all are history, or topics are read only up to where they end now.
    pub fn is_bounded(&self) -> bool {
        self.sources.iter().all(|source| source.bounded)
    }

    /// `W`: outputs to topics are the rows after this. `MIN` when no stream has a topic with rows. A job that goes on
    /// from a checkpoint has the same.
    pub fn start(&self) -> EventTime {
        self.start
    }

    /// Histories that an earlier run of the job has read to their end and that have other files now, none of which are
    /// read. Those of streams with a topic are not among them: what an archive gains is read from the topic.
    pub fn unread(&self) -> &[UnreadHistory] {
        &self.unread
    }

    /// Where every split is, and what each stream has given: what a checkpoint of the job would hold now.
    pub fn state(&self) -> &CoordinatorState {
        &self.state
    }

    /// Where output is to begin, as the options say.
    pub fn from(&self) -> Option<EventTime> {
        self.from
    }

    /// What became of the rows, per stream; readable at any time.
    pub fn stats(&self) -> Vec<Arc<StreamStats>> {
        self.sources.iter().map(|source| source.stats.clone()).collect()
    }
}

/// Plans the reading of a stream's history; what cannot be read is said before anything runs. There is no plan for what
/// has no shares.
fn plan_history(stream: &StreamInput, known: Option<&StreamCheckpoint>) -> Result<Option<HistoryPlan>> {
    if let Some(known) = known.filter(|known| known.has_read_history()) {
        return known.plan_of_nothing(&stream.spec);
    }
    let Some(files) = &stream.history else { return known.map_or(Ok(None), |known| Err(known.lost_history(stream))) };
    stream.spec.check()?;
    if let Some(property) = files.property(CLOCK_PROPERTY) {
        check_clock_property(&stream.spec, files.name(), &property)?;
    }
    let plan = HistoryPlan::new(&stream.spec, files.clone())?;
    known.map_or(Ok(()), |known| known.check_shares(&plan))?;
    Ok(Some(plan))
}

struct OpenStream {
    source: Source,
    splits: Vec<SplitState>,
    start: Option<EventTime>,
}

fn open_stream(
    (stream, history): (StreamInput, Option<Arc<HistoryPlan>>),
    options: &Options,
    memory_bytes: usize,
    (known, ends): (Option<&StreamCheckpoint>, Option<&StreamCheckpoint>),
) -> Result<OpenStream> {
    let spec = &stream.spec;
    spec.check()?;
    if stream.history.is_none() && stream.live.is_none() && known.is_none() {
        return Err(Error::invalid(format!("stream \"{}\" has neither HISTORY nor LIVE here", spec.name)));
    }
    let rows = history.as_ref().map_or(0, |plan| plan.files.files().iter().map(|file| file.rows).sum());
    let mut partitions = partitions_of(&stream, rows, options, known)?;
    if let Some(ends) = ends {
        ends.end_partitions(stream.live.as_ref().map(|live| live.topic.as_ref()), &mut partitions);
    }
    let end = ends.map_or(EventTime::MAX, |ends| ends.watermark);
    let begins = |(share, position): (u16, SharePosition)| SplitState {
        split: Split::Share(share),
        position: ShareBytes { position: position.to_bytes(), out: OutRows::NONE }.to_bytes(),
    };
    let shares: Vec<SplitState> = match known {
        Some(known) => known.shares.iter().map(|(state, _)| state.clone()).collect(),
        None => history.iter().flat_map(|plan| plan.shares()).map(begins).collect(),
    };
    let lacks_arrival = |plan: &Arc<HistoryPlan>| rows > 0 && plan.layout.stamps == Stamps::Nothing;
    let stats = StreamStats::new(&spec.name, rows, (shares.len() + partitions.len()).max(1));
    let stats = Arc::new(stats.of_history(history.as_ref().is_some_and(lacks_arrival)));
    let cap = if stream.live.is_some() { history_cap(&partitions) } else { EventTime::MIN };
    let position = |(partition, position): (usize, &PartitionPosition)| SplitState {
        split: Split::Partition(partition as u32),
        position: position.to_bytes(),
    };
    let splits = shares.into_iter().chain(partitions.iter().enumerate().map(position)).collect();
    let start = partitions.iter().filter_map(|partition| partition.start).min();
    let (spec, live, bounded) = (stream.spec, stream.live, options.until_caught_up);
    let room = HistoryRoom { memory_bytes, readers: 1, spill_dir: options.spill_dir.clone() };
    Ok(OpenStream {
        source: Source { spec, live, history, room, stats, cap, bounded, end, lead: options.lead },
        splits,
        start,
    })
}

/// Where each partition of a stream's topic goes on.
fn partitions_of(
    stream: &StreamInput,
    rows: u64,
    options: &Options,
    known: Option<&StreamCheckpoint>,
) -> Result<Vec<PartitionPosition>> {
    let Some(live) = &stream.live else {
        return known.map_or(Ok(()), |known| known.check_no_topic(&stream.spec)).map(|()| Vec::new());
    };
    check_decode(&stream.spec, live.decode.as_ref())?;
    let Some(known) = known else {
        let frontier = frontier_of(stream, live.topic.as_ref(), rows)?;
        return begin(&stream.spec, live, &frontier, options.until_caught_up);
    };
    known.check_topic(&stream.spec, live.topic.as_ref())?;
    let ends = match (options.until_caught_up, options.new_ends) {
        (false, _) => Ends::None,
        (true, false) => Ends::Known,
        (true, true) => Ends::Now,
    };
    resume(&stream.spec, live, &known.partitions, ends)
}

/// The frontier after which the topic is read, checked against the topic and the history.
pub(crate) fn frontier_of(stream: &StreamInput, topic: &dyn Topic, rows: u64) -> Result<Frontier> {
    let name = &stream.spec.name;
    let Some(files) = &stream.history else {
        return Ok(Frontier::start_of(topic));
    };
    let property = || files.property(FRONTIER_PROPERTY).map(|text| Frontier::parse(&text)).transpose();
    let frontier = match &stream.history_frontier {
        Some(frontier) => Some(frontier.clone()),
        None => property().map_err(|error| error.context(format!("history \"{}\"", files.name())))?,
    };
    if rows > 0 && Layout::of(&stream.spec, files.name(), &files.schema())?.stamps != Stamps::Coordinates {
        return Err(Error::invalid(format!(
            "stream \"{name}\": history \"{}\" has no message coordinates, so topic \"{}\" cannot continue it exactly; \
             write it with ARCHIVE {name}, or leave out LIVE",
            files.name(),
            topic.name()
        )));
    }
    match frontier {
        Some(frontier) => frontier.fitted(name, topic),
        None if rows == 0 => Ok(Frontier::start_of(topic)),
        None => Err(Error::invalid(format!(
            "stream \"{name}\": history \"{}\" has {rows} rows but no property {FRONTIER_PROPERTY} that says where topic \
             \"{}\" goes on; write it with ARCHIVE {name}",
            files.name(),
            topic.name()
        ))),
    }
}
