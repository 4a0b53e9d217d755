//! The way of rows to an output: a queue that workers put them into, and a writer on a thread of its own.
//!
//! ```text
//! worker -> queue (64 MiB in memory, then on disk) -> writer -> barrier: prepare -> committer
//! ```
//!
//! A worker never waits for a writer: while the queue is full the stage before it does not run.

use crate::mailbox::Caller;
use crate::parts::Preparation;
use crate::seeded::{self, Rule};
use crate::spill::{Place, SpillFile};
use dataflow::{Barrier, Batch, Clock, ProcessingTime, Result, Sink, concat};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{
    AtomicI64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How many bytes of rows may wait in memory for all writers of an output.
pub const QUEUE_BYTES: usize = 64 << 20;
/// How many bytes of rows may wait on disk for one writer, beyond those in memory.
pub const SPILL_BYTES: usize = 1 << 30;
/// Rows that are written together, so that they are synced together, at most.
const GROUP_ROWS: usize = 16_384;
/// Bytes of rows that are written together at most, unless one batch has more.
const GROUP_BYTES: usize = 8 << 20;
/// A batch of so many rows is written alone: to join it with others would copy it for nothing.
const ALONE_ROWS: usize = 2_048;

/// What a writer is to do next.
#[derive(Debug)]
enum Item {
    Rows(Batch, usize),
    Spilled(Place),
    Barrier(Barrier),
}

impl Item {
    /// Whether it goes with no other.
    fn is_alone(&self) -> bool {
        match self {
            Item::Rows(batch, _) => batch.rows() >= ALONE_ROWS,
            Item::Spilled(_) => false,
            Item::Barrier(_) => true,
        }
    }
}

/// The rows on their way to one writer.
pub struct SinkQueue {
    items: Mutex<Items>,
    changed: Condvar,
    // Since when the writer has been in a call to the output; MAX while it is in none.
    busy_since: AtomicI64,
    worker: Arc<Caller>,
    // How many rows are still to come that the output has from before a restart.
    replay: AtomicI64,
    memory_max: usize,
    spill_max: usize,
}

struct Items {
    queue: VecDeque<Item>,
    memory: usize,
    spilled: usize,
    file: SpillFile,
    // The disk takes no more; until memory is free again the queue is full.
    disk_full: bool,
    // Nothing comes any more, or nobody wants it any more.
    closed: bool,
}

/// What a writer takes from its queue at once.
enum Group {
    Rows(Vec<Item>),
    Barrier(Barrier),
    Ended,
}

impl SinkQueue {
    /// A queue of one of so many writers, whose worker is called when there is room again. The output has `replay` rows
    /// of an earlier run that come again.
    pub fn new(worker: Arc<Caller>, writers: usize, replay: u64, spill_dir: PathBuf) -> SinkQueue {
        let items = Items {
            queue: VecDeque::new(),
            memory: 0,
            spilled: 0,
            file: SpillFile::new(spill_dir),
            disk_full: false,
            closed: false,
        };
        let memory_max = QUEUE_BYTES / writers.max(1);
        SinkQueue {
            items: Mutex::new(items),
            changed: Condvar::new(),
            busy_since: AtomicI64::new(i64::MAX),
            worker,
            replay: AtomicI64::new(i64::try_from(replay).unwrap_or(i64::MAX)),
            memory_max,
            spill_max: SPILL_BYTES,
        }
    }

    /// Whether everything has come that the output had before a restart.
    pub fn is_replayed(&self) -> bool {
        self.replay.load(Relaxed) <= 0
    }

    /// Whether the queue takes the output of one more call.
    pub fn has_room(&self) -> bool {
        self.room(&self.items())
    }

    /// Puts rows into the queue.
    pub fn push(&self, batch: Batch) {
        let mut items = self.items();
        let bytes = batch.bytes();
        if !self.is_replayed() {
            self.replay.fetch_sub(i64::try_from(batch.rows()).unwrap_or(i64::MAX), Relaxed);
        }
        let item = if items.memory + bytes <= self.memory_max || items.disk_full {
            None
        } else {
            // Rows that the disk does not take stay in memory, and then the queue is full.
            items.file.write(&batch).ok()
        };
        match item {
            Some(place) => {
                items.spilled += place.bytes();
                items.queue.push_back(Item::Spilled(place));
            }
            None => {
                items.disk_full = items.memory + bytes > self.memory_max;
                items.memory += bytes;
                match seeded::leaves_out(Rule::QueueOrder) && !matches!(items.queue.back(), Some(Item::Barrier(_))) {
                    true => items.queue.push_front(Item::Rows(batch, bytes)),
                    false => items.queue.push_back(Item::Rows(batch, bytes)),
                }
            }
        }
        self.changed.notify_one();
    }

    /// Puts a barrier after the rows. Nothing comes after the last one.
    pub fn barrier(&self, barrier: Barrier) {
        let mut items = self.items();
        match seeded::leaves_out(Rule::BarriersWait) {
            true => items.queue.push_front(Item::Barrier(barrier)),
            false => items.queue.push_back(Item::Barrier(barrier)),
        }
        items.closed |= barrier.last;
        self.changed.notify_one();
    }

    /// Ends the writer where it is, since the job has failed.
    pub fn abandon(&self) {
        let mut items = self.items();
        items.queue.clear();
        items.closed = true;
        self.changed.notify_one();
    }

    /// Bytes that wait in memory and on disk, and since when the writer has been in one call to the output.
    pub fn waiting(&self) -> (usize, usize, Option<ProcessingTime>) {
        let items = self.items();
        let since = self.busy_since.load(SeqCst);
        (items.memory, items.spilled, (since < i64::MAX).then_some(ProcessingTime(since)))
    }

    /// What comes next; `None` when there is nothing yet and `wait` is false.
    fn take(&self, wait: bool) -> Option<Group> {
        let mut items = self.items();
        while items.queue.is_empty() && !items.closed {
            if !wait {
                return None;
            }
            items = self.changed.wait(items).unwrap_or_else(PoisonError::into_inner);
        }
        let was_full = !self.room(&items);
        let group = items.group();
        if was_full && self.room(&items) {
            self.worker.call();
        }
        Some(group)
    }

    /// Rows pass the bound in memory only where the disk takes none; else it is what lies on disk that counts.
    fn room(&self, items: &Items) -> bool {
        if items.disk_full { items.memory <= self.memory_max } else { items.spilled < self.spill_max }
    }

    fn items(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Items {
    fn group(&mut self) -> Group {
        let (mut group, mut rows, mut bytes) = (Vec::new(), 0, 0);
        while rows < GROUP_ROWS && bytes < GROUP_BYTES {
            match self.queue.pop_front() {
                Some(item) if item.is_alone() && !group.is_empty() => {
                    self.queue.push_front(item);
                    break;
                }
                Some(Item::Barrier(barrier)) => return Group::Barrier(barrier),
                Some(Item::Rows(batch, size)) => {
                    rows += if batch.rows() >= ALONE_ROWS { GROUP_ROWS } else { batch.rows() };
                    bytes += size;
                    self.memory -= size;
                    group.push(Item::Rows(batch, size));
                }
                Some(Item::Spilled(place)) => {
                    bytes += place.bytes();
                    self.spilled -= place.bytes();
                    group.push(Item::Spilled(place));
                }
                None => break,
            }
        }
        if self.spilled == 0 {
            self.file.clear();
        }
        self.disk_full &= self.memory > 0;
        if group.is_empty() { Group::Ended } else { Group::Rows(group) }
    }
}

/// What a step of a writer gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterStep {
    Moved,
    Idle,
    Ended,
}

/// What became of the rows that writers of an output have taken.
#[derive(Debug, Default)]
pub struct WrittenRows {
    /// They were written.
    pub out: AtomicI64,
    /// They were left out, since the output has them.
    pub left_out: AtomicI64,
}

/// Writes the rows of one queue, and prepares at barriers.
pub struct SinkWriter {
    pub name: String,
    pub sink: Box<dyn Sink>,
    pub queue: Arc<SinkQueue>,
    pub prepared: Box<dyn Fn(Preparation) + Send>,
    /// Rows of the output over all its writers.
    pub written: Arc<WrittenRows>,
    /// Those that this writer has taken.
    pub rows: u64,
    pub clock: Arc<dyn Clock>,
}

impl SinkWriter {
    /// Does what comes next in the queue; waits for it, if told so.
    pub fn step(&mut self, wait: bool) -> Result<WriterStep> {
        let result = match self.queue.take(wait) {
            None => return Ok(WriterStep::Idle),
            Some(Group::Ended) => return Ok(WriterStep::Ended),
            Some(group) => {
                self.queue.busy_since.store(self.clock.now().0, SeqCst);
                self.take_group(group)
            }
        };
        self.queue.busy_since.store(i64::MAX, SeqCst);
        result.map_err(|error| error.context(format!("step {}", self.name)))
    }

    fn take_group(&mut self, group: Group) -> Result<WriterStep> {
        match group {
            Group::Ended => Ok(WriterStep::Ended),
            Group::Rows(items) => self.write(items).map(|()| WriterStep::Moved),
            Group::Barrier(barrier) => self.sink.prepare(barrier.number).map(|committable| {
                let (position, rows, replays) = (self.sink.position(), self.rows, !self.queue.is_replayed());
                let left_out = self.sink.left_out();
                (self.prepared)(Preparation { barrier, committable, position, rows, left_out, replays });
                if barrier.last { WriterStep::Ended } else { WriterStep::Moved }
            }),
        }
    }

    fn write(&mut self, items: Vec<Item>) -> Result<()> {
        let batches = items.into_iter().map(|item| match item {
            Item::Rows(batch, _) => Ok(batch),
            Item::Spilled(place) => place.read(),
            Item::Barrier(_) => Err(dataflow::Error::internal("a barrier is no row")),
        });
        let batches = batches.collect::<Result<Vec<_>>>()?;
        let Some(first) = batches.first() else { return Ok(()) };
        let rows = concat(&first.schema(), &batches)?;
        let before = self.sink.left_out();
        self.sink.write(&rows)?;
        let left_out = self.sink.left_out().saturating_sub(before) as i64;
        self.written.out.fetch_add(rows.rows() as i64 - left_out, Relaxed);
        self.written.left_out.fetch_add(left_out, Relaxed);
        self.rows += rows.rows() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::Mailbox;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use dataflow::RowOrder;
    use std::path::Path;

    fn batch(time: i64) -> Batch {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![time; ALONE_ROWS]));
        let columns = RecordBatch::try_from_iter([("value", values)]).unwrap();
        Batch::new(columns, vec![time; ALONE_ROWS], vec![RowOrder::default(); ALONE_ROWS]).unwrap()
    }

    /// A queue with room for two batches in memory, and for three on disk.
    fn queue(mailbox: &Mailbox, folder: &Path) -> SinkQueue {
        let bytes = batch(0).bytes();
        let whole = SinkQueue::new(mailbox.caller().clone(), 1, 0, folder.to_owned());
        SinkQueue { memory_max: 2 * bytes, spill_max: 3 * bytes, ..whole }
    }

    fn fill(queue: &SinkQueue, from: i64) -> i64 {
        let mut next = from;
        while queue.has_room() {
            assert!(next < 100, "the queue takes rows without end");
            queue.push(batch(next));
            next += 1;
        }
        next
    }

    fn take(queue: &SinkQueue) -> Vec<i64> {
        let Some(Group::Rows(items)) = queue.take(false) else { return vec![] };
        let read = |item| match item {
            Item::Rows(batch, _) => batch,
            Item::Spilled(place) => place.read().unwrap(),
            Item::Barrier(_) => panic!("no barrier was put in"),
        };
        items.into_iter().map(|item| read(item).times()[0]).collect()
    }

    #[test]
    fn a_queue_is_full_when_so_much_lies_on_disk_whatever_room_there_is_in_memory() {
        let (mailbox, folder) = (Mailbox::new(), tempfile::tempdir().unwrap());
        let queue = queue(&mailbox, folder.path());
        let next = fill(&queue, 0);
        let (memory, spilled, _) = queue.waiting();
        assert!(memory <= queue.memory_max && spilled < queue.spill_max + 2 * batch(0).bytes(), "{memory}, {spilled}");
        // The two in memory are written first. What comes out of the call that filled the queue goes in after the rest.
        assert_eq!([take(&queue), take(&queue)], [vec![0], vec![1]]);
        assert!(!queue.has_room() && mailbox.take().is_none());
        queue.push(batch(next));
        assert_eq!(take(&queue), (2..next).collect::<Vec<_>>());
        assert!(queue.has_room() && mailbox.take().is_some(), "the worker is called when there is room");
        queue.push(batch(next + 1));
        assert_eq!([take(&queue), take(&queue), take(&queue)], [vec![next], vec![next + 1], vec![]]);
    }

    #[test]
    fn where_the_disk_takes_nothing_a_queue_is_full_beyond_its_memory() {
        let (mailbox, folder) = (Mailbox::new(), tempfile::tempdir().unwrap());
        let file = folder.path().join("no folder");
        std::fs::write(&file, "").unwrap();
        let queue = queue(&mailbox, &file);
        assert_eq!(fill(&queue, 0), 3, "two fit, and the third is kept all the same");
        assert!(mailbox.take().is_none());
        assert_eq!(take(&queue), [0]);
        assert!(queue.has_room() && mailbox.take().is_some());
        assert_eq!(fill(&queue, 3), 4);
        assert_eq!([take(&queue), take(&queue), take(&queue)], [vec![1], vec![2], vec![3]]);
        assert_eq!(queue.waiting(), (0, 0, None));
    }
}
