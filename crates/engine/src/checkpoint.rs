//! Gathers what the parts of a job hand over at a barrier, and has it made durable on a thread of its own.
//!
//! ```text
//! barrier -> readers and stages freeze ---> coordinator: Persist -+
//!         -> writers prepare -------------------------------------+-> store -> Durable -> committers
//! ```
//!
//! Processing goes on meanwhile; the next barrier waits for the checkpoint.

use crate::conservation::Conservation;
use crate::coordination::Coordination;
use crate::notes::Notes;
use crate::parts::{Names, Part, Preparation};
use crate::patience::Patience;
use crate::seeded::{self, Rule};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use dataflow::{
    Checkpoint, CheckpointStore, Clock, Committable, CoordinatorEvent, CoordinatorState, Error, ErrorKind, EventTime,
    Frozen, FrozenInput, FrozenStage, JobRows, OutputState, ProcessingTime, Result, Span, StageId, StepState,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How long a step waits for a part before it looks whether the job has failed; no more often, since a job that is idle
/// costs nothing.
const TICK: Duration = Duration::from_secs(1);
/// The name of its note.
const NOTE: &str = "checkpoint";

/// An output of the job.
pub struct OutputParts {
    /// The node.
    pub node: usize,
    /// Its name.
    pub name: String,
    /// How many writers it has.
    pub writers: usize,
    /// What is prepared goes here once it is durable.
    pub committer: Sender<Preparation>,
    /// What an earlier run left, and at which checkpoint. Nothing is pending there where the host knows what the output
    /// holds; checkpoints name what is until more is committed.
    pub before: Option<(u64, OutputState)>,
}

/// Gathers checkpoints and has them stored.
pub struct Checkpointer {
    parts: Receiver<Part>,
    store: Box<dyn CheckpointStore>,
    coordination: Arc<Coordination>,
    names: Names,
    outputs: Vec<Output>,
    // What had become of rows before this run.
    rows_before: JobRows,
    // What is handed over for checkpoints to come.
    gathered: BTreeMap<u64, Gathered>,
    // What waits to be stored.
    ready: Option<(Checkpoint, Vec<(usize, Preparation)>)>,
    // What was prepared for checkpoints that were given up: it is durable with the next one.
    given_up: Vec<(usize, Preparation)>,
    // When the first part of the checkpoint came that is on its way, and how long after that it is given up.
    since: Option<ProcessingTime>,
    timeout: Span,
    clock: Arc<dyn Clock>,
    patience: Patience,
    notes: Notes,
    ended: bool,
}

struct Output {
    parts: OutputParts,
    position: Option<Vec<u8>>,
    known: u64,
    // By the number of the checkpoint at which it was prepared.
    pending: VecDeque<(u64, Vec<Committable>)>,
}

#[derive(Default)]
struct Gathered {
    state: Option<CoordinatorState>,
    stages: Vec<(StageId, FrozenStage)>,
    prepared: Vec<(usize, Preparation)>,
    rows: Conservation,
}

/// What a step of the checkpointer gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointerStep {
    Moved,
    Idle,
    Ended,
}

impl Checkpointer {
    pub fn new(
        parts: Receiver<Part>,
        store: Box<dyn CheckpointStore>,
        coordination: Arc<Coordination>,
        (names, outputs, rows_before): (Names, Vec<OutputParts>, JobRows),
        (patience, notes): (Patience, Notes),
        (timeout, clock): (Span, Arc<dyn Clock>),
    ) -> Checkpointer {
        let output = |mut parts: OutputParts| {
            let (number, mut before) = parts.before.take().unwrap_or_default();
            if seeded::leaves_out(Rule::KnownGoesOn) {
                before.known = 0;
            }
            let pending = if before.pending.is_empty() { vec![] } else { vec![(number, before.pending)] };
            Output { parts, position: before.position, known: before.known, pending: pending.into() }
        };
        let outputs = outputs.into_iter().map(output).collect();
        let gathered = BTreeMap::new();
        Checkpointer {
            parts,
            store,
            coordination,
            names,
            outputs,
            rows_before,
            gathered,
            ready: None,
            given_up: Vec::new(),
            since: None,
            timeout,
            clock,
            patience,
            notes,
            ended: false,
        }
    }

    /// Takes what was handed over, and stores a checkpoint whose parts are all there. A store that takes nothing is
    /// asked again later.
    pub fn step(&mut self, wait: bool) -> Result<CheckpointerStep> {
        let taken = self.take(wait)?;
        if self.ended {
            return Ok(CheckpointerStep::Ended);
        }
        if self.ready.is_none() {
            let taken = self.coordination.begin_due()? || taken;
            return Ok(if taken { CheckpointerStep::Moved } else { CheckpointerStep::Idle });
        }
        if wait && !self.patience.is_due() {
            return Ok(CheckpointerStep::Idle);
        }
        if seeded::leaves_out(Rule::StoredFirst) {
            self.commit_ready();
        }
        let Some((checkpoint, _)) = &self.ready else { return Ok(CheckpointerStep::Idle) };
        match self.store.put(checkpoint) {
            Ok(()) => self.durable(),
            Err(error) if error.kind() == ErrorKind::Unavailable && seeded::leaves_out(Rule::StoredAgain) => {
                self.durable()
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                let note = format!("the checkpoint waits to be stored: {}", error.chain());
                self.patience.fail(error, "the checkpoint could not be stored")?;
                self.notes.set(NOTE, note);
                self.look_at_timeout()?;
                Ok(CheckpointerStep::Idle)
            }
            Err(error) => Err(error),
        }
    }

    /// Tells the coordinator of a checkpoint that the store has not taken in time.
    fn look_at_timeout(&mut self) -> Result<()> {
        let is_late = self.since.is_some_and(|since| self.clock.now() >= since.plus(self.timeout));
        match &self.ready {
            Some((checkpoint, _)) if is_late => {
                self.coordination.tell(CoordinatorEvent::TooLate(checkpoint.coordinator.number))
            }
            _ => Ok(()),
        }
    }

    /// A checkpoint is given up. What was prepared for it stays pending, and is in the next manifest.
    fn give_up(&mut self, number: u64) {
        let Some((_, mut prepared)) = self.ready.take_if(|(checkpoint, _)| checkpoint.coordinator.number == number)
        else {
            return;
        };
        if seeded::leaves_out(Rule::GivenUpStays) {
            prepared.iter_mut().for_each(|(_, preparation)| preparation.committable = None);
            let outputs = self.outputs.iter_mut();
            outputs.for_each(|output| output.pending.retain(|(of, _)| *of != number));
        }
        self.given_up.append(&mut prepared);
        self.since = None;
        let seconds = self.timeout.0 / 1_000_000;
        self.notes.set(
            NOTE,
            format!("checkpoint {number} was not stored within {seconds} s and is given up; the next one is tried"),
        );
    }

    /// The checkpoint that was ready is durable: the coordinator and the committers go on.
    fn durable(&mut self) -> Result<CheckpointerStep> {
        self.commit_ready();
        let Some((checkpoint, _)) = self.ready.take() else { return Ok(CheckpointerStep::Idle) };
        self.since = None;
        self.patience.succeed();
        self.notes.clear(NOTE);
        self.coordination.tell(CoordinatorEvent::Durable(checkpoint.coordinator.number))?;
        if checkpoint.last {
            self.ended = true;
            // Committers end when nothing more can come.
            self.outputs.clear();
            return Ok(CheckpointerStep::Ended);
        }
        Ok(CheckpointerStep::Moved)
    }

    /// Gives the committers what was prepared for the checkpoint that is ready.
    fn commit_ready(&mut self) {
        let Some((_, prepared)) = &mut self.ready else { return };
        for (output, preparation) in prepared.drain(..) {
            // The committer has gone only when the job has failed.
            let _ = self.outputs[output].parts.committer.send(preparation);
        }
    }

    /// Takes all parts that are there; waits for the first. Whether there were any.
    fn take(&mut self, wait: bool) -> Result<bool> {
        if wait && !self.ended {
            match self.parts.recv_timeout(if self.ready.is_some() { self.patience.pause() } else { TICK }) {
                Ok(part) => self.put(part)?,
                Err(RecvTimeoutError::Timeout) => return Ok(false),
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            }
        }
        let mut any = wait;
        while let Ok(part) = self.parts.try_recv() {
            self.put(part)?;
            any = true;
        }
        Ok(any)
    }

    fn put(&mut self, part: Part) -> Result<()> {
        let number = match part {
            Part::State(state) => {
                let number = state.number;
                self.gathered.entry(number).or_default().state = Some(state);
                number
            }
            Part::Stage(number, id, frozen) => {
                self.gathered.entry(number).or_default().stages.push((id, frozen));
                number
            }
            Part::Rows(number, rows) => {
                self.gathered.entry(number).or_default().rows.add(&rows);
                number
            }
            Part::Prepared(output, preparation) => {
                let number = preparation.barrier.number;
                let gathered = self.gathered.entry(number).or_default();
                let node = self.outputs[output].parts.node;
                gathered.rows.add_written(node, preparation.rows, preparation.left_out);
                gathered.prepared.push((output, preparation));
                number
            }
            Part::GivenUp(number) => {
                self.give_up(number);
                return Ok(());
            }
            Part::Committed(output, upto) => {
                if let Some(output) = self.outputs.get_mut(output) {
                    output.pending.retain(|(number, _)| *number > upto);
                    output.known = output.known.max(upto);
                }
                return Ok(());
            }
        };
        self.since.get_or_insert(self.clock.now());
        let writers: usize = self.outputs.iter().map(|output| output.parts.writers).sum();
        let is_whole = |gathered: &Gathered| gathered.state.is_some() && gathered.prepared.len() == writers;
        if self.gathered.get(&number).is_some_and(is_whole) {
            if self.ready.is_some() {
                return Err(Error::internal(format!(
                    "checkpoint {number} was gathered before the one before it is durable"
                )));
            }
            self.ready = match self.gathered.remove(&number) {
                Some(gathered) => {
                    gathered.rows.check(&self.names, number)?;
                    self.checkpoint(gathered)
                }
                None => None,
            };
        }
        Ok(())
    }

    fn checkpoint(&mut self, gathered: Gathered) -> Option<(Checkpoint, Vec<(usize, Preparation)>)> {
        let coordinator = gathered.state?;
        let last = gathered.prepared.iter().any(|(_, preparation)| preparation.barrier.last);
        let replays = gathered.prepared.iter().any(|(_, preparation)| preparation.replays);
        let replays = replays && !seeded::leaves_out(Rule::SaysWhatComesAgain);
        // Where time has come to its end nothing can follow, and nobody will ask for what steps remember.
        let is_over = last && coordinator.watermarks.iter().all(|watermark| *watermark == EventTime::MAX);
        let (mut steps, mut inputs) = (Vec::new(), BTreeMap::<String, Vec<FrozenInput>>::new());
        for (id, frozen) in gathered.stages {
            for (input, frozen) in frozen.inputs.into_iter().enumerate() {
                inputs.entry(self.names.inputs[id.stage][input].clone()).or_default().push(frozen);
            }
            let step = |(node, watermark, state): (usize, _, Arc<dyn Frozen>)| {
                let state = if is_over { Arc::new(()) } else { state };
                StepState { step: self.names.nodes[node].clone(), watermark, state }
            };
            steps.extend(frozen.nodes.into_iter().map(step));
        }
        for (output, preparation) in &gathered.prepared {
            let output = &mut self.outputs[*output];
            if let Some(position) = &preparation.position {
                output.position = Some(position.clone());
            }
            if let Some(committable) = &preparation.committable {
                match output.pending.back_mut().filter(|(number, _)| *number == coordinator.number) {
                    Some((_, committables)) => committables.push(committable.clone()),
                    None if seeded::leaves_out(Rule::PendingOfAll) => {
                        output.pending = VecDeque::from([(coordinator.number, vec![committable.clone()])]);
                    }
                    None => output.pending.push_back((coordinator.number, vec![committable.clone()])),
                }
            }
        }
        let outputs = self.outputs.iter().map(Output::state).collect();
        let inputs = inputs.into_iter().collect();
        let before = if seeded::leaves_out(Rule::CountsGoOn) { &JobRows::default() } else { &self.rows_before };
        let rows = gathered.rows.job_rows(&self.names, before);
        let mut prepared = std::mem::take(&mut self.given_up);
        prepared.extend(gathered.prepared);
        Some((Checkpoint { coordinator, steps, inputs, outputs, rows, last, replays }, prepared))
    }
}

impl Output {
    fn state(&self) -> OutputState {
        OutputState {
            output: self.parts.name.clone(),
            position: self.position.clone(),
            pending: self.pending.iter().flat_map(|(_, committables)| committables).cloned().collect(),
            known: self.known,
        }
    }
}

fn gone() -> Error {
    Error::internal("the parts of a job have gone before its last checkpoint")
}
