//! Tables as another crate uses them: written, committed, read back, dropped.
#![allow(clippy::unwrap_used)]

mod claims;
mod clocks;
mod commits;
mod going_on;
mod grace;
mod housekeeping;
mod kept_files;
mod kills;
mod layouts;
mod other_specs;
mod places;
mod pruning;
mod required;
mod round_trips;
mod rows;
mod wrong;
