//! The bound tree: relations over column ids, with the calls that are more than a function of the row beside them.

use crate::expression::{ColumnId, Tree};
use arrow::datatypes::SchemaRef;
use dataflow::{Output, Scorer, Span as Length};
use operators::predict::Part;
use operators::window::Frame;
use operators::{Aggregate, RangeFunction, decision};
use sqlparser::tokenizer::Span;
use std::sync::Arc;

/// A stream, a view, or a SELECT within one, by the order in which they were bound: what one reads comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RelationId(pub usize);

/// What a relation is.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    /// A stream by its place among the bound ones, with the ids of its columns.
    Stream {
        at: usize,
        columns: Vec<ColumnId>,
    },
    Select(Box<BoundSelect>),
    /// A step over rows that end.
    Bounded(Box<BoundedStep>),
}

/// What a query does with rows that end. What it reads comes before it.
#[derive(Clone, Debug)]
pub(crate) enum BoundedStep {
    /// The rows of a table.
    Table {
        name: String,
        schema: SchemaRef,
        columns: Vec<ColumnId>,
    },
    Filter {
        from: RelationId,
        condition: Tree,
    },
    Project {
        from: RelationId,
        items: Vec<BoundItem>,
    },
    /// A row for each group of equal keys.
    Group {
        from: RelationId,
        keys: Vec<ColumnId>,
        calls: Vec<GroupCall>,
    },
    /// The rows in order; how many of them are wanted.
    Sort {
        from: RelationId,
        keys: Vec<SortColumn>,
        limit: Option<u64>,
    },
    Limit {
        from: RelationId,
        offset: u64,
        limit: Option<u64>,
    },
    /// The rows of all sides, whose columns are alike.
    Union {
        sides: Vec<RelationId>,
        columns: Vec<ColumnId>,
    },
    Join(BoundedJoin),
    /// The rows with the answer of a subquery beside their columns.
    Answered {
        from: RelationId,
        query: RelationId,
        id: ColumnId,
        answer: Answer,
    },
}

/// What the answer of a subquery is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// The value of its only row; NULL where there is none.
    Value,
    /// Whether there is a row.
    Exists,
    /// Whether a column of the row is among its values.
    In { key: ColumnId },
}

/// An aggregate of a group.
#[derive(Clone, Debug)]
pub(crate) struct GroupCall {
    pub id: ColumnId,
    pub aggregate: Aggregate,
    pub argument: Option<ColumnId>,
    /// Whether each value of a group counts once.
    pub distinct: bool,
    pub filter: Option<ColumnId>,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SortColumn {
    pub id: ColumnId,
    pub descending: bool,
    pub nulls_first: bool,
}

/// A join of two results: columns of the right side get ids of their own.
#[derive(Clone, Debug)]
pub(crate) struct BoundedJoin {
    pub left: RelationId,
    pub right: RelationId,
    /// Of the right side: the id here, and the id there.
    pub columns: Vec<(ColumnId, ColumnId)>,
    /// Keys of the left and of the right side.
    pub keys: Vec<(ColumnId, ColumnId)>,
    pub condition: Option<Tree>,
    pub keeps_left: bool,
    pub keeps_right: bool,
}

impl BoundedStep {
    /// The relations that it reads, in the order of their inputs.
    pub fn reads(&self) -> Vec<RelationId> {
        match self {
            BoundedStep::Table { .. } => vec![],
            BoundedStep::Filter { from, .. }
            | BoundedStep::Project { from, .. }
            | BoundedStep::Group { from, .. }
            | BoundedStep::Sort { from, .. }
            | BoundedStep::Limit { from, .. } => vec![*from],
            BoundedStep::Union { sides, .. } => sides.clone(),
            BoundedStep::Join(join) => vec![join.left, join.right],
            BoundedStep::Answered { from, query, .. } => vec![*from, *query],
        }
    }
}

/// A SELECT.
#[derive(Clone, Debug)]
pub(crate) struct BoundSelect {
    /// The view or output that it is written in, which its steps are called after.
    pub owner: String,
    /// The file and the statement.
    pub file: usize,
    pub span: Span,
    pub from: RelationId,
    pub joins: Vec<BoundJoin>,
    /// WHERE without subqueries.
    pub filter: Option<Tree>,
    /// WHERE with subqueries.
    pub late_filter: Option<LateFilter>,
    /// What is computed for the columns, and for a late filter that is not answered before it.
    pub calls: Calls,
    pub items: Vec<BoundItem>,
    /// The columns are those of FROM, in their order and under their names.
    pub keeps_input: bool,
}

impl BoundSelect {
    /// The relations that it reads.
    pub fn reads(&self) -> Vec<RelationId> {
        let early = self.late_filter.iter().filter_map(|late| late.before_windows.as_ref());
        let ranges = early.chain([&self.calls]).flat_map(|calls| &calls.ranges);
        let joins = self.joins.iter().map(|join| join.right);
        [self.from].into_iter().chain(joins).chain(ranges.map(|call| call.right)).collect()
    }

    /// Whether rows wait for those of other streams.
    pub fn holds(&self) -> bool {
        self.calls.ranges.iter().any(|call| call.to > 0)
    }

    /// The expressions that stand after the calls.
    pub fn after_calls(&mut self) -> impl Iterator<Item = &mut Tree> {
        let late = self.late_filter.iter_mut().filter(|late| late.before_windows.is_none());
        let inputs = self.calls.scores.iter_mut().flat_map(|call| &mut call.inputs);
        let items = self.items.iter_mut().map(|item| &mut item.tree);
        late.map(|late| &mut late.condition).chain(inputs).chain(items)
    }
}

/// A condition over the answers of subqueries.
#[derive(Clone, Debug)]
pub(crate) struct LateFilter {
    pub condition: Tree,
    /// The subqueries, where windows come after the condition.
    pub before_windows: Option<Calls>,
}

/// A column of a SELECT.
#[derive(Clone, Debug)]
pub(crate) struct BoundItem {
    pub id: ColumnId,
    pub name: String,
    pub tree: Tree,
}

/// An as-of join: columns of the right side get ids of their own.
#[derive(Clone, Debug)]
pub(crate) struct BoundJoin {
    pub right: RelationId,
    pub alias: String,
    /// Keys of the left and of the right side.
    pub keys: Vec<(Tree, Tree)>,
    /// The id and the name here, and the id on the right side.
    pub columns: Vec<(ColumnId, Arc<str>, ColumnId)>,
    /// How much earlier than the left row the right one is at least.
    pub behind: Length,
    /// Whether it must be earlier still.
    pub strict: bool,
    pub inner: bool,
    pub span: Span,
}

/// Calls that are more than a function of the row. Each gives a column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    pub windows: Vec<WindowCall>,
    pub ranges: Vec<RangeCall>,
    pub scores: Vec<ScoreCall>,
}

impl Calls {
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.ranges.is_empty() && self.scores.is_empty()
    }
}

/// A window call.
#[derive(Clone, Debug)]
pub(crate) struct WindowCall {
    pub id: ColumnId,
    pub aggregate: Aggregate,
    pub argument: Option<Tree>,
    pub filter: Option<Tree>,
    pub keys: Vec<Tree>,
    pub frame: Frame,
    /// What orders rows of equal time.
    pub order: Vec<Tree>,
    pub span: Span,
}

impl WindowCall {
    /// Whether both give the same values.
    pub fn same(&self, other: &WindowCall) -> bool {
        let of = |call: &WindowCall| (call.aggregate, call.frame);
        of(self) == of(other)
            && self.argument == other.argument
            && self.filter == other.filter
            && self.keys == other.keys
            && self.order == other.order
    }
}

/// An aggregate over another stream.
#[derive(Clone, Debug)]
pub(crate) struct RangeCall {
    pub id: ColumnId,
    pub right: RelationId,
    /// What the other stream is called.
    pub stream: String,
    /// Keys of the row outside and of the other stream.
    pub keys: Vec<(Tree, Tree)>,
    pub computes: RangeFunction,
    /// Over the other stream.
    pub argument: Option<Tree>,
    /// Over the other stream.
    pub filter: Option<Tree>,
    /// Rows count from the time of the row outside and so many microseconds on.
    pub from: i64,
    /// The last time that counts.
    pub to: i64,
    pub span: Span,
}

impl RangeCall {
    /// Whether both give the same values.
    pub fn same(&self, other: &RangeCall) -> bool {
        let of = |call: &RangeCall| (call.right, call.computes, call.from, call.to);
        of(self) == of(other)
            && self.keys == other.keys
            && self.argument == other.argument
            && self.filter == other.filter
    }
}

/// A call of a model.
#[derive(Clone, Debug)]
pub(crate) struct ScoreCall {
    /// What is asked of it.
    pub columns: Vec<(Part, ColumnId)>,
    pub model: String,
    pub scorer: Arc<dyn Scorer>,
    pub input_names: Vec<String>,
    pub inputs: Vec<Tree>,
}

/// What leaves the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BoundOutput {
    /// The rows of a relation.
    Rows { relation: RelationId, name: String, output: Output },
    /// The actions of a decision.
    Actions { decision: usize, topic: String },
    /// The log of a decision.
    Log { decision: usize, log: String },
    /// The log rows with an action of a decision.
    Acted { decision: usize, name: String },
}

/// A decision.
#[derive(Clone, Debug)]
pub(crate) struct BoundDecision {
    pub name: String,
    pub file: usize,
    pub view: RelationId,
    /// Columns of the arms of experiments: name, id and expression.
    pub arms: Vec<BoundItem>,
    pub subject: ColumnId,
    pub rules: Vec<BoundRule>,
    /// Models that went into the view, with their versions.
    pub model_versions: Vec<(String, String)>,
    pub span: Span,
}

/// A rule of a decision.
#[derive(Clone, Debug)]
pub(crate) struct BoundRule {
    pub condition: Tree,
    /// Whether the condition reads a model's score.
    pub scored: bool,
    pub name: String,
    pub action: String,
    pub shadow: bool,
    pub once_per: Option<Length>,
}

impl BoundRule {
    /// The rule as the operator takes it, with what computes its condition.
    pub fn with(&self, condition: Arc<dyn dataflow::Scalar>) -> decision::Rule {
        decision::Rule {
            name: self.name.clone(),
            condition,
            action: self.action.clone(),
            shadow: self.shadow,
            once_per: self.once_per,
        }
    }
}
