//! Rows of an output that the caller takes from memory.

use dataflow::{Batch, Committable, Committer, Error, Result, Sink};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Rows of an output on their way to the caller, who takes them while the job runs or after it. Those of a query come in
/// (`_time`, `_ord`) order.
#[derive(Clone, Debug, Default)]
pub struct Rows(Arc<(Mutex<Buffer>, Condvar)>);

#[derive(Debug, Default)]
struct Buffer {
    batches: Vec<Batch>,
    bytes: usize,
    // How many rows were written, taken or not.
    written: u64,
    bytes_max: Option<usize>,
    end: End,
}

/// Whether more rows come.
#[derive(Debug, Default)]
enum End {
    #[default]
    Open,
    /// All rows have come.
    Ended,
    /// No more rows come, and some are missing.
    Failed(Option<Error>),
    /// Nobody wants more rows.
    Closed,
}

impl Rows {
    /// The rows that those of an earlier run held at a checkpoint, to which this run adds; nobody has taken any of them.
    pub(crate) fn after(earlier: &Rows, position: &[u8]) -> Result<Rows> {
        let wrong = || Error::corrupt("what collected rows left in a checkpoint cannot be read");
        let mut left = u64::from_le_bytes(position.try_into().map_err(|_| wrong())?);
        let rows = Rows::default();
        {
            let mut buffer = rows.buffer();
            buffer.written = left;
            for batch in &earlier.buffer().batches {
                let taken = batch.rows().min(usize::try_from(left).unwrap_or(usize::MAX));
                left -= taken as u64;
                buffer.batches.push(batch.slice(0, taken));
            }
        }
        if left == 0 { Ok(rows) } else { Err(wrong()) }
    }

    /// Makes the writer wait while this many bytes have not been taken yet.
    pub fn keep_at_most(&self, bytes: usize) {
        self.buffer().bytes_max = Some(bytes);
    }

    /// The rows that came since the last call.
    pub fn take(&self) -> Vec<Batch> {
        self.buffer().take(&self.0.1)
    }

    /// The rows that came since the last call; waits until there are some. None when all have come.
    fn wait(&self) -> Result<Vec<Batch>> {
        let mut buffer = self.buffer();
        while buffer.batches.is_empty() {
            match &mut buffer.end {
                End::Open => buffer = self.0.1.wait(buffer).unwrap_or_else(PoisonError::into_inner),
                End::Failed(error) => {
                    return Err(error.take().unwrap_or_else(|| Error::unavailable("the rows ended too early")));
                }
                End::Ended | End::Closed => return Ok(Vec::new()),
            }
        }
        Ok(buffer.take(&self.0.1))
    }

    /// Batches as they come, up to the end.
    pub fn batches(&self) -> impl Iterator<Item = Result<Batch>> + Send + 'static {
        let (rows, mut failed) = (self.clone(), false);
        let more = move || {
            if failed {
                return None;
            }
            let some = rows.wait();
            failed = some.is_err();
            match some {
                Ok(batches) if batches.is_empty() => None,
                Ok(batches) => Some(batches.into_iter().map(Ok).collect::<Vec<_>>()),
                Err(error) => Some(vec![Err(error)]),
            }
        };
        std::iter::from_fn(more).flatten()
    }

    /// All rows have come.
    pub fn end(&self) {
        self.set(End::Ended);
    }

    /// No more rows come although some are missing.
    pub fn fail(&self, error: Error) {
        self.set(End::Failed(Some(error)));
    }

    /// No more rows are wanted: they are dropped, and nobody waits for them to be taken.
    pub fn close(&self) {
        self.set(End::Closed);
    }

    /// The first end holds.
    fn set(&self, end: End) {
        let mut buffer = self.buffer();
        if matches!(buffer.end, End::Open) {
            buffer.end = end;
        }
        self.0.1.notify_all();
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn take(&mut self, taken: &Condvar) -> Vec<Batch> {
        self.bytes = 0;
        taken.notify_all();
        std::mem::take(&mut self.batches)
    }
}

impl Sink for Rows {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut buffer = self.buffer();
        while buffer.bytes_max.is_some_and(|most| buffer.bytes >= most) && matches!(buffer.end, End::Open) {
            buffer = self.0.1.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        if matches!(buffer.end, End::Open) {
            buffer.bytes += batch.bytes();
            buffer.written += batch.rows() as u64;
            buffer.batches.push(batch.clone());
            self.0.1.notify_all();
        }
        Ok(())
    }

    fn prepare(&mut self, _: u64) -> Result<Option<Committable>> {
        Ok(None)
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.buffer().written.to_le_bytes().to_vec())
    }
}

impl Committer for Rows {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Ok(())
    }
}
