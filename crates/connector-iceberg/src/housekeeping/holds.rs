//! What keeps snapshots and files of a table from being let go.

use std::collections::HashSet;

/// What others need of a table beside what its tags and branches name, as far as whoever asks knows it.
#[derive(Clone, Debug, Default)]
pub struct TableHolds {
    /// Snapshots, and who needs each.
    pub snapshots: Vec<(i64, String)>,
    /// The locations of files that are prepared and not committed yet.
    pub prepared: HashSet<String>,
    /// The sinks whose checkpoints were all looked at.
    pub sinks: Vec<String>,
}
