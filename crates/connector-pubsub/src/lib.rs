//! Google Pub/Sub: a subscription copied into a log, messages put on a topic, and a server for development.
//!
//! Only this crate knows the client of Pub/Sub. It decodes no message and knows no topic of ours: what it receives goes to
//! whoever makes it durable, and is acknowledged after that.
//! Modules are listed from the bottom up.
#![forbid(missing_docs)]

mod error;

mod settings;
mod uptime;

mod attempts;

mod look;

mod subscription;

mod known;
mod watch;

mod held_log;

mod copying;

mod publisher;

pub mod emulator;

pub use copying::{check, copy};
pub use publisher::TopicPublisher;
pub use settings::Settings;
