//! Tests of checkpoints: jobs whose state is a few pieces, in a folder and in a simulated store.

mod folder;
mod sample;
mod simulation;
