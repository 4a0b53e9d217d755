//! Checkpoints of jobs as named objects that are made once: state files, and a manifest per checkpoint that names them.
//! One run of a job holds its checkpoints at a time, under an epoch that no other run has.
//!
//! Modules are listed from what is stored to what a run does with it.

mod seeded;
mod store;

mod folder;
mod place;
mod run_lock;
mod stored_objects;

mod lease;

mod hold;

mod names;

mod fields;

mod job_plan;

mod facts;
mod manifest;
mod reading;
mod state_file;

mod savepoint;

mod changed_job;
mod collection;
mod run;

pub use changed_job::{ChangedJob, MovedStep, Rewrite};
pub use facts::JobFacts;
pub use folder::Folder;
pub use hold::{holder_elsewhere, is_held};
pub use job_plan::{Feed, JobPlan, OutputCut, PlannedOutput, PlannedPart, PlannedState, PlannedStream};
pub use lease::LeaseHolder;
pub use manifest::Manifest;
pub use place::Place;
pub use reading::{count, look, look_at_all};
pub use run::{Checkpoints, save_newest};
pub use run_lock::{Holder, holder};
pub use savepoint::{DataCopies, PendingFiles, Savepoint};
pub use store::{Created, Store};

#[cfg(test)]
mod tests;
