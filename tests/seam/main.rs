//! History then live, through the whole: a project, a topic, its archive, a job and its tables.
//!
//! What comes out does not depend on where history ends, on workers, or on schedules; and it is what DuckDB says.

#![allow(clippy::unwrap_used)]

mod alone;
mod arrivals;
mod ended;
mod frontiers;
mod joined;
mod log;
mod two_clocks;
