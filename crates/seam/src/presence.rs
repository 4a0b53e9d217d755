//! Whether others wait for a reader.

/// How a reader stands to those that wait for its watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// They wait for it.
    Present,
    /// It has given its last own watermark; from the next poll on it follows, or is absent.
    Leaves,
    /// It has given rows or a watermark, has nothing left to wait for, and goes on after others: steps may hold rows of it
    /// that would come too late after a watermark that went on without it.
    Follows,
    /// It has nothing to wait for, and never gave a row or a watermark.
    Absent,
}
