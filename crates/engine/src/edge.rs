//! The edges that rows, watermarks and barriers leave a reader or a stage by.

use crate::event::{Envelope, Event};
use crate::lane::Credit;
use crate::parts::EdgeId;
use dataflow::{Batch, Result, Splitter};
use std::cell::Cell;

/// Takes envelopes for one worker: its own queue, or the mailbox of another worker.
pub trait Outbox {
    fn send(&mut self, worker: usize, envelope: Envelope);
}

/// An edge as its sender in one worker sees it.
#[derive(Debug)]
pub struct OutEdge {
    pub splitter: Splitter,
    /// The worker that sends.
    pub sender: usize,
    /// The stage that takes the rows.
    pub stage: usize,
    /// Which of its inputs.
    pub input: usize,
    /// The rows that were sent so far.
    pub sent: Cell<u64>,
    /// Per worker the lane in which this sender's events arrive there, and its credit; `None` where none goes.
    pub lanes: Vec<Option<(usize, Credit)>>,
}

impl OutEdge {
    /// Whether every lane that rows may go to takes the output of one more call.
    pub fn has_credit(&self) -> bool {
        self.lanes.iter().flatten().all(|(_, credit)| credit.has_room())
    }

    /// Sends a watermark or a barrier in every lane. They need no credit.
    pub fn control(&self, event: &Event, out: &mut dyn Outbox) {
        for (worker, lane) in self.lanes.iter().enumerate() {
            if let Some((lane, _)) = lane {
                out.send(worker, Envelope { stage: self.stage, lane: *lane, event: event.clone() });
            }
        }
    }

    /// Sends rows to where they belong.
    pub fn rows(&self, batch: Batch, out: &mut dyn Outbox) -> Result<()> {
        self.sent.set(self.sent.get() + (batch.rows() * self.splitter.copies()) as u64);
        for (worker, part) in self.splitter.split(self.sender, batch)? {
            if let Some((lane, credit)) = &self.lanes[worker] {
                let bytes = credit.add(&part);
                out.send(worker, Envelope { stage: self.stage, lane: *lane, event: Event::Rows(part, bytes) });
            }
        }
        Ok(())
    }
}

/// The rows that were sent by each edge.
pub fn sent(edges: &[OutEdge]) -> impl Iterator<Item = (EdgeId, u64)> + '_ {
    edges.iter().map(|edge| ((edge.stage, edge.input), edge.sent.get()))
}

/// Sends rows by several edges; their keys are hashed once for all edges that cut by the same columns, and the last edge
/// takes the batch itself.
pub fn send_rows(edges: &[OutEdge], mut batch: Batch, out: &mut dyn Outbox) -> Result<()> {
    if let Some((last, others)) = edges.split_last() {
        for edge in others {
            batch = edge.splitter.hash(batch)?;
            edge.rows(batch.clone(), out)?;
        }
        last.rows(batch, out)?;
    }
    Ok(())
}
