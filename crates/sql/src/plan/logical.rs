//! The logical plan: operators over column ids, each after those that it reads.

use crate::bind::{BoundRule, Columns};
use crate::expression::{ColumnId, Tree};
use dataflow::{Output, Scorer, Span as Length};
use operators::predict::Part;
use operators::window::Frame;
use operators::{Aggregate, RangeFunction};
use sqlparser::tokenizer::Span;
use std::sync::Arc;

/// A plan. A rule makes another of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogicalPlan {
    pub columns: Columns,
    pub nodes: Vec<LogicalNode>,
}

/// An operator and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct LogicalNode {
    /// What people call it, made of names in the SQL.
    pub name: String,
    pub operator: Operator,
    /// Numbers of nodes before it.
    pub inputs: Vec<usize>,
    pub origin: Origin,
}

/// The statement that an operator comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub file: usize,
    pub span: Span,
}

/// What is done with the rows of the inputs.
#[derive(Clone, Debug)]
pub(crate) enum Operator {
    /// The rows of a stream.
    Source {
        stream: String,
        columns: Vec<ColumnId>,
    },
    Dedup {
        keys: Vec<ColumnId>,
        within: Length,
    },
    Filter(Tree),
    Project(Vec<ProjectColumn>),
    /// Appends functions of the rows of a key before each row.
    Window {
        keys: Vec<ColumnId>,
        functions: Vec<WindowFunction>,
    },
    AsOf(AsOf),
    Range(Range),
    /// Appends what was computed of the same rows on a branch of their own.
    Zip(Zip),
    /// Appends the scores of models.
    Predict(Vec<Score>),
    Decision(Decision),
    /// The records of a decision that led to an action.
    Acted,
    Sink {
        output: Output,
        name: String,
        rows: SinkRows,
    },
}

/// A column that a node puts out, and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputColumn {
    pub id: ColumnId,
    pub name: Arc<str>,
}

/// A column of a projection.
#[derive(Clone, Debug)]
pub(crate) struct ProjectColumn {
    pub id: ColumnId,
    pub name: Arc<str>,
    pub tree: Tree,
}

/// A function of a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WindowFunction {
    pub id: ColumnId,
    pub aggregate: Aggregate,
    pub argument: Option<ColumnId>,
    pub filter: Option<ColumnId>,
    pub frame: Frame,
    pub order: Vec<ColumnId>,
}

/// Appends columns of the last row of another relation.
#[derive(Clone, Debug)]
pub(crate) struct AsOf {
    pub alias: String,
    /// Keys of the left and of the right side.
    pub keys: Vec<(ColumnId, ColumnId)>,
    /// The id and the name here, and the id on the right side.
    pub columns: Vec<(ColumnId, Arc<str>, ColumnId)>,
    pub behind: Length,
    pub strict: bool,
    pub inner: bool,
}

/// Appends aggregates over another relation.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub stream: String,
    /// Keys of the left and of the right side.
    pub keys: Vec<(ColumnId, ColumnId)>,
    pub functions: Vec<RangeAggregate>,
}

/// An aggregate over another relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeAggregate {
    pub id: ColumnId,
    pub computes: RangeFunction,
    /// On the right side.
    pub argument: Option<ColumnId>,
    /// On the right side.
    pub filter: Option<ColumnId>,
    pub from: i64,
    pub to: i64,
}

/// Appends columns of the row at the same place in a branch: both inputs hold the same rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zip {
    /// The key by which both lie.
    pub keys: Vec<ColumnId>,
    pub columns: Vec<OutputColumn>,
}

/// A score of a model.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    /// What is put out of it.
    pub columns: Vec<(Part, ColumnId)>,
    pub model: String,
    pub scorer: Arc<dyn Scorer>,
    pub input_names: Vec<String>,
    pub inputs: Vec<Tree>,
}

/// A decision over all columns of its input.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub name: String,
    pub subject: ColumnId,
    pub rules: Vec<BoundRule>,
    pub model_versions: Vec<(String, String)>,
}

/// Which rows of its input a sink takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinkRows {
    Main,
    /// The log of a decision.
    Records,
}

impl Range {
    /// How long rows wait: the time by which `_time` of what comes out is later.
    pub fn hold(&self) -> i64 {
        self.functions.iter().map(|function| function.to).max().unwrap_or(0).max(0)
    }
}

impl LogicalPlan {
    /// The columns that each node puts out, in their order.
    pub fn outputs(&self) -> Vec<Vec<OutputColumn>> {
        let mut outputs: Vec<Vec<OutputColumn>> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let columns = node.output(&outputs, &self.columns);
            outputs.push(columns);
        }
        outputs
    }

    /// The key by which the rows of a node, which puts out these columns, lie together in their order.
    pub fn placed(&self, node: usize, output: &[OutputColumn]) -> Option<Vec<ColumnId>> {
        let mut at = node;
        let keys = loop {
            let LogicalNode { operator, inputs, .. } = &self.nodes[at];
            match operator.keys(0) {
                Some(keys) => break keys,
                None => at = *inputs.first()?,
            }
        };
        keys.iter().all(|key| output.iter().any(|column| column.id == *key)).then_some(keys)
    }

    /// How many nodes read each node.
    pub fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        for &input in self.nodes.iter().flat_map(|node| &node.inputs) {
            readers[input] += 1;
        }
        readers
    }
}

impl LogicalNode {
    /// The columns that it puts out, given those of the nodes before it.
    pub fn output(&self, before: &[Vec<OutputColumn>], columns: &Columns) -> Vec<OutputColumn> {
        let of = |id: ColumnId| OutputColumn { id, name: columns.get(id).name.clone() };
        let mut output = self.inputs.first().map(|&input| before[input].clone()).unwrap_or_default();
        match &self.operator {
            Operator::Source { columns, .. } => output.extend(columns.iter().copied().map(of)),
            Operator::Project(columns) => return columns.iter().map(ProjectColumn::output).collect(),
            Operator::Window { functions, .. } => output.extend(functions.iter().map(|function| of(function.id))),
            Operator::AsOf(join) => {
                output.extend(join.columns.iter().map(|(id, name, _)| OutputColumn { id: *id, name: name.clone() }));
            }
            Operator::Range(range) => output.extend(range.functions.iter().map(|function| of(function.id))),
            Operator::Zip(zip) => output.extend(zip.columns.iter().cloned()),
            Operator::Predict(scores) => output.extend(scores.iter().flat_map(Score::ids).map(of)),
            Operator::Dedup { .. } | Operator::Filter(_) => {}
            Operator::Decision(_) | Operator::Acted | Operator::Sink { .. } => return vec![],
        }
        output
    }
}

impl ProjectColumn {
    fn output(&self) -> OutputColumn {
        OutputColumn { id: self.id, name: self.name.clone() }
    }

    /// A column that is passed on.
    pub fn kept(column: &OutputColumn, columns: &Columns) -> ProjectColumn {
        let OutputColumn { id, name } = column.clone();
        ProjectColumn { id, name, tree: Tree::column(id, columns.get(id).data_type.clone()) }
    }
}

impl Operator {
    /// The key by which rows of an input have to lie; `None` where they may lie anywhere.
    pub fn keys(&self, side: usize) -> Option<Vec<ColumnId>> {
        match self {
            Operator::Dedup { keys, .. } | Operator::Window { keys, .. } | Operator::Zip(Zip { keys, .. }) => {
                Some(keys.clone())
            }
            Operator::AsOf(AsOf { keys, .. }) | Operator::Range(Range { keys, .. }) => {
                Some(keys.iter().map(|(ours, theirs)| if side == 0 { *ours } else { *theirs }).collect())
            }
            Operator::Decision(decision) => Some(vec![decision.subject]),
            _ => None,
        }
    }

    /// Whether there can be rows on which it fails, given the types of columns.
    pub fn can_fail(&self, columns: &Columns) -> bool {
        match self {
            Operator::Source { .. } | Operator::Decision(_) => true,
            Operator::Filter(condition) => condition.can_fail(),
            Operator::Project(all) => all.iter().any(|column| column.tree.can_fail()),
            Operator::Window { functions, .. } => functions.iter().any(|function| function.can_fail(columns)),
            Operator::Range(range) => range.functions.iter().any(|function| function.can_fail(columns)),
            Operator::Predict(scores) => scores.iter().any(Score::can_fail),
            Operator::Dedup { .. } | Operator::AsOf(_) | Operator::Zip(_) | Operator::Acted | Operator::Sink { .. } => {
                false
            }
        }
    }
}

impl Score {
    /// The columns that it puts out.
    pub fn ids(&self) -> impl Iterator<Item = ColumnId> {
        self.columns.iter().map(|(_, id)| *id)
    }

    /// Whether an input can fail; the model itself gives NULL.
    pub fn can_fail(&self) -> bool {
        self.inputs.iter().any(Tree::can_fail)
    }
}

impl WindowFunction {
    /// Whether there are rows on which it fails.
    pub fn can_fail(&self, columns: &Columns) -> bool {
        fails(self.aggregate, self.argument, columns)
    }
}

impl RangeAggregate {
    /// Whether there are rows on which it fails.
    pub fn can_fail(&self, columns: &Columns) -> bool {
        match self.computes {
            RangeFunction::Exists => false,
            RangeFunction::Aggregate(aggregate) => fails(aggregate, self.argument, columns),
        }
    }
}

/// Sums of integers may not fit.
fn fails(aggregate: Aggregate, argument: Option<ColumnId>, columns: &Columns) -> bool {
    let whole = |id: ColumnId| columns.get(id).data_type.is_integer();
    aggregate == Aggregate::Sum && argument.is_none_or(|id| whole(id) || !columns.get(id).data_type.is_floating())
}
