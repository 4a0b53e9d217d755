//! Tests of checkpoints: jobs whose state is a few pieces, in a folder.

mod folder;
mod sample;
