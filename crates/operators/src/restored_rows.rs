//! Rows of a log that come from several blobs, until all have been read.

use state::{Log, Shape};

/// Rows of blobs, to be put in order of time when all blobs have been read. Rows of one key come in their order.
#[derive(Debug, Default)]
pub(crate) struct RestoredRows {
    pub(crate) times: Vec<i64>,
    pub(crate) keys: Vec<u32>,
    pub(crate) values: Vec<Vec<u64>>,
    pub(crate) flags: Vec<Vec<u8>>,
}

impl RestoredRows {
    pub(crate) fn new(shape: Shape) -> RestoredRows {
        RestoredRows {
            values: vec![Vec::new(); shape.values],
            flags: vec![Vec::new(); shape.flags],
            ..RestoredRows::default()
        }
    }

    /// Appends the rows to a log in order of time, and forgets them.
    pub(crate) fn append_to(&mut self, log: &mut Log) {
        if self.times.is_empty() {
            return;
        }
        let empty = RestoredRows::new(Shape { values: self.values.len(), flags: self.flags.len() });
        let staged = std::mem::replace(self, empty);
        let mut order: Vec<u32> = (0..staged.times.len() as u32).collect();
        order.sort_by_key(|&row| staged.times[row as usize]);
        let values: Vec<_> = staged.values.iter().map(|column| pick(column, &order)).collect();
        let flags: Vec<_> = staged.flags.iter().map(|column| pick(column, &order)).collect();
        log.append(&pick(&staged.times, &order), &pick(&staged.keys, &order), &values, &flags);
    }
}

fn pick<T: Copy>(column: &[T], order: &[u32]) -> Vec<T> {
    order.iter().map(|&row| column[row as usize]).collect()
}
