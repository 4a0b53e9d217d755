//! What a copy is given and what it tells, and what goes the other way.

use crate::received::Received;
use dataflow::Result;
use std::time::Duration;

/// What makes messages durable.
pub trait Append: Send + 'static {
    /// Appends messages; all are durable on return. Gives for how long the oldest had waited since Pub/Sub took it. After
    /// an error the same messages are appended again, or none any more. An error of the kind `Data` is of one of them, which
    /// is never taken; then each is appended alone.
    fn append(&mut self, messages: &[Received]) -> Result<Duration>;
    /// Called every second: what was published until so long ago has all come but for what lags as much as the last
    /// messages did. `None` while nobody knows. It has to be asked for how long that is after the wall clock was read: the
    /// machine may be suspended between the two.
    fn drained(&mut self, since: Option<&dyn Fn() -> Duration>) -> Result<()>;
}

/// How a subscription is copied.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyOptions {
    /// Ends the copy when nothing came for so long; it goes on until it is stopped without this.
    pub until_idle: Option<Duration>,
}

/// What happens while a subscription is copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyEvent {
    /// The subscription is there, and is received from.
    Open,
    /// The subscription keeps no order within ordering keys.
    Unordered,
    /// So many messages were made durable so far.
    Copied(u64),
    /// So many acknowledgements were refused, after which their messages come again: the log has these twice.
    Refused(u64),
    /// Messages cannot be appended for this reason; they are held, and tried again every second.
    Held(String),
    /// They were appended.
    Released,
    /// A message is never taken; it is held while the copy runs, and the others are copied.
    Unfit {
        /// Its id.
        message_id: String,
        /// How many bytes of data it has.
        bytes: usize,
        /// Why it is not taken.
        why: String,
    },
    /// So many messages that are never taken fill more than half of what is held at once, and others will wait for them.
    UnfitFill(usize),
    /// The server does not answer, for this reason.
    Away(String),
    /// It answers again.
    Back,
    /// The topic of the subscription was deleted: what waits is copied, and nothing more comes.
    TopicDeleted,
    /// Nothing had come for a while, so that the connection was made anew, and over this one a message came that had
    /// waited for so long: the one before it stood still.
    StoodStill(Duration),
}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyEnd {
    /// How many messages were made durable.
    pub messages: u64,
    /// How many bytes of data they have.
    pub bytes: u64,
}
