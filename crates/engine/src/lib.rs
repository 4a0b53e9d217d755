//! Runs a job graph in one process: data-parallel workers, exchange by key group, credits, barriers that commit.
//!
//! Everything that moves a stage is an [`event::Event`] in a lane; what moves a reader is a command of the job's
//! coordinator, or what it reads. A worker is stepped: by its own thread ([`run()`]), or by a seeded driver that
//! chooses among everything that could happen ([`Driver`]). The engine knows the contract and no operator, no
//! connector and no SQL.
//!
//! Modules are listed in the order in which they stand on each other.

mod event;
mod limits;
mod seeded;

mod mailbox;

mod edge;
mod lane;
mod layout;

mod pace;
mod parts;

mod conservation;

mod control;
mod coordination;

mod notes;
mod patience;

mod checkpoint;
mod commit;
mod sink;
mod spill;
mod state_spill;

mod restore;

mod instance;
mod source;
mod status;

mod schedule;
mod worker;

mod build;
mod job;

mod driver;
mod pool;
mod run;

#[cfg(test)]
mod simulation;

pub use build::JobReport;
pub use control::Control;
pub use driver::{Driver, Step};
pub use job::{Job, SinkBinding};
pub use notes::Notes;
pub use pace::CheckpointPace;
pub use pool::Pool;
pub use run::run;
pub use state_spill::state_memory;
pub use status::{Backlog, NodeStatus, Status};
