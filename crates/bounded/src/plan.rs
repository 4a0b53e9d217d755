//! The tree of steps.

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use dataflow::{Result, Scalar};
use operators::Aggregate;
use std::sync::Arc;

/// What is done with rows that end. Columns are named by their places.
#[derive(Clone, Debug)]
pub enum Plan {
    /// The rows of an input, by its number.
    Input {
        /// The number.
        input: usize,
        /// Its columns.
        schema: SchemaRef,
    },
    /// The rows on which a condition is true.
    Filter {
        /// The rows.
        from: Box<Plan>,
        /// The condition.
        condition: Arc<dyn Scalar>,
    },
    /// Functions of each row.
    Project {
        /// The rows.
        from: Box<Plan>,
        /// The functions.
        columns: Vec<PlanColumn>,
    },
    /// A row for each group of equal keys: the keys of its first row, then the aggregates. Without a key there is one
    /// group, also of no row.
    Group {
        /// The rows.
        from: Box<Plan>,
        /// The columns of the key.
        keys: Vec<usize>,
        /// The aggregates.
        aggregates: Vec<Aggregation>,
    },
    /// The rows in order; rows of equal keys stay in theirs.
    Sort {
        /// The rows.
        from: Box<Plan>,
        /// What orders them, the first before the second.
        keys: Vec<SortKey>,
        /// How many rows are wanted.
        limit: Option<usize>,
    },
    /// Some rows after the first ones.
    Limit {
        /// The rows.
        from: Box<Plan>,
        /// How many are left out.
        offset: usize,
        /// How many come at most.
        limit: Option<usize>,
    },
    /// The rows of one after those of the other, all with the columns of the first.
    Union(Vec<Plan>),
    /// Pairs of rows.
    Join(Box<Join>),
    /// The rows with the answer of a query beside their columns.
    Answered(Box<Answered>),
}

/// A column that is computed.
#[derive(Clone, Debug)]
pub struct PlanColumn {
    /// Its name.
    pub name: String,
    /// What computes it.
    pub scalar: Arc<dyn Scalar>,
}

/// An aggregate of a group.
#[derive(Clone, Debug)]
pub struct Aggregation {
    /// The name of its column.
    pub name: String,
    /// What is computed.
    pub aggregate: Aggregate,
    /// The column that it is computed of; `None` for `count(*)`.
    pub argument: Option<usize>,
    /// Whether each value of a group counts once.
    pub distinct: bool,
    /// A boolean column; only rows where it is true count.
    pub filter: Option<usize>,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug)]
pub struct SortKey {
    /// The column.
    pub column: usize,
    /// From the greatest to the least.
    pub descending: bool,
    /// Whether NULL comes before all values.
    pub nulls_first: bool,
}

/// Pairs of rows whose keys are equal and on which a condition is true: the columns of the left and of the right side.
#[derive(Clone, Debug)]
pub struct Join {
    /// The left side.
    pub left: Plan,
    /// The right side, of which as much as fits is held in memory.
    pub right: Plan,
    /// Columns of the left and of the right side that are equal; NULL equals nothing.
    pub keys: Vec<(usize, usize)>,
    /// A condition over the columns of both.
    pub condition: Option<Arc<dyn Scalar>>,
    /// Whether left rows without a pair come with NULL on the right.
    pub keeps_left: bool,
    /// Whether right rows without a pair come with NULL on the left.
    pub keeps_right: bool,
}

/// The rows, in their order, with a column that says what a query answers.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The rows.
    pub from: Plan,
    /// The query, whose rows are taken before the first of these comes out.
    pub query: Plan,
    /// The name of the column.
    pub name: String,
    /// What it says.
    pub answer: Answer,
}

/// What the answer of a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The first value of its only row, and NULL where it has none; several rows are an error.
    Value,
    /// Whether it has a row.
    Exists,
    /// Whether a column of each row is among its first values: NULL where an unknown value might be the same.
    In {
        /// The column.
        key: usize,
    },
}

impl Plan {
    /// The columns that come out.
    pub fn schema(&self) -> Result<SchemaRef> {
        match self {
            Plan::Input { schema, .. } => Ok(schema.clone()),
            Plan::Filter { from, .. } | Plan::Sort { from, .. } | Plan::Limit { from, .. } => from.schema(),
            Plan::Project { columns, .. } => {
                let field = |column: &PlanColumn| Field::new(&column.name, column.scalar.data_type(), true);
                Ok(Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>())))
            }
            Plan::Group { from, keys, aggregates } => {
                let from = from.schema()?;
                let mut fields: Vec<Field> = keys.iter().map(|&key| from.field(key).clone()).collect();
                for Aggregation { name, aggregate, argument, .. } in aggregates {
                    let argument = argument.map(|column| from.field(column).data_type());
                    fields.push(Field::new(name, aggregate.output_type(argument)?, aggregate.is_nullable()));
                }
                Ok(Arc::new(Schema::new(fields)))
            }
            Plan::Union(sides) => united(sides),
            Plan::Join(join) => {
                let (left, right) = (join.left.schema()?, join.right.schema()?);
                let fields = left.fields().iter().chain(right.fields());
                let fields = fields.map(|field| field.as_ref().clone().with_nullable(true));
                Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
            }
            Plan::Answered(answered) => {
                let data_type = match answered.answer {
                    Answer::Value => answered.query.schema()?.field(0).data_type().clone(),
                    Answer::Exists | Answer::In { .. } => DataType::Boolean,
                };
                let mut fields = answered.from.schema()?.fields().to_vec();
                fields.push(Arc::new(Field::new(&answered.name, data_type, true)));
                Ok(Arc::new(Schema::new(fields)))
            }
        }
    }

    /// How many of its steps hold rows.
    pub fn holding(&self) -> usize {
        match self {
            Plan::Input { .. } => 0,
            Plan::Filter { from, .. } | Plan::Project { from, .. } | Plan::Limit { from, .. } => from.holding(),
            Plan::Group { from, .. } | Plan::Sort { from, .. } => 1 + from.holding(),
            Plan::Union(sides) => sides.iter().map(Plan::holding).sum(),
            Plan::Join(join) => 1 + join.left.holding() + join.right.holding(),
            Plan::Answered(answered) => 1 + answered.from.holding() + answered.query.holding(),
        }
    }
}

/// The columns of the first side; one may be NULL where it may be in any side.
fn united(sides: &[Plan]) -> Result<SchemaRef> {
    let schemas = sides.iter().map(Plan::schema).collect::<Result<Vec<_>>>()?;
    let Some(first) = schemas.first() else { return Ok(Arc::new(Schema::empty())) };
    let field = |(at, field): (usize, &FieldRef)| {
        let is_nullable = schemas.iter().any(|side| side.fields().get(at).is_some_and(|field| field.is_nullable()));
        field.as_ref().clone().with_nullable(is_nullable)
    };
    Ok(Arc::new(Schema::new(first.fields().iter().enumerate().map(field).collect::<Vec<_>>())))
}
