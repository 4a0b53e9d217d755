//! What a chunk holds: the rows that a bound passes, and the rows that ask.

/// The rows that a bound passes during a chunk.
#[derive(Debug, Default)]
pub(super) struct PassedRows {
    /// The number of the first of them in the log.
    pub(super) first: u64,
    pub(super) times: Vec<i64>,
    pub(super) keys: Vec<u32>,
    // By column of the log; empty where no accumulator of the bound needs it.
    pub(super) values: Vec<Vec<u64>>,
    pub(super) flags: Vec<Vec<u8>>,
}

/// Room for more rows than this is given back: after state was restored, a cursor passes all of it at once.
const PASSED_ROWS_KEPT: usize = 1 << 16;

impl PassedRows {
    pub(super) fn clear(&mut self) {
        if self.keys.capacity() > PASSED_ROWS_KEPT {
            let (values, flags) = (self.values.len(), self.flags.len());
            *self = PassedRows {
                values: vec![Vec::new(); values],
                flags: vec![Vec::new(); flags],
                ..PassedRows::default()
            };
            return;
        }
        self.times.clear();
        self.keys.clear();
        self.values.iter_mut().for_each(Vec::clear);
        self.flags.iter_mut().for_each(Vec::clear);
    }

    pub(super) fn size(&self) -> usize {
        let values: usize = self.values.iter().map(Vec::capacity).sum();
        let flags: usize = self.flags.iter().map(Vec::capacity).sum();
        self.times.capacity() * 8 + self.keys.capacity() * 4 + values * 8 + flags
    }
}

/// What asks in a chunk: rows in order of time, as moments of equal time.
#[derive(Debug, Default)]
pub(super) struct Probes {
    pub(super) times: Vec<i64>,
    /// For each moment, the row after its last one.
    pub(super) ends: Vec<u32>,
}

impl Probes {
    pub(super) fn set(&mut self, times: &[i64]) {
        self.times.clear();
        self.ends.clear();
        let mut end = 0;
        for moment in times.chunk_by(|left, right| left == right) {
            end += moment.len() as u32;
            self.times.push(moment[0]);
            self.ends.push(end);
        }
    }
}
