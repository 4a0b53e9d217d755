//! Opens the streams of a job: checks that both sides of each belong together, and finds where outputs begin.

use crate::archive::{CLOCK_PROPERTY, check_clock_property};
use crate::coordinator::{JobCoordinator, StreamTime};
use crate::frontier::{FRONTIER_PROPERTY, Frontier};
use crate::placing::Layout;
use crate::position::{PartitionPosition, ShareBytes};
use crate::probe::{begin, history_cap, resume};
use crate::reader::StreamReader;
use crate::shares::{HistoryPlan, SHARES, SharePosition};
use crate::unreleased::OutRows;
use crate::{Quiet, StreamSpec, StreamStats};
use dataflow::{
    Coordinator, CoordinatorState, Decode, Error, EventTime, Meeting, Reader, Result, Span, Split, SplitState,
    TimedFiles, Topic,
};
use std::path::PathBuf;
use std::sync::Arc;

/// The live side of a stream.
#[derive(Clone)]
pub struct Live {
    /// The topic.
    pub topic: Arc<dyn Topic>,
    /// Turns its messages into rows of the declared columns.
    pub decode: Arc<dyn Decode>,
}

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
    /// How many workers there are: a stream has as many readers, or as many as it has splits where those are fewer.
    pub workers: usize,
    /// How far a reader may lead the others.
    pub lead: Lead,
}

/// How much a reader may have given out that the watermark of the streams that meet has not reached, whatever others
/// do. Beyond that its partitions go on only within delay and silence of that watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Rows.
    pub rows: usize,
    /// Bytes of them.
    pub bytes: usize,
}

impl Default for Lead {
    fn default() -> Lead {
        Lead { rows: 256 << 10, bytes: 64 << 20 }
    }
}

/// What all readers of a stream know, and none of them changes.
pub(crate) struct Source {
    pub spec: StreamSpec,
    pub live: Option<Live>,
    pub history: Option<Arc<HistoryPlan>>,
    pub stats: Arc<StreamStats>,
    /// Where the watermark stops while history is read; `MAX` when there is no topic.
    pub cap: EventTime,
    /// Whether topics end where they end when the job begins.
    pub bounded: bool,
    pub lead: Lead,
}

impl Source {
    /// Says in which split of which stream something is wrong.
    pub fn in_split(&self, error: Error, split: Split) -> Error {
        error.context(format!("stream \"{}\", {split}", self.spec.name))
    }
}

/// The opened streams of a job.
pub struct Seam {
    sources: Vec<Arc<Source>>,
    readers: Vec<usize>,
    state: CoordinatorState,
    start: EventTime,
    from: Option<EventTime>,
}

impl Seam {
    /// Opens streams; their index is the source's index. Reads no rows, except to find where partitions begin. A job
    /// that goes on from a checkpoint takes the positions from there.
    pub fn open(streams: Vec<StreamInput>, options: &Options, restored: Option<&CoordinatorState>) -> Result<Seam> {
        let histories = streams.iter().filter(|stream| stream.history.is_some()).count().max(1);
        let memory_bytes = options.memory_bytes / histories;
        let mut seam = Seam {
            sources: Vec::new(),
            readers: Vec::new(),
            state: CoordinatorState {
                number: restored.map_or(0, |state| state.number),
                splits: Vec::new(),
                watermarks: vec![EventTime::MIN; streams.len()],
            },
            start: EventTime::MAX,
            from: options.from,
        };
        if let Some(state) = restored {
            check_splits(&streams, state)?;
            seam.state.watermarks.clone_from(&state.watermarks);
        }
        for (index, stream) in streams.into_iter().enumerate() {
            let opened = open_stream(index, stream, options, memory_bytes, restored)?;
            seam.start = seam.start.min(opened.start.unwrap_or(EventTime::MAX));
            seam.readers.push(opened.readers);
            seam.state.splits.extend(opened.splits.into_iter().map(|split| (index, split)));
            seam.sources.push(Arc::new(opened.source));
        }
        if seam.start == EventTime::MAX {
            seam.start = EventTime::MIN;
        }
        Ok(seam)
    }

    /// The readers of every stream, in the sequence of the streams, without splits. Those of a later run of the job in
    /// the same process are made anew.
    pub fn readers(&self) -> Vec<Vec<Box<dyn Reader>>> {
        let readers = |(source, &count): (&Arc<Source>, &usize)| {
            (0..count).map(|index| Box::new(StreamReader::new(source.clone(), index)) as Box<dyn Reader>).collect()
        };
        self.sources.iter().zip(&self.readers).map(readers).collect()
    }

    /// The coordinator of the job, which says for each stream which streams meet it, and which steps it reaches.
    pub fn coordinator(&self, meetings: &[Meeting]) -> Result<Box<dyn Coordinator>> {
        let time_of = |source: &Arc<Source>| StreamTime {
            name: source.spec.name.clone(),
            live: source.live.is_some(),
            delay: source.spec.delay,
            quiet: match source.spec.quiet {
                Quiet::After(quiet) => quiet,
                Quiet::Never => Span::ZERO,
            },
            cap: if source.live.is_some() { source.cap } else { EventTime::MIN },
        };
        let streams = self.sources.iter().map(time_of).collect();
        Ok(Box::new(JobCoordinator::new(streams, meetings, self.state.clone())?))
    }

    /// `W`: outputs to topics are the rows behind this. `MIN` when no stream has a topic with rows. A job that goes on
    /// from a checkpoint has the same.
    pub fn start(&self) -> EventTime {
        self.start
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

/// The splits of a stream.
fn splits_of(stream: &StreamInput) -> Vec<Split> {
    let shares = stream.history.iter().flat_map(|_| (0..SHARES).map(Split::Share));
    let partitions = stream.live.iter().flat_map(|live| (0..live.topic.partitions()).map(Split::Partition));
    shares.chain(partitions).collect()
}

/// Refuses a checkpoint that does not have every split of every stream, each once.
fn check_splits(streams: &[StreamInput], state: &CoordinatorState) -> Result<()> {
    let wrong = |what: String| Error::corrupt(format!("the checkpoint {} does not fit the job: {what}", state.number));
    let mut expected: Vec<(usize, Split)> = Vec::new();
    for (index, stream) in streams.iter().enumerate() {
        expected.extend(splits_of(stream).into_iter().map(|split| (index, split)));
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

struct Opened {
    source: Source,
    splits: Vec<SplitState>,
    readers: usize,
    start: Option<EventTime>,
}

fn open_stream(
    index: usize,
    stream: StreamInput,
    options: &Options,
    memory_bytes: usize,
    restored: Option<&CoordinatorState>,
) -> Result<Opened> {
    let spec = &stream.spec;
    spec.check()?;
    if stream.history.is_none() && stream.live.is_none() {
        return Err(Error::invalid(format!("stream \"{}\" has neither HISTORY nor LIVE here", spec.name)));
    }
    let rows = stream.history.as_ref().map_or(0, |history| history.files().iter().map(|file| file.rows).sum());
    let all = splits_of(&stream);
    let readers = all.len().clamp(1, options.workers.max(1));
    let stats = Arc::new(StreamStats::new(&spec.name, rows, readers));
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
    let history = match &stream.history {
        Some(files) => {
            if let Some(property) = files.property(CLOCK_PROPERTY) {
                check_clock_property(spec, files.name(), &property)?;
            }
            // What cannot be read is said before anything runs.
            Layout::of(spec, files.name(), &files.schema())?;
            Some(Arc::new(HistoryPlan {
                spec: spec.clone(),
                files: files.clone(),
                stats: stats.clone(),
                memory_bytes,
                spill_dir: options.spill_dir.clone(),
            }))
        }
        None => None,
    };
    let share_of = |split: &Split| match restored {
        Some(_) => known.iter().find(|known| known.split == *split).map(|known| (*known).clone()),
        None => {
            let share = ShareBytes { position: SharePosition::default().to_bytes(), out: OutRows::NONE };
            Some(SplitState { split: *split, position: share.to_bytes() })
        }
    };
    let shares = all.iter().filter(|split| matches!(split, Split::Share(_))).filter_map(share_of);
    let cap = if stream.live.is_some() { history_cap(&partitions) } else { EventTime::MAX };
    let position = |(partition, position): (usize, &PartitionPosition)| SplitState {
        split: Split::Partition(partition as u32),
        position: position.to_bytes(),
    };
    let splits = shares.chain(partitions.iter().enumerate().map(position)).collect();
    let start = partitions.iter().filter_map(|partition| partition.start).min();
    let (spec, live, bounded) = (stream.spec, stream.live, options.until_caught_up);
    Ok(Opened {
        source: Source { spec, live, history, stats, cap, bounded, lead: options.lead },
        splits,
        readers,
        start,
    })
}

/// The frontier behind which the topic is read, checked against the topic and the history.
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
    if rows > 0 && !Layout::of(&stream.spec, files.name(), &files.schema())?.archive {
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

/// Refuses a decoder whose rows are not the declared columns.
pub(crate) fn check_decode(spec: &StreamSpec, decode: &dyn Decode) -> Result<()> {
    let (found, expected) = (decode.schema(), &spec.schema);
    let same = found.fields().len() == expected.fields().len()
        && found
            .fields()
            .iter()
            .zip(expected.fields())
            .all(|(f, e)| f.name() == e.name() && f.data_type() == e.data_type());
    if same {
        return Ok(());
    }
    Err(Error::internal(format!("stream \"{}\": its decoder gives {found:?}, expected {expected:?}", spec.name)))
}
