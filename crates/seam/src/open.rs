//! Opens the streams of a job: checks that both sides of each belong together, and finds where outputs begin.

use crate::archive::{CLOCK_PROPERTY, check_clock_property};
use crate::coordinator::{StreamTime, Streams, Together};
use crate::frontier::{FRONTIER_PROPERTY, Frontier};
use crate::history::History;
use crate::live::LiveReader;
use crate::placing::Layout;
use crate::reader::StreamReader;
use crate::{Quiet, StreamSpec, StreamStats};
use dataflow::{Coordinator, Decode, Error, EventTime, Reader, Result, Span, TimedFiles, Topic};
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
}

/// The opened streams of a job.
pub struct Seam {
    readers: Vec<Box<dyn Reader>>,
    together: Arc<Together>,
    start: EventTime,
    from: Option<EventTime>,
    stats: Vec<Arc<StreamStats>>,
}

impl Seam {
    /// Opens streams; their index is the source's index. Reads no rows, except to find where partitions begin.
    pub fn open(streams: Vec<StreamInput>, options: Options) -> Result<Seam> {
        let together = Arc::new(Together::new(streams.iter().map(time_of).collect()));
        let histories = streams.iter().filter(|stream| stream.history.is_some()).count().max(1);
        let (mut readers, mut stats): (Vec<Box<dyn Reader>>, _) = (Vec::new(), Vec::new());
        let mut start: Option<EventTime> = None;
        for (source, stream) in streams.into_iter().enumerate() {
            let reader = open_stream(source, stream, &options, histories, &together)?;
            let here = reader.live.as_ref().and_then(LiveReader::start);
            start = start.into_iter().chain(here).min();
            stats.push(reader.stats.clone());
            readers.push(Box::new(reader));
        }
        Ok(Seam { readers, together, start: start.unwrap_or(EventTime::MIN), from: options.from, stats })
    }

    /// The readers, one per stream in their sequence. They are given once.
    pub fn readers(&mut self) -> Vec<Box<dyn Reader>> {
        std::mem::take(&mut self.readers)
    }

    /// Says for each stream which streams meet it in a step, itself among them, and how long steps hold its rows past
    /// their own time. Before that all streams hold each other back.
    pub fn meet(&self, meetings: &[(Vec<usize>, Span)]) {
        self.together.meet(meetings);
    }

    /// The coordinator of the readers.
    pub fn coordinator(&self) -> Arc<dyn Coordinator> {
        Arc::new(Streams(self.together.clone()))
    }

    /// `W`: outputs to topics are the rows behind this. `MIN` when no stream has a topic with rows.
    pub fn start(&self) -> EventTime {
        self.start
    }

    /// Where output is to begin, as the options say.
    pub fn from(&self) -> Option<EventTime> {
        self.from
    }

    /// What became of the rows, per stream; readable at any time.
    pub fn stats(&self) -> Vec<Arc<StreamStats>> {
        self.stats.clone()
    }
}

fn time_of(stream: &StreamInput) -> StreamTime {
    let quiet = match stream.spec.quiet {
        Quiet::After(quiet) => quiet,
        Quiet::Never => Span::ZERO,
    };
    StreamTime { name: stream.spec.name.clone(), live: stream.live.is_some(), delay: stream.spec.delay, quiet }
}

fn open_stream(
    source: usize,
    stream: StreamInput,
    options: &Options,
    histories: usize,
    together: &Arc<Together>,
) -> Result<StreamReader> {
    let spec = &stream.spec;
    spec.check()?;
    let rows = stream.history.as_ref().map_or(0, |history| history.files().iter().map(|file| file.rows).sum());
    let stats = Arc::new(StreamStats::new(&spec.name, rows));
    let live = match &stream.live {
        Some(live) => {
            check_decode(spec, live.decode.as_ref())?;
            let frontier = frontier_of(&stream, live.topic.as_ref(), rows)?;
            Some(LiveReader::open(spec, live, &frontier, stats.clone(), options.until_caught_up)?)
        }
        None => None,
    };
    let history = match &stream.history {
        Some(files) => {
            if let Some(property) = files.property(CLOCK_PROPERTY) {
                check_clock_property(spec, files.name(), &property)?;
            }
            let memory_bytes = options.memory_bytes / histories;
            Some(History::new(spec, files.clone(), stats.clone(), memory_bytes, options.spill_dir.clone())?)
        }
        None => None,
    };
    if history.is_none() && live.is_none() {
        return Err(Error::invalid(format!("stream \"{}\" has neither HISTORY nor LIVE here", spec.name)));
    }
    let cap = live.as_ref().map_or(EventTime::MAX, LiveReader::history_cap);
    Ok(StreamReader {
        source,
        together: together.clone(),
        stats,
        history,
        live,
        cap,
        switched: false,
        given: EventTime::MIN,
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
