//! What is said between a connector that copies messages of another system into a log, and whoever has the log. It needs no
//! client of that system, so that programs that are built without one know it too.
#![forbid(missing_docs)]

mod outgoing;
mod received;

mod copy;

pub use copy::{Append, CopyEnd, CopyEvent, CopyOptions};
pub use outgoing::{MESSAGE_BYTES_MAX, ORDERING_KEY_BYTES_MAX, OutgoingMessage};
pub use received::Received;
