//! Where the rows of a node go: the lanes that its edges lead to.

use crate::event::{Credit, Envelope, Event};
use dataflow::{Batch, Exchange, KeyGroups, Port, Result, key_group, key_hashes};

/// Takes envelopes for one worker: its own queue, or the channel of another worker.
pub trait Outbox {
    fn send(&mut self, worker: usize, envelope: Envelope);
}

/// An edge as its sender in one worker sees it.
#[derive(Debug)]
pub struct OutEdge {
    pub port: Port,
    pub exchange: Exchange,
    /// The node that takes the rows.
    pub node: usize,
    /// Per worker the lane in which this sender's events arrive there, and its credit.
    pub lanes: Vec<(usize, Credit)>,
    /// Workers that this sender's events go to: all of them, or its own only.
    pub workers: Vec<usize>,
    /// The sender is a source: rows are dealt to the workers in turn.
    pub deal: bool,
    /// The worker that is dealt to next.
    pub next: usize,
}

impl OutEdge {
    /// Whether every lane that rows may go to takes the output of one more call.
    pub fn has_credit(&self) -> bool {
        self.workers.iter().all(|&worker| self.lanes[worker].1.has_room())
    }

    /// Sends a watermark or a barrier in every lane. They need no credit.
    pub fn control(&self, event: &Event, out: &mut dyn Outbox) {
        for &worker in &self.workers {
            out.send(worker, Envelope { node: self.node, lane: self.lanes[worker].0, event: event.clone() });
        }
    }

    /// Sends rows to where the exchange leads them.
    pub fn rows(&mut self, batch: Batch, out: &mut dyn Outbox) -> Result<()> {
        match &self.exchange {
            Exchange::Forward if self.deal => {
                let worker = self.workers[self.next % self.workers.len()];
                self.next = self.next.wrapping_add(1);
                self.send(worker, batch, out);
            }
            Exchange::Forward => self.send(self.workers[0], batch, out),
            Exchange::Single => self.send(0, batch, out),
            Exchange::Broadcast => {
                for &worker in &self.workers {
                    self.send(worker, batch.clone(), out);
                }
            }
            Exchange::Hash(columns) => {
                let keys: Vec<_> = columns.iter().map(|&column| batch.column(column).clone()).collect();
                let hashes = key_hashes(&keys, batch.rows())?;
                for (worker, part) in split(batch, hashes, self.workers.len())? {
                    self.send(worker, part, out);
                }
            }
        }
        Ok(())
    }

    fn send(&self, worker: usize, batch: Batch, out: &mut dyn Outbox) {
        if batch.rows() > 0 {
            let (lane, credit) = &self.lanes[worker];
            let bytes = credit.add(&batch);
            out.send(worker, Envelope { node: self.node, lane: *lane, event: Event::Rows(batch, bytes) });
        }
    }
}

/// Cuts a batch by the worker that holds each row's key group; the rows of each part keep their sequence.
fn split(batch: Batch, hashes: Vec<u64>, workers: usize) -> Result<Vec<(usize, Batch)>> {
    if workers == 1 {
        return Ok(vec![(0, batch.with_key_hashes(hashes)?)]);
    }
    let mut rows = vec![Vec::with_capacity(batch.rows() / workers + 16); workers];
    for (row, &hash) in hashes.iter().enumerate() {
        rows[KeyGroups::worker_of(key_group(hash), workers)].push(row as u32);
    }
    let batch = batch.with_key_hashes(hashes)?;
    rows.iter().enumerate().map(|(worker, rows)| Ok((worker, batch.take(rows)?))).collect()
}
