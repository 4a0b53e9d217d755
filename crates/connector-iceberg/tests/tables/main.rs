//! Tables as another crate uses them: written, committed, read back, dropped.
#![allow(clippy::unwrap_used)]

mod commits;
mod round_trips;
mod rows;
mod wrong;
