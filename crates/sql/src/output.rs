//! An output of a plan.

use arrow::datatypes::SchemaRef;
use bounded::Plan;
use dataflow::{Output, RowFilter};

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

/// What a query does with what streams give and tables hold.
#[derive(Clone, Debug)]
pub struct QueryPlan {
    /// The steps.
    pub plan: Plan,
    /// The inputs, in the order in which the plan numbers them.
    pub inputs: Vec<QueryInput>,
}

/// An input of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryInput {
    /// What streams give as the output of this number.
    Stream(usize),
    /// A table.
    Table {
        /// Its name.
        name: String,
        /// Of each of its columns whether the answer depends on it; the values of the others may be NULL.
        used: Vec<bool>,
        /// What every row fulfils that the answer depends on.
        wanted: RowFilter,
    },
}

impl QueryPlan {
    /// The same with so many rows at most.
    pub fn at_most(self, rows: usize) -> QueryPlan {
        let QueryPlan { plan, inputs } = self;
        QueryPlan { plan: Plan::Limit { from: Box::new(plan), offset: 0, limit: Some(rows) }, inputs }
    }

    /// How many rows it gives at most, where it says so.
    pub fn limit(&self) -> Option<usize> {
        match self.plan {
            Plan::Limit { limit, .. } => limit,
            _ => None,
        }
    }
}
