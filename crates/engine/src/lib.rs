//! Runs a job graph in one process: data-parallel workers, exchange by key group, credits, barriers that commit.
//!
//! Everything that moves a job is an [`event::Event`] in a lane. A worker is stepped: by its own thread
//! ([`run()`]), or by a seeded driver that chooses among everything that could happen ([`Driver`]).
//! The engine knows the contract and no operator, no connector and no SQL.

mod build;
mod commit;
mod control;
mod driver;
mod event;
mod exchange;
mod instance;
mod job;
mod layout;
mod mailbox;
mod run;
mod schedule;
mod sink;
mod spill;
mod status;
mod worker;

pub use control::Control;
pub use driver::{Driver, Step};
pub use job::{Job, SinkBinding};
pub use run::{Ended, run};
pub use status::{NodeStatus, Notes, Status, Waiting};

/// The most rows that one call of an operator takes or puts out.
pub const BATCH_ROWS: usize = 8192;

/// The most rows that may wait in one lane before its sender has no credit.
pub const LANE_ROWS: usize = 4 * BATCH_ROWS;

/// The most bytes of rows that may wait in one lane before its sender has no credit.
pub const LANE_BYTES: usize = 16 << 20;
