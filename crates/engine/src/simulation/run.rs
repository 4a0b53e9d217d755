//! A run of the job: the start that users' runs make, over the stores of the simulation.

use super::breaks;
use super::bugs::Bug;
use super::chance::Chance;
use super::input::{Archive, Log, Text};
use super::saved::Saved;
use super::scene::{Scene, row_text};
use super::stores::{Claim, Objects, TableCommitter, TableWriter, TopicCommitter, TopicPosition, TopicSink, Watched};
use super::world::{Access, World};
use crate::driver::Driver;
use crate::job::{Job, SinkBinding};
use crate::pace::CheckpointPace;
use checkpoint::{Checkpoints, JobFacts, JobPlan, Manifest};
use dataflow::{
    AtOnce, Clock, Committer, Error, EventTime, JobGraph, ManualClock, NodeKind, Output, OutputState, ProcessingTime,
    RestoredJob, Result, Sink, SpillInMemory, StateMemory, TimedFiles,
};
use seam::{Lead, Live, Options, Seam, StreamInput, StreamSpec, has_come_to_ends};
use sql::Stream;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What a seed has made that no run changes.
pub struct Setup {
    pub scene: Scene,
    pub clock: Arc<ManualClock>,
    pub logs: BTreeMap<&'static str, Arc<Vec<Vec<dataflow::Message>>>>,
    /// The archive of each stream that has one, as it was from time to time.
    pub archives: BTreeMap<&'static str, Vec<Archive>>,
    pub kept: usize,
}

/// How a run is made.
#[derive(Clone)]
pub struct RunOptions {
    /// What it goes on from instead of the newest checkpoint.
    pub savepoint: Option<Arc<Saved>>,
    pub workers: usize,
    pub until_caught_up: bool,
    /// Whether its parts have turns, and choose as those on threads do.
    pub in_turn: bool,
    pub seed: u64,
    pub way: usize,
    pub lead_rows: usize,
    pub pace: CheckpointPace,
}

impl RunOptions {
    pub fn draw(chance: &mut Chance) -> RunOptions {
        RunOptions {
            savepoint: None,
            workers: chance.of(&[1, 1, 2, 2, 3, 4]),
            until_caught_up: false,
            in_turn: false,
            seed: chance.number(),
            way: chance.of(&[0, 0, 1, 3]),
            lead_rows: chance.of(&[0, 5, 50, 256 << 10]),
            pace: CheckpointPace::default(),
        }
    }
}

pub struct Run {
    pub driver: Driver,
    pub access: Arc<Access>,
    /// Whether it ends where topics end.
    pub is_bounded: bool,
}

pub fn spec_of(stream: &Stream) -> StreamSpec {
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

impl Setup {
    pub fn log(&self, stream: &str, way: usize) -> Log {
        Log::new(stream, self.logs[stream].clone(), self.clock.clone(), way).growing(self.grows(stream))
    }

    /// Whether a topic gets partitions while the job lives. One that is archived does not: its archive is refused then.
    fn grows(&self, stream: &str) -> bool {
        self.scene.joins && !self.archives.contains_key(stream)
    }

    pub fn now(&self) -> i64 {
        self.clock.now().0
    }

    /// Archives more of the streams that have an archive.
    pub fn archive(&mut self, chance: &mut Chance) {
        let specs: Vec<StreamSpec> = self
            .scene
            .plan(|streams, _| streams.iter().filter(|stream| stream.history.is_some()).map(spec_of).collect());
        for (name, archives) in &mut self.archives {
            let Some(spec) = specs.iter().find(|spec| spec.name == *name) else { continue };
            let log = Log::new(name, self.logs[name].clone(), self.clock.clone(), 0);
            let archive = Archive::of(chance, spec, &log, archives.last());
            archives.push(archive);
        }
    }

    fn input(
        &self,
        stream: &Stream,
        newest: Option<&Manifest>,
        (options, access): (&RunOptions, &Arc<Access>),
    ) -> StreamInput {
        let (spec, bug) = (spec_of(stream), access.shared.world().bug);
        let topic = self.log(&stream.name, options.way).read_by(access.clone());
        let held = newest.filter(|_| bug != Some(Bug::OtherHistory));
        let at = match held {
            Some(newest) => newest.facts.histories.iter().find(|(name, _)| *name == stream.name),
            None => None,
        };
        let at = at.and_then(|(_, at)| at.parse::<usize>().ok());
        let archives = self.archives.get(stream.name.as_str()).filter(|_| stream.history.is_some());
        let archive = archives.and_then(|archives| match (held.is_some(), at) {
            (_, Some(at)) => archives.get(at),
            (false, None) => archives.last(),
            (true, None) => None,
        });
        let archive = archive.map(|archive| breaks::archive(archive.clone(), &spec, &topic, bug));
        let history = archive.map(|archive| Arc::new(archive) as Arc<dyn TimedFiles>);
        let decode = Arc::new(Text(stream.schema.clone()));
        let live = Some(Live { topic: Arc::new(topic), decode });
        StreamInput { spec, history, history_frontier: None, live }
    }
}

/// What the outputs of a run are bound to while it begins.
struct Outputs<'a> {
    access: &'a Arc<Access>,
    savepoint: Option<&'a Saved>,
    newest: Option<&'a Manifest>,
    epoch: u64,
    start: EventTime,
    bug: Option<Bug>,
}

enum Bound {
    Table(Claim, OutputState),
    Topic(String, TopicPosition, u64),
}

impl Outputs<'_> {
    fn state(&self, node: &str) -> OutputState {
        let states = self.newest.iter().flat_map(|newest| &newest.outputs);
        states.filter(|state| state.output == node).cloned().next().unwrap_or_default()
    }

    /// Takes the right to write every output of a graph.
    fn bind(&self, graph: &JobGraph) -> Result<Vec<Bound>> {
        let mut bound = Vec::new();
        for node in &graph.nodes {
            let state = self.state(&node.name);
            match &node.kind {
                NodeKind::Sink(Output::Table(table)) => {
                    let (claim, mut state) = (Claim::take(self.access, table)?, state);
                    if self.newest.is_some() {
                        claim.fit(&mut state)?;
                    }
                    if let Some(savepoint) = self.savepoint {
                        state.pending = claim.adopt(savepoint, state.pending)?;
                    }
                    bound.push(Bound::Table(claim, state));
                }
                NodeKind::Sink(Output::Topic(topic)) => {
                    let position = state.position.as_deref().map(TopicPosition::parse).transpose()?;
                    let mut position = position.unwrap_or(TopicPosition { epoch: self.epoch, rows: 0 });
                    if self.bug == Some(Bug::TopicCountsAnew) {
                        position.rows = 0;
                    }
                    let replay = TopicSink::open(self.access, topic, &position)?;
                    bound.push(Bound::Topic(topic.clone(), position, replay));
                }
                _ => {}
            }
        }
        Ok(bound)
    }

    /// Commits what was pending, and deletes what nobody will commit.
    fn settle(&self, bound: Vec<Bound>) -> Result<Vec<SinkBinding>> {
        let settle = |bound| match bound {
            Bound::Table(claim, state) => {
                if !state.pending.is_empty() && self.bug != Some(Bug::PendingDropped) {
                    TableCommitter(claim.clone()).commit(state.pending.clone())?;
                }
                // As long as it has no checkpoint the run does not know what is pending, and may have a rival that does.
                if self.newest.is_some() {
                    claim.collect(&state)?;
                }
                let committer = Box::new(TableCommitter(claim.clone()));
                let writer = move |worker| {
                    Ok(Box::new(TableWriter { claim: claim.clone(), worker, rows: vec![] }) as Box<dyn Sink>)
                };
                Ok(SinkBinding { writer: Box::new(writer), committer, after: EventTime::MIN, replay: 0 })
            }
            Bound::Topic(topic, position, replay) => {
                let access = self.access.clone();
                let writer = move |_| {
                    let (access, topic, position) = (access.clone(), topic.clone(), position.clone());
                    Ok(Box::new(TopicSink { access, topic, position, unsent: vec![] }) as Box<dyn Sink>)
                };
                let after = breaks::after(self.start, self.bug);
                Ok(SinkBinding { writer: Box::new(writer), committer: Box::new(TopicCommitter), after, replay })
            }
        };
        bound.into_iter().map(settle).collect()
    }

    /// What a run goes on from once its outputs are settled: nothing is pending, and what tables hold is known.
    fn committed(&self, mut restored: RestoredJob, graph: &JobGraph) -> Result<RestoredJob> {
        for output in restored.outputs.iter_mut().filter(|output| !output.pending.is_empty()) {
            let Some(node) = graph.nodes.iter().find(|node| node.name == output.output) else { continue };
            let NodeKind::Sink(Output::Table(table)) = &node.kind else { continue };
            if self.bug == Some(Bug::PendingDropped) {
                continue;
            }
            if self.bug != Some(Bug::SettledUnknown) {
                let of_table = |world: &mut World| Ok(world.tables.get(table).map_or(0, |table| table.checkpoint));
                output.known = self.access.ask("known", of_table)?;
            }
            output.pending.clear();
        }
        Ok(restored)
    }
}

/// Begins a run in the order in which those of projects begin: the epoch; the newest manifest; the streams at its
/// positions; claims of the outputs; the manifest again, and state; what was pending is committed.
pub fn begin(setup: &Setup, access: &Arc<Access>, options: RunOptions) -> Result<Run> {
    let bug = access.shared.world().bug;
    let store = Arc::new(Objects(access.clone()));
    let clock: Arc<dyn Clock> = setup.clock.clone();
    let mut checkpoints = Checkpoints::unlocked(store, setup.kept, clock.clone(), Box::new(|_| {}))?;
    let newest = checkpoints.newest()?;
    let seen = newest.as_ref().map(|newest| newest.number);
    // After its first checkpoint a job may have read rows; while its outputs are as they were it begins anew.
    let is_at_first = newest.as_ref().is_some_and(|newest| newest.coordinator.number == 1);
    let saved = options.savepoint.clone();
    let savepoint = saved.as_deref();
    let mut newest = match savepoint {
        Some(savepoint) => Some(savepoint.after(newest.as_ref(), bug)?),
        None => newest.filter(|_| !is_at_first || access.shared.world().is_used()),
    };
    // What a run has released where topics ended comes again there alone.
    let had_ended = newest.as_ref().map_or(Ok(false), had_ended)?;
    let is_bounded = newest.as_ref().is_some_and(|newest| newest.facts.bounded);
    let keeps_ends = is_bounded && !had_ended && bug != Some(Bug::EndsForgotten);
    let options = RunOptions { until_caught_up: options.until_caught_up || keeps_ends, ..options };
    let (seam, graph, start) = open(setup, newest.as_ref(), (&options, access))?;
    let from = newest.clone();
    let outputs = Outputs { access, savepoint, newest: from.as_ref(), epoch: checkpoints.epoch(), start, bug };
    let facts = facts_of(setup, newest.as_ref(), (start, seam.is_bounded()));
    let bound = outputs.bind(&graph)?;
    if let (Some(newest), Some(_)) = (&mut newest, savepoint) {
        adopted(newest, &bound);
    }
    if newest.is_none() && access.shared.world().is_used() {
        return Err(Error::unavailable("another run has written since this one was allowed to begin"));
    }
    if checkpoints.newest()?.map(|newest| newest.number) != seen {
        return Err(Error::unavailable("another run of the job has put a checkpoint while this one began"));
    }
    let generation = newest.as_ref().map_or(checkpoints.epoch(), |newest| newest.facts.generation);
    let facts = JobFacts { generation, ..facts };
    if savepoint.is_some() {
        access.shared.world().saved_epochs.insert(checkpoints.epoch());
    }
    let restored = take_up(&mut checkpoints, (newest.as_ref(), savepoint), facts, &seam)?;
    begun(access, newest.as_ref(), (savepoint.is_some(), checkpoints.epoch()));
    let sinks = outputs.settle(bound)?;
    let restored = restored.map(|restored| outputs.committed(restored, &graph)).transpose()?;
    let (readers, coordinator) = seam.begin(options.workers, Arc::new(AtOnce), &graph.meetings())?;
    let is_bounded = options.until_caught_up;
    let job = Job {
        graph,
        readers: breaks::readers(readers, bug),
        coordinator,
        sinks,
        workers: options.workers,
        clock,
        spill_dir: PathBuf::from("/nowhere"),
        state_memory: state_memory(options.seed),
        checkpoints: Some(Box::new(Watched { checkpoints, generation, access: access.clone() })),
        pace: options.pace,
        restored,
    };
    let driver = if options.in_turn { Driver::in_turn(job)? } else { Driver::new(job, options.seed)? };
    Ok(Run { driver, access: access.clone(), is_bounded })
}

/// Whether a run that was to end has come to its ends.
fn had_ended(newest: &Manifest) -> Result<bool> {
    Ok(newest.last && has_come_to_ends(&newest.coordinator)?)
}

/// Half of all runs have pages of a few rows, and put some or all of them aside.
fn state_memory(seed: u64) -> Arc<StateMemory> {
    match seed % 4 {
        0 => StateMemory::with_pages_of(3, 0, Box::new(SpillInMemory)),
        1 => StateMemory::with_pages_of(2, 1000, Box::new(SpillInMemory)),
        _ => StateMemory::unbounded(),
    }
}

fn open(
    setup: &Setup,
    newest: Option<&Manifest>,
    (options, access): (&RunOptions, &Arc<Access>),
) -> Result<(Seam, JobGraph, EventTime)> {
    setup.scene.plan(|streams, graph| {
        let inputs = streams.iter().map(|stream| setup.input(stream, newest, (options, access))).collect();
        let seam_options = Options {
            until_caught_up: options.until_caught_up,
            new_ends: newest.map_or(Ok(false), had_ended)?,
            from: None,
            memory_bytes: 64 << 20,
            spill_dir: PathBuf::from("/nowhere"),
            lead: Lead { rows: options.lead_rows, bytes: 64 << 20 },
        };
        let seam = Seam::open(inputs, &seam_options, newest.map(|newest| &newest.coordinator))?;
        let start = newest.map_or(seam.start(), |newest| newest.facts.start);
        Ok((seam, graph(start), start))
    })
}

fn facts_of(setup: &Setup, newest: Option<&Manifest>, (start, bounded): (EventTime, bool)) -> JobFacts {
    let last =
        |(name, archives): (&&str, &Vec<Archive>)| Some((name.to_string(), archives.len().checked_sub(1)?.to_string()));
    let histories = match newest {
        Some(newest) => newest.facts.histories.clone(),
        None => setup.archives.iter().filter_map(last).collect(),
    };
    JobFacts {
        job: "simulated".to_owned(),
        fingerprint: "1".to_owned(),
        revision: "1".to_owned(),
        start,
        from: None,
        bounded,
        histories,
        generation: 0,
        plan: JobPlan::default(),
        cuts: vec![],
        reads_from: None,
    }
}

/// What is pending is what was copied for it.
fn adopted(newest: &mut Manifest, bound: &[Bound]) {
    let states = bound.iter().filter_map(|bound| if let Bound::Table(_, state) = bound { Some(state) } else { None });
    for state in states {
        let outputs = newest.outputs.iter_mut().filter(|output| output.output == state.output);
        outputs.for_each(|output| output.pending.clone_from(&state.pending));
    }
}

/// Notes where a run goes on: from a savepoint watermarks are those of then, also where the run before it went on from one
/// and did not hear of it.
fn begun(access: &Access, newest: Option<&Manifest>, (is_saved, epoch): (bool, u64)) {
    let mut world = access.shared.world();
    world.began_anew = newest.is_none();
    let Some(newest) = newest else { return };
    if is_saved {
        world.count("run from a savepoint");
        world.saved_epochs.remove(&epoch);
    }
    if is_saved || world.saved_epochs.remove(&newest.epoch) {
        world.watermarks.clone_from(&newest.coordinator.watermarks);
    }
}

fn take_up(
    checkpoints: &mut Checkpoints,
    (newest, savepoint): (Option<&Manifest>, Option<&Saved>),
    facts: JobFacts,
    seam: &Seam,
) -> Result<Option<RestoredJob>> {
    match newest {
        Some(newest) => {
            let mut again = newest.clone();
            again.coordinator = seam.state().clone();
            match savepoint {
                Some(savepoint) => checkpoints.resume_copy(&savepoint.copies, &again, &facts).map(Some),
                None => checkpoints.go_on(&again, &facts).map(Some),
            }
        }
        None => {
            checkpoints.begin(facts)?;
            Ok(None)
        }
    }
}

/// When a simulated clock stands.
pub fn clock_at(time: i64) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(ProcessingTime(time)))
}
