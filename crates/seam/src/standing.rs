//! How the partitions of a topic stand, readable while the job runs.

use dataflow::{EventTime, Position, ProcessingTime, Quiet, Span};

/// How a partition stood when its reader looked last: at least every 100 ms while rows come, and once none come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStanding {
    /// The number of the partition.
    pub partition: u32,
    /// The topic that it is of.
    pub topic: String,
    /// The last message that was given out, or passed over as bad.
    pub position: Option<Position>,
    /// When that message had arrived.
    pub arrival: Option<ProcessingTime>,
    /// The greatest event time so far.
    pub clock: Option<EventTime>,
    /// No row at or before this comes from it any more.
    pub watermark: EventTime,
    /// Whether the watermark of the stream waits for it.
    pub counts: bool,
    /// What it does.
    pub state: PartitionState,
    /// When its silence counts as progress.
    pub quiet: Quiet,
    /// How much the event times of a partition may go back.
    pub delay: Span,
}

/// What a partition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionState {
    /// Its rows come, or wait to be given out.
    Active,
    /// All of it was given out, and the watermark stands where its last row has put it.
    Silent,
    /// All of it was given out, and its silence has moved the watermark on.
    Quiet,
    /// It has shown no row with a time, and holds nobody back.
    Absent,
    /// It has a row that waits for a checkpoint.
    Joins,
    /// It has come to the end of a bounded run.
    Ended,
}

impl PartitionState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            PartitionState::Active => "active",
            PartitionState::Silent => "silent",
            PartitionState::Quiet => "quiet",
            PartitionState::Absent => "absent",
            PartitionState::Joins => "joins",
            PartitionState::Ended => "ended",
        }
    }
}
