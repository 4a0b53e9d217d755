//! How much may be on its way between two stages at once: hosts keep to it, and plans reckon with it.

/// The most rows that one call of an operator takes or puts out.
pub const BATCH_ROWS: usize = 8192;

/// The most rows that may wait in one lane before its sender has no credit.
pub const LANE_ROWS: usize = 4 * BATCH_ROWS;

/// The most bytes of rows that may wait in one lane before its sender has no credit.
pub const LANE_BYTES: usize = 16 << 20;
