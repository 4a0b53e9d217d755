//! What travels between the stages of a job.

use dataflow::{Barrier, Batch, EventTime};

/// Everything that moves a stage.
#[derive(Clone, Debug)]
pub enum Event {
    /// Rows ahead of the lane's watermark, and their bytes.
    Rows(Batch, usize),
    /// No row at or before this comes later in this lane. `None`: the sender is absent, and holds nobody back.
    Watermark(Option<EventTime>),
    /// What came before belongs to this checkpoint, what comes after it to the next.
    Barrier {
        barrier: Barrier,
        /// The sender was absent, and is present from here on.
        turns_present: bool,
    },
}

/// An event on its way to a lane of a stage.
#[derive(Debug)]
pub struct Envelope {
    pub stage: usize,
    pub lane: usize,
    pub event: Event,
}
