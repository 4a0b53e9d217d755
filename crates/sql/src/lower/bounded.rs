//! Steps over rows that end as a plan of theirs, with its inputs.

use crate::bind::{Answer, BoundedJoin, BoundedStep, Columns, Definition, GroupCall, RelationId, SortColumn};
use crate::expression::{ColumnId, Problem, Tree, row_filter, scalar_over};
use crate::lower::used_columns::used_columns;
use crate::output::{QueryInput, QueryPlan};
use arrow::datatypes::SchemaRef;
use bounded::{Aggregation, Join, Plan, PlanColumn, SortKey};
use dataflow::{RowFilter, Scalar};
use std::collections::HashSet;
use std::sync::Arc;

/// The plan of a query. `streams` are the columns of what streams give to it, in the order in which it reads them.
pub(crate) fn query(
    relations: &[Definition],
    columns: &Columns,
    streams: &[SchemaRef],
    root: RelationId,
) -> Result<QueryPlan, Problem> {
    let used = used_columns(relations, root);
    let mut lowering = Lowering { relations, columns, streams, used, read: 0, inputs: Vec::new() };
    let plan = lowering.relation(root)?.plan;
    Ok(QueryPlan { plan, inputs: lowering.inputs })
}

struct Lowering<'b> {
    relations: &'b [Definition],
    columns: &'b Columns,
    streams: &'b [SchemaRef],
    /// Columns of tables on which the answer depends.
    used: HashSet<ColumnId>,
    /// How many of the streams are inputs already.
    read: usize,
    inputs: Vec<QueryInput>,
}

/// A plan and the columns that come out of it.
struct Lowered {
    plan: Plan,
    columns: Vec<ColumnId>,
}

impl Lowered {
    fn place(&self, id: ColumnId) -> Result<usize, Problem> {
        let place = self.columns.iter().position(|column| *column == id);
        place.ok_or_else(|| Problem::new(format!("a step of the query has no column {}", id.0)))
    }

    fn places(&self, ids: impl IntoIterator<Item = ColumnId>) -> Result<Vec<usize>, Problem> {
        ids.into_iter().map(|id| self.place(id)).collect()
    }

    fn scalar(&self, tree: &Tree) -> Result<Arc<dyn Scalar>, Problem> {
        scalar_over(tree, &|id| self.place(id).ok())
    }
}

impl Lowering<'_> {
    fn relation(&mut self, id: RelationId) -> Result<Lowered, Problem> {
        match &self.relations[id.0] {
            Definition::Stream { columns, .. } => self.stream(columns.clone()),
            Definition::Select(select) => self.stream(select.items.iter().map(|item| item.id).collect()),
            Definition::Bounded(step) => self.step(step),
        }
    }

    /// What streams give.
    fn stream(&mut self, columns: Vec<ColumnId>) -> Result<Lowered, Problem> {
        let schema = self.streams.get(self.read).filter(|schema| schema.fields().len() == columns.len());
        let schema = schema.ok_or_else(|| Problem::new("the streams of a query give other columns"))?.clone();
        self.inputs.push(QueryInput::Stream(self.read));
        self.read += 1;
        Ok(Lowered { plan: Plan::Input { input: self.inputs.len() - 1, schema }, columns })
    }

    fn step(&mut self, step: &BoundedStep) -> Result<Lowered, Problem> {
        match step {
            BoundedStep::Table { name, schema, columns } => {
                let used = columns.iter().map(|id| self.used.contains(id)).collect();
                let wanted = RowFilter::everything();
                self.inputs.push(QueryInput::Table { name: name.clone(), used, wanted });
                let plan = Plan::Input { input: self.inputs.len() - 1, schema: schema.clone() };
                Ok(Lowered { plan, columns: columns.clone() })
            }
            BoundedStep::Filter { from, condition } => {
                let input = self.inputs.len();
                let relation = *from;
                let from = self.relation(relation)?;
                self.want(input, relation, condition);
                let condition = from.scalar(condition)?;
                Ok(Lowered { plan: Plan::Filter { from: Box::new(from.plan), condition }, columns: from.columns })
            }
            BoundedStep::Project { from, items } => {
                let from = self.relation(*from)?;
                let column = |item: &crate::bind::BoundItem| {
                    Ok(PlanColumn { name: item.name.clone(), scalar: from.scalar(&item.tree)? })
                };
                let columns = items.iter().map(column).collect::<Result<Vec<_>, Problem>>()?;
                let plan = Plan::Project { from: Box::new(from.plan), columns };
                Ok(Lowered { plan, columns: items.iter().map(|item| item.id).collect() })
            }
            BoundedStep::Group { from, keys, calls } => self.group(*from, keys, calls),
            BoundedStep::Sort { from, keys, limit } => self.sort(*from, keys, *limit),
            BoundedStep::Limit { from, offset, limit } => {
                let from = self.relation(*from)?;
                let (offset, limit) = (rows(*offset), limit.map(rows));
                Ok(Lowered { plan: Plan::Limit { from: Box::new(from.plan), offset, limit }, columns: from.columns })
            }
            BoundedStep::Union { sides, columns } => {
                let sides = sides.iter().map(|side| Ok(self.relation(*side)?.plan)).collect::<Result<_, Problem>>()?;
                Ok(Lowered { plan: Plan::Union(sides), columns: columns.clone() })
            }
            BoundedStep::Join(join) => self.join(join),
            BoundedStep::Answered { from, query, id, answer } => {
                let (rows, query) = (self.relation(*from)?, self.relation(*query)?);
                let answer = match answer {
                    Answer::Value => bounded::Answer::Value,
                    Answer::Exists => bounded::Answer::Exists,
                    Answer::In { key } => bounded::Answer::In { key: rows.place(*key)? },
                };
                let columns = rows.columns.iter().copied().chain([*id]).collect();
                let name = self.columns.name(*id).to_owned();
                let answered = bounded::Answered { from: rows.plan, query: query.plan, name, answer };
                Ok(Lowered { plan: Plan::Answered(Box::new(answered)), columns })
            }
        }
    }

    /// Notes for a table, the input of this number, that only rows are wanted of it on which a condition is true.
    fn want(&mut self, input: usize, from: RelationId, condition: &Tree) {
        let relations = self.relations;
        let Definition::Bounded(step) = &relations[from.0] else { return };
        match &**step {
            // A row on which a step fails is told, whatever comes after it.
            BoundedStep::Filter { condition: first, .. } if first.can_fail() => {}
            BoundedStep::Filter { from, .. } => self.want(input, *from, condition),
            BoundedStep::Project { items, .. } if items.iter().any(|item| item.tree.can_fail()) => {}
            BoundedStep::Project { from, items } => {
                let item = |id| items.iter().find(|item| item.id == id).map(|item| item.tree.clone());
                if let Ok(below) = condition.with_columns(&item) {
                    self.want(input, *from, &below);
                }
            }
            BoundedStep::Table { schema, columns, .. } => {
                let name = |id| Some(schema.field(columns.iter().position(|column| *column == id)?).name().clone());
                if let Some(QueryInput::Table { wanted, .. }) = self.inputs.get_mut(input) {
                    let before = std::mem::replace(wanted, RowFilter::everything());
                    *wanted = RowFilter::all(vec![before, row_filter(condition, &name)]);
                }
            }
            _ => {}
        }
    }

    fn group(&mut self, from: RelationId, keys: &[ColumnId], calls: &[GroupCall]) -> Result<Lowered, Problem> {
        let from = self.relation(from)?;
        let aggregation = |call: &GroupCall| {
            Ok(Aggregation {
                name: self.columns.name(call.id).to_owned(),
                aggregate: call.aggregate,
                argument: call.argument.map(|id| from.place(id)).transpose()?,
                distinct: call.distinct,
                filter: call.filter.map(|id| from.place(id)).transpose()?,
            })
        };
        let aggregates = calls.iter().map(aggregation).collect::<Result<Vec<_>, Problem>>()?;
        let places = from.places(keys.iter().copied())?;
        let columns = keys.iter().copied().chain(calls.iter().map(|call| call.id)).collect();
        Ok(Lowered { plan: Plan::Group { from: Box::new(from.plan), keys: places, aggregates }, columns })
    }

    fn sort(&mut self, from: RelationId, keys: &[SortColumn], limit: Option<u64>) -> Result<Lowered, Problem> {
        let from = self.relation(from)?;
        let key = |key: &SortColumn| {
            let SortColumn { id, descending, nulls_first } = *key;
            Ok(SortKey { column: from.place(id)?, descending, nulls_first })
        };
        let keys = keys.iter().map(key).collect::<Result<Vec<_>, Problem>>()?;
        let plan = Plan::Sort { from: Box::new(from.plan), keys, limit: limit.map(rows) };
        Ok(Lowered { plan, columns: from.columns })
    }

    fn join(&mut self, join: &BoundedJoin) -> Result<Lowered, Problem> {
        let (left, right) = (self.relation(join.left)?, self.relation(join.right)?);
        let keys = join.keys.iter().map(|(ours, theirs)| Ok((left.place(*ours)?, right.place(*theirs)?)));
        let keys = keys.collect::<Result<Vec<_>, Problem>>()?;
        // Columns of the right side have ids of their own after the join; a key that was computed for it has none.
        let after = |id: &ColumnId| join.columns.iter().find(|(_, theirs)| theirs == id).map(|(here, _)| *here);
        let unnamed = ColumnId(usize::MAX);
        let columns: Vec<ColumnId> =
            left.columns.iter().copied().chain(right.columns.iter().map(|id| after(id).unwrap_or(unnamed))).collect();
        let condition = join
            .condition
            .as_ref()
            .map(|condition| scalar_over(condition, &|id| columns.iter().position(|column| *column == id)));
        let plan = Plan::Join(Box::new(Join {
            left: left.plan,
            right: right.plan,
            keys,
            condition: condition.transpose()?,
            keeps_left: join.keeps_left,
            keeps_right: join.keeps_right,
        }));
        Ok(Lowered { plan, columns })
    }
}

/// A number of rows; more than memory could count are all of them.
fn rows(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
