//! Loads an ONNX model, checks it before anything runs, says what goes in and what comes out, and scores batches.
//!
//! A model file is untrusted. In the order in which its bytes meet the modules: `file` reads them, and `external_data`
//! puts in the weights that lie beside the file; `wire` budgets what they would decode
//! into, `onnx` holds the decoded structs, `node` reads attributes, `dims` and `value` say what a name stands for,
//! `graph` follows the nodes, each of which is read by its module in `operators`; `builder` gives out `registers` and
//! counts what a row costs. For ensembles `forest` makes sure that trees are trees
//! (`tree_ensemble` reads the newest form of them), `aggregate` says what their sums
//! mean, `layout` lays them out, and `trees` walks them fast. `outputs` names what comes out, `signature` and `samples` hold what the
//! file promises, `program` runs over batches (`row_texts` gives texts numbers, `list_text` reads lists that come as text), `probe` makes rows to try a
//! model with, and `score` puts it together.
//!
//! Nothing here runs an operator that is not listed in `operators`, follows a path that a file names out of its own folder, or allocates what
//! a file merely claims. Scores are functions of the row alone: every step goes row by row, sums are made in the order
//! of the file, on every CPU and for every batch size.

mod aggregate;
mod builder;
mod dims;
mod external_data;
mod file;
mod forest;
mod graph;
mod labels;
mod layout;
mod list_text;
mod math;
mod node;
mod onnx;
mod operators;
mod outputs;
mod probe;
mod program;
mod refusal;
mod registers;
mod row_texts;
mod samples;
mod score;
mod scores;
mod signature;
mod sliced;
mod threshold;
mod tree_ensemble;
mod trees;
mod value;
mod wire;
mod words;

#[cfg(test)]
mod tests;

pub use file::{FILE_BYTES_MAX, ModelFile};
pub use forest::{TREE_DEPTH_MAX, TREE_NODES_MAX};
pub use score::{Model, OutputScorer};
pub use signature::{Output, OutputSelector, Signature};
