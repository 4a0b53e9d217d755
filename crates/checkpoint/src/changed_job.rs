//! What goes on of a checkpoint when its job computes something else from there on.

use crate::manifest::{Manifest, Piece};
use crate::reading;
use crate::state_file::StateFiles;
use crate::store::Store;
use dataflow::{
    CoordinatorState, Error, EventTime, Frozen, FrozenInput, JobRows, KeyGroups, OutputState, PiecesOf, Result, Scope,
    StateReader, StateWriter, StepState,
};
use std::sync::Arc;

/// A job that computes something else than a checkpoint of it holds.
pub struct ChangedJob {
    /// Positions and watermarks of its streams, as it numbers them.
    pub coordinator: CoordinatorState,
    /// The steps that go on with the state that they have: what they were called, and what they are called now.
    pub kept: Vec<(String, String)>,
    /// The steps that go on with state that has to be written otherwise.
    pub moved: Vec<MovedStep>,
    /// The same of steps of which a part was built again.
    pub joined: Vec<MovedStep>,
    /// The steps that were built again, at the positions of the checkpoint; in every worker that did so.
    pub built: Vec<StepState<Arc<dyn Frozen>>>,
    /// Steps without state, and up to when they have released everything.
    pub stateless: Vec<(String, EventTime)>,
    /// The inputs of its stages: what each is called, what it was called if it was there, and how far it was given else.
    pub inputs: Vec<(String, Option<String>, EventTime)>,
    /// Its outputs, as the checkpoint has them.
    pub outputs: Vec<OutputState>,
    /// What had become of rows.
    pub rows: JobRows,
}

/// A step that goes on with the state of one that there was, written otherwise.
pub struct MovedStep {
    /// What it was called.
    pub was: String,
    /// What it is called now.
    pub now: String,
    /// Writes its state as it is to be, given all pieces of what it was in all workers.
    pub rewrite: Box<dyn Rewrite>,
}

/// Writes the state of a step otherwise.
pub trait Rewrite: Send {
    /// Reads all pieces of a step and writes those that it is to have.
    fn rewrite(&self, from: &mut dyn StateReader, to: &mut dyn StateWriter) -> Result<()>;
}

/// The pieces of a step in all workers, one after the other.
struct AllPieces<'a>(Vec<PiecesOf<'a>>);

impl StateReader for AllPieces<'_> {
    fn next(&mut self) -> Result<Option<(Scope, Vec<u8>)>> {
        while let Some(first) = self.0.first_mut() {
            match first.next()? {
                Some(piece) => return Ok(Some(piece)),
                None => drop(self.0.remove(0)),
            }
        }
        Ok(None)
    }
}

impl ChangedJob {
    /// The inputs of stages, as the job goes on with them.
    pub(crate) fn inputs(&self, before: &Manifest) -> Result<Vec<(String, Vec<FrozenInput>)>> {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (name, was_called, given) in &self.inputs {
            let frozen = match was_called {
                Some(was) => match before.inputs.iter().find(|(input, _)| input == was) {
                    Some((_, frozen)) => frozen.clone(),
                    None => return Err(Error::internal(format!("the checkpoint has nothing of input {was}"))),
                },
                None => vec![FrozenInput { given: *given, is_absent: false }],
            };
            // Edges of one name are one input.
            if inputs.iter().all(|(other, _)| other != name) {
                inputs.push((name.clone(), frozen));
            }
        }
        Ok(inputs)
    }

    /// The state of all steps: that which is kept is named again, the rest is written.
    pub(crate) fn write_steps(
        &self,
        store: &Arc<dyn Store>,
        before: &Manifest,
        files: &mut StateFiles,
    ) -> Result<Vec<StepState<Vec<Piece>>>> {
        let mut steps = Vec::new();
        for step in self.moved.iter().chain(&self.joined) {
            let Some(watermark) = before.watermark_of(&step.was) else {
                return Err(Error::internal(format!("the checkpoint has nothing of step {}", step.was)));
            };
            let pieces = reading::pieces_of_step(store, before, &step.was);
            let mut all = AllPieces(pieces.iter().map(|pieces| PiecesOf::new(pieces, KeyGroups::ALL)).collect());
            let written = step.rewrite.rewrite(&mut all, files);
            written.map_err(|error| error.context(format!("the state of step {}", step.was)))?;
            steps.push(StepState { step: step.now.clone(), watermark, state: files.take_pieces() });
        }
        for (was, now) in &self.kept {
            let of_step = before.steps.iter().filter(|state| state.step == *was);
            for StepState { watermark, state, .. } in of_step {
                let state = state.iter().map(|piece| files.name_piece(piece)).collect();
                steps.push(StepState { step: now.clone(), watermark: *watermark, state });
            }
            if steps.last().is_none_or(|state| state.step != *now) {
                return Err(Error::internal(format!("the checkpoint has nothing of step {was}")));
            }
        }
        for StepState { step, watermark, state } in &self.built {
            state.write(files)?;
            steps.push(StepState { step: step.clone(), watermark: *watermark, state: files.take_pieces() });
        }
        let empty = |(step, watermark): &(String, EventTime)| StepState {
            step: step.clone(),
            watermark: *watermark,
            state: Vec::new(),
        };
        steps.extend(self.stateless.iter().map(empty));
        Ok(steps)
    }
}
