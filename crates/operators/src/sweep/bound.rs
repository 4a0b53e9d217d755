//! A cursor over the log.

use super::chunk::{PassedRows, Probes};
use super::steps::Entrances;
use dataflow::Result;
use state::Log;

/// A cursor: it has passed the rows with a time up to `t + limit`.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) limit: i64,
    pub(super) cursor: u64,
    pub(super) values: Vec<usize>,
    pub(super) flags: Vec<usize>,
    pub(super) passed: PassedRows,
    /// Set where frames begin at the bound.
    pub(super) entrances: Option<Entrances>,
}

impl Bound {
    /// Moves the cursor over the moments that ask, and copies the rows that it passes.
    pub(super) fn pass(&mut self, log: &mut Log, probes: &Probes) -> Result<()> {
        let passed = &mut self.passed;
        passed.clear();
        passed.first = self.cursor;
        let Some(&last) = probes.times.last() else { return Ok(()) };
        let end = log.first_above(self.cursor, last.saturating_add(self.limit))?;
        log.for_pieces(self.cursor, end, |page, from, to| {
            passed.times.extend_from_slice(&page.times[from..to]);
            passed.keys.extend_from_slice(&page.keys[from..to]);
            for &column in &self.values {
                passed.values[column].extend_from_slice(&page.values[column][from..to]);
            }
            for &column in &self.flags {
                passed.flags[column].extend_from_slice(&page.flags[column][from..to]);
            }
        })?;
        self.cursor = end;
        Ok(())
    }
}
