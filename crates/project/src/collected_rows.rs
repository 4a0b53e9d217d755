//! Rows of an output that the caller takes from memory.

use dataflow::{Batch, Committable, Committer, Error, Result, Sink};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Rows of an output on their way to the caller, who takes them while the job runs or after it. Those of a query come in
/// (`_time`, `_ord`) order.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    shared: Arc<(Mutex<Buffer>, Condvar)>,
    // The last barrier of the writer that this is, if it is one: an output may have several, which come to a barrier one
    // after another.
    prepared: u64,
}

#[derive(Debug, Default)]
struct Buffer {
    // Each after a barrier of its writer.
    batches: Vec<(u64, Batch)>,
    bytes: usize,
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
        let wrong = |_| Error::corrupt("what collected rows left in a checkpoint cannot be read");
        let barrier = u64::from_le_bytes(position.try_into().map_err(wrong)?);
        let rows = Rows { prepared: barrier, ..Rows::default() };
        let before = earlier.buffer().batches.iter().filter(|(after, _)| *after < barrier).cloned().collect();
        rows.buffer().batches = before;
        Ok(rows)
    }

    /// Makes the writer wait while this many bytes have not been taken yet.
    pub fn keep_at_most(&self, bytes: usize) {
        self.buffer().bytes_max = Some(bytes);
    }

    /// The rows that came since the last call.
    pub fn take(&self) -> Vec<Batch> {
        self.buffer().take(&self.shared.1)
    }

    /// The rows that came since the last call; waits until there are some. None when all have come.
    fn wait(&self) -> Result<Vec<Batch>> {
        let mut buffer = self.buffer();
        while buffer.batches.is_empty() {
            match &mut buffer.end {
                End::Open => buffer = self.shared.1.wait(buffer).unwrap_or_else(PoisonError::into_inner),
                End::Failed(error) => {
                    return Err(error.take().unwrap_or_else(|| Error::unavailable("the rows ended too early")));
                }
                End::Ended | End::Closed => return Ok(Vec::new()),
            }
        }
        Ok(buffer.take(&self.shared.1))
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
        self.shared.1.notify_all();
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn take(&mut self, taken: &Condvar) -> Vec<Batch> {
        self.bytes = 0;
        taken.notify_all();
        std::mem::take(&mut self.batches).into_iter().map(|(_, batch)| batch).collect()
    }
}

impl Sink for Rows {
    fn write(&mut self, batch: &Batch) -> Result<()> {
        let mut buffer = self.buffer();
        while buffer.bytes_max.is_some_and(|most| buffer.bytes >= most) && matches!(buffer.end, End::Open) {
            buffer = self.shared.1.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        if matches!(buffer.end, End::Open) {
            buffer.bytes += batch.bytes();
            buffer.batches.push((self.prepared, batch.clone()));
            self.shared.1.notify_all();
        }
        Ok(())
    }

    fn prepare(&mut self, checkpoint: u64) -> Result<Option<Committable>> {
        self.prepared = checkpoint;
        Ok(None)
    }

    fn position(&self) -> Option<Vec<u8>> {
        Some(self.prepared.to_le_bytes().to_vec())
    }
}

impl Committer for Rows {
    fn commit(&mut self, _: Vec<Committable>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use dataflow::RowOrder;

    fn row(number: i64) -> Batch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![number]));
        let columns = RecordBatch::try_from_iter([("n", column)]).unwrap();
        Batch::new(columns, vec![number], vec![RowOrder(0)]).unwrap()
    }

    fn times(rows: &Rows) -> Vec<i64> {
        rows.take().iter().map(|batch| batch.time(0).0).collect()
    }

    #[test]
    fn a_checkpoint_holds_the_rows_before_the_barrier_of_each_writer() {
        let rows = Rows::default();
        let (mut one, mut other) = (rows.clone(), rows.clone());
        one.write(&row(1)).unwrap();
        one.prepare(1).unwrap();
        // What the other writes here is before the barrier, and what the first one writes is after it.
        one.write(&row(2)).unwrap();
        other.write(&row(3)).unwrap();
        other.prepare(1).unwrap();
        let position = other.position().unwrap();
        assert_eq!(one.position().unwrap(), position);
        let again = Rows::after(&rows, &position).unwrap();
        let mut writer = again.clone();
        writer.write(&row(2)).unwrap();
        writer.prepare(2).unwrap();
        writer.write(&row(4)).unwrap();
        let later = Rows::after(&again, &writer.position().unwrap()).unwrap();
        assert_eq!(times(&later), [1, 3, 2]);
    }
}
