//! Cuts a batch by where its rows go.

use crate::{Batch, Exchange, KeyGroups, Result, key_group};

/// Cuts batches by destination for one edge.
#[derive(Clone, Debug)]
pub struct Splitter {
    exchange: Exchange,
    workers: usize,
}

impl Splitter {
    /// A splitter of an edge to so many workers.
    pub fn new(exchange: Exchange, workers: usize) -> Splitter {
        Splitter { exchange, workers }
    }

    /// The workers that rows and watermarks of a sender go to.
    pub fn destinations(&self, sender: usize) -> std::ops::Range<usize> {
        match self.exchange {
            Exchange::Forward => sender..sender + 1,
            Exchange::Single => 0..1,
            Exchange::Hash(_) | Exchange::Broadcast => 0..self.workers,
        }
    }

    /// The batch with the hashes of its keys, where it is cut by them; those that it carries already are used again.
    pub fn hash(&self, batch: Batch) -> Result<Batch> {
        match &self.exchange {
            Exchange::Hash(columns) => batch.hash_keys(columns),
            _ => Ok(batch),
        }
    }

    /// The parts of a batch by worker, none of them empty; the rows of each part keep their sequence. Behind a hash
    /// exchange rows carry the hashes of their keys.
    pub fn split(&self, sender: usize, batch: Batch) -> Result<Vec<(usize, Batch)>> {
        if batch.rows() == 0 {
            return Ok(Vec::new());
        }
        match &self.exchange {
            Exchange::Hash(columns) => self.split_by_key(columns, batch.hash_keys(columns)?),
            _ => Ok(self.destinations(sender).map(|worker| (worker, batch.clone())).collect()),
        }
    }

    fn split_by_key(&self, columns: &[usize], batch: Batch) -> Result<Vec<(usize, Batch)>> {
        if self.workers == 1 {
            return Ok(vec![(0, batch)]);
        }
        let mut rows = vec![Vec::with_capacity(batch.rows() / self.workers + 16); self.workers];
        for (row, &hash) in batch.key_hashes_of(columns).unwrap_or_default().iter().enumerate() {
            rows[KeyGroups::worker_of(key_group(hash), self.workers)].push(row as u32);
        }
        let even = batch.rows() / self.workers;
        // A few rows do not keep the whole batch in memory for as long as they wait.
        let part = |rows: &[u32]| if rows.len() < even / 2 { batch.take(rows) } else { batch.pick(rows) };
        let parts = rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        parts.map(|(worker, rows)| Ok((worker, part(rows)?))).collect()
    }
}
