//! Stores what was built again: with the state that is kept it becomes the newest checkpoint of the job, in one step.

use crate::frozen_pieces::with_pieces;
use crate::spill_folder::SpillFolder;
use checkpoint::{ChangedJob, Checkpoints, JobFacts, Manifest, MovedStep, Rewrite};
use dataflow::{
    Checkpoint, CheckpointStore, CoordinatorState, Error, EventTime, Fate, Fates, Frozen, JobRows, Result, StateMemory,
    StateReader, StateWriter, StepState,
};
use seam::has_read_again;
use sql::{Joining, WindowJoin};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Why what was read is not what the job had read, once that has turned out.
#[derive(Clone, Default)]
pub struct Lacking(Arc<Mutex<Option<String>>>);

impl Lacking {
    /// Why, if it has turned out.
    pub fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is(&self, why: String) -> Error {
        let error = Error::invalid(why.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        error
    }
}

/// What has to be there of a stream that is read again.
pub(crate) struct WantedStream {
    pub name: String,
    /// How many rows the files of its history have that are left out, since nothing looks back to them.
    pub left_out: u64,
    /// Whether its topic, as far as it is in no history, begins before all that is looked back to, so that rows which are
    /// gone are not missed.
    pub reaches_back: bool,
}

/// Memory for state: so many bytes, and files in a folder for the rest.
pub type MakeStateMemory = fn(usize, &Path) -> Arc<StateMemory>;

/// Windows that have other functions than they had.
pub(crate) struct JoinedStep {
    /// What they were called.
    pub was: String,
    /// What they are called now.
    pub now: String,
    pub join: WindowJoin,
    /// Whether the state of some functions is built.
    pub is_built: bool,
}

/// What state may take that is put together.
pub(crate) struct JoinMemory {
    pub bytes: usize,
    pub folder: SpillFolder,
    pub make: MakeStateMemory,
}

/// Puts the state of windows together.
struct Together {
    join: WindowJoin,
    // What was built in every worker, where something was.
    parts: Option<Vec<Arc<dyn Frozen>>>,
    memory: Arc<StateMemory>,
    lacking: Lacking,
}

impl Rewrite for Together {
    fn rewrite(&self, from: &mut dyn StateReader, to: &mut dyn StateWriter) -> Result<()> {
        let joining = match &self.parts {
            Some(parts) => with_pieces(parts, |pieces| self.join.write(from, Some(pieces), &self.memory, to))?,
            None => self.join.write(from, None, &self.memory, to)?,
        };
        match joining {
            Joining::Done => Ok(()),
            Joining::OtherRows => Err(self.lacking.is(
                "the rows that were read for functions that are new are others than those that windows beside them hold: \
                 history has changed since they came"
                    .to_owned(),
            )),
        }
    }
}

/// Takes the last checkpoint of a job that builds state, and nothing before.
pub(crate) struct RebuiltState {
    held: Checkpoints,
    before: Manifest,
    facts: JobFacts,
    changed: ChangedJob,
    // The windows that keep the state of some functions, and what putting that together may take.
    joins: Vec<JoinedStep>,
    memory: JoinMemory,
    // The steps that are built, and up to when each has to have released everything.
    built: Vec<(String, EventTime)>,
    // How far streams are read, and what has to be there of them.
    until: CoordinatorState,
    streams: Vec<WantedStream>,
    lacking: Lacking,
    // What was written, until it is put.
    written: Option<Manifest>,
}

impl RebuiltState {
    pub fn new(
        held: Checkpoints,
        before: Manifest,
        facts: JobFacts,
        changed: ChangedJob,
        (built, joins, memory): (Vec<(String, EventTime)>, Vec<JoinedStep>, JoinMemory),
    ) -> RebuiltState {
        let until = CoordinatorState { splits: vec![], watermarks: vec![], ..before.coordinator.clone() };
        // Savepoints from before are of the job as it was.
        let facts = JobFacts { generation: held.epoch(), ..facts };
        let (lacking, written) = (Lacking::default(), None);
        RebuiltState { held, before, facts, changed, built, joins, memory, until, streams: vec![], lacking, written }
    }

    /// Says up to where streams are read, and what has to be there of them.
    pub fn expect(&mut self, until: CoordinatorState, streams: Vec<WantedStream>) {
        (self.until, self.streams) = (until, streams);
    }

    /// Tells later why what was read does not do.
    pub fn lacking(&self) -> Lacking {
        self.lacking.clone()
    }

    /// Puts the checkpoint of the changed job with the state of steps that were built, whose rows were counted.
    pub fn finish(&mut self, built: Vec<StepState<Arc<dyn Frozen>>>, rows: &JobRows) -> Result<()> {
        if self.written.is_none() {
            let is_joined = |name: &str| self.joins.iter().any(|step| step.now == name);
            // Windows that keep the state of some functions have had all rows that there were.
            let is_built =
                |(name, _): &&(String, Fates)| self.built.iter().any(|(step, _)| step == name) && !is_joined(name);
            let counts = rows.steps.iter().filter(is_built).cloned().collect::<Vec<_>>();
            self.changed.rows.steps.retain(|step| !is_built(&step));
            self.changed.rows.steps.extend(counts);
            let (parts, whole) = built.into_iter().partition(|state| is_joined(&state.step));
            (self.changed.built, self.changed.joined) = (whole, self.joined(parts));
            self.written = Some(self.held.changed(&self.before, &self.facts, &self.changed)?);
        }
        match &self.written {
            Some(written) => self.held.put_changed(written),
            None => Ok(()),
        }
    }

    /// The windows that keep the state of some functions, with what was built of the others in every worker.
    fn joined(&self, parts: Vec<StepState<Arc<dyn Frozen>>>) -> Vec<MovedStep> {
        let step = |step: &JoinedStep| {
            let of_step = parts.iter().filter(|part| part.step == step.now);
            let parts: Vec<_> = of_step.map(|part| part.state.clone()).collect();
            let parts = Some(parts).filter(|_| step.is_built);
            let memory = (self.memory.make)(self.memory.bytes, self.memory.folder.path());
            let (join, lacking) = (step.join.clone(), self.lacking.clone());
            let rewrite = Box::new(Together { join, parts, memory, lacking });
            MovedStep { was: step.was.clone(), now: step.now.clone(), rewrite }
        };
        self.joins.iter().map(step).collect()
    }

    /// Refuses what was not read as the job had read it: the state would be another.
    fn check_read(&self, checkpoint: &Checkpoint) -> Result<()> {
        if !has_read_again(&checkpoint.coordinator, &self.until)? {
            return Err(Error::invalid(
                "the run was ended before state was built again, and nothing has changed: apply the change once more",
            ));
        }
        let read = |rows: &JobRows, stream: &str| {
            let found = rows.streams.iter().find(|(name, _)| name == stream);
            found.map(|(_, fates)| fates.of(Fate::In))
        };
        // A job that had begun somewhere in history has read less of it.
        let is_whole = self.before.facts.reads_from.is_none() && self.before.facts.from.is_none();
        for stream in self.streams.iter().filter(|stream| !stream.reaches_back) {
            let (found, had) = (read(&checkpoint.rows, &stream.name), read(&self.changed.rows, &stream.name));
            let (Some(found), Some(had)) = (found, had) else { continue };
            let found = found.saturating_add(i64::try_from(stream.left_out).unwrap_or(i64::MAX));
            if found < had || (found > had && is_whole && stream.left_out == 0) {
                return Err(self.lacking.is(format!(
                    "stream {} has {found} rows up to where the job was stopped, of which it had read {had}: its topic was \
                     trimmed, or its archive changed",
                    stream.name
                )));
            }
        }
        Ok(())
    }

    /// The state of the steps that are built; each has to stand where the job stood.
    fn built_of(&self, checkpoint: &Checkpoint) -> Result<Vec<StepState<Arc<dyn Frozen>>>> {
        let mut all = Vec::new();
        for (name, level) in &self.built {
            let of_step: Vec<_> = checkpoint.steps.iter().filter(|state| state.step == *name).cloned().collect();
            let found = of_step.iter().map(|state| state.watermark).min();
            if found != Some(*level) {
                return Err(Error::internal(format!(
                    "step {name} was built up to {}, expected {level}",
                    found.map_or("no time".to_owned(), |found| found.to_string())
                )));
            }
            all.extend(of_step);
        }
        Ok(all)
    }
}

impl CheckpointStore for RebuiltState {
    fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if !checkpoint.last {
            // A run that is killed begins anew: nothing refers to it before its end.
            return Ok(());
        }
        self.check_read(checkpoint)?;
        let built = self.built_of(checkpoint)?;
        self.finish(built, &checkpoint.rows)
    }
}
