//! Google Pub/Sub, in a riverrun that was built with it; in any other, what says that it was not.

#[cfg(not(feature = "pubsub"))]
mod absent;

#[cfg(not(feature = "pubsub"))]
pub use absent::{Settings, TopicPublisher, check, copy, emulator};
#[cfg(feature = "pubsub")]
pub use connector_pubsub::{Settings, TopicPublisher, check, copy, emulator};
