//! Rows of an output that the caller takes from memory.

use dataflow::{Batch, Committable, Committer, Result, Sink};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Rows of a query on their way to the caller, who takes them while the job runs, in (`_time`, `_ord`) order.
#[derive(Clone, Debug, Default)]
pub struct Rows(Arc<(Mutex<QueryBuffer>, Condvar)>);

#[derive(Debug, Default)]
struct QueryBuffer {
    batches: Vec<Batch>,
    bytes: usize,
    bytes_max: Option<usize>,
}

impl Rows {
    /// Makes the writer wait while this many bytes have not been taken yet.
    pub fn keep_at_most(&self, bytes: usize) {
        self.untaken().bytes_max = Some(bytes);
    }

    /// The rows that came since the last call.
    pub fn take(&self) -> Vec<Batch> {
        let mut untaken = self.untaken();
        untaken.bytes = 0;
        self.0.1.notify_all();
        std::mem::take(&mut untaken.batches)
    }

    fn untaken(&self) -> MutexGuard<'_, QueryBuffer> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Rows {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut untaken = self.untaken();
        while untaken.bytes_max.is_some_and(|most| untaken.bytes >= most) {
            untaken = self.0.1.wait(untaken).unwrap_or_else(PoisonError::into_inner);
        }
        untaken.bytes += batch.bytes();
        untaken.batches.push(batch.clone());
        Ok(())
    }

    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        Ok(None)
    }
}

impl Committer for Rows {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Ok(())
    }
}
