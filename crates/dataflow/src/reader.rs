//! A source as a host sees it: a reader that is polled, and one coordinator per job.

use crate::{Batch, EventTime, Result};

/// What a reader can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderState {
    /// There is more to read at once.
    Ready,
    /// Nothing to read now: the topic has nothing new, a file is still being read, or the ceiling holds it back.
    Waiting,
    /// Everything up to its end positions was given out. Its watermark goes to [`Coordinator::horizon`] when every
    /// reader of the job has come this far.
    Finished,
}

/// What one poll of a reader gave.
#[derive(Debug)]
pub struct Polled {
    /// Rows, all with `_time` above the watermark of the poll before; not sorted unless they come from history.
    pub batch: Option<Batch>,
    /// No row at or before this comes later.
    pub watermark: EventTime,
    /// What comes next.
    pub state: ReaderState,
}

/// Gives out the rows of one split of a stream with their `_time`. History first, then live, where there are both.
pub trait Reader: Send {
    /// At most so many rows, none of history above the ceiling. Never waits.
    fn poll(&mut self, rows_max: usize, ceiling: EventTime) -> Result<Polled>;
}

/// Keeps the readers of a job together in event time. One object per job; it does no I/O.
pub trait Coordinator: Send + Sync {
    /// A source's reader reports its watermark after a poll.
    fn report(&self, source: usize, polled: &Polled);
    /// A reader is not to give out history above this: the least watermark of all sources and the room that the
    /// greatest declared delay gives.
    fn ceiling(&self, source: usize) -> EventTime;
    /// Where bounded inputs end: the greatest clock over all streams at their end positions, `MAX` when no stream is
    /// live. `None` until every source has finished.
    fn horizon(&self) -> Option<EventTime>;
    /// The source that holds the watermark back, and where it stands, for people.
    fn held_by(&self) -> Option<(String, EventTime)>;
}
