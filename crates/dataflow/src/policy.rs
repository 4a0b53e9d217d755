//! What a stream declares for silence, for late rows and for bad rows: its SQL says it, its reader and its steps obey.

use crate::{Port, Span};

/// When a partition that shows nothing new stops holding others back.
///
/// ```
/// use dataflow::{Quiet, Span};
/// assert_eq!(Quiet::After(Span::seconds(2)).allowance(), Span::seconds(2));
/// assert_eq!(Quiet::Never.allowance(), Span::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Its clock runs on after so much silence.
    After(Span),
    /// Its clock stands still until its next row.
    Never,
}

impl Quiet {
    /// How much silence there is before the clock runs on; zero where it never does.
    pub fn allowance(self) -> Span {
        match self {
            Quiet::After(span) => span,
            Quiet::Never => Span::ZERO,
        }
    }
}

/// What happens to late rows.
///
/// ```
/// use dataflow::{Late, Port};
/// assert_eq!(Late::Drop.port(), None);
/// assert_eq!(Late::Aside.port(), Some(Port::LATE));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// They are moved to the earliest moment still open, and marked.
    Move,
    /// They are removed and counted.
    Drop,
    /// They are removed, counted, and leave at [`Port::LATE`].
    Aside,
}

impl Late {
    /// The port at which late rows leave.
    pub fn port(self) -> Option<Port> {
        (self == Late::Aside).then_some(Port::LATE)
    }
}

/// What happens to bad rows: those that cannot be decoded, have no event time, or lie more than a day ahead of their
/// arrival, and those on which a step fails.
///
/// ```
/// use dataflow::{BadRowPolicy, Port};
/// assert_eq!(BadRowPolicy::Skip.port(), None);
/// assert_eq!(BadRowPolicy::DeadLetter.port(), Some(Port::DEAD_LETTER));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRowPolicy {
    /// The job stops with an error that names the first of them.
    Fail,
    /// They are removed and counted.
    Skip,
    /// They are removed, counted, and leave at [`Port::DEAD_LETTER`] as dead letters.
    DeadLetter,
}

impl BadRowPolicy {
    /// The port at which bad rows leave.
    pub fn port(self) -> Option<Port> {
        (self == BadRowPolicy::DeadLetter).then_some(Port::DEAD_LETTER)
    }
}
