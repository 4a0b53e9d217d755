//! Google Pub/Sub: a subscription copied into a log, messages put on a topic, and a server for development.
//!
//! Only this crate knows the client of Pub/Sub. It decodes no message and knows no topic of ours: what it receives goes to
//! whoever makes it durable, and is acknowledged after that.
//! Modules are listed from the bottom up.
#![forbid(missing_docs)]

mod error;

mod settings;

mod received;

mod subscription;

mod copying;

mod publisher;

pub mod emulator;

pub use copying::{Append, CopyEnd, CopyEvent, CopyOptions, copy};
pub use publisher::{OutgoingMessage, TopicPublisher};
pub use received::Received;
pub use settings::Settings;
