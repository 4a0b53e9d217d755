//! Holds rows back until the watermark reaches them, then puts them out in (`_time`, `_ord`) order.

use crate::fingerprint::Fingerprint;
use crate::queue::{self, Queue};
use arrow::datatypes::SchemaRef;
use dataflow::{
    Batch, Context, Error, EventTime, Fate, Frozen, Input, KeyGroup, Operator, Port, Progress, Result, StateReader,
    StateWriter,
};
use state::GroupBlobs;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Puts rows out in (`_time`, `_ord`) order, each once the watermark has reached it, in chunks of at most the room.
///
/// Rows of equal time and order all come out. State: the rows held back, bounded by the rows above the watermark.
/// A batch that continues an earlier one is appended to its run, so sorted input from several sides costs one
/// comparison per stretch of rows from one side.
#[derive(Debug)]
pub struct Merge {
    schema: SchemaRef,
    runs: Vec<Run>,
    watermark: EventTime,
    // Where rows without key hashes are kept: the first group of this instance.
    home: KeyGroup,
    fingerprint: u64,
}

/// Rows in order. Invariant: not empty between calls.
#[derive(Debug)]
struct Run {
    queue: Queue,
    last: Place,
}

type Place = (i64, u128);

/// So many rows of one run go on by themselves, as the batch that they came in.
const STRETCH_ROWS: usize = 1024;

const HELD: u8 = 1;

/// What the state of a merge is of.
pub(crate) fn fingerprint(schema: &SchemaRef) -> Result<u64> {
    Ok(Fingerprint::of("merge").schema(schema)?.hash())
}

impl Merge {
    /// A merge of rows with these columns.
    pub fn new(schema: SchemaRef) -> Result<Merge> {
        let fingerprint = fingerprint(&schema)?;
        Ok(Merge { schema, runs: Vec::new(), watermark: EventTime::MIN, home: KeyGroup(0), fingerprint })
    }

    fn hold(&mut self, batch: &Batch) -> Result<()> {
        let batch = batch.sorted()?;
        let Some(end) = batch.rows().checked_sub(1) else { return Ok(()) };
        let (first, last) = (place(&batch, 0), place(&batch, end));
        let fits = self.runs.iter_mut().filter(|run| run.last <= first).max_by_key(|run| run.last);
        match fits {
            Some(run) => {
                run.queue.push(batch);
                run.last = last;
            }
            None => {
                let mut queue = Queue::default();
                queue.push(batch);
                self.runs.push(Run { queue, last });
            }
        }
        Ok(())
    }

    /// The next rows in order up to a time, at most `rows_max`, and of about `bytes_max` unless one row has more.
    fn next_chunk(&mut self, until: i64, rows_max: usize, bytes_max: usize) -> Result<Batch> {
        let mut cursors: Vec<Cursor> = self.runs.iter().map(|_| Cursor::default()).collect();
        let mut heads = BinaryHeap::new();
        let push = |heads: &mut BinaryHeap<_>, run: usize, place: Option<Place>| {
            if let Some(place) = place.filter(|place| place.0 <= until) {
                heads.push(Reverse((place, run)));
            }
        };
        for (index, run) in self.runs.iter().enumerate() {
            push(&mut heads, index, cursors[index].place(run));
        }
        // Which run the next rows come from, and how many.
        let mut picks: Vec<(usize, usize)> = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        while rows < rows_max && bytes < bytes_max {
            let Some(Reverse((_, index))) = heads.pop() else { break };
            let bound = heads.peek().map_or((until, u128::MAX), |Reverse((place, _))| *place);
            let row_bytes = cursors[index].row_bytes(&self.runs[index]);
            let fit = ((bytes_max - bytes) / row_bytes).max(1).min(rows_max - rows);
            let taken = cursors[index].take_until(&self.runs[index], bound, fit);
            rows += taken;
            bytes = bytes.saturating_add(taken * row_bytes);
            picks.push((index, taken));
            if picks.len() == 1 && taken >= STRETCH_ROWS {
                break;
            }
            push(&mut heads, index, cursors[index].place(&self.runs[index]));
        }
        let taken: Vec<usize> = cursors.iter().map(|cursor| cursor.taken).collect();
        self.gather(&picks, &taken)
    }

    /// Takes rows from the runs and puts them into the sequence of the picks; each row is copied once, and none where
    /// they lie in one batch that was not picked from another.
    fn gather(&mut self, picks: &[(usize, usize)], taken: &[usize]) -> Result<Batch> {
        // Per run its first piece, and how far the picks have come in it.
        let (mut pieces, mut places) = (Vec::new(), Vec::with_capacity(taken.len()));
        for (run, &taken) in self.runs.iter_mut().zip(taken) {
            places.push((pieces.len(), 0));
            let mut left = taken;
            while let Some(piece) = run.queue.pop(left) {
                left -= piece.rows();
                pieces.push(piece);
            }
        }
        self.runs.retain(|run| run.queue.rows() > 0);
        if pieces.is_empty() {
            return Ok(Batch::empty(self.schema.clone()));
        }
        if picks.is_sorted_by_key(|(run, _)| *run) {
            let mut rows = dataflow::concat(&self.schema, &pieces)?;
            rows.detach();
            return Ok(rows);
        }
        let mut rows = Vec::with_capacity(taken.iter().sum());
        for &(run, picked) in picks {
            let (piece, row) = &mut places[run];
            if *row == pieces[*piece].rows() {
                (*piece, *row) = (*piece + 1, 0);
            }
            rows.extend((*row..*row + picked).map(|row| (*piece, row)));
            *row += picked;
        }
        dataflow::interleave(&pieces, &rows)
    }

    fn count_state(&self, cx: &mut Context) {
        cx.set_state_bytes(self.runs.iter().map(|run| run.queue.size()).sum());
    }
}

/// How far a chunk has come in a run.
#[derive(Debug, Default)]
struct Cursor {
    batch: usize,
    row: usize,
    taken: usize,
}

impl Cursor {
    fn place(&self, run: &Run) -> Option<Place> {
        run.queue.get(self.batch).map(|batch| place(batch, self.row))
    }

    /// The bytes that a row of the current batch takes.
    fn row_bytes(&self, run: &Run) -> usize {
        run.queue.row_size(self.batch).unwrap_or(0).max(1)
    }

    /// Takes rows of the current batch up to a place, at least one, at most `rows_max`.
    fn take_until(&mut self, run: &Run, bound: Place, rows_max: usize) -> usize {
        let Some(batch) = run.queue.get(self.batch) else { return 0 };
        let end = batch.rows().min(self.row + rows_max);
        let mut row = self.row + 1;
        if end > row && place(batch, end - 1) <= bound {
            row = end;
        }
        while row < end && place(batch, row) <= bound {
            row += 1;
        }
        let rows = row - self.row;
        self.taken += rows;
        self.row = row;
        if row == batch.rows() {
            (self.batch, self.row) = (self.batch + 1, 0);
        }
        rows
    }
}

fn place(batch: &Batch, row: usize) -> Place {
    (batch.times()[row], batch.orders()[row] as u128)
}

impl Operator for Merge {
    fn process(&mut self, _: Input, batch: &Batch, cx: &mut Context) -> Result<Progress> {
        self.home = KeyGroup(cx.groups().from);
        self.hold(batch)?;
        cx.count(Fate::In, batch.rows());
        cx.count(Fate::Held, batch.rows());
        self.count_state(cx);
        Ok(Progress::Done)
    }

    fn advance(&mut self, watermark: EventTime, cx: &mut Context) -> Result<Progress> {
        self.watermark = self.watermark.max(watermark);
        let is_due = |run: &Run| run.queue.first_time().is_some_and(|time| time <= watermark.0);
        while self.runs.iter().any(is_due) {
            let (rows, bytes) = (cx.room(), cx.room_bytes());
            if rows == 0 || bytes == 0 {
                return Ok(Progress::More);
            }
            let chunk = self.next_chunk(watermark.0, rows, bytes)?;
            cx.count(Fate::Out, chunk.rows());
            cx.release(chunk.rows());
            cx.emit(Port::MAIN, chunk);
            self.count_state(cx);
        }
        Ok(Progress::Done)
    }

    fn next_due(&self, above: EventTime) -> Option<EventTime> {
        self.runs.iter().filter_map(|run| run.queue.first_after(above)).min()
    }

    fn freeze(&mut self) -> Result<Arc<dyn Frozen>> {
        Ok(Arc::new(FrozenMerge {
            batches: self.runs.iter().flat_map(|run| run.queue.freeze()).collect(),
            watermark: self.watermark,
            home: self.home,
            fingerprint: self.fingerprint,
        }))
    }

    fn restore(&mut self, state: &mut dyn StateReader, cx: &mut Context) -> Result<()> {
        self.home = KeyGroup(cx.groups().from);
        let mut watermark = (self.watermark != EventTime::MIN).then_some(self.watermark);
        let (schema, mut restored) = (self.schema.clone(), Vec::new());
        state::read_blobs(state, cx.groups(), self.fingerprint, &mut watermark, |tag, _, blob| match tag {
            HELD => {
                restored.push(state::get_rows(blob, &schema)?);
                Ok(())
            }
            other => Err(Error::corrupt(format!("a record in the state of a merge has tag {other}, expected {HELD}"))),
        })?;
        self.watermark = watermark.unwrap_or(EventTime::MIN);
        for batch in restored {
            cx.count(Fate::Held, batch.rows());
            self.hold(&batch)?;
        }
        self.count_state(cx);
        Ok(())
    }
}

struct FrozenMerge {
    batches: Vec<Batch>,
    watermark: EventTime,
    home: KeyGroup,
    fingerprint: u64,
}

impl Frozen for FrozenMerge {
    fn write(&self, out: &mut dyn StateWriter) -> Result<()> {
        let mut blobs = GroupBlobs::default();
        queue::put_by_hashes(&mut blobs, HELD, &self.batches, self.home)?;
        blobs.write(self.fingerprint, self.watermark, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, RecordBatch, StringArray};
    use dataflow::{KeyGroups, RowOrder};

    const LARGE: usize = 64 << 10;

    fn batch(times: &[i64], row_bytes: usize) -> Batch {
        let texts = StringArray::from_iter_values(times.iter().map(|_| "x".repeat(row_bytes)));
        let columns = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef)]).unwrap();
        Batch::new(columns, times.to_vec(), vec![RowOrder::default(); times.len()]).unwrap()
    }

    #[test]
    fn a_call_releases_no_more_bytes_than_there_is_room_for_and_a_row() {
        let bytes_max = 1 << 20;
        let mut cx = Context::new(KeyGroups::ALL);
        let small: Vec<i64> = (0..1000).collect();
        let mut merge = Merge::new(batch(&small, 1).schema()).unwrap();
        // Small rows, then large ones of two runs that lie between each other, then small ones again.
        let large: Vec<i64> = (1000..1100).collect();
        let (even, odd): (Vec<i64>, Vec<i64>) = large.iter().partition(|&time| time % 2 == 0);
        for (times, row_bytes) in [(small, 1), (even, LARGE), (odd, LARGE), ((1100..2000).collect(), 1)] {
            cx.set_room(8192, bytes_max);
            assert_eq!(merge.process(Input(0), &batch(&times, row_bytes), &mut cx).unwrap(), Progress::Done);
        }
        let (mut times, mut calls) = (Vec::new(), 0);
        loop {
            cx.set_room(8192, bytes_max);
            let progress = merge.advance(EventTime::MAX, &mut cx).unwrap();
            let put: Vec<Batch> = cx.take_emitted().into_iter().map(|(_, batch)| batch).collect();
            let bytes: usize = put.iter().map(Batch::bytes).sum();
            assert!(bytes <= bytes_max + 2 * LARGE, "{bytes} bytes in one call");
            times.extend(put.iter().flat_map(|batch| batch.times().to_vec()));
            calls += 1;
            if progress == Progress::Done {
                break;
            }
        }
        assert!(times.iter().copied().eq(0..2000), "all rows, in order");
        assert!((6..=9).contains(&calls), "{calls} calls for 6.4 MiB");
    }
}
