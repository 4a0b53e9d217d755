//! What a plan is, for people and for programs: the rules that fired, stages with their nodes, and lineage.

mod explained;

mod dot;
mod text;

pub use explained::{Explained, ExplainedColumn, ExplainedInput, ExplainedNode, ExplainedOutput, ExplainedState};
