//! Counts bytes of history that are in memory.

use crate::StreamStats;
use std::sync::Arc;

/// So many bytes in memory, among those that a stream's counters show. They are gone with it.
pub(crate) struct HeldBytes {
    stats: Arc<StreamStats>,
    bytes: usize,
}

impl HeldBytes {
    pub fn new(stats: &Arc<StreamStats>, bytes: usize) -> HeldBytes {
        stats.change_held_bytes(0, bytes);
        HeldBytes { stats: stats.clone(), bytes }
    }

    pub fn set(&mut self, bytes: usize) {
        self.stats.change_held_bytes(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}
