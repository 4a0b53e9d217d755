//! Cuts a batch by where its rows go.

use crate::{Batch, Exchange, KeyGroups, Result, key_group, key_hashes};

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

    /// The parts of a batch by worker, none of them empty; the rows of each part keep their sequence. Behind a hash
    /// exchange rows carry the hashes of their keys.
    pub fn split(&self, sender: usize, batch: Batch) -> Result<Vec<(usize, Batch)>> {
        if batch.rows() == 0 {
            return Ok(Vec::new());
        }
        match &self.exchange {
            Exchange::Hash(columns) => self.split_by_key(columns, batch),
            _ => Ok(self.destinations(sender).map(|worker| (worker, batch.clone())).collect()),
        }
    }

    fn split_by_key(&self, columns: &[usize], batch: Batch) -> Result<Vec<(usize, Batch)>> {
        let keys: Vec<_> = columns.iter().map(|&column| batch.column(column).clone()).collect();
        let hashes = key_hashes(&keys, batch.rows())?;
        if self.workers == 1 {
            return Ok(vec![(0, batch.with_key_hashes(hashes)?)]);
        }
        let mut rows = vec![Vec::with_capacity(batch.rows() / self.workers + 16); self.workers];
        for (row, &hash) in hashes.iter().enumerate() {
            rows[KeyGroups::worker_of(key_group(hash), self.workers)].push(row as u32);
        }
        let batch = batch.with_key_hashes(hashes)?;
        let parts = rows.iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        let even = batch.rows() / self.workers;
        // A few rows do not keep the whole batch in memory for as long as they wait.
        let part = |rows: &[u32]| if rows.len() < even / 2 { batch.take(rows) } else { batch.pick(rows) };
        parts.map(|(worker, rows)| Ok((worker, part(rows)?))).collect()
    }
}
