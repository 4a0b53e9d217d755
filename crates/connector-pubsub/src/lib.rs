//! Google Pub/Sub: a subscription copied into a log, messages put on a topic, and a server for development.
//!
//! Only this crate knows the client of Pub/Sub, which is in a program that was built with the feature `client`; in any
//! other, what needs it is refused. The crate decodes no message and knows no topic of ours: what it receives goes to
//! whoever makes it durable, and is acknowledged after that.
//! Modules are listed from the bottom up.
#![forbid(missing_docs)]

mod built;

mod received;

mod contract;

pub mod emulator;

#[cfg(not(feature = "client"))]
mod absent;

#[cfg(feature = "client")]
mod error;

#[cfg(feature = "client")]
mod settings;

#[cfg(feature = "client")]
mod subscription;

#[cfg(feature = "client")]
mod copying;

#[cfg(feature = "client")]
mod publisher;

#[cfg(not(feature = "client"))]
pub use absent::{Settings, TopicPublisher, check, copy};
pub use built::check_built;
pub use contract::{Append, CopyEnd, CopyEvent, CopyOptions, OutgoingMessage};
#[cfg(feature = "client")]
pub use copying::{check, copy};
#[cfg(feature = "client")]
pub use publisher::TopicPublisher;
pub use received::Received;
#[cfg(feature = "client")]
pub use settings::Settings;
