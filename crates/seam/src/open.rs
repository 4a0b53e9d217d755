//! Opens the streams of a job: checks that both sides of each belong together, and finds where outputs begin.

use crate::archive::{CLOCK_PROPERTY, check_clock_property};
use crate::coordinator::{JobCoordinator, StreamTime};
use crate::frontier::{FRONTIER_PROPERTY, Frontier};
use crate::history::{HistoryPlan, HistoryRoom, SharePosition};
use crate::layout::{Layout, Stamps};
use crate::position::{PartitionPosition, ShareBytes};
use crate::probe::{begin, history_cap, resume};
use crate::reader::StreamReader;
use crate::source::{Lead, Live, Source, check_decode};
use crate::unreleased::OutRows;
use crate::{StreamSpec, StreamStats};
use dataflow::{
    Background, Coordinator, CoordinatorState, Error, EventTime, Meeting, Reader, Result, Span, Split, SplitState,
    TimedFiles, Topic,
};
use std::path::PathBuf;
use std::sync::Arc;

/// A stream with its two sides; one of them may be missing.
pub struct StreamInput {
    /// What it declares.
    pub spec: StreamSpec,
    /// Its history.
    pub history: Option<Arc<dyn TimedFiles>>,
    /// How far its history was archived; when it is not given, the history's own property says so.
    pub history_frontier: Option<Frontier>,
    /// Its topic.
    pub live: Option<Live>,
}

/// How the streams of a job are read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ends topics where they end when they are opened.
    pub until_caught_up: bool,
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
}

impl Seam {
    /// Opens streams; their index is the source's index. Reads no rows, except to find where partitions begin. A job
    /// that goes on from a checkpoint takes the positions from there.
    pub fn open(streams: Vec<StreamInput>, options: &Options, restored: Option<&CoordinatorState>) -> Result<Seam> {
        // Where no stream has a topic nothing can follow what is there.
        let bounded = options.until_caught_up || streams.iter().all(|stream| stream.live.is_none());
        let plans = streams.iter().map(plan_history).collect::<Result<Vec<_>>>()?;
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
        };
        if let Some(state) = restored {
            check_splits(&streams, &plans, state)?;
            seam.state.watermarks.clone_from(&state.watermarks);
        }
        for (index, (stream, plan)) in streams.into_iter().zip(plans).enumerate() {
            let mut opened = open_stream(index, (stream, plan), options, memory_bytes, restored)?;
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
            cap: if source.live.is_some() { source.cap } else { EventTime::MIN },
        };
        let streams = self.sources.iter().map(time_of).collect();
        Ok(Box::new(JobCoordinator::new(streams, meetings, self.state.clone())?))
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

/// Plans the reading of a stream's history; what cannot be read is said before anything runs.
fn plan_history(stream: &StreamInput) -> Result<Option<Arc<HistoryPlan>>> {
    let Some(files) = &stream.history else { return Ok(None) };
    stream.spec.check()?;
    if let Some(property) = files.property(CLOCK_PROPERTY) {
        check_clock_property(&stream.spec, files.name(), &property)?;
    }
    Ok(Some(Arc::new(HistoryPlan::new(&stream.spec, files.clone())?)))
}

/// The splits of a stream.
fn splits_of(stream: &StreamInput, history: Option<&HistoryPlan>) -> Vec<Split> {
    let shares = history.iter().flat_map(|plan| plan.shares()).map(|(share, _)| Split::Share(share));
    let partitions = stream.live.iter().flat_map(|live| (0..live.topic.partitions()).map(Split::Partition));
    shares.chain(partitions).collect()
}

/// Refuses a checkpoint that does not have every split of every stream, each once.
fn check_splits(streams: &[StreamInput], plans: &[Option<Arc<HistoryPlan>>], state: &CoordinatorState) -> Result<()> {
    let wrong = |what: String| Error::corrupt(format!("the checkpoint {} does not fit the job: {what}", state.number));
    let mut expected: Vec<(usize, Split)> = Vec::new();
    for (index, (stream, plan)) in streams.iter().zip(plans).enumerate() {
        expected.extend(splits_of(stream, plan.as_deref()).into_iter().map(|split| (index, split)));
    }
    let name = |index: usize| streams.get(index).map_or_else(|| index.to_string(), |stream| stream.spec.name.clone());
    let mut found: Vec<(usize, Split)> = state.splits.iter().map(|(index, state)| (*index, state.split)).collect();
    found.sort_unstable();
    expected.sort_unstable();
    if let Some(twice) = found.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(wrong(format!("it has {} of stream \"{}\" twice", twice[0].1, name(twice[0].0))));
    }
    if let Some((index, split)) = expected.iter().find(|split| found.binary_search(split).is_err()) {
        return Err(wrong(format!("it lacks {split} of stream \"{}\"", name(*index))));
    }
    if let Some((index, split)) = found.iter().find(|split| expected.binary_search(split).is_err()) {
        return Err(wrong(format!("it has {split} of stream \"{}\", which has none such", name(*index))));
    }
    if state.watermarks.len() != streams.len() {
        return Err(wrong(format!("it has {} watermarks for {} streams", state.watermarks.len(), streams.len())));
    }
    Ok(())
}

struct OpenStream {
    source: Source,
    splits: Vec<SplitState>,
    start: Option<EventTime>,
}

fn open_stream(
    index: usize,
    (stream, history): (StreamInput, Option<Arc<HistoryPlan>>),
    options: &Options,
    memory_bytes: usize,
    restored: Option<&CoordinatorState>,
) -> Result<OpenStream> {
    let spec = &stream.spec;
    spec.check()?;
    if stream.history.is_none() && stream.live.is_none() {
        return Err(Error::invalid(format!("stream \"{}\" has neither HISTORY nor LIVE here", spec.name)));
    }
    let rows = stream.history.as_ref().map_or(0, |history| history.files().iter().map(|file| file.rows).sum());
    let all = splits_of(&stream, history.as_deref());
    let lacks_arrival = |plan: &Arc<HistoryPlan>| rows > 0 && plan.layout.stamps == Stamps::Nothing;
    let stats = StreamStats::new(&spec.name, rows, all.len().max(1));
    let stats = Arc::new(stats.of_history(history.as_ref().is_some_and(lacks_arrival)));
    let known: Vec<&SplitState> = restored
        .iter()
        .flat_map(|state| &state.splits)
        .filter(|(of, _)| *of == index)
        .map(|(_, split)| split)
        .collect();
    let partitions = match &stream.live {
        Some(live) => {
            check_decode(spec, live.decode.as_ref())?;
            let frontier = frontier_of(&stream, live.topic.as_ref(), rows)?;
            match restored {
                Some(_) => resume(spec, live, &known, options.until_caught_up)?,
                None => begin(spec, live, &frontier, options.until_caught_up)?,
            }
        }
        None => Vec::new(),
    };
    let begins = |(share, position): (u16, SharePosition)| SplitState {
        split: Split::Share(share),
        position: ShareBytes { position: position.to_bytes(), out: OutRows::NONE }.to_bytes(),
    };
    let shares: Vec<SplitState> = match restored {
        Some(_) => {
            known.iter().filter(|known| matches!(known.split, Split::Share(_))).map(|&known| known.clone()).collect()
        }
        None => history.iter().flat_map(|plan| plan.shares()).map(begins).collect(),
    };
    let cap = if stream.live.is_some() { history_cap(&partitions) } else { EventTime::MAX };
    let position = |(partition, position): (usize, &PartitionPosition)| SplitState {
        split: Split::Partition(partition as u32),
        position: position.to_bytes(),
    };
    let splits = shares.into_iter().chain(partitions.iter().enumerate().map(position)).collect();
    let start = partitions.iter().filter_map(|partition| partition.start).min();
    let (spec, live, bounded) = (stream.spec, stream.live, options.until_caught_up);
    let room = HistoryRoom { memory_bytes, readers: 1, spill_dir: options.spill_dir.clone() };
    Ok(OpenStream {
        source: Source { spec, live, history, room, stats, cap, bounded, lead: options.lead },
        splits,
        start,
    })
}

/// The frontier after which the topic is read, checked against the topic and the history.
fn frontier_of(stream: &StreamInput, topic: &dyn Topic, rows: u64) -> Result<Frontier> {
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
        Some(frontier) => {
            frontier.check(name, topic)?;
            Ok(frontier)
        }
        None if rows == 0 => Ok(Frontier::start_of(topic)),
        None => Err(Error::invalid(format!(
            "stream \"{name}\": history \"{}\" has {rows} rows but no property {FRONTIER_PROPERTY} that says where topic \
             \"{}\" goes on; write it with ARCHIVE {name}",
            files.name(),
            topic.name()
        ))),
    }
}
