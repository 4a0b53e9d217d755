//! Loads an ONNX model, checks it before anything runs, says what goes in and what comes out, and scores batches.
//!
//! A model file is untrusted. In the order in which its bytes meet the modules: `wire` budgets what they would decode
//! into, `onnx` holds the decoded structs, `node` reads attributes, `forest` makes sure that trees are trees,
//! `aggregate` says what their sums mean, `value` and `plan` follow the graph, `trees` lays the trees out for speed,
//! `signature` and `samples` hold what the file promises, and `score` puts it together.
//!
//! Nothing here runs an operator that is not listed in `plan`, follows a path that a file names, or allocates what a
//! file merely claims. Scores are functions of the row alone: trees add in tree order, on every CPU and for every
//! batch size.

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
