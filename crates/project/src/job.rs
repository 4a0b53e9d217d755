//! A job: the graph of a target, its readers over history and topics, and its sinks.

use crate::arrivals::with_clocks;
use crate::collected_rows::Rows;
use crate::dead_letter::row_text;
use crate::declared_columns::{ComputedDecode, DeclaredFiles, file_columns};
use crate::failure::Failure;
use crate::files_since::FilesSince;
use crate::fingerprint;
use crate::going_on::GoingOn;
use crate::open::Project;
use crate::output::{
    Begin, Claims, NewTables, WiredSink, begin_tables, claim_tables, refuse_history, refuse_used, wire,
};
use crate::output_check::wrong_outputs;
use crate::savepoints::SavepointRequests;
use crate::tally::{RuleTally, TallySink};
use checkpoint::JobFacts;
use codec::JsonDecode;
use connector_iceberg::SNAPSHOT;
use connector_local::Files;
use dataflow::{
    Background, CheckpointStore, Clock, Coordinator, Decode, Error, ErrorKind, EventTime, JobGraph, NodeKind, Output,
    OutputState, ProcessingTime, Reader, RestoredJob, Result, Sink, TimedFiles, Topic,
};
use seam::{
    CLOCK_PROPERTY, FRONTIER_PROPERTY, Frontier, Lead, Options, Seam, StreamInput, StreamSpec, StreamStats,
    UnreadHistory,
};
use sql::{CheckedPlan, ColumnSource, History, LookBack, Start, Stream, Target};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

/// Messages that are read at once to count them.
const READ_MESSAGES: usize = 8192;
/// About how many bytes of messages one read takes.
const READ_BYTES: usize = 4 << 20;

/// The memory that reading history may take before rows are spilled, per stream.
const HISTORY_BYTES_MAX: usize = 256 << 20;

/// The properties of a table that say which columns the values of its files are.
const TABLE_STATE: [&str; 2] = ["current-schema", "schema.name-mapping.default"];

/// The folder of a warehouse for rows that do not fit in memory.
const SPILL: &str = "_riverrun/spill";

/// How a job runs.
#[derive(Clone, Debug, Default)]
pub struct JobOptions {
    /// The job of `riverrun.toml`; none for all outputs of the project.
    pub job: Option<String>,
    /// Ends where the topics end now.
    pub until_caught_up: bool,
    /// What happens when an output holds rows of the job.
    pub begin: Begin,
    /// Only rows after this are written.
    pub from: Option<EventTime>,
    /// The savepoint that the job goes on from instead of its last checkpoint.
    pub savepoint: Option<PathBuf>,
    /// The run that a job goes on from whose rows are collected.
    pub earlier: Option<CollectedRun>,
}

/// A run whose rows were collected, as its last checkpoint has it.
#[derive(Clone, Debug)]
pub struct CollectedRun {
    /// The checkpoint.
    pub restored: Arc<RestoredJob>,
    /// The rows of each output, none of which were taken.
    pub rows: Vec<Rows>,
}

/// A job that a host can run.
pub struct Wired {
    /// What it does.
    pub graph: JobGraph,
    /// Its streams, opened.
    seam: Seam,
    /// Whether its inputs end, so that it ends by itself.
    pub bounded: bool,
    /// Tables that take the places of others at the end of a job that starts over.
    pub new_tables: NewTables,
    /// One per sink node.
    pub sinks: Vec<WiredSink>,
    /// What becomes of the rows of each stream.
    pub stats: Vec<Arc<StreamStats>>,
    /// `W`: where topics and actions begin.
    pub start: EventTime,
    /// The rows of each output, in the order of the sinks, where they are collected or those of a query.
    pub collected: Vec<Rows>,
    /// What the rules of each decision do.
    pub tallies: Vec<(String, RuleTally)>,
    /// What waits on the topics of its streams.
    pub waiting: Vec<WaitingMessages>,
    /// Where its checkpoints go.
    pub checkpoints: Option<Box<dyn CheckpointStore>>,
    /// What it goes on from.
    pub restored: Option<RestoredJob>,
    /// Histories that were read to their end and have other files now, none of which are read.
    pub unread: Vec<UnreadHistory>,
    /// When that was written.
    pub restored_of: Option<ProcessingTime>,
    /// The savepoint that it is, if it is one.
    pub savepoint: Option<PathBuf>,
    /// Takes what is to be copied of its checkpoints.
    pub savepoints: SavepointRequests,
    /// Gives what people should know of its checkpoints while it runs.
    pub warnings: Option<Receiver<String>>,
    /// Tells the time to what runs the job.
    pub clock: Arc<dyn Clock>,
    /// Where rows go that do not fit in memory; to be kept as long as the job runs.
    pub spill: SpillFolder,
}

impl CollectedRun {
    /// The rows of the output of a node, which is the one of this number.
    fn rows_of(&self, node: &str, number: usize) -> Result<Rows> {
        let state = self.restored.outputs.iter().find(|output| output.output == node);
        let position = state.and_then(|state| state.position.as_deref());
        match (position, self.rows.get(number)) {
            (Some(position), Some(rows)) => Rows::after(rows, position),
            _ => Err(Error::internal(format!("the earlier run has collected no rows of {node}"))),
        }
    }
}

/// The outputs of a job, bound.
struct Outputs {
    sinks: Vec<WiredSink>,
    tallies: Vec<(String, RuleTally)>,
    collected: Vec<Rows>,
    claims: Option<Arc<Claims>>,
}

/// Messages that wait on the topic of a stream.
pub struct WaitingMessages {
    /// The stream.
    pub stream: String,
    /// Whether they follow what an archive holds, and not the topic's beginning.
    pub after_archive: bool,
    /// How many there are; about [`WAITING_MAX`] where there are so many or more.
    pub messages: u64,
}

/// The readers of each stream, in the order of the source nodes.
pub type Readers = Vec<Vec<Box<dyn Reader>>>;

impl Wired {
    /// The readers of each stream on so many workers, and the coordinator that keeps them together. `background` runs
    /// what they read ahead. They are made once.
    pub fn readers(
        &mut self,
        workers: usize,
        background: Arc<dyn Background>,
    ) -> Result<(Readers, Box<dyn Coordinator>)> {
        self.seam.begin(workers, background, &self.graph.meetings())
    }
}

/// A folder for rows that do not fit in memory, in the warehouse, since a temporary folder may itself be memory.
/// Removed when the job is.
pub struct SpillFolder(PathBuf);

impl SpillFolder {
    /// A folder of this process's own; it is made when the first row is spilled.
    pub(crate) fn new(warehouse: &Path) -> SpillFolder {
        static JOBS: AtomicU64 = AtomicU64::new(0);
        let job = JOBS.fetch_add(1, Ordering::Relaxed);
        SpillFolder(warehouse.join(SPILL).join(format!("{}-{job}", std::process::id())))
    }

    /// Where it is, or will be.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed holds nothing that anyone reads again.
        let _ = std::fs::remove_dir_all(&self.0);
        // Other jobs may still have theirs beside it.
        for folder in self.0.ancestors().skip(1).take(Path::new(SPILL).components().count()) {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl Project {
    /// Wires the job of a target. Nothing is written before everything that can be refused has been checked.
    pub fn job(&self, target: &Target, options: &JobOptions) -> Result<Wired, Failure> {
        let checked = self.check(target)?;
        if let (Target::All, Some(nothing)) = (target, self.nothing_to_run()) {
            return Err(Error::invalid(nothing).into());
        }
        self.job_of(&checked, options)
    }

    /// Wires the job of a plan.
    pub fn job_of(&self, checked: &CheckedPlan, options: &JobOptions) -> Result<Wired, Failure> {
        refuse_history(self, &checked.outputs)?;
        let wrong = wrong_outputs(self, &checked.outputs)?;
        if !wrong.is_empty() {
            return Err(Failure::Diagnostics(wrong));
        }
        let mut going_on = match options.begin {
            Begin::Collect => None,
            begin => Some(GoingOn::look(self, options.job.as_deref(), begin, options.savepoint.as_deref())?),
        };
        // After the first checkpoint a job may have read rows, and its outputs are as they were: it begins anew, so that
        // what stopped it can be mended in its inputs.
        if let Some(going_on) = going_on.as_mut().filter(|going_on| going_on.is_at_first())
            && refuse_used(self, &checked.outputs).is_ok()
        {
            going_on.last = None;
        }
        if let Some(GoingOn { last: None, .. }) = &going_on
            && options.begin == Begin::GoOn
        {
            refuse_used(self, &checked.outputs)?;
        }
        let snapshot = |stream: &Stream| going_on.as_ref()?.snapshot(&stream.name);
        let input =
            |stream| self.input(stream, options, snapshot(stream)).map_err(|error| self.at_inputs(stream, error));
        let mut inputs = checked.streams.iter().map(input).collect::<Result<Vec<_>, _>>()?;
        if let Some(from) = options.from {
            look_back(checked, &mut inputs, from);
        }
        let wired = self.wire(checked, inputs, options, going_on)?;
        if checked.outputs.iter().any(|spec| !matches!(spec.output, Output::Query(_))) {
            self.lock.write(&checked.models, &checked.states())?;
        }
        Ok(wired)
    }

    /// Why a run of the whole project would do nothing, if it would not.
    pub fn nothing_to_run(&self) -> Option<&'static str> {
        if self.statements.is_empty() {
            return Some(
                "no file in pipelines/ has a statement; write them there, or let `riverrun init` write a project that works",
            );
        }
        (!self.statements.has_outputs()).then_some(
            "no statement writes anything, expected an INSERT or a CREATE DECISION; `riverrun query 'SELECT * FROM NAME'` \
             shows the rows of a stream or a view, and `riverrun run archive` copies what ARCHIVE names",
        )
    }

    /// Wires planned outputs to inputs. Everything that can be refused is, before anything is written.
    pub(crate) fn wire(
        &self,
        checked: &CheckedPlan,
        inputs: Vec<StreamInput>,
        options: &JobOptions,
        mut going_on: Option<GoingOn>,
    ) -> Result<Wired, Failure> {
        let last = going_on.as_ref().and_then(|going_on| going_on.last.clone());
        let unread = inputs.iter().filter(|_| last.is_none());
        let waiting = unread.filter_map(|input| waiting(input).transpose()).collect::<Result<_>>()?;
        let from = last.as_ref().map_or(options.from, |last| last.facts.from);
        let lowered = |start: EventTime| checked.lower(&Start { after: start, revision: self.revision(), row_text });
        if let (Some(going_on), Some(last)) = (&going_on, &last) {
            going_on.check(&fingerprint::plan(checked, &lowered(last.facts.start)?), options.from)?;
        }
        let earlier = options.earlier.as_ref().map(|earlier| &earlier.restored);
        let had_ended = last.as_ref().map_or(earlier.is_some_and(|earlier| earlier.last), |last| last.last);
        let (seam_options, spill) = self.seam_options(options, from, had_ended);
        let histories: Vec<(String, String)> = inputs.iter().filter_map(snapshot_of).collect();
        let positions = last.as_ref().map(|last| &last.coordinator);
        let seam = Seam::open(inputs, &seam_options, positions.or(earlier.map(|earlier| &earlier.coordinator)))?;
        let begins = || seam.start().max(from.unwrap_or(EventTime::MIN));
        let start = last.as_ref().map_or_else(begins, |last| last.facts.start);
        let graph = lowered(start)?;
        let facts = JobFacts {
            job: options.job.clone().unwrap_or_else(|| self.name().to_owned()),
            fingerprint: fingerprint::plan(checked, &graph),
            revision: self.revision(),
            start,
            from,
            bounded: seam.is_bounded(),
            histories,
            generation: last.as_ref().map_or(0, |last| last.facts.generation),
        };
        if let Some(going_on) = &mut going_on {
            if checked.outputs.iter().any(|spec| matches!(spec.output, Output::Table(_))) {
                // Checkpoints lie beside the tables, and what is wrong with that folder is said of the tables.
                self.warehouse()?;
            }
            going_on.hold(self, options.begin == Begin::Fresh)?;
        }
        let outputs = self.outputs(checked, &graph, (options, seam.is_bounded(), start), going_on.as_mut())?;
        if going_on.is_some() {
            self.hold_histories(checked, &facts)?;
        }
        let begun = going_on.as_mut().map(|going_on| going_on.begin(facts, seam.state().clone())).transpose()?;
        let last = going_on.as_ref().and_then(|going_on| going_on.last.clone());
        let Outputs { mut sinks, tallies, collected, claims } = outputs;
        for sink in &mut sinks {
            sink.after = sink.after.max(from.unwrap_or(EventTime::MIN));
            // What a checkpoint holds is durable, and what it had prepared is committed before anything new is.
            let output = last.iter().flat_map(|last| &last.outputs).find(|output| output.output == sink.node);
            if let Some(OutputState { pending, .. }) = output.filter(|output| !output.pending.is_empty()) {
                sink.committer.commit(pending.clone())?;
            }
            if let (Output::Table(table), Some(claims), Some(_)) = (&sink.output, &claims, &last) {
                let pending = output.map(|output| output.pending.as_slice()).unwrap_or_default();
                claims.get(table).map(|claim| claim.collect_orphans(pending)).transpose()?;
            }
        }
        let (stats, savepoints) = (seam.stats(), SavepointRequests::default());
        Ok(Wired {
            graph,
            new_tables: claims.map(NewTables).unwrap_or_default(),
            bounded: seam.is_bounded(),
            unread: seam.unread().to_vec(),
            seam,
            sinks,
            stats,
            start,
            collected,
            tallies,
            waiting,
            savepoint: going_on.as_ref().and_then(GoingOn::savepoint),
            warnings: going_on.as_mut().and_then(GoingOn::take_warnings),
            checkpoints: going_on.and_then(|going_on| going_on.into_store(savepoints.clone())),
            savepoints,
            restored: begun.flatten().or_else(|| earlier.map(|earlier| RestoredJob::clone(earlier))),
            restored_of: last.map(|last| last.written_at),
            spill,
            clock: self.clock.clone(),
        })
    }

    /// Keeps the snapshots that a job reads from expiring: a later run goes on in the same.
    fn hold_histories(&self, checked: &CheckedPlan, facts: &JobFacts) -> Result<()> {
        for stream in &checked.streams {
            let snapshot = facts.histories.iter().find(|(name, _)| *name == stream.name);
            if let (Some(History::Table(table)), Some((_, snapshot))) = (&stream.history, snapshot)
                && let Ok(snapshot) = snapshot.parse()
            {
                self.warehouse()?.hold(table, &format!("riverrun-{}-{}", self.name(), facts.job), snapshot)?;
            }
        }
        Ok(())
    }

    /// Binds every sink node of a job's graph, and brings its tables to where they begin or go on.
    fn outputs(
        &self,
        checked: &CheckedPlan,
        graph: &JobGraph,
        (options, is_bounded, start): (&JobOptions, bool, EventTime),
        mut going_on: Option<&mut GoingOn>,
    ) -> Result<Outputs, Failure> {
        let begin = (options.begin, is_bounded, start);
        let (mut sinks, mut tallies, mut collected) = (Vec::new(), Vec::new(), Vec::new());
        let collects = begin.0 == Begin::Collect;
        let claims = if collects { None } else { Some(Arc::new(claim_tables(self, &checked.outputs)?)) };
        for node in &graph.nodes {
            let NodeKind::Sink(output) = &node.kind else { continue };
            let spec = checked.outputs.iter().find(|spec| spec.output == *output).ok_or_else(|| {
                Failure::Error(Error::internal(format!("sink {} writes no output of the job", node.name)))
            })?;
            let rows = options.earlier.as_ref().map(|earlier| earlier.rows_of(&node.name, collected.len()));
            let rows = rows.transpose()?.unwrap_or_default();
            let before = going_on.as_ref().and_then(|going_on| going_on.output(&node.name));
            let mut sink = wire(self, spec, claims.as_ref(), begin, (&rows, before))?;
            collected.push(rows);
            sink.node = node.name.clone();
            if let (Some(claims), Some(going_on)) = (&claims, &mut going_on) {
                going_on.go_on_with_table(claims, spec, &node.name)?;
            }
            if let (Some(decision), Output::Table(_), false) = (&spec.from_decision, output, collects) {
                let tally = RuleTally::new(&spec.rules);
                let (writer, of_writer) = (sink.writer, tally.clone());
                sink.writer = Box::new(move |worker| {
                    Ok(Box::new(TallySink { inner: writer(worker)?, tally: of_writer.clone() }) as Box<dyn Sink>)
                });
                tallies.push((decision.clone(), tally));
            }
            sinks.push(sink);
        }
        if let (Some(claims), Some(GoingOn { last: None, .. })) = (&claims, going_on) {
            begin_tables(claims, &checked.outputs, begin.0)?;
        }
        Ok(Outputs { sinks, tallies, collected, claims })
    }

    /// Shows what is wrong with the inputs of a stream where its text names them.
    fn at_inputs(&self, stream: &Stream, error: Error) -> Failure {
        let placed =
            (error.kind() == ErrorKind::Invalid).then(|| self.statements.at_inputs(&stream.name, &error.chain()));
        placed.flatten().map_or(Failure::Error(error), |placed| Failure::Diagnostics(vec![placed]))
    }

    /// The topics that the live side of a target needs, that are not there and that cannot be made here, each with the
    /// reason. Those that can be made exist afterwards.
    pub fn missing_topics(&self, target: &Target) -> Result<Vec<(String, String)>, Failure> {
        let mut missing = Vec::new();
        for stream in &self.check(target)?.streams {
            let Some(topic) = &stream.live else { continue };
            if let Err(error) = self.topics()?.topic_or_create(topic, 1)
                && self.topics()?.topic(topic)?.is_none()
            {
                missing.push((topic.clone(), error.chain()));
            }
        }
        Ok(missing)
    }

    /// The history and the topic of a stream. A job that continues live gets an empty topic where none exists yet.
    fn input(&self, stream: &Stream, options: &JobOptions, snapshot: Option<i64>) -> Result<StreamInput> {
        if let Some(topic) = &stream.live
            && !options.until_caught_up
            && options.begin != Begin::Collect
        {
            self.topics()?.topic_or_create(topic, 1)?;
        }
        let (mut input, state) = self.input_there(stream, snapshot)?;
        if input.history.is_none() && input.live.is_none() {
            return Err(self.nothing_there(stream));
        }
        if let (Some(files), Some(state)) = (&input.history, state) {
            input.history = Some(self.with_clocks(files.clone(), stream, &state)?);
        }
        Ok(input)
    }

    /// The history and the topic of a stream, as far as they are there. The text is the state of a history whose rows
    /// may have an arrival of their own; their clocks are not looked for, since that reads them all and writes a file.
    pub(crate) fn input_there(&self, stream: &Stream, snapshot: Option<i64>) -> Result<(StreamInput, Option<String>)> {
        let live = stream.live.as_ref().map_or(Ok(None), |topic| self.live(stream, topic))?;
        let (history, history_frontier, state) = match &stream.history {
            Some(History::Table(table)) => match self.table(stream, table, snapshot)? {
                // Beside a topic, and in an archive, the broker's arrivals stand.
                (Some(files), None) if stream.live.is_none() => {
                    let state = TABLE_STATE.map(|property| files.property(property).unwrap_or_default()).concat();
                    (Some(files), None, Some(state))
                }
                (files, frontier) => (files, frontier, None),
            },
            Some(History::Files(pattern, encoding)) => {
                let files = Arc::new(Files::open(pattern, &self.folder.root, &file_columns(stream), *encoding)?);
                let declared: Arc<dyn TimedFiles> = Arc::new(DeclaredFiles::new(files.clone(), stream)?);
                (Some(declared), None, Some(files.state().to_owned()))
            }
            None => (None, None, None),
        };
        Ok((StreamInput { spec: stream_spec(stream), history, history_frontier, live }, state))
    }

    fn with_clocks(&self, files: Arc<dyn TimedFiles>, stream: &Stream, state: &str) -> Result<Arc<dyn TimedFiles>> {
        let (warehouse, spec) = (self.warehouse_path(), stream_spec(stream));
        let spill = SpillFolder::new(&warehouse);
        let tell = |rows: u64| self.reads_arrivals.get().into_iter().for_each(|tell| tell(&stream.name, rows));
        with_clocks(files, (stream, &spec), state, (&warehouse, spill.path()), &tell)
    }

    /// Why a stream cannot be read of which there is nothing.
    pub(crate) fn nothing_there(&self, stream: &Stream) -> Error {
        let name = &stream.name;
        Error::invalid(match (&stream.history, &stream.live) {
            (Some(History::Table(table)), None) => format!(
                "stream \"{name}\": table {table} does not exist in {}, and no LIVE names a topic to read instead",
                self.warehouse_path().display()
            ),
            _ => format!(
                "stream \"{name}\" has neither history nor a topic yet: `riverrun publish {name} FILE` makes its topic"
            ),
        })
    }

    /// How a job opens its streams.
    pub(crate) fn seam_options(
        &self,
        options: &JobOptions,
        from: Option<EventTime>,
        new_ends: bool,
    ) -> (Options, SpillFolder) {
        let spill = SpillFolder::new(&self.warehouse_path());
        let options = Options {
            until_caught_up: options.until_caught_up,
            new_ends,
            from,
            memory_bytes: HISTORY_BYTES_MAX,
            spill_dir: spill.0.clone(),
            lead: Lead::default(),
        };
        (options, spill)
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

    /// A snapshot of a stream's history, the current one where none is named, with its frontier where it is an archive. One
    /// that has expired is read as it is now: a job that had read it to its end does not need it, and any other is refused,
    /// since its files are others.
    pub(crate) fn table(
        &self,
        stream: &Stream,
        table: &str,
        snapshot: Option<i64>,
    ) -> Result<(Option<Arc<dyn TimedFiles>>, Option<Frontier>)> {
        let warehouse = match self.warehouse_if_there()? {
            Some(warehouse) if warehouse.exists(table)? => warehouse,
            _ => return Ok((None, None)),
        };
        let at = snapshot.and_then(|snapshot| warehouse.read_at(table, snapshot).ok());
        let files = at.map_or_else(|| warehouse.read(table), Ok)?;
        match files.property(FRONTIER_PROPERTY) {
            Some(text) => {
                let frontier = Frontier::parse(&text).map_err(|error| error.context(format!("table {table}")))?;
                Ok((Some(files), Some(frontier)))
            }
            // An archive of an empty topic: live begins where the topic does.
            None if stream.live.is_some() && files.property(CLOCK_PROPERTY).is_some() && files.files().is_empty() => {
                Ok((Some(files), None))
            }
            None if stream.live.is_some() => Err(Error::invalid(format!(
                "stream \"{}\": table {table} was not written by ARCHIVE and holds no frontier, so where it ends on topic \
                 {} is not known: leave out LIVE, or archive the topic into a table of its own",
                stream.name,
                stream.live.as_deref().unwrap_or_default()
            ))),
            None => Ok((Some(Arc::new(DeclaredFiles::of_table(files, stream)?)), None)),
        }
    }
}

/// The snapshot that is read as a stream's history.
fn snapshot_of(input: &StreamInput) -> Option<(String, String)> {
    Some((input.spec.name.clone(), input.history.as_ref()?.property(SNAPSHOT)?))
}

/// Leaves out the files of each history that no output after an instant looks back to.
fn look_back(checked: &CheckedPlan, inputs: &mut [StreamInput], from: EventTime) {
    for (name, reach) in checked.look_back() {
        let LookBack::For(span) = reach else { continue };
        for input in inputs.iter_mut().filter(|input| input.spec.name == name) {
            let since = |files| Arc::new(FilesSince::new(files, &input.spec, from.minus(span))) as Arc<dyn TimedFiles>;
            input.history = input.history.take().map(since);
        }
    }
}

/// The most messages of a topic that are counted before a job starts.
pub const WAITING_MAX: u64 = 1_000_000;

/// How many messages of a stream's topic follow its archive's frontier, or its beginning where there is no archive.
fn waiting(input: &StreamInput) -> Result<Option<WaitingMessages>> {
    let Some(live) = &input.live else { return Ok(None) };
    let mut count = 0;
    for partition in 0..live.topic.partitions() {
        let frontier = input.history_frontier.as_ref().and_then(|frontier| frontier.partitions.get(partition as usize));
        let after = frontier.copied().flatten().map(|frontier| frontier.position);
        let mut log = live.topic.open(partition, after)?;
        while count < WAITING_MAX {
            match log.read(READ_MESSAGES, READ_BYTES)?.len() {
                0 => break,
                messages => count += messages as u64,
            }
        }
    }
    let after_archive = input.history_frontier.is_some();
    Ok(Some(WaitingMessages { stream: input.spec.name.clone(), after_archive, messages: count }))
}

/// The decoder of a stream's messages.
pub(crate) fn decoder(stream: &Stream, topic: &str) -> Result<Arc<dyn Decode>> {
    let paths = stream.sources.iter().filter_map(|source| match source {
        ColumnSource::Path(path) => Some(path.clone()),
        ColumnSource::Computed(_) => None,
    });
    let raw = JsonDecode::new(topic, stream.raw.clone(), paths.collect())?;
    let computes = stream.sources.iter().any(|source| matches!(source, ColumnSource::Computed(_)));
    Ok(if computes { Arc::new(ComputedDecode::new(Box::new(raw), stream)) } else { Arc::new(raw) })
}

/// A stream as its reader needs it.
pub(crate) fn stream_spec(stream: &Stream) -> StreamSpec {
    StreamSpec {
        name: stream.name.clone(),
        schema: stream.schema.clone(),
        time_column: stream.time_column,
        delay: stream.delay,
        quiet: stream.quiet,
        late: stream.late,
        arrival: stream.arrival,
        dedup_key: stream.dedup.as_ref().map(|dedup| dedup.keys.clone()).unwrap_or_default(),
        bad_rows: stream.bad_rows,
        row_text,
    }
}
