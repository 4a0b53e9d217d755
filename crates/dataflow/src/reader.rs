//! A source as a host sees it: a reader that is polled, and one coordinator per job.

use crate::{Batch, EventTime, Port, ProcessingTime, Result};
use std::task::Waker;

/// What a reader can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderState {
    /// There is more to read at once.
    Ready,
    /// Nothing to read now: the topic has nothing new, a file is still being read, or a bound holds it back. The waker
    /// is called when that may have changed; without that the next poll is due at `until`, if ever.
    Waiting {
        /// When silence will have released something that waits for it.
        until: Option<ProcessingTime>,
    },
    /// Everything up to its end positions was given out. Its watermark goes to [`Coordinator::horizon`] when every
    /// reader of the job has come this far.
    Finished,
}

/// What holds a reader back, and what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// No row of history above this is given out.
    pub history: EventTime,
    /// Partitions of a topic whose watermark is above this give out nothing.
    pub live: EventTime,
    /// The least watermark of the streams that meet this one and have shown a row, or how far their rows reach when all
    /// of them have come to their ends. A stream that has shown none follows it, so that it holds nobody back.
    pub least: EventTime,
    /// The least time above the stream's own watermark at which something comes out that waits for it. A reader asks
    /// how far a partition is drained only where the answer can lift its watermark to this.
    pub due: Option<EventTime>,
    /// The time now, by the clock of the host.
    pub now: ProcessingTime,
}

/// What one poll of a reader gave.
#[derive(Debug)]
pub struct Polled {
    /// Rows, all with `_time` above the watermark of the poll before; not sorted unless they come from history.
    pub batch: Option<Batch>,
    /// Rows that leave at other ports: those that could not be read ([`Port::DEAD_LETTER`]), and late ones that the
    /// stream removes ([`Port::LATE`]).
    pub aside: Vec<(Port, Batch)>,
    /// No row at or before this comes later.
    pub watermark: EventTime,
    /// What comes next.
    pub state: ReaderState,
}

/// Gives out the rows of one split of a stream with their `_time`. History first, then live, where there are both.
pub trait Reader: Send {
    /// At most so many rows within the bounds. Never waits.
    fn poll(&mut self, rows_max: usize, bounds: &ReadBounds) -> Result<Polled>;
    /// Remembers whom to wake when there may be more to read. Called once, before the first poll.
    fn wake(&mut self, waker: &Waker) -> Result<()>;
}

/// Keeps the readers of a job together in event time. One object per job; it does no I/O.
pub trait Coordinator: Send + Sync {
    /// A source's reader reports what a poll gave.
    fn report(&self, source: usize, polled: &Polled);
    /// What holds a reader back now, and what waits for it.
    fn bounds(&self, source: usize, now: ProcessingTime) -> ReadBounds;
    /// Remembers whom to wake when the bounds of a source, or the horizon, have changed.
    fn wake(&self, source: usize, waker: &Waker);
    /// Where bounded inputs end: the greatest clock over all streams at their end positions, `MAX` when no stream is
    /// live. `None` until every source has finished.
    fn horizon(&self) -> Option<EventTime>;
    /// The source that holds the watermark back, and where it stands, for people.
    fn held_by(&self) -> Option<(String, EventTime)>;
}
