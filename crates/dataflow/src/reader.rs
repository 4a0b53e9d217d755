//! A source as a host sees it: readers that are polled and that take commands of the job's coordinator.
//!
//! ```text
//! coordinator --commands, one ordered channel per reader--> reader --rows, then watermarks, then barriers--> stages
//!      ^--------------------- reports ------------------------'
//! ```

use crate::{Batch, EventTime, Fates, Port, ProcessingTime, Result, Span, Split, SplitState};
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
    /// Every split was given out up to its end, and the watermark stands where bounded inputs end.
    Finished,
}

/// What holds a reader back, and what waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBounds {
    /// Whether rows may be given out: all splits of the stream have a reader, and the first checkpoint is durable.
    pub go: bool,
    /// Whether the end of the job was asked for and waits for a checkpoint that is on its way: nothing more is given out.
    pub stops: bool,
    /// The watermark that the stream had given in the checkpoint that the run began from; readers begin there.
    pub given: EventTime,
    /// Where the watermark stops while history is read: what outputs and history had before that does not wait for the
    /// topic. A row of the topic that lies there waits for a checkpoint.
    pub cap: EventTime,
    /// Whether a split that had no row when it was first looked at may join.
    pub may_join: bool,
    /// The least watermark of the streams that meet this one and have shown a row; rows at or before it are released.
    pub least: EventTime,
    /// How far beyond `least` the watermark of a split may lie whose reader has used up its lead.
    pub window: Span,
    /// The watermark of each stream that meets this one, itself among them, in the sequence of the streams; `MIN` for
    /// one that has shown no row. Reports say what waits above each of them.
    pub watermarks: Vec<EventTime>,
    /// The least time above the stream's own watermark at which something comes out that waits for it. A reader asks
    /// how far a partition is drained only where the answer can lift its watermark to this.
    pub due: Option<EventTime>,
    /// The greatest clock that partitions have shown so far. Nothing that has happened lies ahead of it, so that a
    /// reader of a topic that has given out everything stands there, and holds nobody back.
    pub clock: Option<EventTime>,
    /// How far a reader goes that has given a watermark and has nothing left to wait for: as far as the other readers of
    /// its stream have come, or, where there are none, as the furthest stream that meets it. So what steps hold of its
    /// rows comes out in time. While nobody leads (`None`) it goes on to what is due, once that lies as far before now
    /// as `window` says.
    pub follow: Option<EventTime>,
    /// Whether a stream with a topic that meets this one is absent or follows, so that its next row joins where steps
    /// have come: a watermark that leaps far ahead leaves it a moment to do so.
    pub meets_absent: bool,
    /// Whether a stream that meets this one has asked to join and waits for its barrier, or for the checkpoint after it.
    pub meets_joining: bool,
    /// The furthest watermark of a reader of the streams that meet, while one of them is absent: what follows one that has
    /// waited leaps only beyond it.
    pub furthest: EventTime,
    /// By how much more than the time that has passed the watermark leaps at least: by less it goes on at its pace after
    /// silence, or moves no row of a stream that meets it, which its delay leaves where it is.
    pub pace: Span,
    /// Where bounded inputs end, once every reader of the job has given out everything: its watermark goes there.
    pub end: Option<EventTime>,
    /// Whether every reader of a bounded run has given out everything, or waits with the rest until rows have come again
    /// that outputs had before a restart, and one does: only silence brings these. Before that is known nothing of a
    /// bounded run goes on through silence, since it would go past where inputs end.
    pub replays: bool,
    /// Whether every stage has said what it holds, and rows are to come again that outputs had before a restart.
    pub replaying: bool,
}

/// What a reader tells the coordinator of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its watermark; `None` while it holds nobody back: it is absent, or it follows.
    pub watermark: Option<EventTime>,
    /// How many of its splits have been looked at, so that it is known whether they are absent.
    pub splits: usize,
    /// Per stream in [`ReadBounds::watermarks`]: the least time above that watermark at which something waits for that
    /// stream: a row that was given out, or the `least` at which a split at its ceiling may go on.
    pub waits: Vec<Option<EventTime>>,
    /// The greatest clock of its partitions; `None` when none has shown a row.
    pub clock: Option<EventTime>,
    /// Whether a split waits for a checkpoint: it was absent and has a row, or has shown messages but no time.
    pub joins: bool,
    /// Whether every split was given out up to its end.
    pub finished: bool,
    /// Whether every split of a bounded run was given out up to its end, or may go on only when rows have come again that
    /// outputs had before a restart, and one may.
    pub awaits_replay: bool,
}

/// What one poll of a reader gave.
#[derive(Debug)]
pub struct Polled {
    /// Rows, all with `_time` above the watermark of the poll before; not sorted unless they come from history.
    pub batch: Option<Batch>,
    /// Rows that leave at other ports: those that could not be read ([`Port::DEAD_LETTER`]), and late ones that the
    /// stream removes ([`Port::LATE`]).
    pub aside: Vec<(Port, Batch)>,
    /// No row at or before this comes later, after the rows of this poll; `None` while the reader is absent: it has
    /// nothing to wait for, and never gave a watermark.
    pub watermark: Option<EventTime>,
    /// For the coordinator, where there is something new to tell.
    pub report: Option<Report>,
    /// What comes next.
    pub state: ReaderState,
}

/// What a reader hands over at a barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrozenReader {
    /// How far each of its splits was given out.
    pub splits: Vec<SplitState>,
    /// The watermark that it has given, `MIN` if none.
    pub watermark: EventTime,
    /// Whether it is absent: none of its splits has a row to come that others would wait for, and none gave one.
    pub absent: bool,
    /// The splits whose first row waits for this checkpoint.
    pub joining: Vec<Split>,
    /// What became of the rows that it has read in this run, and that its positions cover: those that went out at the main
    /// port, and those that were removed.
    pub fates: Fates,
}

impl FrozenReader {
    /// Whether an absent reader is present after the barrier: its lanes turn present there, at the level of the
    /// stream in each stage: the least of its lanes that are present, else the highest level of the steps that it
    /// reaches there, and never below what the stream has given there before.
    pub fn turns_present(&self) -> bool {
        self.absent && !self.joining.is_empty()
    }
}

/// Gives out the rows of the splits that it was given, with their `_time`. History first, then live, where there are
/// both.
///
/// A host carries reports, and what comes of [`Reader::freeze`], to the coordinator in their sequence.
pub trait Reader: Send {
    /// How far its watermark trails what it reads live, as its stream declares; zero for a stream that is history
    /// alone, of which no first row comes later.
    fn delay(&self) -> Span;
    /// Takes splits, new ones or ones taken up again. It gives no row of them before it is told to.
    fn add(&mut self, splits: Vec<SplitState>) -> Result<()>;
    /// Takes new bounds.
    fn bound(&mut self, bounds: ReadBounds);
    /// At most so many rows within the bounds. Never waits.
    fn poll(&mut self, rows_max: usize, now: ProcessingTime) -> Result<Polled>;
    /// How far the rows go that were given out so far. From here until [`Reader::durable`] the splits that join, and the
    /// watermark that they hold, stand still.
    fn freeze(&mut self) -> Result<FrozenReader>;
    /// The checkpoint of the last [`Reader::freeze`] is durable: what it covers may be acknowledged. The splits that
    /// joined go on where the coordinator says.
    fn durable(&mut self, joined: Vec<SplitState>) -> Result<()>;
    /// Remembers whom to wake when there may be more to read. Called once, before the first poll.
    fn wake(&mut self, waker: &Waker) -> Result<()>;
}
