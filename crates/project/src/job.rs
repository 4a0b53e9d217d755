//! A job: the graph of a target, its readers over history and topics, and its sinks.

use crate::dead_letter::row_text;
use crate::declared::{Computed, DeclaredFiles, file_types};
use crate::open::{Failure, Project};
use crate::output::{Rows, refuse_history, refuse_used, wire};
use crate::since::Since;
use crate::tally::{RuleTally, Tallied};
use codec::JsonDecode;
use connector_local::Files;
use dataflow::{
    Committer, Coordinator, Decode, Error, ErrorKind, EventTime, JobGraph, NodeKind, Output, Reader, Result, Sink,
    TimedFiles, Topic,
};
use seam::{BadRows, FRONTIER_PROPERTY, Frontier, Late, Options, Quiet, Seam, StreamInput, StreamSpec, StreamStats};
use sql::{Checked, ColumnSource, History, LookBack, Start, Stream, Target};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Messages that are read at once to count them.
const READ_MESSAGES: usize = 8192;

/// The memory that reading history may take before rows are spilled, per stream.
const HISTORY_BYTES_MAX: usize = 256 << 20;

/// What happens when an output holds rows of the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// The job is refused.
    Refuse,
    /// Tables are dropped, and topics are written under a new epoch.
    Fresh,
    /// Nothing outside is touched: rows of every output are collected in memory.
    Collect,
}

/// How a job runs.
#[derive(Clone, Debug)]
pub struct JobOptions {
    /// Ends where the topics end now.
    pub until_caught_up: bool,
    /// What happens when an output holds rows of the job.
    pub begin: Begin,
    /// Only rows behind this are written.
    pub from: Option<EventTime>,
}

/// A sink and what it writes to.
pub struct WiredSink {
    /// The output's name.
    pub name: String,
    /// The name of its node in the graph.
    pub node: String,
    /// Where it goes.
    pub output: Output,
    /// Makes the writer of one worker.
    pub writer: Box<dyn Fn(usize) -> Result<Box<dyn Sink>> + Send>,
    /// Makes visible what was prepared.
    pub committer: Box<dyn Committer>,
    /// Only rows with `_time` above this are written.
    pub after: EventTime,
    /// The producer epoch of a topic.
    pub epoch: Option<u64>,
}

/// A job that a host can run.
pub struct Wired {
    /// What it does.
    pub graph: JobGraph,
    /// One reader per source node.
    pub readers: Vec<Box<dyn Reader>>,
    /// Keeps them together.
    pub coordinator: Arc<dyn Coordinator>,
    /// One per sink node.
    pub sinks: Vec<WiredSink>,
    /// What becomes of the rows of each stream.
    pub stats: Vec<Arc<StreamStats>>,
    /// `W`: where topics and actions begin.
    pub start: EventTime,
    /// The rows of a query.
    pub rows: Rows,
    /// The rows of each output, in the order of the sinks, where they are collected.
    pub collected: Vec<Rows>,
    /// What the rules of each decision do.
    pub tallies: Vec<(String, RuleTally)>,
    /// How many messages lie on topics behind the archive's frontiers.
    pub waiting: u64,
    /// Where rows go that do not fit in memory; to be kept as long as the job runs.
    pub spill: SpillFolder,
}

/// A folder for rows that do not fit in memory, removed when the job is.
pub struct SpillFolder(PathBuf);

impl SpillFolder {
    /// A folder of this process's own; it is made when the first row is spilled.
    fn new(project: &str) -> SpillFolder {
        static JOBS: AtomicU64 = AtomicU64::new(0);
        let job = JOBS.fetch_add(1, Ordering::Relaxed);
        SpillFolder(std::env::temp_dir().join(format!("riverrun-{project}-{}-{job}", std::process::id())))
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed holds nothing that anyone reads again.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Project {
    /// Wires the job of a target. Nothing is written before everything that can be refused has been checked.
    pub fn job(&self, target: &Target, options: &JobOptions) -> Result<Wired, Failure> {
        let checked = self.check(target)?;
        refuse_history(self, &checked.outputs)?;
        if options.begin == Begin::Refuse {
            refuse_used(self, &checked.outputs)?;
        }
        let input = |stream| self.input(stream).map_err(|error| self.at_inputs(stream, error));
        let mut inputs = checked.streams.iter().map(input).collect::<Result<Vec<_>, _>>()?;
        if let Some(from) = options.from {
            look_back(&checked, &mut inputs, from);
        }
        let wired = self.wire(&checked, inputs, options)?;
        if checked.outputs.iter().any(|spec| spec.output != Output::Query) {
            self.lock.write(&checked.models)?;
        }
        Ok(wired)
    }

    /// Wires planned outputs to inputs.
    pub(crate) fn wire(
        &self,
        checked: &Checked,
        inputs: Vec<StreamInput>,
        options: &JobOptions,
    ) -> Result<Wired, Failure> {
        let waiting = inputs.iter().map(waiting).sum::<Result<u64>>()?;
        let spill = SpillFolder::new(self.name());
        let mut seam = Seam::open(
            inputs,
            Options {
                until_caught_up: options.until_caught_up,
                from: options.from,
                memory_bytes: HISTORY_BYTES_MAX,
                spill_dir: spill.0.clone(),
            },
        )?;
        let start = seam.start().max(options.from.unwrap_or(EventTime::MIN));
        let graph = checked.lower(&Start { after: start, revision: self.revision(), row_text })?;
        let rows = Rows::default();
        let (mut sinks, mut tallies, mut collected) = (Vec::new(), Vec::new(), Vec::new());
        for node in &graph.nodes {
            let NodeKind::Sink(output) = &node.kind else { continue };
            let spec = checked.outputs.iter().find(|spec| spec.output == *output).ok_or_else(|| {
                Failure::Error(Error::internal(format!("sink {} writes no output of the job", node.name)))
            })?;
            let rows = if options.begin == Begin::Collect { Rows::default() } else { rows.clone() };
            let mut sink = wire(self, spec, options.begin, start, &rows)?;
            collected.push(rows);
            sink.after = sink.after.max(options.from.unwrap_or(EventTime::MIN));
            sink.node = node.name.clone();
            if let (Some(decision), Output::Table(_)) = (&spec.from_decision, output)
                && options.begin != Begin::Collect
            {
                let tally = RuleTally::new(&spec.rules);
                let (writer, of_writer) = (sink.writer, tally.clone());
                sink.writer = Box::new(move |worker| {
                    Ok(Box::new(Tallied { inner: writer(worker)?, tally: of_writer.clone() }) as Box<dyn Sink>)
                });
                tallies.push((decision.clone(), tally));
            }
            sinks.push(sink);
        }
        let (readers, coordinator, stats) = (seam.readers(), seam.coordinator(), seam.stats());
        Ok(Wired { graph, readers, coordinator, sinks, stats, start, rows, collected, tallies, waiting, spill })
    }

    /// Shows what is wrong with the inputs of a stream where its text names them.
    fn at_inputs(&self, stream: &Stream, error: Error) -> Failure {
        let placed =
            (error.kind() == ErrorKind::Invalid).then(|| self.statements.at_inputs(&stream.name, &error.chain()));
        placed.flatten().map_or(Failure::Error(error), |placed| Failure::Diagnostics(vec![placed]))
    }

    /// The history and the topic of a stream.
    fn input(&self, stream: &Stream) -> Result<StreamInput> {
        let live = match &stream.live {
            Some(topic) => self.live(stream, topic)?,
            None => None,
        };
        let (history, history_frontier) = match &stream.history {
            Some(History::Table(table)) => self.table(stream, table)?,
            Some(History::Files(pattern)) => {
                let files = Files::open_with_errors(pattern, &self.folder.root)?.with_types(&file_types(stream))?;
                let files = Arc::new(files);
                (Some(Arc::new(DeclaredFiles::new(files, stream)?) as Arc<dyn TimedFiles>), None)
            }
            None => (None, None),
        };
        if history.is_none() && live.is_none() {
            return Err(Error::invalid(format!(
                "stream \"{}\" has neither history nor topic yet: `riverrun publish {} FILE` makes its topic",
                stream.name, stream.name
            )));
        }
        Ok(StreamInput { spec: stream_spec(stream), history, history_frontier, live })
    }

    /// The topic of a stream, if it is there.
    pub(crate) fn live(&self, stream: &Stream, topic: &str) -> Result<Option<seam::Live>> {
        if !self.topics_path().is_dir() {
            return Ok(None);
        }
        let Some(topic) = self.topics()?.topic(topic)? else { return Ok(None) };
        let decode = decoder(stream, topic.name())?;
        Ok(Some(seam::Live { topic, decode }))
    }

    /// The current snapshot of a stream's history, with its frontier where it is an archive.
    fn table(&self, stream: &Stream, table: &str) -> Result<(Option<Arc<dyn TimedFiles>>, Option<Frontier>)> {
        let warehouse = match self.warehouse_if_there()? {
            Some(warehouse) if warehouse.exists(table)? => warehouse,
            _ => return Ok((None, None)),
        };
        let files = warehouse.read(table)?;
        match files.property(FRONTIER_PROPERTY) {
            Some(text) => {
                let frontier = Frontier::parse(&text).map_err(|error| error.context(format!("table {table}")))?;
                Ok((Some(files), Some(frontier)))
            }
            None if stream.live.is_some() => Err(Error::invalid(format!(
                "stream \"{}\": table {table} was not written by ARCHIVE and holds no frontier, so where it ends on topic \
                 {} is not known: leave out LIVE, or archive the topic into a table of its own",
                stream.name,
                stream.live.as_deref().unwrap_or_default()
            ))),
            None => Ok((Some(Arc::new(DeclaredFiles::new(files, stream)?)), None)),
        }
    }
}

/// Leaves out the files of each history that no output behind an instant looks back to.
fn look_back(checked: &Checked, inputs: &mut [StreamInput], from: EventTime) {
    for (name, reach) in checked.look_back() {
        let LookBack::For(span) = reach else { continue };
        for input in inputs.iter_mut().filter(|input| input.spec.name == name) {
            let since = |files| Arc::new(Since::new(files, &input.spec, from.minus(span))) as Arc<dyn TimedFiles>;
            input.history = input.history.take().map(since);
        }
    }
}

/// The most messages behind an archive that are counted before a job starts.
const WAITING_MAX: u64 = 1_000_000;

/// How many messages of a stream's topic lie behind its archive, counted up to [`WAITING_MAX`].
fn waiting(input: &StreamInput) -> Result<u64> {
    let Some(live) = &input.live else { return Ok(0) };
    let mut count = 0;
    for partition in 0..live.topic.partitions() {
        let frontier = input.history_frontier.as_ref().and_then(|frontier| frontier.partitions.get(partition as usize));
        let after = frontier.copied().flatten().map(|frontier| frontier.position);
        let mut log = live.topic.open(partition, after)?;
        while count < WAITING_MAX {
            match log.read(READ_MESSAGES, usize::MAX)?.len() {
                0 => break,
                messages => count += messages as u64,
            }
        }
    }
    Ok(count)
}

/// The decoder of a stream's messages.
fn decoder(stream: &Stream, topic: &str) -> Result<Arc<dyn Decode>> {
    let paths = stream.sources.iter().filter_map(|source| match source {
        ColumnSource::Path(path) => Some(path.clone()),
        ColumnSource::Computed(_) => None,
    });
    let raw = JsonDecode::new(topic, stream.raw.clone(), paths.collect())?;
    let computes = stream.sources.iter().any(|source| matches!(source, ColumnSource::Computed(_)));
    Ok(if computes { Arc::new(Computed::new(Box::new(raw), stream)) } else { Arc::new(raw) })
}

/// A stream as its reader needs it.
pub(crate) fn stream_spec(stream: &Stream) -> StreamSpec {
    StreamSpec {
        name: stream.name.clone(),
        schema: stream.schema.clone(),
        time_column: stream.time_column,
        delay: stream.delay,
        quiet: match stream.quiet {
            sql::Quiet::After(span) => Quiet::After(span),
            sql::Quiet::Never => Quiet::Never,
        },
        late: match stream.late {
            sql::Late::Move => Late::Move,
            sql::Late::Drop => Late::Drop,
            sql::Late::To(_) => Late::Aside,
        },
        dedup_key: stream.dedup.as_ref().map(|dedup| dedup.keys.clone()).unwrap_or_default(),
        bad_rows: match stream.on_bad_row {
            sql::BadRow::Fail => BadRows::Fail,
            sql::BadRow::Skip => BadRows::Skip,
            sql::BadRow::DeadLetter(_) => BadRows::DeadLetter(row_text),
        },
    }
}
