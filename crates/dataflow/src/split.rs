//! Splits: the parts of a stream that readers are given, and how far each was read.

use std::fmt;

/// A part of a stream that one reader reads at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Split {
    /// A share of the history: the row groups whose number, in the order of (least time, path, index), leaves this
    /// remainder when it is divided by the number of shares.
    Share(u16),
    /// A partition of the topic.
    Partition(u32),
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Split::Share(share) => write!(f, "share {share} of the history"),
            Split::Partition(partition) => write!(f, "partition {partition}"),
        }
    }
}

/// A split and how far it was read. A reader of any worker takes it up there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitState {
    /// Which split.
    pub split: Split,
    /// How far it was read, in the versioned form of the reader's crate.
    pub position: Vec<u8>,
}

/// One of the readers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReaderId {
    /// The index of the source node among the source nodes of the job.
    pub stream: usize,
    /// Counts from 0; a stream has as many readers as there are workers, or splits where those are fewer.
    pub index: usize,
}
