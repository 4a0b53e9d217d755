//! What a state machine needs from whoever moves its bytes.

use crate::error::Result;
use crate::link::Link;
use std::time::Duration;

/// A reader or a producer, without I/O.
///
/// Whoever runs it carries out the actions of its link, moves bytes, and calls `advance` after bytes have come, after
/// an action, and when the link says that something is due.
pub trait Machine {
    /// The way to the broker.
    fn link(&mut self) -> &mut Link;

    /// Does what is due, and what follows from the bytes that came. An error is the end.
    fn advance(&mut self, now: Duration) -> Result<()>;

    /// Where it stands, in a word or two, for whoever watches it.
    fn stage(&self) -> &'static str;

    /// Whether bytes should be read from the connection now.
    fn wants_input(&self) -> bool;
}
