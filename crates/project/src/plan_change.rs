//! What becomes of a job's state and outputs when it goes on with the pipelines as they are now; nothing is written.

use crate::changes::Changes;
use crate::failure::Failure;
use crate::fingerprint;
use crate::going_on::GoingOn;
use crate::job_plan::job_plan;
use crate::kept_state::{KeptState, NodeState, PlannedJob};
use crate::open::Project;
use crate::output::{Begin, refuse_used};
use crate::output_check::unfitting_outputs;
use crate::rebuild::RebuildInputs;
use crate::stream_input::waiting;
use crate::takeover::{Takeover, refusals};
use crate::wanted_rows::look_back;
use checkpoint::{JobPlan, Manifest, OutputCut, PlannedPart};
use dataflow::{ErrorKind, EventTime, Node, NodeKind, ProcessingTime, Result};
use seam::StreamInput;
use sql::{CheckedPlan, LookBack, NodeIdentity, OutputSpec, WindowJoin};
use std::path::Path;

/// What becomes of a job.
#[derive(Clone, Debug)]
pub struct PlannedChange {
    /// The number of the checkpoint that it is compared with.
    pub checkpoint: u64,
    /// When that was written.
    pub written_at: ProcessingTime,
    /// The revision of the pipelines that it was written with.
    pub revision: String,
    /// The bytes of its state.
    pub state_bytes: u64,
    /// Whether the job does the same, whatever its parts are called.
    pub is_same: bool,
    /// Why it cannot go on as it is now.
    pub refusals: Vec<String>,
    /// Streams that are new, gone or declared otherwise.
    pub streams: Vec<StreamChange>,
    /// The steps with their state, those that are gone last.
    pub steps: Vec<StepChange>,
    /// The outputs, those that are gone last.
    pub outputs: Vec<OutputChange>,
    /// Why no state is kept, where the job goes on without it.
    pub anew: Option<String>,
    /// What is read to build state again; nothing where it is kept.
    pub reads: Vec<StreamRead>,
    /// What is not there any more of the rows that the job had read, where all is read again.
    pub lacking: Vec<String>,
    /// Where actions and new topics begin, and the stream whose watermark says so.
    pub start: Option<(EventTime, String)>,
}

/// Whether a part of a job was there, and is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It does what it did.
    Kept,
    /// It is there under its name, and does something else.
    Changed,
    /// It was not there.
    New,
    /// It is there no more.
    Gone,
}

/// What becomes of the state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// It has none.
    None,
    /// It goes on with what it has.
    Kept,
    /// The state of some functions goes on, and that of others is built from history.
    PartlyKept,
    /// It is built from history; what it had is lost.
    Built,
    /// It is lost with the step.
    Lost,
}

/// A stream that has changed.
#[derive(Clone, Debug)]
pub struct StreamChange {
    /// Its name.
    pub name: String,
    /// How it has changed.
    pub presence: Presence,
    /// What is declared otherwise: what it is called, and how it was and is.
    pub settings: Vec<(String, String, String)>,
}

/// A step of a job.
#[derive(Clone, Debug)]
pub struct StepChange {
    /// Its name.
    pub name: String,
    /// The name that it had, if that was another one.
    pub was_called: Option<String>,
    /// How it has changed.
    pub presence: Presence,
    /// What it computes, as it is now; of one that is gone as it was.
    pub computes: String,
    /// The bytes of the state that it had.
    pub bytes: u64,
    /// What becomes of its state.
    pub state: StateChange,
    /// Of windows with other functions than they had each function, those that are gone last: what it computes, and what
    /// becomes of its state.
    pub functions: Vec<(String, StateChange)>,
}

/// An output of a job.
#[derive(Clone, Debug)]
pub struct OutputChange {
    /// The table or the topic.
    pub name: String,
    /// Whether it is a topic.
    pub is_topic: bool,
    /// How it has changed.
    pub presence: Presence,
    /// Columns that it gets, with their types.
    pub added: Vec<(String, String)>,
    /// What it holds of the job as it was, where that is written on.
    pub cut: Option<OutputCut>,
}

/// What is read of a stream.
#[derive(Clone, Debug)]
pub struct StreamRead {
    /// Its name.
    pub stream: String,
    /// How far before the first row that comes out.
    pub look_back: LookBack,
    /// Rows of history.
    pub rows: u64,
    /// Bytes of history.
    pub bytes: u64,
    /// Messages of the topic that the history does not have; about [`crate::WAITING_MAX`] where there are more.
    pub messages: u64,
}

impl Project {
    /// What becomes of a job that has a checkpoint, or is compared with a savepoint.
    pub fn plan_change(&self, job: Option<&str>, savepoint: Option<&Path>) -> Result<Option<PlannedChange>, Failure> {
        let checked = self.check(&self.job_target(job)?)?;
        let Some(mut before) = GoingOn::look(self, job, Begin::GoOn, savepoint)?.last else { return Ok(None) };
        let graph = self.lowered(&checked, EventTime::MIN)?;
        let now = job_plan(&checked, &graph);
        if before.facts.fingerprint == fingerprint::plan(&checked, &graph) {
            // Checkpoints of the first version say no more than this of the job.
            before.facts.plan.clone_from(&now);
        }
        let changes = Changes::between(&before.facts.plan, &now);
        let is_same = changes.is_same();
        let mut refusals = if is_same { vec![] } else { refusals(&before, &now)? };
        if !is_same && refusals.is_empty() {
            refusals.extend(self.used_anew(&checked, &before.facts.plan, &now)?);
        }
        let takeover = if is_same || !refusals.is_empty() { None } else { Some(Takeover::of(&before, &now)?) };
        let unfitting = unfitting_outputs(self, &checked.outputs)?;
        refusals.extend(unfitting.into_iter().map(|wrong| wrong.message));
        let cuts = takeover.as_ref().map_or(&[][..], |takeover| &takeover.cuts);
        let nodes = checked.node_identities();
        let planned = PlannedJob { plan: &now, graph: &graph, nodes: &nodes, checked: &checked };
        let way = match &takeover {
            Some(_) => Some(self.way(&checked, &planned, &before, cuts)?),
            None => None,
        };
        let reads = match &way {
            Some(Way::Keeps(_, reads)) => reads.clone(),
            _ if is_same => vec![],
            _ => self.reads(&checked, takeover.as_ref().and_then(|takeover| takeover.reads_from))?,
        };
        let lacking = match (&way, &takeover) {
            (Some(Way::Anew(_)), Some(takeover)) => self.lacking(&checked, takeover)?,
            _ => vec![],
        };
        let states = states(&planned, &changes, &way, is_same);
        Ok(Some(PlannedChange {
            checkpoint: before.coordinator.number,
            written_at: before.written_at,
            revision: before.facts.revision.clone(),
            state_bytes: before.state_bytes(),
            is_same,
            refusals,
            streams: streams(&before.facts.plan, &now, &changes),
            steps: steps(&before, &now, &changes, &states),
            outputs: outputs(&before.facts.plan, &now, cuts),
            start: match &way {
                // Actions and topics that there are go on with the rest.
                Some(Way::Keeps(..)) => None,
                _ => takeover.as_ref().map(|takeover| (takeover.start, held_by(&before, takeover.start))),
            },
            anew: match way {
                Some(Way::Anew(why)) => Some(why),
                _ => None,
            },
            lacking,
            reads,
        }))
    }

    /// Why outputs that are new cannot be written: they hold rows.
    fn used_anew(&self, checked: &CheckedPlan, before: &JobPlan, now: &JobPlan) -> Result<Vec<String>> {
        let is_new = |spec: &&OutputSpec| {
            let planned = now.outputs.iter().find(|output| output.place() == spec.name);
            planned.is_some_and(|planned| before.same_output(planned).is_none())
        };
        let mut wrong = Vec::new();
        for spec in checked.outputs.iter().filter(is_new) {
            match refuse_used(self, std::slice::from_ref(spec)) {
                Err(error) if error.kind() == ErrorKind::Invalid => wrong.push(error.chain()),
                refused => refused?,
            }
        }
        Ok(wrong)
    }

    fn lacking(&self, checked: &CheckedPlan, takeover: &Takeover) -> Result<Vec<String>> {
        let inputs = checked.streams.iter().map(|stream| Ok(self.input_there(stream, None)?.0));
        takeover.read.lacking(checked, &inputs.collect::<Result<Vec<_>>>()?, takeover.reads_from)
    }

    /// How a job goes on whose change can be applied.
    fn way(
        &self,
        checked: &CheckedPlan,
        planned: &PlannedJob,
        before: &Manifest,
        cuts: &[OutputCut],
    ) -> Result<Way, Failure> {
        let kept = match KeptState::of(before, planned, cuts) {
            Ok(kept) => kept,
            Err(why) => return Ok(Way::Anew(why)),
        };
        let RebuildInputs { inputs, look_back, .. } = match self.rebuild_inputs(checked, &kept, before)? {
            Ok(inputs) => inputs,
            Err(why) => return Ok(Way::Anew(why)),
        };
        let reads = inputs.iter().zip(look_back).map(|(input, look_back)| stream_read(input, look_back));
        Ok(Way::Keeps(kept, reads.collect::<Result<_>>()?))
    }

    /// What is read of each stream so that rows from an instant on come out; all of it where there is none.
    fn reads(&self, checked: &CheckedPlan, from: Option<EventTime>) -> Result<Vec<StreamRead>> {
        let reaches = checked.look_back();
        let mut reads = Vec::new();
        for stream in &checked.streams {
            let mut inputs = vec![self.input_there(stream, None)?.0];
            if let Some(from) = from {
                look_back(checked, &mut inputs, from);
            }
            let found = reaches.iter().find(|(name, _)| *name == stream.name).map(|(_, reach)| *reach);
            for input in inputs {
                reads.push(stream_read(&input, found.filter(|_| from.is_some()).unwrap_or(LookBack::All))?);
            }
        }
        Ok(reads)
    }
}

/// How a job goes on whose pipelines have changed.
enum Way {
    /// With the state that it has, once what else is needed was read.
    Keeps(KeptState, Vec<StreamRead>),
    /// With none of it; this is why.
    Anew(String),
}

/// What is read of an input.
fn stream_read(input: &StreamInput, look_back: LookBack) -> Result<StreamRead> {
    let files = input.history.iter().flat_map(|files| files.files());
    let (rows, bytes) = files.fold((0, 0), |sum, file| (sum.0 + file.rows, sum.1 + file.bytes));
    let messages = waiting(input)?.map_or(0, |waiting| waiting.messages);
    Ok(StreamRead { stream: input.spec.name.clone(), look_back, rows, bytes, messages })
}

/// What becomes of the state of a step.
struct StepState<'a> {
    state: StateChange,
    /// The place of the step that it was.
    was: Option<usize>,
    /// Where its windows have other functions than they had.
    join: Option<&'a WindowJoin>,
}

/// What becomes of the state of each step, in the order of the plan.
fn states<'a>(now: &PlannedJob, changes: &Changes, way: &'a Option<Way>, is_same: bool) -> Vec<StepState<'a>> {
    let found = |state: StateChange, was: Option<usize>| StepState { state, was, join: None };
    if let Some(Way::Keeps(kept, _)) = way {
        let state = |((node, _, state), same): ((usize, &PlannedPart, NodeState), &Option<usize>)| match state {
            NodeState::Built => found(StateChange::Built, *same),
            NodeState::Moved(was) => found(StateChange::Kept, Some(was)),
            NodeState::Joined(was) => {
                let is_partly_built = kept.states.is_partly_built(node);
                let state = if is_partly_built { StateChange::PartlyKept } else { StateChange::Kept };
                StepState { join: kept.states.joins.get(&node), ..found(state, Some(was)) }
            }
            NodeState::Kept if now.nodes[node].has_state => found(StateChange::Kept, *same),
            _ => found(StateChange::None, *same),
        };
        return kept.steps(now.plan).zip(&changes.steps).map(state).collect();
    }
    let is_step = |(node, _): &(&Node, &NodeIdentity)| matches!(node.kind, NodeKind::Step(_));
    let steps = now.graph.nodes.iter().zip(now.nodes).filter(is_step);
    let state = |has_state: bool| match (has_state, is_same) {
        (false, _) => StateChange::None,
        (true, true) => StateChange::Kept,
        (true, false) => StateChange::Built,
    };
    steps.zip(&changes.steps).map(|((_, identity), same)| found(state(identity.has_state), *same)).collect()
}

/// The stream that had come no further than outputs begin.
fn held_by(before: &Manifest, start: EventTime) -> String {
    let at = before.coordinator.watermarks.iter().position(|watermark| *watermark == start);
    let stream = at.and_then(|at| before.facts.plan.streams.get(at));
    stream.map(|stream| stream.name.clone()).unwrap_or_default()
}

fn streams(before: &JobPlan, now: &JobPlan, changes: &Changes) -> Vec<StreamChange> {
    let mut found = Vec::new();
    for (stream, _) in now.streams.iter().zip(&changes.streams).filter(|(_, was)| was.is_none()) {
        let was = before.streams.iter().find(|was| was.name == stream.name);
        let differs = |((name, was), (_, now)): (&(String, String), &(String, String))| {
            (was != now).then(|| (name.clone(), was.clone(), now.clone()))
        };
        let settings = was.map(|was| was.settings.iter().zip(&stream.settings).filter_map(differs).collect());
        let presence = if was.is_some() { Presence::Changed } else { Presence::New };
        found.push(StreamChange { name: stream.name.clone(), presence, settings: settings.unwrap_or_default() });
    }
    let is_gone = |&at: &usize| {
        let name = &before.streams[at].name;
        !changes.streams.contains(&Some(at)) && now.streams.iter().all(|stream| stream.name != *name)
    };
    found.extend((0..before.streams.len()).filter(is_gone).map(|at| StreamChange {
        name: before.streams[at].name.clone(),
        presence: Presence::Gone,
        settings: vec![],
    }));
    found
}

fn steps(before: &Manifest, now: &JobPlan, changes: &Changes, states: &[StepState]) -> Vec<StepChange> {
    let was = &before.facts.plan.steps;
    let change = |((step, same), of): ((&PlannedPart, &Option<usize>), &StepState)| {
        let kept = of.was.and_then(|at| was.get(at));
        let namesake = was.iter().find(|was| was.name == step.name).filter(|_| kept.is_none());
        StepChange {
            name: step.name.clone(),
            was_called: kept.map(|kept| kept.name.clone()).filter(|name| *name != step.name),
            presence: match (kept, namesake) {
                (Some(_), _) if same.is_none() => Presence::Changed,
                (Some(_), _) => Presence::Kept,
                (None, Some(_)) => Presence::Changed,
                (None, None) => Presence::New,
            },
            computes: step.computes.clone(),
            functions: kept.zip(of.join).map_or(vec![], |(was, join)| functions(was, step, join)),
            bytes: kept.or(namesake).map_or(0, |was| before.bytes_of(&was.name)),
            state: of.state,
        }
    };
    let mut steps: Vec<StepChange> = now.steps.iter().zip(&changes.steps).zip(states).map(change).collect();
    let goes_on = |at: usize| states.iter().any(|of| of.was == Some(at));
    let is_gone = |&at: &usize| !goes_on(at) && now.steps.iter().all(|step| step.name != was[at].name);
    steps.extend((0..was.len()).filter(is_gone).map(|at| StepChange {
        name: was[at].name.clone(),
        was_called: None,
        presence: Presence::Gone,
        computes: was[at].computes.clone(),
        functions: vec![],
        bytes: before.bytes_of(&was[at].name),
        state: StateChange::Lost,
    }));
    steps
}

/// What becomes of the functions of windows whose state goes on though they are not those that there were.
fn functions(was: &PlannedPart, now: &PlannedPart, join: &WindowJoin) -> Vec<(String, StateChange)> {
    let of = |part: &PlannedPart| part.state.as_ref().map_or(vec![], |state| state.functions.clone());
    let (had, has) = (of(was), of(now));
    let is_gone = |(content, _): &&(u128, String)| has.iter().all(|(other, _)| other != content);
    let state = |is_added: &bool| if *is_added { StateChange::Built } else { StateChange::Kept };
    let functions = has.iter().zip(join.is_added()).map(|((_, computes), added)| (computes.clone(), state(added)));
    let gone = had.iter().filter(is_gone).map(|(_, computes)| (computes.clone(), StateChange::Lost));
    functions.chain(gone).collect()
}

fn outputs(before: &JobPlan, now: &JobPlan, cuts: &[OutputCut]) -> Vec<OutputChange> {
    let mut outputs = Vec::new();
    for output in &now.outputs {
        let was = before.output(&output.name);
        let is_new = |column: &&(String, String)| was.is_some_and(|was| !was.columns.contains(column));
        outputs.push(OutputChange {
            name: output.place().to_owned(),
            is_topic: output.is_topic,
            presence: match was {
                Some(was) if (was.content, &was.columns) == (output.content, &output.columns) => Presence::Kept,
                Some(_) => Presence::Changed,
                None => Presence::New,
            },
            added: output.columns.iter().filter(is_new).cloned().collect(),
            cut: cuts.iter().find(|cut| cut.output == output.name).cloned(),
        });
    }
    outputs.extend(before.outputs.iter().filter(|was| now.output(&was.name).is_none()).map(|was| OutputChange {
        name: was.place().to_owned(),
        is_topic: was.is_topic,
        presence: Presence::Gone,
        added: vec![],
        cut: None,
    }));
    outputs
}
