//! A plan as data.

use crate::check::{CheckedPlan, Start};
use crate::diagnostic::Diagnostic;
use crate::expression::type_name;
use crate::lineage::Lineage;
use crate::lower::physical::{NodeState, PlanKind, PlanNode, shown};
use crate::plan::logical::Operator;
use arrow::datatypes::{Field, SchemaRef};
use dataflow::{Edge, Encode, Error, EventTime, Exchange, Output, Port, stages};
use std::sync::Arc;

/// A plan as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The rules that made the plan better, and how often.
    pub rules: Vec<(&'static str, usize)>,
    /// The nodes, each after those that it reads.
    pub nodes: Vec<ExplainedNode>,
    /// Where rows come out, with the lineage of their columns.
    pub outputs: Vec<ExplainedOutput>,
}

/// A node of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedNode {
    /// Its name, made of names in the SQL.
    pub name: String,
    /// What it is.
    pub kind: &'static str,
    /// What it computes, and what bounds its state.
    pub computes: String,
    /// Its state; `None` where it has none that lasts.
    pub state: Option<ExplainedState>,
    /// Its stage, from 1; streams are in none.
    pub stage: Option<usize>,
    /// Where its rows come from.
    pub inputs: Vec<ExplainedInput>,
    /// The columns that it puts out, with their types.
    pub columns: Vec<(String, String)>,
    /// How many of them are those of its input, in front.
    pub kept: usize,
}

/// The state of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedState {
    /// What it is known by.
    pub id: String,
    /// What it holds, as a number that stays the same while the same is computed of the same rows, whatever views and
    /// columns are called.
    pub digest: u128,
    /// About how many bytes it takes for each row or key that it keeps.
    pub bytes_each: usize,
}

/// Where rows of a node come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedInput {
    /// The number of the node.
    pub from: usize,
    /// What rows of it, where they are not its main ones.
    pub port: &'static str,
    /// How they travel, where they do not stay.
    pub exchange: Option<String>,
    /// How many columns travel.
    pub columns: usize,
}

/// Where rows come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedOutput {
    /// The table, the topic, or empty for a query.
    pub name: String,
    /// Its columns.
    pub columns: Vec<ExplainedColumn>,
}

/// A column of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedColumn {
    /// Its name.
    pub name: String,
    /// The columns of streams that go into it: stream and column.
    pub from: Vec<(String, String)>,
}

impl CheckedPlan {
    /// The states of the plan that last: the name of the node, and what each holds.
    pub fn states(&self) -> Vec<(String, u128)> {
        let of = |node: &PlanNode| Some((node.name.clone(), node.state?.digest));
        self.plan.nodes.iter().filter_map(of).collect()
    }

    /// The plan as data.
    pub fn explained(&self) -> Result<Explained, Vec<Diagnostic>> {
        let start = Start { after: EventTime::MIN, revision: String::new(), row_text: no_text };
        let cut = stages(&self.lower(&start)?);
        let node = |(at, node): (usize, &PlanNode)| {
            let stage = cut.iter().position(|stage| stage.nodes.contains(&at)).map(|stage| stage + 1);
            let before = node.inputs.first().map(|edge| self.plan.schema(edge.from).fields());
            let kept =
                before.filter(|before| node.schema.fields().starts_with(before)).map_or(0, |before| before.len());
            let column = |field: &Arc<Field>| (shown(field.name()).to_owned(), type_name(field.data_type()));
            ExplainedNode {
                name: node.name.clone(),
                kind: kind(node),
                computes: node.describe.clone(),
                state: node.state.map(|NodeState { digest, bytes_each }| ExplainedState {
                    id: format!("{digest:032x}"),
                    digest,
                    bytes_each,
                }),
                stage,
                inputs: node.inputs.iter().map(|edge| self.explained_input(edge, node)).collect(),
                columns: node.schema.fields().iter().map(column).collect(),
                kept,
            }
        };
        Ok(Explained {
            rules: self.fired.iter().map(|(rule, times)| (rule.name(), *times)).collect(),
            nodes: self.plan.nodes.iter().enumerate().map(node).collect(),
            outputs: self.explained_outputs(),
        })
    }

    fn explained_input(&self, edge: &Edge, of: &PlanNode) -> ExplainedInput {
        let exchange = match &edge.exchange {
            Exchange::Forward => None,
            Exchange::Hash(keys) => Some(format!("by hash of ({})", self.plan.column_names(edge.from, keys))),
            Exchange::Broadcast => Some("to all workers".to_owned()),
            Exchange::Single => Some("to one worker".to_owned()),
        };
        let port = match edge.port {
            Port::RECORDS => "records",
            Port::LATE => "late rows",
            Port::DEAD_LETTER => "bad rows",
            _ => "",
        };
        let columns = self.plan.schema_along(edge, of).fields().len();
        ExplainedInput { from: edge.from, port, exchange, columns }
    }

    /// The outputs whose columns come from columns of streams; what a decision adds of its own does not, so its log is one of
    /// them and its topic is none.
    fn explained_outputs(&self) -> Vec<ExplainedOutput> {
        let lineage = Lineage::of(&self.logical);
        let outputs = self.logical.outputs();
        let mut explained = Vec::new();
        for node in &self.logical.nodes {
            let (Operator::Sink { name, output, .. }, Some(&input)) = (&node.operator, node.inputs.first()) else {
                continue;
            };
            // The log of a decision has the columns of the view that it is on.
            let input = match &self.logical.nodes[input] {
                decision if matches!(decision.operator, Operator::Decision(_)) => match output {
                    Output::Topic(_) => continue,
                    _ => decision.inputs[0],
                },
                _ => input,
            };
            let columns = outputs[input].iter().map(|column| ExplainedColumn {
                name: column.name.to_string(),
                from: lineage.sources(column.id).into_iter().collect(),
            });
            explained.push(ExplainedOutput { name: name.clone(), columns: columns.collect() });
        }
        explained
    }
}

/// Explaining writes no rows.
fn no_text(_: SchemaRef) -> dataflow::Result<Arc<dyn Encode>> {
    Err(Error::internal("a plan that is explained writes no rows"))
}

fn kind(node: &PlanNode) -> &'static str {
    match node.kind {
        PlanKind::Source(_) => "stream",
        PlanKind::Merge => "merge",
        PlanKind::Dedup { .. } => "dedup",
        PlanKind::Filter(_) => "filter",
        PlanKind::Project(_) => "projection",
        PlanKind::Window(_) => "windows",
        PlanKind::AsOf(_) => "as-of join",
        PlanKind::Range(_) => "aggregates over another stream",
        PlanKind::Zip(_) => "zip",
        PlanKind::Predict(_) => "models",
        PlanKind::Decision(_) => "decision",
        PlanKind::Sink(_) => "sink",
    }
}
