//! The job that builds the state of changed steps, before a job whose pipelines have changed goes on with the rest of its
//! state.
//!
//! ```text
//! streams ---> steps above ---> changed steps          read from their beginning up to where the job was stopped
//!              (copies, thrown away)  |
//!                                     v                kept state is named again, this one is written beside it
//! newest manifest -------------> its successor         put last: until then nothing has changed
//! ```

use crate::changes::Changes;
use crate::failure::Failure;
use crate::files_since::FilesSince;
use crate::fingerprint;
use crate::going_on::GoingOn;
use crate::gone_outputs::{commit_gone, gone};
use crate::job::{JobOptions, Wired};
use crate::job_plan::job_plan;
use crate::kept_state::{KeptState, NodeState, PlannedJob};
use crate::lacking_rows::topic_reaches;
use crate::open::Project;
use crate::output::{Begin, NewTables, WiredSink, refuse_history};
use crate::output_check::wrong_outputs;
use crate::rebuilt_state::{JoinMemory, JoinedStep, Lacking, MakeStateMemory, RebuiltState, WantedStream};
use crate::savepoints::SavepointRequests;
use crate::takeover::{Takeover, refusals};
use crate::wanted_rows::WantedRows;
use checkpoint::{ChangedJob, JobFacts, JobPlan, Manifest, MovedStep, PlannedPart, Rewrite};
use dataflow::{
    Batch, Committable, Committer, CoordinatorState, Edge, EventTime, Exchange, Fates, JobGraph, JobRows, Node,
    NodeKind, Output, Port, Result, Sink, StateReader, StateWriter,
};
use seam::{Seam, StreamInput, read_again};
use sql::{CheckedPlan, LookBack, StateMove};
use std::collections::HashSet;
use std::sync::Arc;

/// What comes before a job whose pipelines have changed goes on.
pub enum Rebuilding {
    /// Nothing: the job does what it did, cannot go on, or begins.
    Nothing,
    /// All state is built again by the job itself; this is why.
    Anew(String),
    /// Nothing had to be read: the job can go on with the state that it has.
    Done(KeptSteps),
    /// A job that ends by itself; then the other one can go on.
    Run(Box<Wired>, KeptSteps, Lacking),
}

/// How many steps with state are kept, and how many are built again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptSteps {
    /// The number of the checkpoint.
    pub checkpoint: u64,
    /// Those that are kept.
    pub kept: usize,
    /// Those that are built again.
    pub built: usize,
}

/// What is read to build state again.
pub(crate) struct RebuildInputs {
    /// What the changed steps, and those above them, are.
    pub graph: JobGraph,
    /// The numbers of the streams that they read, in the order of the graph's sources.
    pub streams: Vec<usize>,
    pub inputs: Vec<StreamInput>,
    /// Per stream how far back it is read.
    pub look_back: Vec<LookBack>,
    /// Per stream what has to be there of it.
    pub wanted: Vec<WantedStream>,
}

impl Project {
    /// Prepares what has to be done before a job whose pipelines have changed goes on with the state that it has.
    ///
    /// `memory` gives what state may take that is put together: so many bytes, and files in a folder for the rest.
    pub fn rebuild(&self, options: &JobOptions, memory: MakeStateMemory) -> Result<Rebuilding, Failure> {
        let job = options.job.as_deref();
        if options.savepoint.is_some() || options.begin != Begin::GoOn || options.from.is_some() {
            return Ok(Rebuilding::Nothing);
        }
        let checked = self.check(&self.job_target(job)?)?;
        let mut going_on = GoingOn::look(self, job, Begin::GoOn, None)?;
        let is_at_first = going_on.is_at_first();
        let Some(before) = going_on.last.clone().filter(|_| !is_at_first) else { return Ok(Rebuilding::Nothing) };
        let graph = self.lowered(&checked, before.facts.start)?;
        let now = job_plan(&checked, &graph);
        let fingerprint = fingerprint::plan(&checked, &graph);
        if before.facts.fingerprint == fingerprint
            || Changes::between(&before.facts.plan, &now).is_same()
            || !refusals(&before, &now)?.is_empty()
        {
            return Ok(Rebuilding::Nothing);
        }
        refuse_history(self, &checked.outputs)?;
        let wrong = wrong_outputs(self, &checked.outputs)?;
        if !wrong.is_empty() {
            return Err(Failure::Diagnostics(wrong));
        }
        let nodes = checked.node_identities();
        let planned = PlannedJob { plan: &now, graph: &graph, nodes: &nodes, checked: &checked };
        let cuts = Takeover::of(&before, &now)?.cuts;
        let kept = match KeptState::of(&before, &planned, &cuts) {
            Ok(kept) => kept,
            Err(why) => return Ok(Rebuilding::Anew(why)),
        };
        let inputs = match self.rebuild_inputs(&checked, &kept, &before)? {
            Ok(inputs) => inputs,
            Err(why) => return Ok(Rebuilding::Anew(why)),
        };
        let facts = JobFacts {
            fingerprint,
            revision: self.revision(),
            histories: histories(&before, &kept, &checked),
            plan: now.clone(),
            cuts,
            ..before.facts.clone()
        };
        going_on.hold(self, false)?;
        commit_gone(self, gone(&before.facts.plan, &before.outputs, &now))?;
        let changed = changed_job(&checked, (&before, &planned, &kept))?;
        let steps = counted(&before, &planned, &kept);
        let warnings = going_on.take_warnings();
        let Some(held) = going_on.into_held() else { return Ok(Rebuilding::Nothing) };
        let built = kept.steps(&now).filter(|(node, ..)| kept.states.is_read(*node));
        let built = built.map(|(node, step, _)| (step.name.clone(), kept.levels[node])).collect();
        let joined = joined(&before, &now, &kept);
        let memory = JoinMemory { bytes: self.state_memory(), folder: self.spill_folder(), make: memory };
        let mut rebuilt = RebuiltState::new(held, before, facts, changed, (built, joined, memory));
        if inputs.streams.is_empty() {
            rebuilt.finish(vec![], &JobRows::default())?;
            return Ok(Rebuilding::Done(steps));
        }
        let lacking = rebuilt.lacking();
        let mut wired = self.wire_rebuild(inputs, &kept, rebuilt)?;
        wired.warnings = warnings;
        Ok(Rebuilding::Run(Box::new(wired), steps, lacking))
    }

    /// What is read to build the state of changed steps, or why it cannot be.
    pub(crate) fn rebuild_inputs(
        &self,
        checked: &CheckedPlan,
        kept: &KeptState,
        before: &Manifest,
    ) -> Result<std::result::Result<RebuildInputs, String>, Failure> {
        let joins = kept.states.joins.iter().map(|(node, join)| (*node, join));
        let checked = &checked.with_added_functions(joins.filter(|(node, _)| kept.states.is_partly_built(*node)))?;
        let graph = above(&self.lowered(checked, before.facts.start)?, &|node| kept.states.is_read(node));
        let reaches = checked.look_back_of(&|node| kept.states.is_read(node));
        let (mut streams, mut inputs, mut look_back) = (Vec::new(), Vec::new(), Vec::new());
        for node in &graph.nodes {
            let NodeKind::Source(name) = &node.kind else { continue };
            let Some(number) = checked.streams.iter().position(|stream| stream.name == *name) else { continue };
            let stream = &checked.streams[number];
            // An archive is read as it is now, since the topic may be trimmed up to it; what has no coordinates as it was.
            let snapshot = snapshot(before, kept, number).filter(|_| stream.live.is_none());
            let input = self.input(stream, false, snapshot, &WantedRows::default());
            inputs.push(input.map_err(|error| self.at_inputs(stream, error))?);
            let reach = reaches.iter().find(|(of, _)| of == name).map(|(_, reach)| *reach);
            look_back.push(reach.unwrap_or(LookBack::All));
            streams.push(number);
        }
        if let Some(why) = read_again(&inputs, &of_streams(&kept.coordinator, &streams))? {
            return Ok(Err(why));
        }
        let least = kept.coordinator.watermarks.iter().copied().min().unwrap_or(EventTime::MIN);
        let mut wanted = Vec::new();
        for ((input, reach), number) in inputs.iter_mut().zip(&look_back).zip(&streams) {
            let mut of_stream = WantedStream { name: input.spec.name.clone(), left_out: 0, reaches_back: false };
            // Files whose rows have no coordinates are read as a whole.
            if let (LookBack::For(span), true) = (reach, input.live.is_some()) {
                let from = least.minus(*span);
                of_stream.reaches_back = topic_reaches(input, from, (&kept.coordinator, *number))?;
                if let Some(files) = input.history.take() {
                    let since = FilesSince::new(files, &input.spec, from);
                    of_stream.left_out = since.left_out();
                    input.history = Some(Arc::new(since));
                }
            }
            wanted.push(of_stream);
        }
        Ok(Ok(RebuildInputs { graph, streams, inputs, look_back, wanted }))
    }

    fn wire_rebuild(&self, read: RebuildInputs, kept: &KeptState, mut rebuilt: RebuiltState) -> Result<Wired, Failure> {
        let RebuildInputs { graph, streams, inputs, wanted, .. } = read;
        let until = of_streams(&kept.coordinator, &streams);
        rebuilt.expect(until.clone(), wanted);
        let (options, spill) = self.seam_options(&JobOptions::default(), None, false);
        let seam = Seam::open_until(inputs, &options, &until)?;
        let sink = WiredSink {
            name: NOTHING.to_owned(),
            node: NOTHING.to_owned(),
            output: Output::Query(0),
            writer: Box::new(|_| Ok(Box::new(Nothing) as Box<dyn Sink>)),
            committer: Box::new(Nothing),
            after: EventTime::MAX,
            epoch: None,
            replay: 0,
            has_earlier: false,
            partitions: None,
            position: None,
            notice: None,
        };
        Ok(Wired::of_rebuild(
            (graph, seam, vec![sink]),
            Box::new(rebuilt),
            (spill, self.state_memory(), self.clock.clone()),
        ))
    }
}

/// The name of the sink of a job whose rows nobody wants.
const NOTHING: &str = "into nothing";

/// Takes rows that nobody wants.
struct Nothing;

impl Sink for Nothing {
    fn write(&mut self, _: &Batch) -> Result<()> {
        Ok(())
    }

    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        Ok(None)
    }

    fn position(&self) -> Option<Vec<u8>> {
        None
    }
}

impl Committer for Nothing {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Ok(())
    }
}

/// Some nodes of a graph and all above them, with one sink for what they put out to others.
fn above(graph: &JobGraph, wanted: &dyn Fn(usize) -> bool) -> JobGraph {
    let mut is_needed: Vec<bool> = (0..graph.nodes.len()).map(wanted).collect();
    for at in (0..graph.nodes.len()).rev() {
        if is_needed[at] {
            graph.nodes[at].inputs.iter().for_each(|edge| is_needed[edge.from] = true);
        }
    }
    let mut places = vec![0; graph.nodes.len()];
    let mut nodes: Vec<Node> = Vec::new();
    for at in (0..graph.nodes.len()).filter(|&at| is_needed[at]) {
        places[at] = nodes.len();
        let mut node = graph.nodes[at].clone();
        node.inputs.iter_mut().for_each(|edge| edge.from = places[edge.from]);
        nodes.push(node);
    }
    let taken: HashSet<(usize, Port)> =
        nodes.iter().flat_map(|node| &node.inputs).map(|edge| (edge.from, edge.port)).collect();
    let ports = nodes.iter().enumerate().flat_map(|(at, node)| node.ports.iter().map(move |&port| (at, port)));
    let open = ports.filter(|port| !taken.contains(port));
    let inputs: Vec<Edge> = open.map(|(from, port)| Edge { from, port, exchange: Exchange::Forward }).collect();
    if let Some(last) = nodes.last() {
        let schema = last.schema.clone();
        let kind = NodeKind::Sink(Output::Query(0));
        nodes.push(Node { name: NOTHING.to_owned(), kind, inputs, ports: vec![], schema, describe: String::new() });
    }
    JobGraph { nodes }
}

/// Positions and watermarks of some streams, numbered as they stand here.
fn of_streams(state: &CoordinatorState, streams: &[usize]) -> CoordinatorState {
    let number = |stream: usize| streams.iter().position(|&other| other == stream);
    CoordinatorState {
        number: state.number,
        splits: state.splits.iter().filter_map(|(of, split)| Some((number(*of)?, split.clone()))).collect(),
        watermarks: streams.iter().map(|&stream| state.watermarks[stream]).collect(),
    }
}

/// The name that a stream had.
fn name_before<'a>(before: &'a Manifest, kept: &KeptState, number: usize) -> Option<&'a str> {
    let was = kept.changes.streams.get(number).copied().flatten()?;
    before.facts.plan.streams.get(was).map(|stream| stream.name.as_str())
}

/// The snapshot that was read as a stream's history.
fn snapshot(before: &Manifest, kept: &KeptState, number: usize) -> Option<i64> {
    let name = name_before(before, kept, number)?;
    before.facts.histories.iter().find(|(stream, _)| stream == name)?.1.parse().ok()
}

/// The snapshots that were read, under the names that the streams have now.
fn histories(before: &Manifest, kept: &KeptState, checked: &CheckedPlan) -> Vec<(String, String)> {
    let of = |(number, stream): (usize, &sql::Stream)| {
        let was = name_before(before, kept, number)?;
        let (_, snapshot) = before.facts.histories.iter().find(|(of, _)| of == was)?;
        Some((stream.name.clone(), snapshot.clone()))
    };
    checked.streams.iter().enumerate().filter_map(of).collect()
}

/// A step takes over the state of one that held the same.
struct Moved(StateMove);

impl Rewrite for Moved {
    fn rewrite(&self, from: &mut dyn StateReader, to: &mut dyn StateWriter) -> Result<()> {
        self.0.write(from, to)
    }
}

/// The windows that keep the state of some functions, or have fewer than they had.
fn joined(before: &Manifest, now: &JobPlan, kept: &KeptState) -> Vec<JoinedStep> {
    let step = |(node, step, state): (usize, &PlannedPart, NodeState)| {
        let NodeState::Joined(place) = state else { return None };
        let (was, join) = (before.facts.plan.steps[place].name.clone(), kept.states.joins.get(&node)?.clone());
        Some(JoinedStep { was, now: step.name.clone(), join, is_built: kept.states.is_partly_built(node) })
    };
    kept.steps(now).filter_map(step).collect()
}

/// What goes on of the checkpoint; what is built comes to it.
fn changed_job(checked: &CheckedPlan, (before, now, kept): (&Manifest, &PlannedJob, &KeptState)) -> Result<ChangedJob> {
    let was = &before.facts.plan;
    let joined = joined(before, now.plan, kept);
    let (mut names, mut moved, mut stateless) = (Vec::new(), Vec::new(), Vec::new());
    for ((node, step, state), found) in kept.steps(now.plan).zip(&kept.changes.steps) {
        match (state, found.and_then(|at| was.steps.get(at))) {
            (NodeState::Kept, Some(was)) => names.push((was.name.clone(), step.name.clone())),
            (NodeState::Moved(place), _) => {
                let rewrite = Box::new(Moved(checked.state_move(node)?));
                moved.push(MovedStep { was: was.steps[place].name.clone(), now: step.name.clone(), rewrite });
            }
            (NodeState::Stateless, _) => stateless.push((step.name.clone(), kept.levels[node])),
            _ => {}
        }
    }
    let edges = dataflow::stages(now.graph).into_iter().flat_map(|stage| stage.inputs);
    let inputs = edges.zip(&now.plan.inputs).enumerate().map(|(at, (edge, input))| {
        let was_called = kept.changes.input(at).and_then(|at| was.inputs.get(at)).map(|was| was.name.clone());
        (input.name.clone(), was_called, kept.levels[edge.from])
    });
    let outputs = before.outputs.iter().filter(|output| now.plan.output(&output.output).is_some());
    let called = |name: &str| {
        let moved = moved.iter().map(|step| (&step.was, &step.now));
        let joined = joined.iter().map(|step| (&step.was, &step.now));
        let mut all = names.iter().map(|(was, now)| (was, now)).chain(moved).chain(joined);
        let step = all.find(|(was, _)| *was == name).map(|(_, now)| now.clone());
        step.or_else(|| now.plan.output(name).map(|output| output.name.clone()))
    };
    let stream = |(name, fates): &(String, Fates)| {
        let was_number = was.streams.iter().position(|stream| stream.name == *name)?;
        let number = kept.changes.streams.iter().position(|found| *found == Some(was_number))?;
        Some((now.plan.streams.get(number)?.name.clone(), *fates))
    };
    let steps = before.rows.steps.iter().filter_map(|(name, fates)| Some((called(name)?, *fates)));
    let rows = JobRows { streams: before.rows.streams.iter().filter_map(stream).collect(), steps: steps.collect() };
    Ok(ChangedJob {
        coordinator: kept.coordinator.clone(),
        inputs: inputs.collect(),
        outputs: outputs.cloned().collect(),
        rows,
        built: vec![],
        stateless,
        kept: names,
        moved,
        joined: vec![],
    })
}

fn counted(before: &Manifest, now: &PlannedJob, kept: &KeptState) -> KeptSteps {
    let count = |wanted: &dyn Fn(NodeState) -> bool| {
        kept.steps(now.plan).filter(|(node, _, state)| wanted(*state) && now.nodes[*node].has_state).count()
    };
    let is_read = |(node, ..): &(usize, &PlannedPart, NodeState)| kept.states.is_read(*node);
    let built = kept.steps(now.plan).filter(is_read).count();
    KeptSteps { checkpoint: before.coordinator.number, kept: count(&NodeState::is_kept), built }
}

impl Wired {
    /// A job that builds state, and ends when it is stored.
    fn of_rebuild(
        (graph, seam, sinks): (JobGraph, Seam, Vec<WiredSink>),
        store: Box<dyn dataflow::CheckpointStore>,
        (spill, state_memory, clock): (crate::spill_folder::SpillFolder, usize, Arc<dyn dataflow::Clock>),
    ) -> Wired {
        Wired {
            graph,
            bounded: true,
            keeps_ends: false,
            new_tables: NewTables::default(),
            stats: seam.stats(),
            start: EventTime::MAX,
            unread: vec![],
            seam,
            sinks,
            collected: vec![],
            tallies: vec![],
            waiting: vec![],
            checkpoints: Some(store),
            restored: None,
            restored_of: None,
            savepoint: None,
            savepoints: SavepointRequests::default(),
            partitions: vec![],
            takes_over: None,
            warnings: None,
            lacking: vec![],
            clock,
            spill,
            state_memory,
            anchors: Vec::new(),
        }
    }
}
