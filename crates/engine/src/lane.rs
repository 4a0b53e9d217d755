//! The lanes in which events wait for a stage, and the credit that their senders have.

use crate::event::Event;
use crate::mailbox::Caller;
use crate::seeded::{self, Rule};
use dataflow::{Barrier, Batch, EventTime, LANE_BYTES};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The rows that wait in a lane and their bytes, counted by both ends: the sender adds before it sends.
#[derive(Clone, Debug)]
pub struct Credit(Arc<Fill>);

#[derive(Debug)]
struct Fill {
    rows: AtomicUsize,
    bytes: AtomicUsize,
    sender: Arc<Caller>,
}

impl Credit {
    /// A lane whose sender is called when there is room again.
    pub fn new(sender: Arc<Caller>) -> Credit {
        Credit(Arc::new(Fill { rows: AtomicUsize::new(0), bytes: AtomicUsize::new(0), sender }))
    }

    /// Whether the lane takes the output of one more call.
    pub fn has_room(&self) -> bool {
        has_room(self.0.rows.load(SeqCst), self.0.bytes.load(SeqCst))
    }

    /// Counts a batch that is sent; gives its bytes, which go with it.
    pub fn add(&self, batch: &Batch) -> usize {
        let bytes = batch.bytes();
        self.0.rows.fetch_add(batch.rows(), SeqCst);
        self.0.bytes.fetch_add(bytes, SeqCst);
        bytes
    }

    fn free(&self, rows: usize, bytes: usize) {
        if seeded::leaves_out(Rule::CreditComesBack) {
            return;
        }
        let rows_before = self.0.rows.fetch_sub(rows, SeqCst);
        let bytes_before = self.0.bytes.fetch_sub(bytes, SeqCst);
        if !has_room(rows_before, bytes_before) && has_room(rows_before - rows, bytes_before - bytes) {
            self.0.sender.call();
        }
    }
}

fn has_room(rows: usize, bytes: usize) -> bool {
    rows < seeded::lane_rows() && bytes < LANE_BYTES
}

/// One sender's events to one input of a stage, in the order in which they were sent.
#[derive(Debug)]
pub struct Lane {
    /// The input of the stage that this lane feeds.
    pub input: usize,
    /// The last watermark that was taken from the queue; `None` while the sender is absent.
    pub watermark: Option<EventTime>,
    // The barrier that holds this lane until all lanes of the stage have it, and whether the sender turns present there.
    barrier: Option<(Barrier, bool)>,
    queue: VecDeque<Event>,
    credit: Credit,
}

impl Lane {
    pub fn new(input: usize, credit: Credit) -> Self {
        Lane { input, watermark: Some(EventTime::MIN), barrier: None, queue: VecDeque::new(), credit }
    }

    /// Takes an event. Of watermarks that follow each other the last one says it all.
    pub fn push(&mut self, event: Event) {
        if let (Event::Watermark(_), Some(Event::Watermark(_))) = (&event, self.queue.back()) {
            self.queue.pop_back();
        }
        self.queue.push_back(event);
    }

    pub fn can_pop(&self) -> bool {
        !self.is_held() && !self.queue.is_empty()
    }

    /// The next event. A barrier holds the lane; a watermark is remembered.
    pub fn pop(&mut self) -> Option<Event> {
        if self.is_held() {
            return None;
        }
        let event = self.queue.pop_front()?;
        match &event {
            Event::Rows(batch, bytes) => self.credit.free(batch.rows(), *bytes),
            Event::Watermark(watermark) => {
                self.watermark = watermark.map(|watermark| watermark.max(self.watermark.unwrap_or(watermark)));
            }
            Event::Barrier { barrier, turns_present } => self.barrier = Some((*barrier, *turns_present)),
        }
        Some(event)
    }

    fn is_held(&self) -> bool {
        self.barrier.is_some() && !seeded::leaves_out(Rule::LanesAlign)
    }

    /// The barrier that holds the lane.
    pub fn barrier(&self) -> Option<Barrier> {
        self.barrier.map(|(barrier, _)| barrier)
    }

    /// Whether the sender turns present at the barrier that holds the lane.
    pub fn turns_present(&self) -> bool {
        self.barrier.is_some_and(|(_, turns_present)| turns_present)
    }

    /// Lets the lane go on after its barrier.
    pub fn unblock(&mut self) {
        self.barrier = None;
    }
}
