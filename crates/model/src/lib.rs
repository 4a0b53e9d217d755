//! Loads an ONNX model, checks it before anything runs, says what goes in and what comes out, and scores batches.
//!
//! A model file is untrusted: its bytes are budgeted before they are decoded (`wire`), read into plain structs
//! (`onnx`), checked and folded into a plan (`node`, `forest`, `aggregate`, `value`, `plan`), and only then laid out for speed (`trees`).
//! Nothing here runs an operator that is not listed in `plan`, follows a path that the file names, or allocates
//! what the file merely claims. Scores are functions of the row alone: trees add in tree order, on every CPU and
//! for every batch size.

mod aggregate;
mod forest;
mod node;
mod onnx;
mod plan;
mod samples;
mod score;
mod signature;
mod trees;
mod value;
mod wire;

#[cfg(test)]
mod tests;

pub use forest::{TREE_DEPTH_MAX, TREE_NODES_MAX};
pub use score::{FILE_BYTES_MAX, Model, OutputScorer};
pub use signature::{Output, OutputSelector, Signature};
