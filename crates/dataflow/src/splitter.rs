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

    /// How often each row is sent.
    pub fn copies(&self) -> usize {
        if matches!(self.exchange, Exchange::Broadcast) { self.workers } else { 1 }
    }

    /// The batch with the hashes of its keys, where it is cut by them; those that it carries already are used again.
    pub fn hash(&self, batch: Batch) -> Result<Batch> {
        match &self.exchange {
            Exchange::Hash(columns) => batch.hash_keys(columns),
            _ => Ok(batch),
        }
    }

    /// The parts of a batch by worker, none of them empty; the rows of each part keep their sequence. After a hash
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RowOrder, key_hashes};
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Rows with a key and a word; their order is their place.
    fn batch(keys: &[Option<i64>]) -> Batch {
        let words: ArrayRef = Arc::new(StringArray::from_iter_values(keys.iter().map(|key| format!("{key:?}"))));
        let columns: [(&str, ArrayRef); 2] = [("key", Arc::new(Int64Array::from(keys.to_vec()))), ("word", words)];
        let orders = (0..keys.len()).map(|row| RowOrder(row as u128)).collect();
        Batch::new(RecordBatch::try_from_iter(columns).unwrap(), vec![7; keys.len()], orders).unwrap()
    }

    /// The places in the whole batch of the rows of a part.
    fn places(part: &Batch) -> Vec<usize> {
        (0..part.rows()).map(|row| part.order(row).0 as usize).collect()
    }

    proptest! {
        #[test]
        fn the_parts_of_a_batch_are_its_rows_by_key_group(
            keys in prop::collection::vec(prop::option::weighted(0.9, -20i64..20), 0..80),
            workers in 1usize..6,
            columns in prop::sample::select(vec![vec![0], vec![1], vec![1, 0]]),
            carried in prop::sample::select(vec![vec![], vec![0], vec![1, 0]]),
        ) {
            // Hashes that a batch carries are used again only where they are those of the key.
            let mut whole = batch(&keys);
            if !carried.is_empty() {
                whole = whole.hash_keys(&carried).unwrap();
            }
            let arrays: Vec<ArrayRef> = columns.iter().map(|&column| whole.column(column).clone()).collect();
            let hashes = key_hashes(&arrays, keys.len()).unwrap();
            let worker_of = |row: usize| KeyGroups::worker_of(key_group(hashes[row]), workers);
            let parts = Splitter::new(Exchange::Hash(columns.clone()), workers).split(3, whole.clone()).unwrap();
            prop_assert!(parts.is_sorted_by_key(|(worker, _)| *worker));
            for (worker, part) in &parts {
                prop_assert!(part.rows() > 0);
                let places = places(part);
                let own: Vec<usize> = (0..keys.len()).filter(|&row| worker_of(row) == *worker).collect();
                prop_assert_eq!(&places, &own);
                let carried = part.key_hashes_of(&columns).map(<[u64]>::to_vec);
                prop_assert_eq!(carried, Some(places.iter().map(|&row| hashes[row]).collect::<Vec<_>>()));
                let rows: Vec<u32> = places.iter().map(|&row| row as u32).collect();
                let taken = whole.take(&rows).unwrap();
                prop_assert_eq!(part.columns(), taken.columns());
            }
            prop_assert_eq!(parts.iter().map(|(_, part)| part.rows()).sum::<usize>(), keys.len());
        }
    }

    #[test]
    fn other_exchanges_send_whole_batches() {
        let to = |exchange: Exchange, sender: usize| {
            let splitter = Splitter::new(exchange, 3);
            let parts = splitter.split(sender, batch(&[Some(1), None])).unwrap();
            assert!(parts.iter().all(|(_, part)| places(part) == [0, 1]));
            let workers: Vec<usize> = parts.into_iter().map(|(worker, _)| worker).collect();
            // Watermarks go where rows go.
            assert_eq!(workers, splitter.destinations(sender).collect::<Vec<_>>());
            workers
        };
        assert_eq!(to(Exchange::Forward, 2), [2]);
        assert_eq!(to(Exchange::Single, 2), [0]);
        assert_eq!(to(Exchange::Broadcast, 2), [0, 1, 2]);
        assert_eq!(Splitter::new(Exchange::Hash(vec![0]), 3).destinations(2), 0..3);
    }
}
