//! Whether the answer is still wanted: looked at before each batch of rows and within every long loop.

use arrow::array::RecordBatch;
use dataflow::{RecordBatches, Result};
use std::fmt;
use std::sync::Arc;

/// Rows that a step takes at once; a loop over rows looks at least as often whether it is to stop.
pub(crate) const BATCH_ROWS: usize = 8_192;

/// Says whether the answer is still wanted.
#[derive(Clone)]
pub struct StopCheck(Arc<dyn Fn() -> Result<()> + Send + Sync>);

impl StopCheck {
    /// The error of the check ends the answer.
    pub fn new(check: impl Fn() -> Result<()> + Send + Sync + 'static) -> StopCheck {
        StopCheck(Arc::new(check))
    }

    /// The answer is wanted to its end.
    pub fn never() -> StopCheck {
        StopCheck::new(|| Ok(()))
    }

    pub(crate) fn look(&self) -> Result<()> {
        (self.0)()
    }

    /// The rows in batches of a bounded size, up to where nobody wants them.
    pub(crate) fn watch(&self, rows: RecordBatches) -> RecordBatches {
        Box::new(Watched { rows, check: self.clone(), batch: None, at: 0, failed: false })
    }
}

impl fmt::Debug for StopCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopCheck")
    }
}

struct Watched {
    rows: RecordBatches,
    check: StopCheck,
    /// A batch with more rows than are given out at once, and how many of them are out.
    batch: Option<RecordBatch>,
    at: usize,
    failed: bool,
}

impl Iterator for Watched {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if let Err(stopped) = self.check.look() {
            self.failed = true;
            return Some(Err(stopped));
        }
        let batch = match self.batch.take() {
            Some(batch) => batch,
            None => match self.rows.next()? {
                Ok(batch) => batch,
                error => return Some(error),
            },
        };
        let (from, rows) = (self.at, (batch.num_rows() - self.at).min(BATCH_ROWS));
        if from + rows == batch.num_rows() {
            self.at = 0;
            return Some(Ok(if from == 0 { batch } else { batch.slice(from, rows) }));
        }
        let part = batch.slice(from, rows);
        self.at += rows;
        self.batch = Some(batch);
        Some(Ok(part))
    }
}
