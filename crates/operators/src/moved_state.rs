//! State that a step takes over from one that held the same of rows which carried other columns.

use dataflow::{Result, StateReader, StateWriter};

/// How the state of a step is written that takes over that of another, which held the same.
#[derive(Clone, Copy, Debug)]
pub struct StateMove {
    /// What stands in every piece of its state.
    pub fingerprint: u64,
}

impl StateMove {
    /// Writes all pieces of the state that there was as those of the step.
    pub fn write(&self, from: &mut dyn StateReader, to: &mut dyn StateWriter) -> Result<()> {
        while let Some((scope, bytes)) = from.next()? {
            to.put(scope, &state::with_fingerprint(bytes, self.fingerprint)?)?;
        }
        Ok(())
    }
}
