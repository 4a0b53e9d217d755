//! Tables as another crate uses them: written, committed, read back, dropped.

mod commits;
mod round_trips;
mod rows;
mod wrong;
