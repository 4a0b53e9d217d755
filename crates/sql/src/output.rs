//! An output of a plan.

use arrow::datatypes::SchemaRef;
use dataflow::Output;

/// Where rows come out.
#[derive(Clone, Debug)]
pub struct OutputSpec {
    /// The name of the sink's node without `into `: the table or topic.
    pub name: String,
    /// The table, topic or query.
    pub output: Output,
    /// The columns.
    pub schema: SchemaRef,
    /// The decision whose actions or log these are.
    pub from_decision: Option<String>,
    /// The decision's rules in their order, and whether each reads a model's score.
    pub rules: Vec<(String, bool)>,
}
