//! Reads one partition from a position on, and notices what is missing.

mod chunks;
mod continuity;
mod machine;
mod opening;
mod permits;
mod watch;

pub use machine::{ReaderMachine, ReaderOptions, Start};
