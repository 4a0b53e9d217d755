//! A job: the graph of a target, its readers over history and topics, and its sinks.

use crate::collected_rows::Rows;
use crate::dead_letter::row_text;
use crate::failure::Failure;
use crate::fingerprint;
use crate::going_on::GoingOn;
use crate::gone_outputs::commit_gone;
use crate::job_plan::job_plan;
use crate::lock::Found;
use crate::open::Project;
use crate::output::{
    Begin, Claims, EarlierOutput, NewTables, WiredSink, begin_tables, claim_tables, refuse_history, refuse_used, wire,
};
use crate::output_check::{unfitting_outputs, wrong_outputs};
use crate::queue_output::{queue_of, refuse_takeover};
use crate::savepoints::SavepointRequests;
use crate::settle::{committed, settle};
use crate::spill_folder::SpillFolder;
use crate::stream_input::{WaitingMessages, snapshot_of, waiting};
use crate::tally::{RuleTally, TallySink};
use crate::topics::Topics;
use crate::wanted_rows::{look_back, wanted_rows};
use checkpoint::JobFacts;
use connector_pulsar::HeldAnchors;
use dataflow::{
    Background, CheckpointStore, Clock, Coordinator, Error, EventTime, JobGraph, NodeKind, Output, ProcessingTime,
    Reader, RestoredJob, Result, Sink,
};
use seam::{Lead, Options, Seam, StreamInput, StreamStats, UnreadHistory, has_come_to_ends};
use sql::{CheckedPlan, History, OutputSpec, Start, Stream, Target};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// The memory that reading history may take before rows are spilled, per stream.
const HISTORY_BYTES_MAX: usize = 256 << 20;

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
    /// Takes over the outputs of the job as it was where the pipelines have changed.
    pub applies_changes: bool,
    /// The savepoint that the job goes on from instead of its last checkpoint.
    pub savepoint: Option<PathBuf>,
    /// Goes on where a broker has forgotten what the job has written, although rows may be there twice then.
    pub accepts_duplicates: bool,
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
    pub(crate) seam: Seam,
    /// Whether its inputs end, so that it ends by itself.
    pub bounded: bool,
    /// Whether its topics end where the run that it goes on from was to end, which has not come to that; they may have
    /// more by now.
    pub keeps_ends: bool,
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
    /// The topics that it reads and writes whose partitions may become more, each with the number that it knows of.
    pub partitions: Vec<(String, u32)>,
    /// The subscriptions that keep what it has not read of its topics.
    pub anchors: Vec<HeldAnchors>,
    /// The number of the checkpoint whose outputs it takes over, if its pipelines have changed since.
    pub takes_over: Option<u64>,
    /// What is not there any more of the rows that it had read, where it reads all again.
    pub lacking: Vec<String>,
    /// Gives what people should know of its checkpoints while it runs.
    pub warnings: Option<Receiver<String>>,
    /// Tells the time to what runs the job.
    pub clock: Arc<dyn Clock>,
    /// Where rows and state go that do not fit in memory; to be kept as long as the job runs.
    pub spill: SpillFolder,
    /// How many bytes its state may take in memory.
    pub state_memory: usize,
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
            && !self.publishes_unseen(&checked.outputs)?
        {
            going_on.last = None;
        }
        if let Some(GoingOn { last: None, .. }) = &going_on
            && options.begin == Begin::GoOn
        {
            refuse_used(self, &checked.outputs)?;
        }
        if options.begin == Begin::GoOn {
            let wrong = unfitting_outputs(self, &checked.outputs)?;
            if !wrong.is_empty() {
                return Err(Failure::Diagnostics(wrong));
            }
        }
        if let Some(going_on) = &mut going_on {
            self.fit(checked, going_on, options)?;
            refuse_takeover(checked, going_on.takeover.is_some())?;
        }
        let snapshot = |stream: &Stream| going_on.as_ref()?.snapshot(&stream.name);
        let makes_topics = !options.until_caught_up && options.begin != Begin::Collect;
        let from = options.from.or(going_on.as_ref().and_then(GoingOn::reads_from));
        let wanted = wanted_rows(checked, from);
        let input = |stream: &Stream| {
            let wanted = wanted.get(&stream.name).cloned().unwrap_or_default();
            let input = self.input(stream, makes_topics, snapshot(stream), &wanted);
            input.map_err(|error| self.at_inputs(stream, error))
        };
        let mut inputs = checked.streams.iter().map(input).collect::<Result<Vec<_>, _>>()?;
        let read_anew = going_on.as_ref().and_then(|going_on| going_on.takeover.as_ref());
        let lacking = read_anew.map(|takeover| takeover.read.lacking(checked, &inputs, from)).transpose()?;
        if let Some(from) = from {
            look_back(checked, &mut inputs, from);
        }
        let wired = Wired { lacking: lacking.unwrap_or_default(), ..self.wire(checked, inputs, options, going_on)? };
        if checked.outputs.iter().any(|spec| !matches!(spec.output, Output::Query(_))) {
            let (job, states) = (options.job.as_deref().unwrap_or(self.name()), checked.states());
            self.lock.write(Found { job, models: &checked.models, states: &states }, &self.named())?;
        }
        Ok(wired)
    }

    /// Whether outputs go where nobody can tell whether they hold rows of this job.
    fn publishes_unseen(&self, outputs: &[OutputSpec]) -> Result<bool> {
        let publishes = outputs.iter().any(|spec| matches!(spec.output, Output::Topic(_)));
        Ok(publishes && matches!(self.topics()?, Topics::Pulsar(_)))
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
        mut inputs: Vec<StreamInput>,
        options: &JobOptions,
        mut going_on: Option<GoingOn>,
    ) -> Result<Wired, Failure> {
        // Before anything of topics or histories is read.
        let anchors = match &going_on {
            Some(going_on) => {
                let inputs = (&checked.streams[..], &mut inputs[..]);
                self.hold_topics(options.job.as_deref(), inputs, going_on.anchors_begin_at_first())?
            }
            None => Vec::new(),
        };
        if anchors.iter().any(|held| held.is_queue) {
            going_on.iter().try_for_each(GoingOn::check_queue)?;
        }
        for (going_on, held) in going_on.iter().flat_map(|going_on| anchors.iter().map(move |held| (going_on, held))) {
            let warn = |topic| {
                going_on.warn(format!(
                    "nothing comes from {topic} any more: it is gone, or its name does not match the pattern of {} any more",
                    held.topic
                ))
            };
            held.gone.iter().for_each(warn);
        }
        let last = going_on.as_ref().and_then(|going_on| going_on.last.clone());
        let unread = inputs.iter().filter(|_| last.is_none());
        let waiting = unread.filter_map(|input| waiting(input).transpose()).collect::<Result<_>>()?;
        let from = last.as_ref().map_or(options.from, |last| last.facts.from);
        let earlier = options.earlier.as_ref().map(|earlier| &earlier.restored);
        let had_ended = match &last {
            Some(last) => last.last && has_come_to_ends(&last.coordinator)?,
            None => earlier.is_some_and(|earlier| earlier.last),
        };
        let has_topics = checked.streams.iter().any(|stream| stream.live.is_some());
        let keeps_ends = has_topics && last.as_ref().is_some_and(|last| last.facts.bounded) && !had_ended;
        let (seam_options, spill) = self.seam_options(options, from, had_ended);
        // What it has released at its ends comes again there alone, whether this run is to end or not.
        let seam_options = Options { until_caught_up: seam_options.until_caught_up || keeps_ends, ..seam_options };
        let histories: Vec<(String, String)> = inputs.iter().filter_map(snapshot_of).collect();
        let positions = last.as_ref().map(|last| &last.coordinator);
        let mut partitions = self.growing(&inputs)?;
        let mut seam = Seam::open(inputs, &seam_options, positions.or(earlier.map(|earlier| &earlier.coordinator)))?;
        if let Some(takeover) = going_on.as_ref().and_then(|going_on| going_on.takeover.as_ref()) {
            seam = seam.numbered_after(takeover.number);
        }
        let start = going_on.as_ref().and_then(GoingOn::start);
        let start = start.unwrap_or_else(|| seam.start().max(from.unwrap_or(EventTime::MIN)));
        let graph = self.lowered(checked, start)?;
        let facts = JobFacts {
            job: options.job.clone().unwrap_or_else(|| self.name().to_owned()),
            fingerprint: fingerprint::plan(checked, &graph),
            revision: self.revision(),
            start,
            from,
            bounded: seam.is_bounded(),
            histories,
            generation: last.as_ref().map_or(0, |last| last.facts.generation),
            plan: job_plan(checked, &graph),
            cuts: going_on.as_ref().map(GoingOn::cuts).unwrap_or_default().to_vec(),
            reads_from: going_on.as_ref().and_then(GoingOn::reads_from),
        };
        if let Some(going_on) = &mut going_on {
            if checked.outputs.iter().any(|spec| matches!(spec.output, Output::Table(_))) {
                // Checkpoints lie beside the tables, and what is wrong with that folder is said of the tables.
                self.warehouse()?;
            }
            going_on.hold(self, options.begin == Begin::Fresh)?;
            commit_gone(self, going_on.takeover.iter().flat_map(|takeover| &takeover.gone))?;
        }
        let wired_as = (options, seam.is_bounded(), start, queue_of(checked, &anchors));
        let outputs = self.outputs(checked, &graph, wired_as, going_on.as_mut())?;
        if going_on.is_some() {
            self.hold_histories(checked, &facts)?;
        }
        going_on.iter().try_for_each(|going_on| going_on.check_replay(&outputs.sinks))?;
        going_on.iter().try_for_each(|going_on| self.put_anchors_back(&anchors, going_on.anchors_begin()))?;
        let begun = going_on.as_mut().map(|going_on| going_on.begin(facts, seam.state().clone())).transpose()?;
        let last = going_on.as_ref().and_then(|going_on| going_on.last.clone());
        let Outputs { sinks, tallies, collected, claims } = outputs;
        let sinks = settle(sinks, from, going_on.as_ref(), claims.as_deref())?;
        let begun = begun.flatten().map(|begun| committed(begun, &sinks, claims.as_deref())).transpose()?;
        let (stats, savepoints) = (seam.stats(), SavepointRequests::default());
        let written = |sink: &WiredSink| match &sink.output {
            Output::Topic(topic) => Some((topic.clone(), sink.partitions?)),
            _ => None,
        };
        partitions.extend(sinks.iter().filter_map(written));
        Ok(Wired {
            graph,
            new_tables: claims.map(NewTables).unwrap_or_default(),
            bounded: seam.is_bounded(),
            keeps_ends: keeps_ends && seam.is_bounded(),
            unread: seam.unread().to_vec(),
            seam,
            sinks,
            stats,
            start,
            collected,
            tallies,
            waiting,
            anchors,
            partitions,
            savepoint: going_on.as_ref().and_then(GoingOn::savepoint),
            takes_over: going_on.as_ref().and_then(|going_on| Some(going_on.takeover.as_ref()?.number)),
            lacking: vec![],
            warnings: going_on.as_mut().and_then(GoingOn::take_warnings),
            checkpoints: going_on.and_then(|going_on| going_on.into_store(savepoints.clone())),
            savepoints,
            restored: begun.or_else(|| earlier.map(|earlier| RestoredJob::clone(earlier))),
            restored_of: last.map(|last| last.written_at),
            spill,
            state_memory: self.state_memory(),
            clock: self.clock.clone(),
        })
    }

    /// Refuses to go on from a checkpoint of another job than the plan makes.
    fn fit(&self, checked: &CheckedPlan, going_on: &mut GoingOn, options: &JobOptions) -> Result<(), Failure> {
        let graph = self.lowered(checked, EventTime::MIN)?;
        let planned = (fingerprint::plan(checked, &graph), job_plan(checked, &graph));
        going_on.fit((&planned.0, &planned.1), options.applies_changes, options.from)?;
        Ok(())
    }

    /// The graph of a plan whose outputs on topics begin after an instant.
    pub(crate) fn lowered(&self, checked: &CheckedPlan, start: EventTime) -> Result<JobGraph, Failure> {
        Ok(checked.lower(&Start { after: start, revision: self.revision(), row_text })?)
    }

    /// The tag of the snapshot of history that a job reads.
    fn hold_name(&self, job: &str) -> String {
        let person = self.person().map(|person| format!("-as-{person}")).unwrap_or_default();
        format!("riverrun-{}-{job}{person}", self.name())
    }

    /// Keeps the snapshots that a job reads from expiring: a later run goes on in the same.
    fn hold_histories(&self, checked: &CheckedPlan, facts: &JobFacts) -> Result<()> {
        for stream in &checked.streams {
            let snapshot = facts.histories.iter().find(|(name, _)| *name == stream.name);
            if let (Some(History::Table(table)), Some((_, snapshot))) = (&stream.history, snapshot)
                && let Ok(snapshot) = snapshot.parse()
            {
                self.warehouse()?.hold(table, &self.hold_name(&facts.job), snapshot)?;
            }
        }
        Ok(())
    }

    /// Binds every sink node of a job's graph, and brings its tables to where they begin or go on.
    fn outputs(
        &self,
        checked: &CheckedPlan,
        graph: &JobGraph,
        (options, is_bounded, start, queue): (&JobOptions, bool, EventTime, Option<&str>),
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
            let before = EarlierOutput {
                state: going_on.as_ref().and_then(|going_on| going_on.output(&node.name)),
                is_all: going_on.as_ref().is_some_and(|going_on| going_on.is_all()),
                accepts_duplicates: options.accepts_duplicates,
            };
            let mut sink = wire(self, spec, claims.as_ref(), begin, (&rows, before), queue)?;
            collected.push(rows);
            sink.node = node.name.clone();
            if let (Some(position), Some(going_on)) = (sink.position.take(), &mut going_on) {
                going_on.set_position(spec, &node.name, &position)?;
            }
            if let (Some(claims), Some(going_on)) = (&claims, &mut going_on) {
                going_on.go_on_with_table(claims, spec, &node.name)?;
                if let Some(claim) = claims.get(&spec.name).filter(|_| going_on.output(&node.name).is_some()) {
                    claim.check_output(&spec.schema, &self.statements.table_layout(&spec.name))?;
                }
            }
            if let (Some(decision), Output::Table(_), false) = (&spec.from_decision, output, collects) {
                let tally = RuleTally::new(&spec.rules, self.statements.experiments());
                let (writer, of_writer) = (sink.writer, tally.clone());
                sink.writer = Box::new(move |worker| {
                    Ok(Box::new(TallySink { inner: writer(worker)?, tally: of_writer.clone() }) as Box<dyn Sink>)
                });
                tallies.push((decision.clone(), tally));
            }
            sinks.push(sink);
        }
        if let (Some(claims), Some(going_on @ GoingOn { last: None, .. })) = (&claims, going_on) {
            let is_new = |spec: &&OutputSpec| going_on.output(&format!("into {}", spec.name)).is_none();
            let new: Vec<&OutputSpec> = checked.outputs.iter().filter(is_new).collect();
            begin_tables(self, claims, &new, begin.0)?;
        }
        Ok(Outputs { sinks, tallies, collected, claims })
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
                // Also where this user may not write: whoever publishes may be another one.
                missing.push((topic.clone(), error.chain()));
            }
        }
        Ok(missing)
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
            spill_dir: spill.path().to_owned(),
            lead: Lead::default(),
        };
        (options, spill)
    }
}
