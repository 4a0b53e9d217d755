//! The plan as a host runs it: nodes in the order in which rows meet them, where their rows are and whether they are
//! in order.

use crate::expression::ColumnId;
use crate::plan::describe;
use arrow::datatypes::SchemaRef;
use dataflow::{Edge, Exchange, Output, Port, Scalar, Span};
use operators::{as_of, decision, predict, range, window, zip};
use std::collections::HashMap;
use std::sync::Arc;

/// The plan of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub nodes: Vec<PlanNode>,
    /// Merges that are there already: input and key.
    merges: HashMap<(usize, Vec<ColumnId>), usize>,
}

/// A node of the plan.
#[derive(Clone, Debug)]
pub(crate) struct PlanNode {
    pub name: String,
    pub kind: PlanKind,
    pub inputs: Vec<Edge>,
    /// The columns that come out of the main port, and their ids; rows of a decision have none.
    pub schema: SchemaRef,
    pub columns: Vec<ColumnId>,
    pub describe: String,
    /// The columns by whose hash rows are placed on workers; `None` when they lie anywhere.
    pub placed: Option<Vec<ColumnId>>,
    /// Whether rows come in (`_time`, `_ord`) order between watermarks.
    pub sorted: bool,
    /// Its state, where it has one that lasts.
    pub state: Option<NodeState>,
    /// What it computes and which columns come out, as a number that does not change with names; 0 for nodes that only
    /// bring rows of others into order or out of the job.
    pub identity: u128,
    pub lineage: NodeLineage,
}

/// What a node computes, and what its columns hold, down to topics, tables and the paths of columns in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeLineage {
    /// What is computed of which rows; 0 for nodes that only bring rows of others into order or out of the job.
    pub computed: u128,
    /// What each column holds that comes out.
    pub holds: Vec<u128>,
    /// What rows are computed that are removed where that fails; `None` where no row is.
    pub removes: Option<u128>,
    /// The functions of windows, for people, in the order of their columns.
    pub functions: Vec<String>,
}

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeState {
    /// What it holds.
    pub digest: u128,
    /// About how many bytes it takes for each row or key that it keeps.
    pub bytes_each: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum PlanKind {
    Source(String),
    Merge,
    Dedup { keys: Vec<usize>, within: Span },
    Filter(Arc<dyn Scalar>),
    Project(Vec<Arc<dyn Scalar>>),
    Window(window::Spec),
    AsOf(as_of::Spec),
    Range(range::Spec),
    Zip(zip::Spec),
    Predict(predict::Spec),
    Decision(Box<DecisionPlan>),
    Sink(Output),
}

/// A decision in the plan. Its revision and where its actions begin are known when the job starts.
#[derive(Clone, Debug)]
pub(crate) struct DecisionPlan {
    pub spec: decision::Spec,
    pub log: SchemaRef,
    /// Per rule whether its condition reads a model's score.
    pub scored: Vec<bool>,
}

impl PlanKind {
    /// Whether a row can fail here: its bytes, an expression, or a sum.
    pub fn can_fail(&self) -> bool {
        match self {
            PlanKind::Source(_)
            | PlanKind::Filter(_)
            | PlanKind::Project(_)
            | PlanKind::Window(_)
            | PlanKind::Range(_)
            | PlanKind::Predict(_)
            | PlanKind::Decision(_) => true,
            PlanKind::Merge | PlanKind::Dedup { .. } | PlanKind::AsOf(_) | PlanKind::Zip(_) | PlanKind::Sink(_) => {
                false
            }
        }
    }
}

const MERGE: &str = "brings rows into time order; state: rows above the watermark";

impl Plan {
    pub fn schema(&self, node: usize) -> &SchemaRef {
        &self.nodes[node].schema
    }

    pub fn push(&mut self, node: PlanNode) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// The position of a column in what a node puts out.
    pub fn position(&self, node: usize, column: ColumnId) -> Option<usize> {
        self.nodes[node].columns.iter().position(|known| *known == column)
    }

    /// The rows of a node, placed by a key and in order: the node itself where they are so already.
    pub fn keyed(&mut self, from: usize, keys: &[ColumnId]) -> usize {
        let node = &self.nodes[from];
        if node.sorted && node.placed.as_deref() == Some(keys) {
            return from;
        }
        if let Some(&merge) = self.merges.get(&(from, keys.to_vec())) {
            return merge;
        }
        let positions: Vec<usize> = keys.iter().filter_map(|&key| self.position(from, key)).collect();
        let suffix = format!("by[{}]", self.column_names(from, &positions));
        let merge = self.merge(from, Exchange::Hash(positions), &suffix);
        self.nodes[merge].placed = Some(keys.to_vec());
        self.merges.insert((from, keys.to_vec()), merge);
        merge
    }

    /// The rows of a node in order; without a key on one worker.
    pub fn merge(&mut self, from: usize, exchange: Exchange, suffix: &str) -> usize {
        let node = &self.nodes[from];
        let node = PlanNode {
            name: format!("{}.{suffix}", node.name),
            kind: PlanKind::Merge,
            inputs: vec![Edge { from, port: Port::MAIN, exchange }],
            schema: node.schema.clone(),
            columns: node.columns.clone(),
            describe: MERGE.to_owned(),
            placed: None,
            sorted: true,
            state: None,
            identity: 0,
            lineage: NodeLineage::default(),
        };
        self.push(node)
    }

    /// The stream whose rows a node puts out: of a join, the left one.
    pub fn stream_of(&self, node: usize) -> Option<&str> {
        match (&self.nodes[node].kind, self.nodes[node].inputs.first()) {
            (PlanKind::Source(stream), _) => Some(stream),
            (_, Some(edge)) => self.stream_of(edge.from),
            (_, None) => None,
        }
    }

    /// A sink of rows that leave the nodes beside their main rows; a topic has one writer, which gets them in order.
    pub fn removed_rows_sink(&mut self, inputs: Vec<Edge>, output: Output, schema: SchemaRef) {
        let (Output::Table(name) | Output::Topic(name)) = &output else { return };
        let (name, is_topic) = (name.clone(), matches!(output, Output::Topic(_)));
        let describe = describe::sink(&output);
        let sink = PlanNode {
            name: format!("into {name}"),
            kind: PlanKind::Sink(output),
            inputs,
            schema,
            columns: vec![],
            describe,
            placed: None,
            sorted: false,
            state: None,
            identity: 0,
            lineage: NodeLineage::default(),
        };
        if !is_topic {
            self.push(sink);
            return;
        }
        let merge = PlanNode {
            name: format!("{name}.to[{name}]"),
            kind: PlanKind::Merge,
            describe: MERGE.to_owned(),
            sorted: true,
            ..sink.clone()
        };
        let inputs = vec![forward(self.push(merge), Port::MAIN)];
        self.push(PlanNode { inputs, ..sink });
    }

    /// The columns of the rows that travel along an edge.
    pub fn schema_along(&self, edge: &Edge, of: &PlanNode) -> SchemaRef {
        match (&self.nodes[edge.from].kind, edge.port) {
            (PlanKind::Decision(plan), Port::RECORDS) => plan.log.clone(),
            // Removed rows are merged and written; they have the columns of their output.
            (_, Port::DEAD_LETTER | Port::LATE) => of.schema.clone(),
            _ => self.schema(edge.from).clone(),
        }
    }

    /// Columns as people know them: parts of expressions are shown as they are written.
    pub fn column_names(&self, node: usize, columns: &[usize]) -> String {
        let fields = self.schema(node).fields();
        let names = columns.iter().map(|&column| fields.get(column).map_or("?", |field| shown(field.name())));
        names.collect::<Vec<_>>().join(", ")
    }
}

/// What begins the name of a column that the SQL does not name: one for a part of an expression.
pub(crate) const PART: &str = "__";

/// A column's name for people.
pub(crate) fn shown(name: &str) -> &str {
    name.strip_prefix(PART).unwrap_or(name)
}

pub(crate) fn forward(from: usize, port: Port) -> Edge {
    Edge { from, port, exchange: Exchange::Forward }
}
