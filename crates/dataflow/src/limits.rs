//! How much may be on its way between two stages at once: hosts keep to it, and plans reckon with it.

/// The most rows that one call of an operator takes or puts out.
pub const BATCH_ROWS: usize = 8192;

/// The most rows that may wait in one lane before its sender has no credit.
pub const LANE_ROWS: usize = 4 * BATCH_ROWS;

/// The most bytes of rows that may wait in one lane before its sender has no credit.
pub const LANE_BYTES: usize = 16 << 20;

/// About so many bytes of stored columns are read at once.
const READ_BYTES: u64 = 8 << 20;

/// How many of some stored rows are read at once: as many as take 8 MiB, and one at least. A column of text holds 2 GiB at
/// most, and rows may be of any size.
///
/// ```
/// // A thousand rows of a megabyte, and of eight bytes.
/// assert_eq!(dataflow::rows_at_once(1_000, 1_000 << 20), 8);
/// assert_eq!(dataflow::rows_at_once(1_000, 8_000), 1 << 20);
/// ```
pub fn rows_at_once(rows: u64, bytes: u64) -> usize {
    let rows = u128::from(rows) * u128::from(READ_BYTES) / u128::from(bytes.max(1));
    usize::try_from(rows).unwrap_or(usize::MAX).max(1)
}
