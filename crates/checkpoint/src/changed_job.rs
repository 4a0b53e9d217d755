//! What goes on of a checkpoint when its job computes something else from there on.

use crate::manifest::{Manifest, Piece};
use crate::state_file::StateFiles;
use dataflow::{CoordinatorState, Error, EventTime, Frozen, FrozenInput, JobRows, OutputState, Result, StepState};
use std::sync::Arc;

/// A job that computes something else than a checkpoint of it holds.
pub struct ChangedJob {
    /// Positions and watermarks of its streams, as it numbers them.
    pub coordinator: CoordinatorState,
    /// The steps that go on with the state that they have: what they were called, and what they are called now.
    pub kept: Vec<(String, String)>,
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
    pub(crate) fn write_steps(&self, before: &Manifest, files: &mut StateFiles) -> Result<Vec<StepState<Vec<Piece>>>> {
        let mut steps = Vec::new();
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
