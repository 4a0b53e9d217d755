//! Tests of checkpoints: jobs whose state is a few pieces, in a folder, in memory, and in a simulated store.

mod sample;

mod folder;
mod objects;

mod changed_job;
mod compat;
mod damage;
mod faults;
mod rivals;
mod savepoint;
mod simulation;
