//! Google Pub/Sub, in a riverrun that was built with it; in any other, what says that it was not.

#[cfg(not(feature = "pubsub"))]
mod absent;

#[cfg(not(feature = "pubsub"))]
pub use absent::{
    Append, CopyEnd, CopyEvent, CopyOptions, OutgoingMessage, Received, Settings, TopicPublisher, copy, emulator,
};
#[cfg(feature = "pubsub")]
pub use connector_pubsub::{
    Append, CopyEnd, CopyEvent, CopyOptions, OutgoingMessage, Received, Settings, TopicPublisher, copy, emulator,
};
